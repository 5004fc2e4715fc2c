//! The section `state`.

use std::time::Duration;

use seawall_store::{Credentials, RedisDurability as Promise, RedisMode as Mode, RedisOptions};

use super::Check;
use crate::config::address::Address;
use crate::config::error::KeyPath;
use crate::config::settings::StateSettings;
use crate::config::tree::{Config, Embedded, Redis, RedisDurability, RedisMode, StateKind};

pub(crate) const URLS: &str = "state.redis.urls";

/// Keys begin with it, millions of them.
const MAX_KEY_PREFIX: usize = 64;

/// What a prefix must not contain: braces choose the slot of a key in a cluster, and the rest are patterns where people
/// look for keys or grant rights to them.
const NOT_IN_KEY_PREFIX: [char; 7] = ['{', '}', '*', '?', '[', ']', '\\'];

/// More than a server answers faster.
const MAX_CONNECTIONS: u32 = 128;

impl Check<'_> {
    /// Nothing when there is an error, which is noted.
    pub(super) fn state(&mut self, config: &Config) -> Option<StateSettings> {
        if config.state.embedded.path.as_os_str().is_empty() {
            self.fail("state.embedded.path", "a directory is expected, for example `./seawall-data`");
        }
        match config.state.kind {
            StateKind::Embedded => {
                if !config.state.redis.urls.is_empty() {
                    self.warn(URLS, "is not used; `state.kind: redis` is missing");
                }
                Some(StateSettings::Embedded { path: config.state.embedded.path.clone() })
            }
            StateKind::Redis => {
                let path = KeyPath::from("state.embedded.path");
                // `config show` writes the default, and it can be used as a file.
                if self.given.origin_of(&path).is_some() && config.state.embedded != Embedded::default() {
                    self.warn(path, "is not used with `state.kind: redis`, which keeps nothing on this disk");
                }
                self.redis(config).map(|options| StateSettings::Redis(Box::new(options)))
            }
        }
    }

    fn redis(&mut self, config: &Config) -> Option<RedisOptions> {
        let redis = &config.state.redis;
        self.urls(redis);
        let mode = self.mode(redis);
        if redis.username.as_deref().is_some_and(str::is_empty) {
            self.fail("state.redis.username", "a name is expected, not empty text");
        }
        for (file, path) in
            [(&redis.password_file, "state.redis.passwordFile"), (&redis.tls_ca, "state.redis.tlsCa")]
        {
            if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
                self.fail(path, "a file is expected, not empty text");
            }
        }
        self.key_prefix(&redis.key_prefix);
        let connections = self.positive(redis.connections, "state.redis.connections");
        if redis.connections > MAX_CONNECTIONS {
            let message = format!("{} is too many; at most {MAX_CONNECTIONS}", redis.connections);
            self.fail("state.redis.connections", message);
        }
        let durability = self.durability(redis);
        self.times(config, durability);
        let lease = Duration::from(redis.publish_lease);
        Some(RedisOptions {
            urls: redis.urls.iter().map(|url| url.expose().to_owned()).collect(),
            mode: mode?,
            key_prefix: redis.key_prefix.clone(),
            credentials: Credentials {
                username: redis.username.clone(),
                password_file: redis.password_file.clone(),
            },
            tls_ca: redis.tls_ca.clone(),
            timeout: redis.timeout.into(),
            connections,
            durability,
            lease,
            // Whoever sees every claim once in its lease takes over in time what a dead owner left.
            look: RedisOptions::standalone("").look.min(lease),
            remember_answers: 2 * Duration::from(config.server.timeouts.request),
        })
    }

    fn urls(&mut self, redis: &Redis) {
        if redis.urls.is_empty() {
            let message = match redis.mode {
                RedisMode::Standalone => {
                    "`state.kind: redis` needs an address, for example `[redis://redis:6379]`"
                }
                RedisMode::Sentinel => {
                    "`mode: sentinel` needs the addresses of the Sentinels, for example `[redis://sentinel-0:26379]`"
                }
                RedisMode::Cluster => {
                    "`mode: cluster` needs addresses of some nodes, for example `[redis://node-0:6379]`"
                }
            };
            self.fail(URLS, message);
        } else if redis.urls.len() > 1 && redis.mode == RedisMode::Standalone {
            let message = format!(
                "there are {} addresses, but a server by itself has one; set `state.redis.mode` to `sentinel` or \
                 `cluster`, or leave one address",
                redis.urls.len()
            );
            self.fail(URLS, message);
        }
        let mut addresses = Vec::new();
        for (position, url) in redis.urls.iter().enumerate() {
            let path = KeyPath::from(URLS).index(position);
            match Address::parse(url.expose()) {
                Ok(address) => {
                    self.url(&address, redis, &path);
                    self.as_the_first(&address, addresses.first(), path);
                    addresses.push(address);
                }
                Err(message) => self.fail(path, message),
            }
        }
        if redis.tls_ca.is_some() && !addresses.is_empty() && !addresses.iter().any(|address| address.tls) {
            self.fail("state.redis.tlsCa", "is for TLS, but the addresses are `redis://`; write `rediss://`");
        }
    }

    fn url(&mut self, address: &Address<'_>, redis: &Redis, path: &KeyPath) {
        let (user, password) = (!address.user.is_empty(), !address.password.is_empty());
        if redis.mode == RedisMode::Sentinel {
            if address.port.is_none() {
                self.fail(
                    path.clone(),
                    "has no port; the addresses are those of the Sentinels, which usually listen on 26379",
                );
            }
            if password {
                self.warn(path.clone(), "has the Sentinels' password in it; let nobody read it who need not");
            }
            return;
        }
        if redis.mode == RedisMode::Cluster && address.database.is_some_and(|database| database != 0) {
            self.fail(path.clone(), "chooses a database, but a cluster has only one; leave it out");
        }
        if user && redis.username.is_some() {
            self.fail(
                path.clone(),
                "names a user, and so does `state.redis.username`; leave one of them out",
            );
        }
        match (password, &redis.password_file) {
            (true, Some(_)) => self.fail(
                path.clone(),
                "has a password in it, and there is `state.redis.passwordFile`; take it out of the address",
            ),
            (true, None) => self.warn(
                path.clone(),
                "has a password in it, where others may read it; put it into a file and name that with \
                 `state.redis.passwordFile`",
            ),
            (false, _) => {}
        }
    }

    /// All addresses are ways to one thing, which is entered as the first one says.
    fn as_the_first(&mut self, address: &Address<'_>, first: Option<&Address<'_>>, path: KeyPath) {
        let Some(first) = first else { return };
        if address.tls != first.tls {
            self.fail(path, "differs from the first address in using TLS; write all with `redis://` or all with `rediss://`");
        } else if (address.user, address.password, address.database)
            != (first.user, first.password, first.database)
        {
            self.fail(
                path,
                "has another user, password or database than the first address; write them alike",
            );
        }
    }

    fn mode(&mut self, redis: &Redis) -> Option<Mode> {
        const MASTER: &str = "state.redis.sentinelMaster";
        let master = redis.sentinel_master.as_deref().filter(|master| !master.trim().is_empty());
        match (redis.mode, master) {
            (RedisMode::Sentinel, Some(master)) => Some(Mode::Sentinel { master: master.to_owned() }),
            (RedisMode::Sentinel, None) => {
                self.fail(
                    MASTER,
                    "`mode: sentinel` needs the name by which the Sentinels know the primary, for example `mymaster`",
                );
                None
            }
            (_, Some(_)) => {
                self.fail(MASTER, "is only for `mode: sentinel`; set `state.redis.mode`, or leave it out");
                None
            }
            (RedisMode::Standalone, None) => Some(Mode::Standalone),
            (RedisMode::Cluster, None) => Some(Mode::Cluster),
        }
    }

    fn key_prefix(&mut self, prefix: &str) {
        const PREFIX: &str = "state.redis.keyPrefix";
        if prefix.is_empty() {
            self.fail(PREFIX, "text is expected, for example `seawall`");
        } else if prefix.len() > MAX_KEY_PREFIX {
            self.fail(PREFIX, format!("has {} bytes; at most {MAX_KEY_PREFIX}", prefix.len()));
        } else if let Some(wrong) =
            prefix.chars().find(|c| NOT_IN_KEY_PREFIX.contains(c) || c.is_whitespace() || c.is_control())
        {
            self.fail(PREFIX, format!("must not contain {wrong:?}, which means something else in keys"));
        }
    }

    /// Keys that a promise does not need may be there with their defaults, as `config show` writes them; any other
    /// value was meant to do something.
    fn durability(&mut self, redis: &Redis) -> Promise {
        let default = Redis::default();
        let replicas = self.positive(redis.wait_replicas, "state.redis.waitReplicas");
        let timeout = self.lasting(redis.wait_timeout, "state.redis.waitTimeout").into();
        if redis.durability != RedisDurability::Wait && redis.wait_replicas != default.wait_replicas {
            self.fail(
                "state.redis.waitReplicas",
                "is only for `durability: wait`; set `state.redis.durability`, or leave it out",
            );
        }
        if redis.durability == RedisDurability::Memory && redis.wait_timeout != default.wait_timeout {
            self.fail(
                "state.redis.waitTimeout",
                "is only for `durability: wait` or `aof`; set `state.redis.durability`, or leave it out",
            );
        }
        match redis.durability {
            RedisDurability::Memory => Promise::Memory,
            RedisDurability::Wait => {
                Promise::Wait { replicas: u32::try_from(replicas).unwrap_or(u32::MAX), timeout }
            }
            RedisDurability::Aof => Promise::Aof { timeout },
        }
    }

    fn times(&mut self, config: &Config, durability: Promise) {
        let redis = &config.state.redis;
        let timeout: Duration = self.lasting(redis.timeout, "state.redis.timeout").into();
        let lease: Duration = self.lasting(redis.publish_lease, "state.redis.publishLease").into();
        let wait = match durability {
            Promise::Memory => Duration::ZERO,
            Promise::Wait { timeout, .. } | Promise::Aof { timeout } => timeout,
        };
        let request = config.server.timeouts.request;
        // A zero is already an error by itself.
        if !request.is_zero() && timeout + wait >= Duration::from(request) {
            let (given, path) = match wait.is_zero() {
                true => (redis.timeout.to_string(), "state.redis.timeout"),
                false => (
                    format!(
                        "`timeout` ({}) and `waitTimeout` ({}) together",
                        redis.timeout, redis.wait_timeout
                    ),
                    "state.redis.waitTimeout",
                ),
            };
            let message = format!(
                "{given} must be shorter than `server.timeouts.request` ({request}), within which senders are answered"
            );
            self.fail(path, message);
        }
        if !lease.is_zero() && lease <= timeout {
            let message = format!(
                "{} must be longer than `state.redis.timeout` ({}), or it ends while a call is on its way",
                redis.publish_lease, redis.timeout
            );
            self.fail("state.redis.publishLease", message);
        }
    }
}
