//! Retention, closing, health and numbers.

use seawall_model::DecisionKind;
use seawall_store::{ChangeKind, Health, Page, RequestFilter, StatusPatch, StoreError};

use crate::support::{Alert, MINUTE, SECOND, Scene, StoreUnderTest, eventually, pods};

pub async fn finished_requests_leave_after_their_retention<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::with(|policy| policy.retention = 30 * MINUTE).await;
    let mut changes = scene.store().changes();
    let reference = scene.fire(&Alert::new("shop", "Crash", "web-0")).await.request.unwrap();
    let finished = scene.report(&reference, "Completed").await;
    let finished_at = scene.now();
    for _ in 0..29 {
        scene.pass(MINUTE);
        scene.subject.settle().await;
    }
    assert_eq!(scene.only_request().await.status, finished.status);
    eventually("the request leaves", async || {
        scene.pass(10 * SECOND);
        match scene.requests().await {
            none if none.is_empty() => Ok(()),
            left => Err(left),
        }
    })
    .await;
    assert!(scene.now() - finished_at >= scene.policy.retention);
    let missing = scene.store().request(reference.clone()).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let deleted = loop {
        let change = changes.recv().await.unwrap();
        if change.kind == ChangeKind::Deleted {
            break change;
        }
    };
    assert_eq!(deleted.reference, reference);
    let last = deleted.deleted.expect("watchers see what was deleted");
    assert_eq!((&last.doc, &last.status), (&finished.doc, &finished.status));
    scene.crash().await;
    assert!(scene.requests().await.is_empty());
}

pub async fn a_request_that_is_worked_on_is_kept<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::with(|policy| policy.retention = 30 * MINUTE).await;
    let reference = scene.fire(&Alert::new("shop", "Crash", "web-0")).await.request.unwrap();
    scene.report(&reference, "Executing").await;
    for _ in 0..20 {
        scene.pass(10 * MINUTE);
        scene.subject.settle().await;
    }
    assert_eq!(scene.only_request().await.doc.reference, reference);
}

pub async fn a_closed_store_is_unavailable<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    let reference = scene.fire(&alert).await.request.unwrap();
    let store = scene.store();
    store.close().await.unwrap();
    let page = || Page { limit: 1, after: None };
    let refusals = [
        store.decide(vec![alert.firing()]).await.err(),
        store.requests(RequestFilter::default(), page()).await.err(),
        store.request(reference.clone()).await.err(),
        store.patch_status(reference, StatusPatch(Default::default())).await.err(),
        store.storms(page()).await.err(),
        store.storm("0123456789abcdef-1".to_owned(), page()).await.err(),
        store.explain(alert.fingerprint()).await.err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(StoreError::Unavailable { .. })), "{refusal:?}");
    }
    let health = store.health();
    assert!(!health.available && health.reason.is_some(), "{health:?}");
}

pub async fn closing_keeps_everything<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 14);
    scene.fire_each(&alerts[..12]).await;
    let other = scene.fire(&Alert::new("pay", "Crash", "web-0")).await.request.unwrap();
    scene.report(&other, "Executing").await;
    for _ in 0..4 {
        let before = scene.requests().await;
        scene.restart().await;
        let after = scene.requests().await;
        assert_eq!(after.len(), before.len());
        for (mut after, before) in after.into_iter().zip(before) {
            (after.state.epoch, after.state.sequence) = (before.state.epoch, before.state.sequence);
            assert_eq!(after, before);
        }
        assert_eq!(scene.fire(&alerts[3]).await.kind, DecisionKind::Duplicate);
    }
}

pub async fn statistics_follow_what_happens<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    scene.fire_each(&pods("shop", "Crash", 12)).await;
    scene.fire_each(&pods("pay", "Crash", 2)).await;
    let stats = eventually("the statistics are up to date", async || {
        let stats = scene.store().stats();
        if stats.incidents_open == 14 { Ok(stats) } else { Err(stats) }
    })
    .await;
    assert_eq!(stats.storms_open, [("namespace-rate".into(), 1)]);
    assert_eq!((stats.publish_pending, stats.oldest_pending_since), (1, Some(scene.now() + SECOND)));
    assert_eq!((stats.published_created, stats.requests_open), (2, 2), "a held request is not in the sink");
    assert_eq!(stats.requests_avoided, 11);
    assert!(stats.commits > 0 && stats.commits <= 14);
    assert_eq!((stats.outages, stats.outage_seconds), (0, 0.0));
    scene.pass(SECOND);
    let stats = eventually("the held request is published", async || {
        let stats = scene.store().stats();
        if stats.publish_pending == 0 { Ok(stats) } else { Err(stats) }
    })
    .await;
    assert_eq!((stats.published_created, stats.requests_open), (3, 3));
    assert_eq!(stats.oldest_pending_since, None);
}

pub async fn a_store_that_works_is_healthy<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    assert_eq!(scene.store().health(), Health { available: true, reason: None });
}

pub async fn memory_is_given_back_when_everything_is_over<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    scene.fire_together(&pods("shop", "Crash", 500)).await;
    let singles: Vec<Alert> = (0..500).map(|nth| Alert::new(&format!("n{nth}"), "Slow", "db")).collect();
    scene.fire_together(&singles).await;
    assert_eq!(scene.requests().await.len(), 501);
    eventually("nothing is open", async || {
        scene.pass(10 * MINUTE);
        scene.subject.settle().await;
        let stats = scene.store().stats();
        let is_empty = (stats.incidents_open, stats.requests_open, stats.storms_open.len()) == (0, 0, 0);
        if is_empty { Ok(()) } else { Err(stats) }
    })
    .await;
    assert_eq!(scene.requests().await.len(), 501, "the requests are still there");
    scene.crash().await;
    assert_eq!(scene.requests().await.len(), 501);
}
