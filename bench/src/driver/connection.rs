//! One kept-alive connection with the request it sends and the answer it waits for.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{Exchange, Follow};
use crate::payload::Numbers;

/// What a request is written to.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// The handshake is over when this returns.
    fn secure(mut socket: TcpStream, host: IpAddr, tls: Arc<ClientConfig>) -> Result<Self> {
        let mut connection = ClientConnection::new(tls, ServerName::IpAddress(host.into()))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).context("the handshake failed")?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            // Sends first what could not be sent before.
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

pub struct Connection<A> {
    stream: Stream,
    /// Which of the run's connections it is.
    place: usize,
    request: Vec<u8>,
    /// Bytes of `request` that were sent; its length while nothing is to be sent.
    sent: usize,
    answer: A,
    busy: bool,
}

impl<A: Follow> Connection<A> {
    pub fn open(
        target: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        place: usize,
        request: Vec<u8>,
    ) -> Result<Self> {
        let socket = TcpStream::connect(target)?;
        socket.set_nodelay(true)?;
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(tls) => Stream::secure(socket, target.ip(), Arc::clone(tls))?,
        };
        stream.socket().set_nonblocking(true)?;
        let sent = request.len();
        Ok(Self { stream, place, request, sent, answer: A::default(), busy: false })
    }

    pub fn stream(&self) -> &TcpStream {
        self.stream.socket()
    }

    pub fn send(&mut self, template: &impl Exchange, numbers: &mut Numbers) -> Result<()> {
        template.fill(self.place, &mut self.request, numbers);
        self.sent = 0;
        self.busy = true;
        self.write()
    }

    /// Goes on with whatever the socket allows; gives the status when an answer is complete.
    pub fn advance(&mut self, scratch: &mut [u8]) -> Result<Option<u16>> {
        if !self.busy {
            return Ok(None);
        }
        if self.sent < self.request.len() {
            self.write()?;
        }
        loop {
            match self.stream.read(scratch) {
                Ok(0) => bail!("the server closed a connection in the middle of an exchange"),
                Ok(count) => {
                    if let Some(status) = self.answer.feed(&scratch[..count])? {
                        anyhow::ensure!(
                            self.sent == self.request.len(),
                            "answered {status} before it was asked"
                        );
                        self.busy = false;
                        return Ok(Some(status));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read an answer"),
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot send a request"),
            }
        }
        Ok(())
    }
}
