//! Where the server is and what it has to promise.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::link::shown;

/// Everything that [`RedisStore::open`](super::RedisStore::open) needs to know.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// `redis://` or `rediss://` (TLS) addresses: the server, the Sentinels, or some nodes of the cluster. A user and
    /// password in them are used when `credentials` name none; those of Sentinels are for the Sentinels alone.
    pub urls: Vec<String>,
    pub mode: RedisMode,
    /// Every key begins with it.
    pub key_prefix: String,
    pub credentials: Credentials,
    /// Certificates to trust beside those of the system, as PEM.
    pub tls_ca: Option<PathBuf>,
    /// How long one call may take, connecting included. What `durability` waits for has its own time on top.
    pub timeout: Duration,
    /// Multiplexed connections to each server, over which all calls are pipelined.
    pub connections: usize,
    pub durability: RedisDurability,
    /// How long a replica that has begun to publish for a partition keeps others from doing so without saying anything.
    pub lease: Duration,
    /// How often a replica looks at all partitions for work that nobody has done, and lets go of what is over.
    pub look: Duration,
    /// How long the answer to a call is remembered in case it has to be repeated: twice the longest time a caller waits.
    pub remember_answers: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisMode {
    Standalone,
    /// The addresses are those of Sentinels, which know where this primary is.
    Sentinel {
        master: String,
    },
    Cluster,
}

/// What an acknowledged decision has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisDurability {
    /// It is in the server's memory.
    Memory,
    /// So many replicas of the server have it, too, which they have to say within the timeout.
    Wait { replicas: u32, timeout: Duration },
    /// It is in the server's append-only file, synced, within the timeout. With `appendfsync everysec` that takes up to a
    /// second; `always` is meant for this.
    Aof { timeout: Duration },
}

/// An ACL user and where its password is. The file is read again at every connect, so passwords may be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
}

impl RedisOptions {
    /// One server without a password, and the defaults for the rest.
    pub fn standalone(url: &str) -> Self {
        Self {
            urls: vec![url.to_owned()],
            mode: RedisMode::Standalone,
            key_prefix: "seawall".to_owned(),
            credentials: Credentials::default(),
            tls_ca: None,
            timeout: Duration::from_secs(1),
            connections: 4,
            durability: RedisDurability::Memory,
            lease: Duration::from_secs(15),
            look: Duration::from_secs(10),
            remember_answers: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for RedisOptions {
    /// Addresses are shown without what may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            urls,
            mode,
            key_prefix,
            credentials,
            tls_ca,
            timeout,
            connections,
            durability,
            lease,
            look,
            remember_answers,
        } = self;
        let urls: Vec<String> = urls.iter().map(|url| shown(url)).collect();
        f.debug_struct("RedisOptions")
            .field("urls", &urls)
            .field("mode", mode)
            .field("key_prefix", key_prefix)
            .field("credentials", credentials)
            .field("tls_ca", tls_ca)
            .field("timeout", timeout)
            .field("connections", connections)
            .field("durability", durability)
            .field("lease", lease)
            .field("look", look)
            .field("remember_answers", remember_answers)
            .finish()
    }
}

impl fmt::Display for RedisMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "standalone",
            Self::Sentinel { .. } => "sentinel",
            Self::Cluster => "cluster",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_without_passwords() {
        let options = RedisOptions::standalone("redis://me:secret@host:6379/1");
        let text = format!("{options:?}");
        assert!(text.contains("redis://host:6379/1") && !text.contains("secret"), "{text}");
    }
}
