//! Which partitions there are. Off the way of alerts: a replica notes a partition before its first call to it, and then
//! only from time to time.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::link::LinkError;
use super::partition::{Partition, spans_namespaces};
use super::reader::typed;
use super::store::Core;
use crate::StoreError;

/// How long a replica relies on having noted a partition.
const NOTED: Duration = Duration::from_secs(60);
/// After which time (milliseconds) without a note a partition that is empty is forgotten: well above [`NOTED`].
const FORGOTTEN: i64 = 3_600_000;
/// Partitions that are read at once by whoever has time.
const PART: usize = 256;
/// How long (milliseconds) the registry is kept without any note: as long as the partitions themselves, 30 days.
pub(super) const KEPT: i64 = 30 * 86_400_000;

/// When this replica noted which partition.
#[derive(Default)]
pub(super) struct Noted(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    of: HashMap<Partition, Note>,
    /// When those that are too old to be relied on were last dropped.
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Note {
    /// When it was noted; nothing when that was in a registry that may be gone.
    at: Option<Instant>,
    /// Whether nobody had noted it before, as long as nothing was decided in it.
    unborn: bool,
}

impl Note {
    fn is_fresh(self, now: Instant) -> bool {
        self.at.is_some_and(|at| now - at < NOTED)
    }
}

impl Noted {
    fn is_fresh(&self, partition: &Partition, now: Instant) -> bool {
        self.0.lock().of.get(partition).is_some_and(|note| note.is_fresh(now))
    }

    /// Whether this replica noted it first, and nothing was decided in it since.
    pub fn is_unborn(&self, partition: &Partition) -> bool {
        self.0.lock().of.get(partition).is_some_and(|note| note.unborn)
    }

    /// Something was decided in it.
    pub fn born(&self, partition: &Partition) {
        if let Some(note) = self.0.lock().of.get_mut(partition) {
            note.unborn = false;
        }
    }

    fn note(&self, partition: Partition, now: Instant, is_new: bool) {
        let mut notes = self.0.lock();
        let unborn = is_new || notes.of.get(&partition).is_some_and(|note| note.unborn);
        if notes.swept.is_none_or(|swept| now - swept >= NOTED) {
            notes.of.retain(|_, note| note.is_fresh(now));
            notes.swept = Some(now);
        }
        notes.of.insert(partition, Note { at: Some(now), unborn });
    }

    /// The registry may be another one since this was noted: it is noted again.
    pub fn expire(&self) {
        let mut notes = self.0.lock();
        notes.of.retain(|_, note| note.unborn);
        notes.of.values_mut().for_each(|note| note.at = None);
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().of.keys().map(Partition::name).collect()
    }
}

impl Core {
    /// Notes the partition, unless that was done a moment ago.
    pub(super) async fn register(&self, partition: &Partition) -> Result<(), LinkError> {
        let now = Instant::now();
        if self.noted.is_fresh(partition, now) {
            return Ok(());
        }
        let (at, kept) = (self.clock.now().as_millis().to_string(), KEPT.to_string());
        let name = partition.name();
        let args: [&[u8]; 3] = [at.as_bytes(), name.as_bytes(), kept.as_bytes()];
        let added = self.run(&self.scripts.register, &self.keys.registry(), &args, true).await?;
        self.noted.note(partition.clone(), now, added == redis::Value::Int(1));
        Ok(())
    }

    /// All partitions, and when they were last noted (milliseconds).
    pub(super) async fn registered(&self) -> Result<Vec<(Partition, i64)>, LinkError> {
        let registry = self.keys.registry();
        let mut ask = redis::pipe();
        ask.cmd("ZRANGE").arg(&registry).arg(0).arg(-1).arg("WITHSCORES");
        let noted: Vec<(String, f64)> = typed(self.one(&ask, &registry).await?)?;
        let known = noted.into_iter().filter_map(|(name, at)| Some((Partition::parse(&name)?, at as i64)));
        Ok(known.collect())
    }

    /// The same in parts, so that tens of thousands of them do not make anybody wait. One may be left out while another server
    /// takes over: for whoever comes again anyway.
    pub(super) async fn registered_by_and_by(&self) -> Result<Vec<(Partition, i64)>, LinkError> {
        let registry = self.keys.registry();
        // A part may name what another one has named.
        let mut known = HashMap::new();
        let mut cursor = 0_u64;
        loop {
            let mut ask = redis::pipe();
            ask.cmd("ZSCAN").arg(&registry).arg(cursor).arg("COUNT").arg(PART);
            let (next, noted): (u64, Vec<(String, f64)>) = typed(self.one(&ask, &registry).await?)?;
            known.extend(
                noted.into_iter().filter_map(|(name, at)| Some((Partition::parse(&name)?, at as i64))),
            );
            if next == 0 {
                return Ok(known.into_iter().collect());
            }
            cursor = next;
        }
    }

    /// Forgets a partition that has nothing in it, unless somebody may be about to use it.
    pub(super) async fn forget_partition(&self, partition: &Partition, noted: i64) -> Result<(), LinkError> {
        if self.clock.now().as_millis() - noted < FORGOTTEN {
            return Ok(());
        }
        let registry = self.keys.registry();
        let mut forget = redis::pipe();
        forget.cmd("ZREM").arg(&registry).arg(partition.name());
        self.pipe(&forget, &registry).await.map(drop)
    }

    /// Notices when the server has lost what was in it. Requests of the store sink are lost with it; what is left to do is to
    /// say so, and to find again what was opened since.
    pub(super) async fn check_birth(&self) -> Result<(), LinkError> {
        let birth = self.keys.birth();
        let mut ask = redis::pipe();
        // Another name at every try, so that a second beginning differs from the first.
        ask.cmd("SET").arg(&birth).arg(super::store::random_name()).arg("NX").arg("PX").arg(KEPT).ignore();
        ask.cmd("PEXPIRE").arg(&birth).arg(KEPT).ignore();
        ask.cmd("GET").arg(&birth);
        let answers = self.pipe(&ask, &birth).await?;
        let first: String = typed(answers.into_iter().last().unwrap_or(redis::Value::Nil))?;
        let before = self.born.lock().replace(first.clone());
        if before.is_none_or(|before| before == first) {
            return Ok(());
        }
        let prefix = &self.options.key_prefix;
        if self.rules().policy.published {
            tracing::error!(
                prefix,
                "the Redis server has lost its data: what is open is read back from the cluster"
            );
            return Ok(());
        }
        self.counters.lock().state_lost();
        tracing::error!(
            prefix,
            "the Redis server has lost its data: requests that were open are gone, and problems that still fire get new ones"
        );
        let now = self.clock.now().as_millis();
        let noted = self.noted.names();
        if noted.is_empty() {
            return Ok(());
        }
        let registry = self.keys.registry();
        let mut note = redis::pipe();
        note.cmd("ZADD").arg(&registry);
        for name in noted {
            note.arg(now).arg(name);
        }
        note.cmd("PEXPIRE").arg(&registry).arg(KEPT);
        self.pipe(&note, &registry).await.map(drop)
    }

    /// Refuses state that was written with other partitions: what is open in them would be opened a second time.
    pub(super) async fn check_partitions(&self) -> Result<(), StoreError> {
        let spans = spans_namespaces(&self.rules().policy);
        for (partition, _) in self.registered().await? {
            if partition.namespace.is_none() == spans {
                continue;
            }
            let summary = self.summary(&self.keys.record(&partition)).await?;
            if summary.incidents > 0 {
                let (was, is) = match spans {
                    true => ("only rules that group by namespace", "a rule that does not group by namespace"),
                    false => {
                        ("a rule that does not group by namespace", "only rules that group by namespace")
                    }
                };
                return Err(StoreError::Refused {
                    reason: format!(
                        "the state under the key prefix `{}` was written with {was}, and now there is {is}: what is open \
                         could not be found again; go back to the old rules, or start with another state.redis.keyPrefix",
                        self.options.key_prefix
                    ),
                });
            }
        }
        Ok(())
    }
}
