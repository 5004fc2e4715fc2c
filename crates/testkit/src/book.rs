//! The account book: what clients know they have sent, held against what the requests say was counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use parking_lot::Mutex;
use seawall_model::{Fingerprint, Phase, RemediationRequest};

use crate::{Alert, Answer, Client, Lost};

/// What a sender knows about one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with 2xx: must be counted once.
    Acknowledged,
    /// An error or no answer: may be counted, at most once.
    Unknown,
    /// Never left the client: must not be counted.
    NotSent,
}

impl Outcome {
    pub fn of(result: &Result<Answer, Lost>) -> Self {
        match result {
            Ok(answer) if answer.status.is_success() => Self::Acknowledged,
            Ok(_) | Err(Lost::Unknown(_)) => Self::Unknown,
            Err(Lost::NotSent(_)) => Self::NotSent,
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    namespace: String,
    acknowledged: u64,
    unknown: u64,
}

/// Every firing alert that was sent, by the problem it is about.
#[derive(Debug, Default)]
pub struct AccountBook(Mutex<HashMap<Fingerprint, Entry>>);

impl AccountBook {
    /// Notes how one delivery of these alerts ended. Resolved alerts are not counted anywhere.
    pub fn note(&self, alerts: &[Alert], outcome: Outcome) {
        let (acknowledged, unknown) = match outcome {
            Outcome::Acknowledged => (1, 0),
            Outcome::Unknown => (0, 1),
            Outcome::NotSent => return,
        };
        let mut entries = self.0.lock();
        for alert in alerts.iter().filter(|alert| !alert.resolved) {
            let new = || Entry { namespace: alert.namespace.clone(), acknowledged: 0, unknown: 0 };
            let entry = entries.entry(alert.fingerprint()).or_insert_with(new);
            entry.acknowledged += acknowledged;
            entry.unknown += unknown;
        }
    }

    /// Sends the alerts and notes how that ended.
    pub async fn fire(&self, client: &Client, alerts: &[Alert]) -> Result<Answer, Lost> {
        let result = client.fire(alerts).await;
        self.note(alerts, Outcome::of(&result));
        result
    }

    pub fn acknowledged(&self) -> u64 {
        self.0.lock().values().map(|entry| entry.acknowledged).sum()
    }

    pub fn unknown(&self) -> u64 {
        self.0.lock().values().map(|entry| entry.unknown).sum()
    }

    /// Compares with the ledger and returns everything that does not balance, as sentences.
    pub fn errors(&self, ledger: &Ledger) -> Vec<String> {
        let entries = self.0.lock();
        let mut errors = ledger.errors.clone();
        let mut check = |what: &dyn fmt::Display, counted: u64, acknowledged: u64, unknown: u64| {
            if counted < acknowledged || counted > acknowledged + unknown {
                errors.push(format!(
                    "{what}: counted {counted}, acknowledged {acknowledged}, unknown {unknown}"
                ));
            }
        };
        let mut namespaces: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (fingerprint, entry) in entries.iter() {
            let counted = ledger.by_fingerprint.get(fingerprint).copied().unwrap_or_default();
            check(
                &format_args!("{fingerprint} in {}", entry.namespace),
                counted,
                entry.acknowledged,
                entry.unknown,
            );
            let sum = namespaces.entry(&entry.namespace).or_default();
            *sum = (sum.0 + entry.acknowledged, sum.1 + entry.unknown);
        }
        for (namespace, (acknowledged, unknown)) in &namespaces {
            let counted = ledger.by_namespace.get(*namespace).copied().unwrap_or_default();
            check(&format_args!("namespace {namespace}"), counted, *acknowledged, *unknown);
        }
        let (acknowledged, unknown) =
            namespaces.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        check(&"all", ledger.total(), acknowledged, unknown);
        let strangers = ledger.by_fingerprint.keys().filter(|fingerprint| !entries.contains_key(fingerprint));
        errors.extend(strangers.map(|fingerprint| format!("{fingerprint} was never sent")));
        errors
    }

    /// Fails the test when the books differ from what the server has.
    pub async fn assert_balanced(&self, client: &Client) -> Ledger {
        let ledger = Ledger::read(client).await;
        let errors = self.errors(&ledger);
        assert!(
            errors.is_empty(),
            "{} errors in the books, acknowledged {}, unknown {}, counted {}; the first: {:#?}",
            errors.len(),
            self.acknowledged(),
            self.unknown(),
            ledger.total(),
            &errors[..errors.len().min(10)]
        );
        ledger
    }
}

/// What the server says it has counted, and whether that is consistent in itself.
#[derive(Debug)]
pub struct Ledger {
    pub requests: Vec<RemediationRequest>,
    by_fingerprint: HashMap<Fingerprint, u64>,
    by_namespace: HashMap<String, u64>,
    errors: Vec<String>,
}

impl Ledger {
    /// Reads requests and storms. Nothing may be sent meanwhile, or the two would not belong together.
    pub async fn read(client: &Client) -> Self {
        let requests = client.requests("").await;
        let mut ledger = Self {
            requests,
            by_fingerprint: HashMap::new(),
            by_namespace: HashMap::new(),
            errors: Vec::new(),
        };
        ledger.count_requests();
        ledger.check_one_open_request_per_incident();
        ledger.count_members(client).await;
        ledger
    }

    pub fn total(&self) -> u64 {
        self.requests.iter().map(|request| request.spec.deduplication.occurrence_count).sum()
    }

    fn count_requests(&mut self) {
        for request in &self.requests {
            let spec = &request.spec;
            let counted = spec.deduplication.occurrence_count;
            let fingerprint = spec.signal_fingerprint.parse().expect("a fingerprint");
            *self.by_fingerprint.entry(fingerprint).or_default() += counted;
            let namespace = spec.target_resource.namespace.clone().unwrap_or_default();
            *self.by_namespace.entry(namespace).or_default() += counted;
            if let Some(storm) = &spec.storm_aggregation
                && (storm.occurrence_count != counted || Some(storm.alert_count) != spec.storm_alert_count)
            {
                self.errors.push(format!("{} contradicts itself about its storm", name_of(request)));
            }
        }
    }

    /// I2: superseded and finished requests are not open.
    fn check_one_open_request_per_incident(&mut self) {
        let mut open = HashSet::new();
        for request in self.requests.iter().filter(|request| is_open(request)) {
            if !open.insert(&request.spec.signal_fingerprint) {
                self.errors.push(format!("{} is a second open request of its incident", name_of(request)));
            }
        }
    }

    /// I3, and the counts of members, which replace what the requests say about the same problems.
    async fn count_members(&mut self, client: &Client) {
        let mut storms_of_request = HashMap::new();
        let mut open_groups = HashSet::new();
        let mut members: HashMap<Fingerprint, u64> = HashMap::new();
        let mut led: HashSet<Fingerprint> = HashSet::new();
        for storm in client.storms().await {
            let id = storm["id"].as_str().expect("a storm has an id").to_owned();
            let request = storm["requestRef"]["name"].as_str().expect("a storm has a request").to_owned();
            let Some(carrier) = self.requests.iter().find(|carrier| name_of(carrier) == request) else {
                self.errors.push(format!("storm {id} has no request"));
                continue;
            };
            led.insert(carrier.spec.signal_fingerprint.parse().expect("a fingerprint"));
            if let Some(other) = storms_of_request.insert(request, id.clone()) {
                self.errors.push(format!("storms {id} and {other} share a request"));
            }
            if storm["endedAt"].is_null()
                && !open_groups.insert(storm["rule"].to_string() + &storm["groupBy"].to_string())
            {
                self.errors.push(format!("storm {id} is a second open storm of its group"));
            }
            let items = client.members(&id).await;
            if storm["alertCount"].as_u64() != Some(items.len() as u64) {
                self.errors.push(format!(
                    "storm {id} counts {} and lists {}",
                    storm["alertCount"],
                    items.len()
                ));
            }
            for item in items {
                let fingerprint =
                    item["fingerprint"].as_str().and_then(|text| text.parse().ok()).expect("a fingerprint");
                members.insert(fingerprint, item["count"].as_u64().expect("a member has a count"));
            }
        }
        // A leader's request counts the whole storm, so only its own line among the members is about it alone.
        self.by_fingerprint.retain(|fingerprint, _| !led.contains(fingerprint));
        self.by_fingerprint.extend(members);
        let carriers = self.requests.iter().filter(|request| request.spec.is_storm).count();
        if carriers != storms_of_request.len() {
            self.errors
                .push(format!("{carriers} requests say they are storms, {} are", storms_of_request.len()));
        }
    }
}

fn name_of(request: &RemediationRequest) -> &str {
    request.metadata.name.as_deref().unwrap_or_default()
}

fn is_open(request: &RemediationRequest) -> bool {
    let phase =
        request.status.as_ref().and_then(|status| status.overall_phase.as_deref()).unwrap_or_default();
    request.spec.superseded_by.is_none() && Phase::parse(phase) != Phase::Finished
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(sent: &[(Outcome, u64)], counted: u64) -> usize {
        let alert = Alert::new("DiskFull", "prod", "db-0");
        let book = AccountBook::default();
        for (outcome, times) in sent {
            (0..*times).for_each(|_| book.note(std::slice::from_ref(&alert), *outcome));
        }
        let ledger = Ledger {
            requests: Vec::new(),
            by_fingerprint: HashMap::from([(alert.fingerprint(), counted)]),
            by_namespace: HashMap::from([(alert.namespace.clone(), counted)]),
            errors: Vec::new(),
        };
        // There is no request in this ledger, so the sum over all is always wrong.
        book.errors(&ledger).iter().filter(|error| !error.starts_with("all:")).count()
    }

    #[test]
    fn the_book_allows_just_what_senders_cannot_know() {
        let sent = [(Outcome::Acknowledged, 5), (Outcome::Unknown, 2), (Outcome::NotSent, 9)];
        assert_eq!(errors(&sent, 4), 2, "one was lost: the problem and its namespace lack it");
        assert_eq!([errors(&sent, 5), errors(&sent, 6), errors(&sent, 7)], [0, 0, 0]);
        assert_eq!(errors(&sent, 8), 2, "one was counted twice");
        assert_eq!(errors(&[], 1), 1, "nobody sent it");
    }
}
