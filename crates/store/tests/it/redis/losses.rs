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

const REGISTRY: &str = "seawall:1:{partitions}";

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
        let options = RedisOptions { timeout: Duration::from_secs(3), ..patient(&server.url()) };
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

/// Namespaces whose problems are over have no open request that could be found, and lose nothing.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_namespaces_without_an_open_request_go_on_at_once() {
    let (scene, one) = Scene::start().await;
    let other = scene.replica().await;
    let alerts: Vec<_> =
        (0..5).map(|nth| Alert::new(&format!("shop-{nth}"), "Crash", "web-0").firing()).collect();
    for store in [&one, &other] {
        let _ = store.decide(alerts.clone()).await.unwrap();
    }
    scene.server.flush_all();
    noticed(&one, true).await;
    noticed(&other, true).await;
    one.adopt(Vec::new()).await.unwrap();
    noticed(&other, false).await;
    let (first, rest) = alerts.split_first().unwrap();
    assert_eq!(other.decide(vec![first.clone()]).await.unwrap()[0].kind, DecisionKind::Created);
    for store in [&one, &other] {
        let _ = store.decide(rest.to_vec()).await.expect("nothing more was lost");
    }
    assert!(!*one.incomplete().borrow() && !*other.incomplete().borrow());
}

/// As when a part of a cluster has lost its data: the registry has what is gone.
#[tokio::test(flavor = "multi_thread")]
async fn one_look_at_what_is_open_is_enough_for_all_namespaces_that_were_lost() {
    let (scene, store) = Scene::start().await;
    let alerts: Vec<_> =
        (0..3).map(|nth| Alert::new(&format!("shop-{nth}"), "Crash", "web-0").firing()).collect();
    let _ = store.decide(alerts.clone()).await.unwrap();
    for record in scene.server.keys().iter().filter(|key| key.ends_with("}:p")) {
        let tag = record.trim_end_matches('p');
        for key in scene.server.keys().iter().filter(|key| key.starts_with(tag)) {
            scene.server.ask::<()>(&["DEL", key]);
        }
    }
    let refused = store.decide(vec![alerts[0].clone()]).await;
    assert!(is_incomplete(&refused), "{refused:?}");
    store.adopt(Vec::new()).await.unwrap();
    for alert in alerts {
        assert_eq!(store.decide(vec![alert]).await.unwrap()[0].kind, DecisionKind::Created);
    }
    assert!(!*store.incomplete().borrow());
}

/// Whoever waits for the cluster must not take the turns of those who need not.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_what_is_open_keep_nobody_else_waiting() {
    let (mut scene, store) = Scene::start().await;
    scene.options.connections = 1;
    drop(store);
    let store = scene.replica().await;
    let known = Alert::new("known", "Crash", "web-0").firing();
    let _ = store.decide(vec![known.clone()]).await.unwrap();
    let marks: Vec<String> = scene.server.keys().into_iter().filter(|key| key.ends_with(":whole")).collect();
    scene.server.ask::<()>(&["DEL", &marks[0]]);
    noticed(&store, true).await;
    let mut waiting = JoinSet::new();
    for nth in 0..64 {
        let (store, alert) = (Arc::clone(&store), Alert::new(&format!("new-{nth}"), "Crash", "web-0"));
        waiting.spawn(async move { store.decide(vec![alert.firing()]).await });
    }
    eventually("all are asked about", async || match scene.server.ask::<u64>(&["ZCARD", REGISTRY]) {
        65.. => Ok(()),
        other => Err(other),
    })
    .await;
    let decided = tokio::select! {
        decided = store.decide(vec![known]) => decided,
        waited = waiting.join_next() => panic!("somebody who waits was first: {waited:?}"),
    };
    assert_eq!(decided.unwrap()[0].kind, DecisionKind::Duplicate);
    store.adopt(Vec::new()).await.unwrap();
    let decided = waiting.join_all().await.into_iter().flatten().flatten().collect::<Vec<_>>();
    assert_eq!(of_kind(&decided, DecisionKind::Created), 64);
}
