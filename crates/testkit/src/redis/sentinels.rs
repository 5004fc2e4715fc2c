//! A primary with two replicas, and three sentinels that elect the next primary when this one is gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Engine, RedisServer, RedisServerBuilder};
use crate::{Scene, eventually};

/// The name under which clients ask the sentinels for the primary.
const MASTER: &str = "seawall";

const SERVERS: usize = 3;
const SENTINELS: usize = 3;

/// Sentinels that must agree that a primary is gone.
const QUORUM: usize = 2;

/// Generous: sentinels look at a server that came back only every ten seconds.
const AGREED_WITHIN: Duration = Duration::from_secs(60);

/// How servers and their sentinels are to be started.
#[derive(Clone, Debug)]
pub struct SentinelsBuilder {
    name: String,
    directory: PathBuf,
    engine: Engine,
    down_after: Duration,
    password: Option<String>,
    settings: Vec<(String, String)>,
}

impl SentinelsBuilder {
    pub const fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// How long a server must be silent to be taken for dead. Two seconds unless this is said: sentinels ask once a
    /// second, so one second takes a new primary for dead before it was asked.
    pub const fn down_after(mut self, silence: Duration) -> Self {
        self.down_after = silence;
        self
    }

    /// The password of the servers. The sentinels have none.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// A setting of every server, such as `("min-replicas-to-write", "1")`.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts all of them and waits until they know each other.
    pub async fn start(self) -> Sentinels {
        let mut servers: Vec<RedisServer> = Vec::new();
        for number in 0..SERVERS {
            let server = self.server(number);
            let server = match servers.first() {
                Some(primary) => server.arg("replicaof", &format!("127.0.0.1 {}", primary.port())),
                None => server,
            };
            servers.push(server.start().await);
        }
        let mut fixture = Sentinels { servers, sentinels: Vec::new() };
        // Sentinels that come before the replicas are linked learn of them only ten seconds later.
        for replica in 1..SERVERS {
            eventually(AGREED_WITHIN, || async { fixture.copies(replica, 0) }).await;
        }
        for number in 0..SENTINELS {
            fixture.sentinels.push(self.sentinel(number, fixture.servers[0].port()).start().await);
        }
        fixture.acquainted().await;
        fixture
    }

    fn server(&self, number: usize) -> RedisServerBuilder {
        let mut server = RedisServer::builder(&self.directory, &format!("{}-{number}", self.name))
            .engine(self.engine)
            .arg("repl-diskless-sync-delay", "0");
        if let Some(password) = &self.password {
            server = server.password(password).arg("masterauth", password);
        }
        self.settings.iter().fold(server, |server, (name, value)| server.arg(name, value))
    }

    fn sentinel(&self, number: usize, primary: u16) -> RedisServerBuilder {
        let watch = |line: &str, value: &str| format!("{line} {MASTER} {value}");
        let mut sentinel = RedisServer::builder(&self.directory, &format!("{}-sentinel-{number}", self.name))
            .engine(self.engine)
            .sentinel()
            .arg("sentinel", &watch("monitor", &format!("127.0.0.1 {primary} {QUORUM}")))
            .arg("sentinel", &watch("down-after-milliseconds", &self.down_after.as_millis().to_string()))
            // After a vote without a winner, the next one comes after twice this time.
            .arg("sentinel", &watch("failover-timeout", "3000"));
        if let Some(password) = &self.password {
            sentinel = sentinel.arg("sentinel", &watch("auth-pass", password));
        }
        sentinel
    }
}

/// Running servers with their sentinels, killed when they are dropped.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// Servers that keep nothing on disk.
    pub async fn start(scene: &Scene, name: &str) -> Self {
        Self::start_in(scene.path(), name).await
    }

    /// The same for tests without a scene. Directories are `name-0`, `name-sentinel-0` and so on in `directory`.
    pub async fn start_in(directory: &Path, name: &str) -> Self {
        Self::builder(directory, name).start().await
    }

    pub fn builder(directory: &Path, name: &str) -> SentinelsBuilder {
        SentinelsBuilder {
            name: name.to_owned(),
            directory: directory.to_owned(),
            engine: Engine::default(),
            down_after: Duration::from_secs(2),
            password: None,
            settings: Vec::new(),
        }
    }

    /// Where the sentinels listen.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    pub const fn master_name(&self) -> &'static str {
        MASTER
    }

    /// The servers that keep data; the first is the primary of the start.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    pub fn sentinels_mut(&mut self) -> &mut [RedisServer] {
        &mut self.sentinels
    }

    /// The number of the server that most sentinels name as the primary.
    pub fn primary(&self) -> usize {
        self.try_primary().unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// `kill -9` of the primary. Says which server it was.
    pub fn kill_primary(&mut self) -> usize {
        let primary = self.primary();
        self.servers[primary].kill9();
        primary
    }

    /// Waits until all living sentinels name another primary than `old`, which says so itself and has the third server
    /// for its replica. Says which one it is.
    pub async fn failed_over(&self, old: usize) -> usize {
        eventually(AGREED_WITHIN, || async {
            let named = self.named();
            let new = self.elected(&named)?;
            let third = (0..SERVERS).find(|&server| server != old && server != new);
            if new == old || named.iter().any(|port| *port != self.servers[new].port()) {
                return Err(format!("they name {named:?}, and server {old} is the old primary"));
            }
            let role = self.servers[new].try_ask::<Vec<redis::Value>>(&["ROLE"]);
            match role.as_ref().map(|role| role.first()) {
                Ok(Some(redis::Value::BulkString(role))) if role == b"master" => {}
                other => return Err(format!("server {new} was elected and is {other:?}")),
            }
            self.copies(third.ok_or("there are three servers")?, new)?;
            Ok(new)
        })
        .await
    }

    /// Starts a server again and waits until it answers. A primary that was killed still takes itself for one until
    /// the sentinels notice; [`Self::rejoined`] waits for that.
    pub async fn restart(&mut self, server: usize) {
        self.servers[server].restart().await;
    }

    /// Waits until a server that came back copies the primary, and every sentinel has seen that. One that last saw it as
    /// a primary would take it for a primary of old if it were elected now, and make it a replica again.
    pub async fn rejoined(&self, server: usize) {
        eventually(AGREED_WITHIN, || async { self.copies(server, self.try_primary()?) }).await;
        for sentinel in &self.sentinels {
            eventually(AGREED_WITHIN, || async {
                let replicas: Vec<Vec<String>> = sentinel.ask(&["SENTINEL", "REPLICAS", MASTER]);
                let port = self.servers[server].port().to_string();
                let seen = replicas.iter().find(|replica| field(replica, "port") == Some(&port));
                match seen.and_then(|replica| field(replica, "role-reported")) {
                    Some("slave") => Ok(()),
                    role => Err(format!("a sentinel saw server {server} last as {role:?}")),
                }
            })
            .await;
        }
    }

    /// Whether a server copies another one and has everything.
    fn copies(&self, replica: usize, primary: usize) -> Result<(), String> {
        let info: String = self.servers[replica]
            .try_ask(&["INFO", "replication"])
            .map_err(|error| format!("server {replica} does not answer: {error}"))?;
        let copies = info.contains(&format!("master_port:{}\r\n", self.servers[primary].port()));
        match copies && info.contains("master_link_status:up") {
            true => Ok(()),
            false => Err(format!("server {replica} does not copy server {primary}: {info}")),
        }
    }

    /// Waits until every sentinel knows all servers and all sentinels; before, they could not elect anybody.
    async fn acquainted(&self) {
        for sentinel in &self.sentinels {
            eventually(AGREED_WITHIN, || async {
                let known: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", MASTER]);
                let number = |name: &str| field(&known, name)?.parse::<usize>().ok();
                let (replicas, others) = (number("num-slaves"), number("num-other-sentinels"));
                match replicas == Some(SERVERS - 1) && others == Some(SENTINELS - 1) {
                    true => Ok(()),
                    false => Err(format!("it knows of {replicas:?} replicas and {others:?} other sentinels")),
                }
            })
            .await;
        }
    }

    fn try_primary(&self) -> Result<usize, String> {
        self.elected(&self.named())
    }

    /// Whom each living sentinel names.
    fn named(&self) -> Vec<u16> {
        self.sentinels.iter().filter_map(primary_port).collect()
    }

    fn elected(&self, named: &[u16]) -> Result<usize, String> {
        let votes = |port| named.iter().filter(|other| **other == port).count();
        let primary = self.servers.iter().position(|server| votes(server.port()) >= QUORUM);
        primary.ok_or_else(|| format!("the sentinels do not agree on the primary's port: {named:?}"))
    }
}

/// What a sentinel says under a name: names and values take turns.
fn field<'a>(said: &'a [String], name: &str) -> Option<&'a str> {
    let at = said.chunks(2).find(|pair| pair[0] == name)?;
    at.get(1).map(String::as_str)
}

/// Whom a sentinel names, if it answers.
fn primary_port(sentinel: &RedisServer) -> Option<u16> {
    let (_host, port): (String, String) =
        sentinel.try_ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).ok()?;
    port.parse().ok()
}
