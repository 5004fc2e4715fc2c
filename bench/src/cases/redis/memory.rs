//! What a live incident takes of the memory of Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::{Connection, FromRedisValue};

use crate::candidates::redis::Redis;
use crate::candidates::{Candidate, Lab, Running};
use crate::cases::{PREPARED, fill, template};
use crate::clock;
use crate::payload::{Dialect, Numbers, Spread};
use crate::report::{Figure, Report, Section, grouped};
use crate::settings::Settings;

/// Most bytes a live incident may cost.
const BYTES: f64 = 400.0;
/// Longest until everything that was held is published and watchers have heard of everything.
const CALM: Duration = Duration::from_secs(60);
/// Longest to wait for memory to stop moving.
const SETTLE: Duration = Duration::from_secs(15);
/// Keys that are asked for or deleted at once.
const CHUNK: usize = 1_000;

/// Kinds of keys by the first letter behind the hash tag.
const KINDS: [(char, &str); 15] = [
    ('p', "records of partitions"),
    ('i', "incidents"),
    ('s', "storms"),
    ('g', "groups"),
    ('d', "documents"),
    ('n', "names"),
    ('c', "closed"),
    ('t', "status"),
    ('h', "holds"),
    ('z', "flushes"),
    ('e', "ends of storms"),
    ('v', "lengths of windows"),
    ('w', "windows"),
    ('m', "members"),
    ('a', "resources"),
];
/// Deleted by Seawall within minutes of their last use: the windows of the storm rules, and the answers that a repeated
/// call gets again.
const PASSING: [char; 3] = ['w', 'v', 'o'];
const PENDING: [char; 2] = ['h', 'z'];
const DOCUMENTS: [char; 1] = ['d'];

struct Measured {
    name: &'static str,
    incidents: f64,
    /// Bytes an incident.
    all: f64,
    settled: f64,
    without_documents: f64,
    by_kind: String,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let mut measured = Vec::new();
    let [few, many] = settings.redis_incidents;
    for incidents in [few, many] {
        measured.push(measure(lab, "members of one storm", Spread::Together, incidents)?);
        measured.push(measure(lab, "requests of their own, 40 to a namespace", Spread::Crowd, incidents)?);
    }
    measured.push(measure(lab, "requests of their own, a namespace each", Spread::Apart, few)?);
    for line in &measured {
        let mut figure = |what, bytes: f64| {
            report.figures.push(Figure {
                name: format!(
                    "Redis memory per live incident at {}: {}{what}",
                    grouped(line.incidents),
                    line.name
                ),
                measured: format!("{bytes:.0} B"),
                target: format!("≤ {BYTES:.0} B"),
                reached: bytes <= BYTES,
            });
        };
        figure("", line.settled);
        if line.settled - line.without_documents >= 1.0 {
            figure(", without their documents", line.without_documents);
        }
    }
    let row = |line: &Measured| {
        let bytes = [line.all, line.settled, line.without_documents].map(|bytes| format!("{bytes:.0}"));
        let mut row = vec![line.name.to_owned(), grouped(line.incidents)];
        row.extend(bytes);
        row.push(line.by_kind.clone());
        row
    };
    report.sections.push(Section {
        title: "Redis store: memory per live incident".to_owned(),
        note: "Bytes of `used_memory` for each incident, read without Seawall connected, over what the server has when all keys \
               are deleted. `settled`: after the keys of windows and of operation records were deleted, which Seawall and \
               their expiry do within minutes. A document is what a request shows of the signal that opened it; members of a \
               storm have none. By key: `MEMORY USAGE` before anything was deleted."
            .to_owned(),
        header: vec!["incidents are", "incidents", "all", "settled", "without documents", "by key, bytes an incident"],
        rows: measured.iter().map(row).collect(),
    });
    Ok(())
}

fn measure(lab: &Lab, name: &'static str, spread: Spread, incidents: u64) -> Result<Measured> {
    let running = lab.start(Candidate::SeawallOnRedis)?;
    let body = template(Dialect::Webhook, spread, PREPARED as usize);
    let took = fill(&running, &body, &mut Numbers::fresh(0), incidents / PREPARED)?;
    let Running { server, redis, directory: _directory, .. } = running;
    let redis = redis.context("Seawall runs without Redis")?;
    let calm = clock::poll(Duration::from_millis(500), CALM, || {
        let keys = Keys::read(&redis).ok()?;
        keys.of(&PENDING).is_empty().then_some(())
    });
    calm.with_context(|| format!("{name}: after {CALM:?} something is still to be published"))?;
    // Its buffers are none of the incidents', and it must not change what is counted.
    server.kill()?;
    let keys = Keys::read(&redis)?;
    let live = keys.incidents(&redis)?;
    anyhow::ensure!(live == incidents, "{name}: {live} of {incidents} incidents are live");
    let by_kind = keys.usage(&redis, live)?;
    let all = redis.settled_memory(SETTLE)?;
    keys.delete(&redis, &PASSING)?;
    let settled = redis.settled_memory(SETTLE)?;
    keys.delete(&redis, &DOCUMENTS)?;
    let without_documents = redis.settled_memory(SETTLE)?;
    redis.ask::<()>(&["FLUSHALL", "SYNC"])?;
    let empty = redis.settled_memory(SETTLE)? as f64;
    let each = |bytes: u64| (bytes as f64 - empty) / live as f64;
    eprintln!("Redis, memory: {live} {name} after {took:.1?}, {:.0} B each", each(settled));
    Ok(Measured {
        name,
        incidents: live as f64,
        all: each(all),
        settled: each(settled),
        without_documents: each(without_documents),
        by_kind,
    })
}

/// All keys there are, by the first letter behind their hash tag; `?` for those without one.
struct Keys(BTreeMap<char, Vec<Vec<u8>>>);

impl Keys {
    fn read(redis: &Redis) -> Result<Self> {
        let mut connection = redis.connection()?;
        let mut keys: BTreeMap<char, Vec<Vec<u8>>> = BTreeMap::new();
        let mut cursor = 0_u64;
        loop {
            let page: (u64, Vec<Vec<u8>>) =
                redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(CHUNK).query(&mut connection)?;
            for key in page.1 {
                keys.entry(kind(&key)).or_default().push(key);
            }
            cursor = page.0;
            if cursor == 0 {
                break;
            }
        }
        // A scan may name a key twice.
        keys.values_mut().for_each(|keys| {
            keys.sort_unstable();
            keys.dedup();
        });
        Ok(Self(keys))
    }

    fn of(&self, kinds: &[char]) -> Vec<&[u8]> {
        kinds.iter().filter_map(|kind| self.0.get(kind)).flatten().map(Vec::as_slice).collect()
    }

    fn incidents(&self, redis: &Redis) -> Result<u64> {
        let counts: Vec<u64> = for_all(redis, &self.of(&['i']), |key| redis::cmd("HLEN").arg(key).take())?;
        Ok(counts.iter().sum())
    }

    fn delete(&self, redis: &Redis, kinds: &[char]) -> Result<()> {
        for_all::<u64>(redis, &self.of(kinds), |key| redis::cmd("DEL").arg(key).take()).map(drop)
    }

    /// What each kind takes, the largest first.
    fn usage(&self, redis: &Redis, incidents: u64) -> Result<String> {
        let mut usage = Vec::new();
        for kind in self.0.keys() {
            let ask = |key: &[u8]| redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).take();
            let bytes: Vec<Option<u64>> = for_all(redis, &self.of(&[*kind]), ask)?;
            let each = bytes.into_iter().flatten().sum::<u64>() as f64 / incidents as f64;
            let name = KINDS.iter().find(|(letter, _)| letter == kind).map_or("others", |(_, name)| name);
            usage.push((each, name));
        }
        usage.sort_by(|one, other| other.0.total_cmp(&one.0));
        let told = usage.iter().filter(|(each, _)| *each >= 0.5);
        Ok(told.map(|(each, name)| format!("{name} {each:.0}")).collect::<Vec<_>>().join(", "))
    }
}

fn kind(key: &[u8]) -> char {
    let tag = key.windows(2).position(|pair| pair == b"}:");
    tag.and_then(|tag| key.get(tag + 2)).map_or('?', |letter| char::from(*letter))
}

/// Sends a command for each key, many at a time.
fn for_all<T: FromRedisValue>(
    redis: &Redis,
    keys: &[&[u8]],
    command: impl Fn(&[u8]) -> redis::Cmd,
) -> Result<Vec<T>> {
    let mut connection: Connection = redis.connection()?;
    let mut answers = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(CHUNK) {
        let mut pipeline = redis::pipe();
        for key in chunk {
            pipeline.add_command(command(key));
        }
        answers.extend(pipeline.query::<Vec<T>>(&mut connection)?);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_the_letter_behind_their_tag() {
        assert_eq!(kind(b"seawall:1:{0123456789abcdef}:w:a}:b"), 'w');
        assert_eq!(kind(b"seawall:1:{0123456789abcdef}:p"), 'p');
        assert_eq!(kind(b"seawall:1:partitions"), '?');
    }
}
