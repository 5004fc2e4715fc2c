//! One kept-alive connection with the request it sends and the answer it waits for.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

use super::{Exchange, Follow};
use crate::payload::Numbers;

pub struct Connection<A> {
    stream: TcpStream,
    /// Which of the run's connections it is.
    place: usize,
    request: Vec<u8>,
    /// Bytes of `request` that were sent; its length while nothing is to be sent.
    sent: usize,
    answer: A,
    busy: bool,
}

impl<A: Follow> Connection<A> {
    pub fn open(target: SocketAddr, place: usize, request: Vec<u8>) -> Result<Self> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let sent = request.len();
        Ok(Self { stream, place, request, sent, answer: A::default(), busy: false })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
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
