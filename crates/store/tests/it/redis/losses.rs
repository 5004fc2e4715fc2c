//! A server that loses what was in it while replicas go on, and requests that exist outside.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::{DecisionKind, ManualClock, Policy};
use seawall_store::{Failure, Page, RedisOptions, RedisStore, RequestFilter, StateStore, StoreError};
use seawall_testkit::redis::RedisServer;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{open, patient};
use crate::support::{Alert, START, eventually, of_kind, pods};

struct Scene {
    server: RedisServer,
    options: RedisOptions,
    clock: ManualClock,
    _directory: TempDir,
}

impl Scene {
    /// A server and a replica that has taken over that nothing is open.
    async fn start() -> (Self, Arc<RedisStore>) {
        let directory = tempfile::tempdir().unwrap();
        let server = RedisServer::start_in(directory.path(), "redis").await;
        let options = RedisOptions { timeout: Duration::from_secs(2), ..patient(&server.url()) };
        let scene = Self { server, options, clock: ManualClock::at(START), _directory: directory };
        let store = scene.replica().await;
        assert!(*store.incomplete().borrow(), "nobody has looked yet");
        store.adopt(Vec::new()).await.unwrap();
        (scene, store)
    }

    async fn replica(&self) -> Arc<RedisStore> {
        open(&self.options, &Policy { published: true, ..Policy::default() }, &self.clock).await
    }
}

fn is_incomplete<T: std::fmt::Debug>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable { class: Failure::Incomplete, .. }))
}

async fn noticed(store: &RedisStore, incomplete: bool) {
    eventually("the replica notices", async || match *store.incomplete().borrow() == incomplete {
        true => Ok(()),
        false => Err(incomplete),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_flush_no_replica_decides_before_one_has_taken_over_what_is_open() {
    let (scene, one) = Scene::start().await;
    let other = scene.replica().await;
    assert!(!*other.incomplete().borrow(), "what another replica has taken over is there");
    let alert = Alert::new("shop", "Crash", "web-0");
    let request = one.decide(vec![alert.firing()]).await.unwrap()[0].request.clone();
    let open = one.requests(RequestFilter::default(), Page { limit: 10, after: None }).await.unwrap().items;
    scene.server.flush_all();
    for store in [&one, &other] {
        let refused = store.decide(vec![alert.firing()]).await;
        assert!(is_incomplete(&refused), "{refused:?}");
        noticed(store, true).await;
    }
    other.adopt(open).await.unwrap();
    noticed(&one, false).await;
    let repeat = one.decide(vec![alert.firing()]).await.unwrap().remove(0);
    assert_eq!((repeat.kind, repeat.request), (DecisionKind::Duplicate, request));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_goes_on_when_what_is_open_was_taken_over() {
    let (scene, store) = Scene::start().await;
    scene.server.flush_all();
    let alert = Alert::new("shop", "Crash", "web-0").firing();
    let adopted = async {
        noticed(&store, true).await;
        store.adopt(Vec::new()).await
    };
    let (decisions, adopted) = tokio::join!(store.decide(vec![alert]), adopted);
    adopted.unwrap();
    assert_eq!(decisions.unwrap()[0].kind, DecisionKind::Created);
}

/// As when a part of a cluster has lost its data.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_whose_state_is_gone_alone_is_noticed_too() {
    let (scene, store) = Scene::start().await;
    let alerts = [Alert::new("shop", "Crash", "web-0"), Alert::new("pay", "Crash", "web-0")];
    let mut requests = Vec::new();
    for alert in &alerts {
        requests.push(store.decide(vec![alert.firing()]).await.unwrap().remove(0).request.unwrap());
    }
    let page = Page { limit: 10, after: None };
    let open = store.requests(RequestFilter::default(), page).await.unwrap().items;
    let of_shop = |key: &String| {
        let docs = key.ends_with("}:d");
        docs && scene.server.ask::<Vec<String>>(&["HKEYS", key]).iter().any(|name| name.starts_with("shop/"))
    };
    let keys = scene.server.keys();
    let docs = keys.iter().find(|key| of_shop(key)).expect("there are requests").clone();
    let tag = docs.trim_end_matches('d').to_owned();
    for key in keys.iter().filter(|key| key.starts_with(&tag)) {
        scene.server.ask::<()>(&["DEL", key]);
    }
    let refused = store.decide(vec![alerts[0].firing()]).await;
    assert!(is_incomplete(&refused), "{refused:?}");
    let other = store.decide(vec![alerts[1].firing()]).await.unwrap().remove(0);
    assert_eq!(other.kind, DecisionKind::Duplicate, "what is there is decided");
    store.adopt(open).await.unwrap();
    for (alert, request) in alerts.iter().zip(requests) {
        let repeat = store.decide(vec![alert.firing()]).await.unwrap().remove(0);
        assert_eq!((repeat.kind, repeat.request), (DecisionKind::Duplicate, Some(request)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_new_to_two_replicas_at_once_is_no_loss() {
    let (scene, one) = Scene::start().await;
    let other = scene.replica().await;
    for round in 0..20 {
        let alerts = pods(&format!("shop-{round}"), "Crash", 10);
        let mut callers = JoinSet::new();
        for (nth, alert) in alerts.iter().enumerate() {
            let store = Arc::clone(if nth % 2 == 0 { &one } else { &other });
            let signal = alert.firing();
            callers.spawn(async move { store.decide(vec![signal]).await.expect("nothing was lost") });
        }
        let decisions: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
        assert_eq!(of_kind(&decisions, DecisionKind::Created), 1);
    }
    assert!(!*one.incomplete().borrow() && !*other.incomplete().borrow());
}
