//! A store, a clock that the test turns, and the calls that tests make.

use std::sync::Arc;

use seawall_model::{
    Decision, DecisionKind, ManualClock, Millis, Policy, RequestRef, Signal, StormState, Timestamp,
};
use seawall_store::{Page, RequestFilter, RequestRecord, StateStore, StatusPatch, StoreError};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Alert, StoreUnderTest, eventually};

pub const SECOND: Millis = 1_000;
pub const MINUTE: Millis = 60 * SECOND;

/// When every scene begins.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Small, so that every list of a test goes over pages.
const PAGE: usize = 7;

pub struct Scene<S> {
    pub subject: S,
    clock: ManualClock,
    now: Timestamp,
    pub policy: Policy,
}

impl<S: StoreUnderTest> Scene<S> {
    /// With the default policy.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With the default policy, changed.
    pub async fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::default();
        change(&mut policy);
        let clock = ManualClock::at(START);
        let subject = S::start(policy.clone(), clock.clone()).await;
        if policy.published {
            subject.store().adopt(Vec::new()).await.expect("nothing is open outside");
        }
        Self { subject, clock, now: START, policy }
    }

    /// Without storm rules: every problem has a request of its own, at once.
    pub async fn without_rules() -> Self {
        Self::with(|policy| policy.rules.clear()).await
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Turns the clock, also back.
    pub fn pass(&mut self, millis: Millis) {
        self.now = self.now + millis;
        self.clock.set(self.now);
    }

    /// The process dies; what was answered must still be there.
    pub async fn crash(&mut self) {
        self.subject.crash_and_restart(&self.policy).await;
    }

    pub async fn restart(&mut self) {
        self.subject.restart(&self.policy).await;
    }

    /// Everything is gone.
    pub async fn lose(&mut self) {
        self.subject.lose(&self.policy).await;
    }

    /// Other rules from now on.
    pub fn change_policy(&mut self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policy);
        self.store().set_policy(Arc::new(self.policy.clone()));
    }

    pub fn store(&self) -> Arc<dyn StateStore> {
        self.subject.store()
    }

    /// One batch.
    pub async fn deliver(&self, signals: Vec<Signal>) -> Vec<Decision> {
        let sent = signals.len();
        let decisions = self.store().decide(signals).await.expect("the store decides");
        assert_eq!(decisions.len(), sent);
        decisions
    }

    pub async fn fire(&self, alert: &Alert) -> Decision {
        self.deliver(vec![alert.firing()]).await.remove(0)
    }

    pub async fn resolve(&self, alert: &Alert) -> Decision {
        self.deliver(vec![alert.resolved()]).await.remove(0)
    }

    /// Fires without looking at the decision.
    pub async fn send(&self, alert: &Alert) {
        self.deliver(vec![alert.firing()]).await;
    }

    pub async fn send_resolved(&self, alert: &Alert) {
        self.deliver(vec![alert.resolved()]).await;
    }

    /// One after another, each answered before the next.
    pub async fn fire_each(&self, alerts: &[Alert]) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for alert in alerts {
            decisions.push(self.fire(alert).await);
        }
        decisions
    }

    /// All in one batch.
    pub async fn fire_together(&self, alerts: &[Alert]) -> Vec<Decision> {
        self.deliver(alerts.iter().map(Alert::firing).collect()).await
    }

    /// Each by a caller of its own, all at once.
    pub async fn fire_at_once(&self, alerts: &[Alert]) -> Vec<Decision> {
        let mut callers = JoinSet::new();
        for alert in alerts {
            let (store, signal) = (self.store(), alert.firing());
            callers.spawn(async move { store.decide(vec![signal]).await.expect("the store decides") });
        }
        callers.join_all().await.into_iter().flatten().collect()
    }

    pub async fn list(&self, filter: RequestFilter) -> Vec<RequestRecord> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = Page { limit: PAGE, after };
            let page = self.store().requests(filter.clone(), page).await.expect("requests can be listed");
            assert!(page.items.len() <= PAGE);
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// Everything that exists in the sink.
    pub async fn requests(&self) -> Vec<RequestRecord> {
        self.list(RequestFilter::default()).await
    }

    pub async fn requests_in(&self, namespace: &str) -> Vec<RequestRecord> {
        self.list(RequestFilter { namespace: Some(namespace.into()), ..RequestFilter::default() }).await
    }

    pub async fn request(&self, reference: &RequestRef) -> RequestRecord {
        self.store().request(reference.clone()).await.expect("the request exists")
    }

    /// The one request there is.
    pub async fn only_request(&self) -> RequestRecord {
        let mut requests = self.requests().await;
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    /// Waits until as many requests exist.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<RequestRecord> {
        eventually(&format!("{count} requests"), async || {
            let requests = self.requests().await;
            if requests.len() == count { Ok(requests) } else { Err(requests) }
        })
        .await
    }

    /// Waits until a request is as it should be.
    pub async fn wait_for(
        &self,
        reference: &RequestRef,
        what: &str,
        is_so: impl Fn(&RequestRecord) -> bool,
    ) -> RequestRecord {
        eventually(what, async || {
            let request = self.request(reference).await;
            if is_so(&request) { Ok(request) } else { Err(request) }
        })
        .await
    }

    /// A worker says how far it is.
    pub async fn report(&self, reference: &RequestRef, phase: &str) -> RequestRecord {
        let patched = self.patch(reference, json!({ "overallPhase": phase })).await;
        patched.expect("a worker may report")
    }

    pub async fn patch(
        &self,
        reference: &RequestRef,
        patch: serde_json::Value,
    ) -> Result<RequestRecord, StoreError> {
        let serde_json::Value::Object(fields) = patch else { panic!("{patch} is no object") };
        self.store().patch_status(reference.clone(), StatusPatch(fields)).await
    }
}

pub fn of_kind(decisions: &[Decision], kind: DecisionKind) -> usize {
    decisions.iter().filter(|decision| decision.kind == kind).count()
}

/// All firing signals counted in these requests.
pub fn counted(requests: &[RequestRecord]) -> u64 {
    requests.iter().map(|request| request.state.occurrences).sum()
}

pub fn storm_of(request: &RequestRecord) -> &StormState {
    request.state.storm.as_ref().unwrap_or_else(|| panic!("{} is no storm", request.doc.reference))
}
