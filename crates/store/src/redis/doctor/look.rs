//! What a server answers.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value;
use seawall_model::{Clock, Stopwatch, SystemClock};

use crate::redis::link::{Facts, Guest, LinkError, Node, Visit};
use crate::redis::{RedisDurability, RedisMode, RedisOptions};

/// Settings that say what survives and what is thrown away.
const SETTINGS: [&str; 4] = ["appendfsync", "save", "min-replicas-to-write", "maxmemory-policy"];

/// Names and values, or why they are not known.
pub(super) type Fields = Result<BTreeMap<String, String>, String>;

/// Everything that is judged.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Nothing when we may not ask.
    pub facts: Option<Facts>,
    pub info: Fields,
    pub config: Fields,
    /// Who we are there.
    pub user: Option<String>,
    /// Why scripts cannot be run, messages not sent, messages not heard.
    pub script: Result<(), String>,
    pub publish: Result<(), String>,
    pub subscribe: Result<(), String>,
    /// Whether the server has `WAITAOF`, where that matters and can be asked.
    pub waitaof: Option<bool>,
    /// `CLUSTER INFO`, in a cluster.
    pub cluster: Option<Fields>,
    /// How far the server's clock is ahead of ours, in milliseconds.
    pub clock_ahead: Option<i64>,
    /// The time of one small command.
    pub round_trip: Duration,
}

pub(super) async fn look(visit: &Visit, node: &Node, options: &RedisOptions) -> Result<Look, LinkError> {
    let guest = visit.enter(node).await?;
    let facts = guest.facts().await?;
    let prefix = &options.key_prefix;
    let (key, channel) = (format!("{prefix}:1:{{doctor}}:none"), format!("{prefix}:1:doctor"));
    let (clock_ahead, round_trip) = clock(&guest).await;
    let is_cluster = matches!(options.mode, RedisMode::Cluster);
    let is_aof = matches!(options.durability, RedisDurability::Aof { .. });
    Ok(Look {
        facts,
        info: info(&guest, &["INFO"]).await,
        config: config(&guest).await,
        user: text(guest.ask(&["ACL", "WHOAMI"]).await.ok()),
        script: script(&guest, &key).await,
        publish: guest.ask(&["PUBLISH", &channel, "hello"]).await.map(drop).map_err(reason),
        subscribe: visit.listen(&node.address(), &channel).await.map_err(reason),
        waitaof: if is_aof { waitaof(&guest).await } else { None },
        cluster: if is_cluster { Some(info(&guest, &["CLUSTER", "INFO"]).await) } else { None },
        clock_ahead,
        round_trip,
    })
}

fn reason(error: LinkError) -> String {
    error.reason
}

/// A script that reads a key which nobody has. In a cluster the key may be elsewhere, which only a server that would
/// have run the script says.
async fn script(guest: &Guest, key: &str) -> Result<(), String> {
    match guest.ask(&["EVAL", "return redis.call('EXISTS', KEYS[1])", "1", key]).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_elsewhere() => Ok(()),
        Err(error) => Err(error.reason),
    }
}

async fn info(guest: &Guest, words: &[&str]) -> Fields {
    match guest.ask(words).await {
        Ok(answer) => Ok(text(Some(answer)).map(|text| fields(&text)).unwrap_or_default()),
        Err(error) => Err(error.reason),
    }
}

/// Lines like `name:value`.
fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

async fn config(guest: &Guest) -> Fields {
    let mut settings = BTreeMap::new();
    for name in SETTINGS {
        // Several at once are known only since 7.0.
        let answer = guest.ask(&["CONFIG", "GET", name]).await.map_err(reason)?;
        if let Value::Array(pair) = answer
            && let [name, value] = pair.as_slice()
            && let (Some(name), Some(value)) = (text(Some(name.clone())), text(Some(value.clone())))
        {
            settings.insert(name, value);
        }
    }
    Ok(settings)
}

async fn waitaof(guest: &Guest) -> Option<bool> {
    match guest.ask(&["COMMAND", "INFO", "WAITAOF"]).await {
        Ok(Value::Array(commands)) => Some(!matches!(commands.first(), Some(Value::Nil) | None)),
        _ => None,
    }
}

async fn clock(guest: &Guest) -> (Option<i64>, Duration) {
    let began = Stopwatch::start();
    let answer = guest.ask(&["TIME"]).await;
    let round_trip = began.elapsed();
    let there = answer.ok().and_then(|answer| {
        let (seconds, micros): (i64, i64) = redis::from_redis_value(answer).ok()?;
        Some(seconds * 1000 + micros / 1000)
    });
    // The server looked at its clock about half way.
    let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or_default();
    (there.map(|there| there - (SystemClock.now().as_millis() - half)), round_trip)
}

fn text(value: Option<Value>) -> Option<String> {
    match value? {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_names_and_values() {
        let fields = fields("# Server\r\nredis_version:7.0.15\r\nslave0:ip=1,port=2\r\n\r\n");
        assert_eq!(fields["redis_version"], "7.0.15");
        assert_eq!(fields["slave0"], "ip=1,port=2");
        assert_eq!(fields.len(), 2);
    }
}
