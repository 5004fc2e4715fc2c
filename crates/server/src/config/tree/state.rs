//! The section `state`.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use seawall_store::RedisOptions;
use serde::{Deserialize, Serialize, Serializer};

use crate::config::secrets::without_secrets;
use crate::config::units::Period;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct State {
    /// Which store: `embedded`, in this process and on this disk, or `redis`, which any number of replicas share.
    pub kind: StateKind,
    /// The embedded store.
    pub embedded: Embedded,
    /// Redis or Valkey as the store. [redis.md](redis.md) says how to set it up and what it promises.
    pub redis: Redis,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StateKind {
    #[default]
    Embedded,
    Redis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Embedded {
    /// Directory of the data; made when it does not exist. One process at a time can use it.
    pub path: PathBuf,
    /// When an answer is given: `fsync`, after the disk has confirmed it. Answers that wait together share one
    /// confirmation.
    pub durability: Durability,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { path: PathBuf::from("./seawall-data"), durability: Durability::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    #[default]
    Fsync,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Redis {
    /// `redis://HOST:PORT` or, with TLS, `rediss://HOST:PORT`: the server, the Sentinels, or some nodes of the cluster,
    /// which name the others. `/N` after the port chooses a database. What stands before an `@` logs in to what the
    /// address names; for the server, `username` and `passwordFile` are better.
    pub urls: Vec<RedisUrl>,
    /// What the addresses are: one server, its Sentinels, or nodes of a cluster.
    pub mode: RedisMode,
    /// Name by which the Sentinels know the primary. Only and always with `mode: sentinel`.
    pub sentinel_master: Option<String>,
    /// ACL user of the server; without it the server's default user.
    pub username: Option<String>,
    /// File with the password; a line break at its end does not count. Read again at every connect, so that it can be
    /// changed.
    pub password_file: Option<PathBuf>,
    /// File with the certificates (PEM) that sign the server's, besides those of the system.
    pub tls_ca: Option<PathBuf>,
    /// What every key begins with. Seawalls with the same prefix share everything; two that must not meet need two.
    pub key_prefix: String,
    /// How long one call may take, connecting included. What is not answered by then is answered 503.
    pub timeout: Period,
    /// Connections of each replica to the server, or to each node of the cluster. Calls that wait at the same time
    /// share them.
    pub connections: u32,
    /// What has confirmed a decision before it is answered: `memory`, the server's memory; `wait`, `waitReplicas` of its
    /// replicas too; `aof`, its append-only file, synced to disk, which needs `WAITAOF` (Redis 7.2, Valkey).
    pub durability: RedisDurability,
    /// Replicas of the server that confirm. Only with `durability: wait`.
    pub wait_replicas: u32,
    /// How long the confirmation may take; without it by then the answer is 503. Only with `durability: wait` or `aof`.
    pub wait_timeout: Period,
    /// After this long without a sign of life from a Seawall that was publishing, another one takes over.
    pub publish_lease: Period,
}

impl Default for Redis {
    fn default() -> Self {
        let options = RedisOptions::standalone("");
        Self {
            urls: Vec::new(),
            mode: RedisMode::default(),
            sentinel_master: None,
            username: options.credentials.username,
            password_file: options.credentials.password_file,
            tls_ca: options.tls_ca,
            key_prefix: options.key_prefix,
            timeout: options.timeout.into(),
            connections: u32::try_from(options.connections).unwrap_or(u32::MAX),
            durability: RedisDurability::default(),
            wait_replicas: 1,
            wait_timeout: Period::from_millis(1_000),
            publish_lease: options.lease.into(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RedisMode {
    #[default]
    Standalone,
    Sentinel,
    Cluster,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RedisDurability {
    #[default]
    Memory,
    Wait,
    Aof,
}

/// An address that may have a password in it. Whatever shows it leaves out who it logs in as; only
/// [`expose`](Self::expose) gives it whole.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// As it was written, for the store and for checks; never for people.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RedisUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for RedisUrl {
    fn schema_name() -> Cow<'static, str> {
        "RedisUrl".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^rediss?://" })
    }
}
