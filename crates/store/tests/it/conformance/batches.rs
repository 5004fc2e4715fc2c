//! Batches, callers, and what an answer is worth.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seawall_model::DecisionKind;
use seawall_store::{Page, RequestFilter};
use tokio::task::JoinSet;

use crate::support::{Alert, SECOND, Scene, StoreUnderTest, counted, eventually, pods};

use DecisionKind::{Created, Duplicate, Resolved};

pub async fn a_batch_is_decided_in_order<S: StoreUnderTest>() {
    let scene = Scene::<S>::without_rules().await;
    let (one, other) = (Alert::new("shop", "Crash", "web-0"), Alert::new("pay", "Crash", "web-0"));
    let signals = vec![one.firing(), one.resolved(), other.resolved(), one.firing(), other.firing()];
    let decisions = scene.deliver(signals).await;
    let seen: Vec<_> = decisions.iter().map(|it| (it.kind, it.count)).collect();
    assert_eq!(seen, [(Created, 1), (Resolved, 1), (Resolved, 0), (Duplicate, 2), (Created, 1)]);
    assert!(scene.requests().await.iter().all(|request| request.state.resolved_at.is_none()));
}

pub async fn an_empty_batch_is_decided<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    assert!(scene.deliver(Vec::new()).await.is_empty());
    assert!(scene.requests().await.is_empty());
}

pub async fn a_batch_sees_its_own_repeats<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let alerts: Vec<_> = pods("shop", "Crash", 3).into_iter().cycle().take(30).collect();
    let decisions = scene.fire_together(&alerts).await;
    assert_eq!(decisions.iter().map(|decision| decision.count).max(), Some(10));
    let explained = scene.store().explain(alerts[1].fingerprint()).await.unwrap();
    assert!(explained.open);
}

pub async fn a_caller_that_goes_away_cancels_nothing<S: StoreUnderTest>() {
    let scene = Scene::<S>::without_rules().await;
    for nth in 0..50 {
        let signals = vec![Alert::new("shop", "Crash", &format!("web-{nth}")).firing()];
        let store = scene.store();
        let mut call = store.decide(signals);
        // Asked once, never again: the caller has hung up.
        std::future::poll_fn(|context| {
            let _ = call.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(counted(&scene.wait_for_requests(50).await), 50);
}

pub async fn what_was_answered_survives_a_crash<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::without_rules().await;
    let mut answered = 0;
    for round in 0..8 {
        let alerts: Vec<_> = (0..40)
            .map(|nth| Alert::new("shop", "Crash", &format!("web-{}", nth % (5 * (round + 1)))))
            .collect();
        scene.fire_at_once(&alerts).await;
        answered += alerts.len() as u64;
        scene.crash().await;
        assert_eq!(counted(&scene.requests().await), answered);
        scene.pass(SECOND);
    }
    assert_eq!(scene.requests().await.len(), 40);
}

/// Readers look while writers write; whatever any of them saw is still there after a crash.
pub async fn a_reader_never_sees_what_a_crash_takes_back<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::without_rules().await;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let (store, done) = (scene.store(), done.clone());
        readers.spawn(async move {
            let (mut seen, mut revision) = (Vec::new(), 0);
            while !done.load(Ordering::Relaxed) {
                let page = Page { limit: 1000, after: None };
                let listed = store.requests(RequestFilter::default(), page).await.unwrap();
                assert!(listed.revision >= revision, "a revision goes back");
                revision = listed.revision;
                seen = listed.items;
            }
            seen
        });
    }
    for _ in 0..20 {
        scene.fire_at_once(&pods("shop", "Crash", 20)).await;
    }
    done.store(true, Ordering::Relaxed);
    let seen = readers.join_all().await;
    scene.crash().await;
    let found = eventually("everything is back", async || {
        let found = scene.requests().await;
        if counted(&found) == 400 { Ok(found) } else { Err(counted(&found)) }
    })
    .await;
    for before in seen.into_iter().flatten() {
        let after = found.iter().find(|it| it.doc.reference == before.doc.reference).unwrap();
        assert!(after.state.occurrences >= before.state.occurrences);
        assert_eq!(after.doc, before.doc);
    }
}
