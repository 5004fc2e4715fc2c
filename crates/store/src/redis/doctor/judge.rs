//! What to think of the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::look::{Fields, Look};
use super::{Finding, Level};
use crate::redis::{RedisDurability, RedisMode, RedisOptions};

/// Clocks of servers that are looked after differ by milliseconds; by more than this, times that people read are wrong.
const CLOCK_TOLERANCE_MILLIS: i64 = 1000;

/// Of its memory limit a server may use so many percent before it is said.
const FULL_PERCENT: u64 = 80;

/// With `appendfsync everysec` a confirmation takes up to a second, and a busy disk adds to that.
const EVERY_SECOND: Duration = Duration::from_secs(2);

const SLOTS: u64 = 16384;

/// What can be said without any server.
pub(super) fn options(options: &RedisOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_plain = options.urls.iter().any(|url| !url.starts_with("rediss:") && !url.starts_with("valkeys:"));
    if is_plain && options.credentials.password_file.is_some() {
        findings.push(Finding::bad(
            Level::Warning,
            "the password and all alerts cross the network without TLS",
            "use rediss:// addresses unless the network is trusted",
        ));
    }
    findings
}

/// What can be said about one server.
pub(super) fn server(look: &Look, options: &RedisOptions) -> Vec<Finding> {
    let mut findings = vec![version(look, options)];
    findings.extend(permissions(look));
    findings.extend(forbidden(look));
    if let Ok(info) = &look.info {
        findings.extend(memory(info, look.config.as_ref().ok()));
        findings.extend(persistence(info, look, options));
        findings.extend(replicas(info, options));
    }
    findings.extend(look.cluster.as_ref().map(cluster).unwrap_or_default());
    findings.extend(clock(look));
    findings.extend(slowness(look, options));
    findings
}

fn version(look: &Look, options: &RedisOptions) -> Finding {
    match &look.facts {
        Some(facts) => match facts.objection(&options.mode) {
            Some(objection) => {
                Finding::bad(Level::Failed, objection, "choose another server or another mode")
            }
            None => Finding::fine(format!("{facts}, reachable in mode {}", options.mode)),
        },
        None => Finding::bad(
            Level::Warning,
            "the user may not call HELLO, so the server's version is not known",
            "allow the user +@connection, or see yourself that it is Redis 6.2 or newer",
        ),
    }
}

fn permissions(look: &Look) -> Vec<Finding> {
    let user = look.user.as_deref().unwrap_or("the user");
    let tried = [
        ("run scripts", "+eval +evalsha", &look.script),
        ("send messages", "+publish and the channels of keyPrefix", &look.publish),
        ("hear messages", "+subscribe and the channels of keyPrefix", &look.subscribe),
    ];
    let refused: Vec<Finding> = tried
        .iter()
        .filter_map(|(what, right, result)| {
            let reason = result.as_ref().err()?;
            let advice = format!("allow the user {right}");
            Some(Finding::bad(Level::Failed, format!("{user} cannot {what}: {reason}"), advice))
        })
        .collect();
    if refused.is_empty() {
        vec![Finding::fine(format!("{user} may run scripts and send and hear messages"))]
    } else {
        refused
    }
}

/// What we were not allowed to look at.
fn forbidden(look: &Look) -> Vec<Finding> {
    let said = |fields: &Fields, command: &str, what: &str| {
        let reason = fields.as_ref().err()?;
        Some(Finding::bad(
            Level::Warning,
            format!("{what} could not be looked at: {reason}"),
            format!("allow the user {command}, or see to it yourself"),
        ))
    };
    let settings = "appendfsync, save and min-replicas-to-write";
    said(&look.info, "+info", "memory, persistence and replicas")
        .into_iter()
        .chain(said(&look.config, "+config|get", settings))
        .collect()
}

fn number(fields: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    fields.get(name)?.parse().ok()
}

fn is(fields: &BTreeMap<String, String>, name: &str, value: &str) -> bool {
    fields.get(name).is_some_and(|is| is == value)
}

fn memory(info: &BTreeMap<String, String>, config: Option<&BTreeMap<String, String>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of_config = config.and_then(|config| config.get("maxmemory-policy"));
    if let Some(policy) = info.get("maxmemory_policy").or(of_config) {
        findings.push(match policy.as_str() {
            "noeviction" => Finding::fine("maxmemory-policy is noeviction: nothing is thrown away"),
            _ => Finding::bad(
                Level::Unsafe,
                format!("maxmemory-policy is {policy}: when memory is short, open problems are forgotten"),
                "set maxmemory-policy noeviction",
            ),
        });
    }
    let (limit, used) = (number(info, "maxmemory"), number(info, "used_memory"));
    match (limit, used) {
        (Some(0), _) => findings.push(Finding::bad(
            Level::Warning,
            "maxmemory is 0: nothing stops the server before the system does",
            "set maxmemory to somewhat less than the machine or the container has",
        )),
        (Some(limit), Some(used)) if used.saturating_mul(100) >= limit.saturating_mul(FULL_PERCENT) => {
            findings.push(Finding::bad(
                Level::Warning,
                format!("{used} of {limit} bytes of memory are used; at the limit alerts are answered 503"),
                "raise maxmemory",
            ));
        }
        _ => {}
    }
    findings
}

/// What a restart of the server leaves, and what that means for what has been acknowledged.
fn persistence(info: &BTreeMap<String, String>, look: &Look, options: &RedisOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let has_aof = is(info, "aof_enabled", "1");
    let fsync = look.config.as_ref().ok().and_then(|config| config.get("appendfsync")).map(String::as_str);
    let saves =
        look.config.as_ref().ok().and_then(|config| config.get("save")).is_some_and(|save| !save.is_empty());
    findings.push(match options.durability {
        RedisDurability::Aof { timeout } => disk(has_aof, fsync, look.waitaof, timeout),
        _ if has_aof => match fsync {
            Some("no") => Finding::bad(
                Level::Unsafe,
                "appendfsync is no: when the machine fails, the alerts of about half a minute are lost",
                "set appendfsync everysec or always",
            ),
            Some("always") => Finding::fine("every write is on the disk before it is answered"),
            _ => Finding::fine(
                "a restart of the server loses nothing; when its machine fails, up to a second of alerts",
            ),
        },
        RedisDurability::Wait { .. } => Finding::bad(
            Level::Warning,
            "the server keeps nothing on disk: only its replicas do, and when all restart at once everything is lost",
            "set appendonly yes",
        ),
        _ if saves => Finding::bad(
            Level::Unsafe,
            "there is no append-only file: a restart of the server loses all alerts since its last snapshot",
            "set appendonly yes",
        ),
        _ => Finding::bad(
            Level::Unsafe,
            "the server keeps nothing on disk: its restart loses every acknowledged alert",
            "set appendonly yes",
        ),
    });
    if has_aof && !is(info, "aof_last_write_status", "ok") {
        findings.push(Finding::bad(
            Level::Failed,
            "the server cannot write its append-only file",
            "see to the server's disk; until then it refuses writes",
        ));
    }
    if saves && !is(info, "rdb_last_bgsave_status", "ok") {
        findings.push(Finding::bad(
            Level::Failed,
            "the server's last snapshot failed; it may refuse writes",
            "see to the server's disk and memory",
        ));
    }
    findings
}

/// Durability `aof`.
fn disk(has_aof: bool, fsync: Option<&str>, waitaof: Option<bool>, timeout: Duration) -> Finding {
    let other = "or choose another state.redis.durability";
    if waitaof == Some(false) {
        return Finding::bad(
            Level::Failed,
            "durability aof needs WAITAOF, which this server lacks",
            format!("use Redis 7.2 or newer, or Valkey, {other}"),
        );
    }
    if !has_aof {
        return Finding::bad(
            Level::Failed,
            "durability aof needs an append-only file, and the server has none",
            format!("set appendonly yes, {other}"),
        );
    }
    match fsync {
        Some("always") | None => Finding::fine("alerts are answered when they are on the server's disk"),
        Some("no") => Finding::bad(
            Level::Failed,
            "durability aof waits for the disk, and appendfsync is no: answers take half a minute",
            "set appendfsync always",
        ),
        Some(other) => Finding::bad(
            if timeout < EVERY_SECOND { Level::Failed } else { Level::Warning },
            format!("appendfsync is {other}: every answer waits up to a second for the disk"),
            match timeout < EVERY_SECOND {
                true => "set appendfsync always, or state.redis.waitTimeout to 2s or more",
                false => "set appendfsync always",
            },
        ),
    }
}

fn replicas(info: &BTreeMap<String, String>, options: &RedisOptions) -> Vec<Finding> {
    let connected = number(info, "connected_slaves").unwrap_or_default();
    // Shown by INFO only when it is set.
    let is_guarded = info.contains_key("min_slaves_good_slaves");
    let fails_over = !matches!(options.mode, RedisMode::Standalone);
    let mut findings = Vec::new();
    match options.durability {
        RedisDurability::Wait { replicas, .. } if connected < u64::from(replicas) => {
            findings.push(Finding::bad(
                Level::Failed,
                format!("{connected} replicas are connected, and {replicas} have to confirm: alerts are answered 503"),
                "connect more replicas, or lower state.redis.waitReplicas",
            ));
        }
        RedisDurability::Wait { replicas, .. } => {
            findings.push(Finding::fine(format!(
                "{connected} replicas are connected, {replicas} have to confirm"
            )));
        }
        _ if fails_over && connected == 0 => findings.push(Finding::bad(
            Level::Warning,
            "no replica is connected: nobody can take over when this server fails",
            "connect a replica",
        )),
        _ => {}
    }
    let waits = matches!(options.durability, RedisDurability::Wait { .. });
    if (waits || fails_over) && connected > 0 && !is_guarded {
        findings.push(Finding::bad(
            Level::Warning,
            "min-replicas-to-write is 0: during a failover two servers may acknowledge, and what one of them did is lost",
            "set min-replicas-to-write 1 and min-replicas-max-lag 10",
        ));
    }
    findings
}

fn cluster(fields: &Fields) -> Vec<Finding> {
    let fields = match fields {
        Ok(fields) => fields,
        Err(reason) => {
            return vec![Finding::bad(
                Level::Warning,
                format!("the state of the cluster could not be looked at: {reason}"),
                "allow the user +cluster|info",
            )];
        }
    };
    let mut findings = Vec::new();
    if !is(fields, "cluster_state", "ok") {
        findings.push(Finding::bad(
            Level::Failed,
            "the cluster is down in the eyes of this node",
            "see `CLUSTER NODES` for what is missing",
        ));
    }
    match number(fields, "cluster_slots_ok") {
        Some(SLOTS) | None => {}
        Some(served) => findings.push(Finding::bad(
            Level::Failed,
            format!("{served} of {SLOTS} slots are served; alerts of the others are answered 503"),
            "see `CLUSTER NODES` for what is missing",
        )),
    }
    if findings.is_empty() {
        findings.push(Finding::fine("the cluster is whole"));
    }
    findings
}

fn clock(look: &Look) -> Option<Finding> {
    let ahead = look.clock_ahead?;
    (ahead.abs() > CLOCK_TOLERANCE_MILLIS).then(|| {
        let (seconds, side) = (ahead.abs() as f64 / 1000.0, if ahead > 0 { "ahead of" } else { "behind" });
        Finding::bad(
            Level::Warning,
            format!("the server's clock is {seconds:.1} s {side} the one here"),
            "let both follow the same time servers",
        )
    })
}

fn slowness(look: &Look, options: &RedisOptions) -> Option<Finding> {
    (look.round_trip * 4 > options.timeout).then(|| {
        Finding::bad(
            Level::Warning,
            format!("an answer took {:?}, and calls may take {:?}", look.round_trip, options.timeout),
            "raise state.redis.timeout, or move the server closer",
        )
    })
}

#[cfg(test)]
mod tests;
