//! Making connections: TCP or TLS, then who we are and which database.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{AsyncConnectionConfig, Pipeline, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::address::{Address, Server};
use super::error::{LinkError, Scope, first_error};
use super::script::Confirmation;
use super::tls::Tls;
use crate::redis::{RedisMode, RedisOptions};
use crate::{Failure, StoreError};

/// Calls that wait to be written to one connection; beyond it callers wait, within their deadline. A connection carries
/// the calls of a quarter of all partitions, and the server answers tens of thousands a second.
const WAITING_CALLS: usize = 1024;

/// After how long without traffic the system asks whether the other side is still there. Balancers and firewalls forget
/// connections without a word, the hastiest after a minute.
const IDLE: Duration = Duration::from_secs(20);

/// A byte stream to a server.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One multiplexed connection. It is closed some time after its last clone is dropped.
#[derive(Clone)]
pub(super) struct Connection {
    link: MultiplexedConnection,
    pub(super) address: Address,
    /// The other side has closed it, or it broke.
    ended: CancellationToken,
    _closes: Arc<DropGuard>,
}

impl Connection {
    /// Sends the commands in one piece; their answers, errors of the server among them, in order.
    pub(super) async fn send(&self, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let sent = self.link.clone().send_packed_commands(pipeline, 0, pipeline.len()).await;
        sent.map_err(|error| LinkError::lost(&error).at(&self.address).sent())
    }

    /// As [`Connection::send`], with the first error among the answers as an error.
    pub(super) async fn ask(&self, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let values = self.send(pipeline).await?;
        match first_error(&values) {
            Some(error) => Err(LinkError::answered(error).at(&self.address)),
            None => Ok(values),
        }
    }

    /// Servers and what lies between close connections that are not used for long; that is no failure of a call.
    pub(super) fn is_open(&self) -> bool {
        !self.ended.is_cancelled()
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self._closes, &other._closes)
    }
}

/// Whom a connection is made to, which decides who we are there.
#[derive(Clone, Copy)]
pub(super) enum Peer {
    Server,
    Sentinel,
}

/// Makes connections as configured.
pub(super) struct Dialer {
    options: Arc<RedisOptions>,
    tls: Option<Tls>,
    /// User, password and database of the first URL. They are for the Sentinels when there are some.
    login: RedisConnectionInfo,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Dialer {
    pub(super) fn new(
        options: Arc<RedisOptions>,
        servers: &[Server],
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let refuse = |reason: &str| Err(StoreError::Refused { reason: reason.to_owned() });
        let Some(first) = servers.first() else {
            return refuse("no address of a Redis server is configured; set state.redis.urls");
        };
        if servers.iter().any(|server| server.tls != first.tls) {
            return refuse(
                "state.redis.urls mixes redis:// and rediss://; use one of them for all addresses",
            );
        }
        let tls = if first.tls { Some(Tls::new(options.tls_ca.clone())?) } else { None };
        Ok(Self { options, tls, login: first.login.clone(), tasks, stop })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// How long a call may take that is confirmed by replicas or the disk.
    pub(super) fn confirmed_within(&self) -> Duration {
        self.timeout() + Confirmation::patience(self.options.durability)
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Connects and says who we are, within the configured time.
    pub(super) async fn connect(&self, peer: Peer, address: &Address) -> Result<Connection, LinkError> {
        let within = self.timeout();
        let connection = tokio::time::timeout(within, Box::pin(self.connect_slowly(peer, address))).await;
        connection.unwrap_or_else(|_| Err(self.late())).map_err(|error| error.at(address))
    }

    /// A server that expects plain text takes a TLS greeting for an unfinished line and waits for its end.
    fn late(&self) -> LinkError {
        let mut late = LinkError::late(self.timeout());
        if self.tls.is_some() {
            late.reason.push_str(" (or it does not speak TLS at this port)");
        }
        late
    }

    /// A connection that hears messages and does nothing else.
    pub(super) async fn listen(&self, address: &Address) -> Result<PubSub, LinkError> {
        let within = self.timeout();
        let listening = async {
            let mut info = RedisConnectionInfo::default().set_lib_name("seawall", env!("CARGO_PKG_VERSION"));
            if let Some((user, password)) = self.credentials(Peer::Server)? {
                info = info.set_password(password);
                if let Some(user) = user {
                    info = info.set_username(user);
                }
            }
            let stream = self.stream(address).await?;
            PubSub::new(&info, stream).await.map_err(|error| match error.kind() {
                redis::ErrorKind::AuthenticationFailed => denied("the password is not accepted"),
                _ => LinkError::lost(&error),
            })
        };
        let pubsub = tokio::time::timeout(within, Box::pin(listening)).await;
        pubsub.unwrap_or_else(|_| Err(LinkError::late(within))).map_err(|error| error.at(address))
    }

    async fn connect_slowly(&self, peer: Peer, address: &Address) -> Result<Connection, LinkError> {
        if self.stop.is_cancelled() {
            return Err(LinkError::closed());
        }
        // Authentication is done below: the library's own hides the code of the server's error.
        let bare = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WAITING_CALLS);
        let hello = self.hello(peer)?;
        let stream = self.stream(address).await?;
        let (link, driver) = MultiplexedConnection::new_with_config(&bare, stream, config)
            .await
            .map_err(|error| LinkError::lost(&error))?;
        let (ended, closes) = self.spawn_driver(driver);
        let connection = Connection { link, address: address.clone(), ended, _closes: Arc::new(closes) };
        self.introduce(&connection, &hello).await?;
        Ok(connection)
    }

    /// Reads and writes the connection until nobody holds it any more. Calls that were abandoned without an answer would
    /// hold it forever when the server is gone without a word, so it is given up after another deadline.
    fn spawn_driver(
        &self,
        driver: impl Future<Output = ()> + Send + 'static,
    ) -> (CancellationToken, DropGuard) {
        let (dropped, stop, grace) = (CancellationToken::new(), self.stop.clone(), self.confirmed_within());
        let (abandoned, ended) = (dropped.clone(), CancellationToken::new());
        let end = ended.clone();
        self.tasks.spawn(async move {
            let over = async {
                abandoned.cancelled().await;
                tokio::time::sleep(grace).await;
            };
            tokio::select! {
                () = driver => {}
                () = over => {}
                () = stop.cancelled() => {}
            }
            end.cancel();
        });
        (ended, dropped.drop_guard())
    }

    /// The first commands of a connection, of which the last two may fail.
    fn hello(&self, peer: Peer) -> Result<Pipeline, LinkError> {
        let mut hello = Pipeline::new();
        if let Some((user, password)) = self.credentials(peer)? {
            hello.cmd("AUTH");
            if let Some(user) = user {
                hello.arg(user);
            }
            hello.arg(password);
        }
        if matches!(peer, Peer::Server) && self.login.db() != 0 {
            hello.cmd("SELECT").arg(self.login.db());
        }
        hello.cmd("CLIENT").arg("SETNAME").arg("seawall");
        hello.cmd("CLIENT").arg("SETINFO").arg("LIB-NAME").arg("seawall");
        Ok(hello)
    }

    async fn introduce(&self, connection: &Connection, hello: &Pipeline) -> Result<(), LinkError> {
        let values = connection.send(hello).await.map_err(LinkError::unsent)?;
        // Names are courtesy: older servers do not know them all, and a user may not be allowed to give them.
        let needed = values.len().saturating_sub(2);
        match first_error(values.get(..needed).unwrap_or_default()) {
            Some(error) => {
                let refusal = LinkError::answered(error);
                Err(if refusal.is_outage() { refusal } else { denied(&refusal.reason) })
            }
            None => Ok(()),
        }
    }

    /// The password file is read at every connect, so that a password may be changed while we run.
    fn credentials(&self, peer: Peer) -> Result<Option<(Option<String>, String)>, LinkError> {
        let of_url = (self.login.username().map(str::to_owned), self.login.password().map(str::to_owned));
        let configured = &self.options.credentials;
        let sentinels = matches!(self.options.mode, RedisMode::Sentinel { .. });
        let (user, password) = match peer {
            Peer::Sentinel => of_url,
            // What the addresses of Sentinels say is for them.
            Peer::Server if sentinels => (configured.username.clone(), self.password()?),
            Peer::Server => (configured.username.clone().or(of_url.0), self.password()?.or(of_url.1)),
        };
        if user.is_none() && password.is_none() {
            return Ok(None);
        }
        // Some users need no password, but to be one of them it takes a name.
        Ok(Some((user, password.unwrap_or_default())))
    }

    fn password(&self) -> Result<Option<String>, LinkError> {
        let Some(path) = &self.options.credentials.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            denied(&format!("the password file {} cannot be read: {error}", path.display()))
        })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }

    async fn stream(&self, address: &Address) -> Result<Box<dyn Stream>, LinkError> {
        let tcp = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|error| LinkError::io(&error))?;
        // Small commands must not wait for the acknowledgement of those before.
        tcp.set_nodelay(true).map_err(|error| LinkError::io(&error))?;
        let keepalive = TcpKeepalive::new().with_time(IDLE).with_interval(IDLE);
        SockRef::from(&tcp).set_tcp_keepalive(&keepalive).map_err(|error| LinkError::io(&error))?;
        match &self.tls {
            Some(tls) => Ok(Box::new(tls.secure(&address.host, tcp).await?)),
            None => Ok(Box::new(tcp)),
        }
    }
}

fn denied(reason: &str) -> LinkError {
    LinkError::new(Failure::Denied, Scope::Connection, reason)
}
