//! A line to a server that loses an answer when it is asked to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::ports::loopback;

/// Connections go through it to the server. It ends, and all of them with it, when it is dropped.
#[derive(Debug)]
pub struct LossyWire {
    port: u16,
    lose: Arc<AtomicBool>,
    _accepting: JoinSet<()>,
}

impl LossyWire {
    /// To a server on this machine.
    pub async fn start(server: u16) -> Self {
        let listener =
            TcpListener::bind(loopback(0)).await.expect("a port of the loopback interface is free");
        let port = listener.local_addr().expect("a listener has an address").port();
        let lose = Arc::new(AtomicBool::new(false));
        let mut accepting = JoinSet::new();
        let flag = Arc::clone(&lose);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, server, Arc::clone(&flag)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, lose, _accepting: accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", loopback(self.port))
    }

    /// The next call of a script is carried out, and its answer gets lost with the connection.
    pub fn lose_next_answer(&self) {
        self.lose.store(true, Ordering::Relaxed);
    }
}

/// Carries bytes both ways until one side, or this line, gives up.
async fn carry(mut client: TcpStream, server: u16, lose: Arc<AtomicBool>) {
    let Ok(mut server) = TcpStream::connect(loopback(server)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut loses = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = match read {
                    Ok(length) if length > 0 => &asked[..length],
                    _ => return,
                };
                let calls = bytes.windows(7).any(|word| word == b"EVALSHA");
                loses |= calls && lose.swap(false, Ordering::Relaxed);
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let bytes = match read {
                    Ok(length) if length > 0 => &answered[..length],
                    _ => return,
                };
                if loses || client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}
