//! One server as a process, and what tests ask it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Connection, FromRedisValue, RedisResult};

use super::Engine;
use crate::ports::loopback;
use crate::{Process, Scene, eventually, free_port};

/// Generous: a loaded machine, a log of appended commands to replay.
const READY_WITHIN: Duration = Duration::from_secs(30);

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// No question of a test takes this long unless the server is paused.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct RedisServerBuilder {
    name: String,
    home: PathBuf,
    port: u16,
    engine: Engine,
    password: Option<String>,
    sentinel: bool,
    settings: Vec<(String, String)>,
}

impl RedisServerBuilder {
    fn new(directory: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            home: directory.join(name),
            port: free_port(),
            engine: Engine::default(),
            password: None,
            sentinel: false,
            settings: Vec::new(),
        }
    }

    pub const fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// The password of the default user, which is also the one that this fixture is.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.arg("requirepass", password)
    }

    /// A setting as in the server's configuration file, such as `("appendonly", "yes")`, `("maxmemory", "10mb")` or
    /// `("user", "seawall on >secret ~* +@all")`. Leading dashes are ignored.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.trim_start_matches('-').to_owned(), value.to_owned()));
        self
    }

    /// Lets it watch over others instead of keeping data.
    pub(super) const fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    fn config(&self) -> String {
        let home = self.home.display().to_string();
        let port = self.port.to_string();
        let own = [("bind", "127.0.0.1"), ("port", &*port), ("dir", &*home)];
        // Nothing survives unless a test asks for it.
        let keeps: &[_] = if self.sentinel { &[] } else { &[("enable-debug-command", "yes"), ("save", "")] };
        let asked = self.settings.iter().map(|(name, value)| (&**name, &**value));
        let line = |(name, value): (&str, &str)| match value {
            "" => format!("{name} \"\"\n"),
            value => format!("{name} {value}\n"),
        };
        own.iter().chain(keeps).copied().chain(asked).map(line).collect()
    }

    fn spawn(&self) -> Process {
        let mut command = Command::new(self.engine.server());
        command.arg(self.home.join("redis.conf")).current_dir(&self.home);
        if self.sentinel {
            command.arg("--sentinel");
        }
        Process::spawn(&self.name, &mut command, &self.home.join("log"), self.engine.package())
    }

    /// Starts it and waits until it answers.
    pub async fn start(self) -> RedisServer {
        std::fs::create_dir_all(&self.home).expect("a directory in the temporary directory can be made");
        // A file and not arguments: sentinels have a server rewrite it, and a second life must know of its roles.
        std::fs::write(self.home.join("redis.conf"), self.config())
            .expect("a file in the temporary directory can be written");
        let process = self.spawn();
        let mut server = RedisServer { recipe: self, process };
        server.ready().await;
        server
    }
}

/// A running `redis-server` or `valkey-server`, killed when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    recipe: RedisServerBuilder,
    process: Process,
}

impl RedisServer {
    /// A server of a scene that keeps nothing; `name` tells several apart.
    pub async fn start(scene: &Scene, name: &str) -> Self {
        Self::start_in(scene.path(), name).await
    }

    /// A server for tests without a scene. Its directory is `name` in `directory`.
    pub async fn start_in(directory: &Path, name: &str) -> Self {
        Self::builder(directory, name).start().await
    }

    pub fn builder(directory: &Path, name: &str) -> RedisServerBuilder {
        RedisServerBuilder::new(directory, name)
    }

    pub fn url(&self) -> String {
        let login =
            self.recipe.password.as_ref().map_or_else(String::new, |password| format!(":{password}@"));
        format!("redis://{login}{}", loopback(self.port()))
    }

    pub const fn port(&self) -> u16 {
        self.recipe.port
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.recipe.home
    }

    /// Waits until it answers; fails at once when it has ended instead.
    async fn ready(&mut self) {
        let url = self.url();
        let name = self.recipe.name.clone();
        let pid = self.process.pid();
        let process = Mutex::new(&mut self.process);
        eventually(READY_WITHIN, || {
            let mut process = process.lock();
            let ended = process.ended();
            // Its output is shown when the process is dropped.
            assert!(ended.is_none(), "{name} ended ({ended:?}) before it answered");
            let answering = answering_process(&url);
            async move {
                match answering {
                    Ok(answering) if answering == pid => Ok(()),
                    Ok(other) => Err(format!("process {other} answers and not {pid}")),
                    Err(error) => Err(error.to_string()),
                }
            }
        })
        .await;
    }

    /// A connection of its own. It blocks the thread while it waits for an answer, which suits short questions.
    pub fn connection(&self) -> Connection {
        self.try_connection().unwrap_or_else(|error| panic!("no connection to {}: {error}", self.recipe.name))
    }

    /// A connection, unless the server is gone, paused or loading.
    pub fn try_connection(&self) -> RedisResult<Connection> {
        connect(&self.url())
    }

    /// Asks with the words of a command, such as `["CONFIG", "GET", "maxmemory"]`.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words)
            .unwrap_or_else(|error| panic!("{} answered {words:?} with {error}", self.recipe.name))
    }

    /// Asks, and says why there is no answer.
    pub fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        ask(&mut self.try_connection()?, words)
    }

    /// `kill -9`, and it is gone when this returns.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Asks it to end and waits until it has. With persistence, it saves what it has first.
    pub async fn terminate(&mut self) {
        self.process.signal("TERM");
        self.process.exited(READY_WITHIN).await;
    }

    /// Starts it on the same port and the same directory, after killing it if it still runs; waits until it answers.
    pub async fn restart(&mut self) {
        self.process.kill9();
        self.process = self.recipe.spawn();
        self.ready().await;
    }

    /// Freezes the process: connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Until the next restart.
    pub fn set_config(&self, name: &str, value: &str) {
        self.ask::<()>(&["CONFIG", "SET", name, value]);
    }

    /// Bytes that are allocated for its data and its connections.
    pub fn memory(&self) -> u64 {
        self.info("memory", "used_memory")
    }

    /// A field of a section of `INFO`.
    pub fn info<T: std::str::FromStr>(&self, section: &str, field: &str) -> T {
        let info: String = self.ask(&["INFO", section]);
        info_field(&info, field)
            .unwrap_or_else(|| panic!("section {section} of INFO has no {field} that can be read: {info}"))
    }

    pub fn key_count(&self) -> u64 {
        self.ask(&["DBSIZE"])
    }

    /// Every key, in order. For tests with few keys: it walks over all of them.
    pub fn keys(&self) -> Vec<String> {
        let mut connection = self.connection();
        let mut keys = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let (next, found): (String, Vec<Vec<u8>>) =
                ask(&mut connection, &["SCAN", &cursor, "COUNT", "1000"]).expect("keys can be walked over");
            keys.extend(found.iter().map(|key| String::from_utf8_lossy(key).into_owned()));
            if next == "0" {
                break;
            }
            cursor = next;
        }
        // A key may be shown twice while the table grows.
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Keys that would stay for ever, which for a store that must stay small is a leak.
    pub fn keys_without_expiry(&self) -> Vec<String> {
        let mut keys = self.keys();
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.cmd("TTL").arg(key);
        }
        let lives: Vec<i64> = match keys.is_empty() {
            true => Vec::new(),
            false => pipeline.query(&mut self.connection()).expect("keys can be asked for their expiry"),
        };
        let mut lives = lives.into_iter();
        // -1 is a key without expiry; -2 one that has expired since it was seen.
        keys.retain(|_| lives.next() == Some(-1));
        keys
    }

    /// Deletes every key.
    pub fn flush_all(&self) {
        self.ask::<()>(&["FLUSHALL"]);
    }

    /// Forgets every loaded script.
    pub fn script_flush(&self) {
        self.ask::<()>(&["SCRIPT", "FLUSH"]);
    }
}

fn info_field<T: std::str::FromStr>(info: &str, field: &str) -> Option<T> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.trim().parse().ok())
}

/// Which process answers there: a port that was free a moment ago can be somebody else's now.
fn answering_process(url: &str) -> RedisResult<u32> {
    let mut connection = connect(url)?;
    // Unlike INFO, this is refused while the data are being loaded.
    ask::<String>(&mut connection, &["PING"])?;
    let info: String = ask(&mut connection, &["INFO", "server"])?;
    Ok(info_field(&info, "process_id").unwrap_or_default())
}

pub(super) fn connect(url: &str) -> RedisResult<Connection> {
    let connection = redis::Client::open(url)?.get_connection_with_timeout(CONNECT_WITHIN)?;
    connection.set_read_timeout(Some(ANSWER_WITHIN))?;
    connection.set_write_timeout(Some(ANSWER_WITHIN))?;
    Ok(connection)
}

pub(super) fn ask<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> RedisResult<T> {
    let mut command = redis::Cmd::new();
    words.iter().for_each(|word| {
        command.arg(word);
    });
    command.query(connection)
}
