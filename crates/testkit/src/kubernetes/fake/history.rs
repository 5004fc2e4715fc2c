//! What was written, and the questions that tests ask of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// One change that was committed. A write that changed nothing is none.
#[derive(Clone, Debug)]
pub struct Write {
    pub at: Instant,
    /// The field manager; empty for a deletion.
    pub manager: String,
    pub namespace: String,
    pub name: String,
    pub is_create: bool,
    /// The object afterwards; none when it was deleted.
    pub object: Option<Value>,
}

impl Write {
    /// What Seawall numbers its states of a request with.
    fn version(&self) -> Option<(u64, u64)> {
        let annotations = &self.object.as_ref()?["metadata"]["annotations"];
        let number =
            |name: &str| annotations[format!("remediation.kubernaut.io/{name}")].as_str()?.parse().ok();
        Some((number("epoch")?, number("sequence")?))
    }
}

/// Every change so far, in order.
#[derive(Clone, Debug)]
pub struct History(Vec<Write>);

impl History {
    pub(super) const fn new(writes: Vec<Write>) -> Self {
        Self(writes)
    }

    pub fn writes(&self) -> &[Write] {
        &self.0
    }

    /// What happened to one object.
    pub fn of(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|write| write.name == name).cloned().collect())
    }

    /// What one field manager wrote.
    pub fn by(&self, manager: &str) -> Self {
        Self(self.0.iter().filter(|write| write.manager == manager).cloned().collect())
    }

    /// Objects that were created.
    pub fn creates(&self) -> usize {
        self.0.iter().filter(|write| write.is_create).count()
    }

    /// Changes of objects that were there.
    pub fn updates(&self) -> usize {
        self.0.iter().filter(|write| !write.is_create && write.object.is_some()).count()
    }

    /// The most changes of one object that came within any `window` after its creation.
    pub fn most_updates_within(&self, window: Duration) -> usize {
        let mut moments: BTreeMap<(&str, &str), Vec<Instant>> = BTreeMap::new();
        for write in self.0.iter().filter(|write| !write.is_create && write.object.is_some()) {
            moments.entry((&write.namespace, &write.name)).or_default().push(write.at);
        }
        let most = |moments: &Vec<Instant>| {
            let within = |(index, first): (usize, &Instant)| {
                moments[index..].iter().take_while(|at| at.duration_since(*first) < window).count()
            };
            moments.iter().enumerate().map(within).max().unwrap_or_default()
        };
        moments.values().map(most).max().unwrap_or_default()
    }

    /// The first write that took (epoch, sequence) of an object back.
    pub fn step_back(&self) -> Option<&Write> {
        let mut highest: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        self.0.iter().find(|write| {
            let key = (&*write.namespace, &*write.name);
            let Some(version) = write.version() else {
                highest.remove(&key);
                return false;
            };
            highest.insert(key, version).is_some_and(|before| version < before)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(at: Instant, is_create: bool, epoch: u64, sequence: u64) -> Write {
        let annotations = json!({
            "remediation.kubernaut.io/epoch": epoch.to_string(),
            "remediation.kubernaut.io/sequence": sequence.to_string(),
        });
        let object = Some(json!({ "metadata": { "annotations": annotations } }));
        let (manager, namespace, name) = ("seawall".to_owned(), "shop".to_owned(), "rr".to_owned());
        Write { at, manager, namespace, name, is_create, object }
    }

    #[tokio::test]
    async fn updates_are_counted_in_their_window_and_steps_back_are_seen() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut writes =
            vec![write(start, true, 1, 1), write(after(10), false, 1, 2), write(after(1_005), false, 2, 1)];
        let history = History::new(writes.clone());
        assert_eq!((history.creates(), history.updates()), (1, 2));
        assert_eq!(history.most_updates_within(Duration::from_secs(1)), 2);
        assert_eq!(history.most_updates_within(Duration::from_millis(995)), 1);
        assert!(history.step_back().is_none());

        writes.push(write(after(2_000), false, 1, 9));
        assert_eq!(History::new(writes).step_back().map(|write| write.at), Some(after(2_000)));
    }
}
