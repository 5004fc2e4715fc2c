//! A connection on which anything can be sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion};

/// The head of a POST to `path` with these further header lines, which end in `\r\n` each.
pub fn request_head(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: seawall\r\ncontent-type: application/json\r\n{headers}\r\n")
}

/// A socket without manners.
#[derive(Debug)]
pub struct Raw<S = TcpStream>(S);

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Speaks TLS from now on, with whoever is on loopback.
    pub async fn secure(self, tls: &Arc<ClientConfig>) -> std::io::Result<Raw<TlsStream<TcpStream>>> {
        let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
        TlsConnector::from(tls.clone()).connect(name.to_owned(), self.0).await.map(Raw)
    }
}

impl Raw<TlsStream<TcpStream>> {
    /// The certificate that the other side has shown.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        shown.expect("a server shows a certificate").clone().into_owned()
    }

    /// The version of TLS that is spoken.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.0.get_ref().1.protocol_version()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Says whether everything could be sent: the other side may close at any time.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        self.0.shutdown().await.ok();
    }

    /// Everything until the other side closes, or what has come `within` that time; and whether it has closed.
    pub async fn read_all(&mut self, within: Duration) -> (String, bool) {
        let mut received = Vec::new();
        let read = tokio::time::timeout(within, self.0.read_to_end(&mut received)).await;
        let closed = read.is_ok();
        (String::from_utf8_lossy(&received).into_owned(), closed)
    }

    /// The head and body of one answer with a content length; what came when the other side closes before.
    pub async fn read_answer(&mut self, within: Duration) -> String {
        let mut received = Vec::new();
        let answer = async {
            let mut buffer = [0u8; 4096];
            while !is_whole(&received) {
                match self.0.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => received.extend_from_slice(&buffer[..length]),
                }
            }
        };
        tokio::time::timeout(within, answer).await.ok();
        String::from_utf8_lossy(&received).into_owned()
    }
}

fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or_default()
}
