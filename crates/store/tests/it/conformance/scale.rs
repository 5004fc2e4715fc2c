//! Many at once, and many altogether.

use std::collections::HashSet;

use seawall_model::{DecisionKind, Detail, build_request};
use seawall_store::ChangeKind;

use crate::support::{Alert, SECOND, Scene, StoreUnderTest, counted, of_kind, pods, storm_of};

use DecisionKind::{Accepted, Created, Duplicate};

async fn all_distinct<S: StoreUnderTest>(count: usize) {
    let mut scene = Scene::<S>::start().await;
    let name = |nth: usize| format!("Alert{}", nth % 9);
    let alerts: Vec<Alert> =
        (0..count).map(|nth| Alert::new(&format!("team-{}", nth / 9), &name(nth), "web-0")).collect();
    let decisions = scene.fire_at_once(&alerts).await;
    assert_eq!(of_kind(&decisions, Created) + of_kind(&decisions, Accepted), count);
    scene.pass(SECOND);
    let requests = scene.wait_for_requests(count).await;
    assert_eq!(counted(&requests), count as u64);
}

pub async fn a_hundred_distinct_alerts_at_once_are_a_hundred_requests<S: StoreUnderTest>() {
    all_distinct::<S>(100).await;
}

pub async fn a_thousand_distinct_alerts_at_once_are_a_thousand_requests<S: StoreUnderTest>() {
    all_distinct::<S>(1_000).await;
}

/// With names and labels as long as they may be: exact totals, a bounded list, an object below 256 KiB, few updates.
pub async fn ten_thousand_alerts_of_one_group_are_one_bounded_request<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut changes = scene.store().changes();
    let value = "v".repeat(200);
    let labels: Vec<String> = (0..64).map(|nth| format!("\"label{nth}\":\"{value}\"")).collect();
    let payload = format!("{{\"labels\":{{{}}}}}", labels.join(","));
    assert!(payload.len() <= Detail::MAX_PAYLOAD);
    let pod = |nth: usize| {
        let name = format!("{nth}-{}", "w".repeat(240));
        Alert::new("shop", "Crash", &name).with_payload(payload.clone())
    };
    let alerts: Vec<Alert> = (0..10_000).map(pod).collect();
    for batch in alerts.chunks(500) {
        scene.fire_together(batch).await;
        scene.pass(SECOND / 4);
    }
    scene.pass(SECOND);
    scene.subject.settle().await;
    let request = scene.only_request().await;
    let storm = storm_of(&request);
    assert_eq!((storm.alert_count, request.state.occurrences), (10_000, 10_000));
    assert_eq!((storm.affected.len(), storm.truncated), (250, true));
    let object = serde_json::to_vec(&build_request(&request.doc, &request.state, None)).unwrap();
    assert!(object.len() < 256 * 1024, "{} bytes", object.len());
    let (mut added, mut modified) = (0, 0);
    while let Ok(change) = changes.try_recv() {
        match change.kind {
            ChangeKind::Added => added += 1,
            ChangeKind::Modified => modified += 1,
            ChangeKind::Deleted => panic!("{change:?}"),
        }
    }
    assert_eq!(added, 1);
    assert!((1..=7).contains(&modified), "{modified} updates in six seconds");
}

pub async fn ten_thousand_problems_do_not_mix<S: StoreUnderTest>() {
    let scene = Scene::<S>::without_rules().await;
    let alerts: Vec<Alert> = (0..100).flat_map(|nth| pods("shop", &format!("Alert {nth}"), 100)).collect();
    for round in 1..=2 {
        let mut named = HashSet::new();
        for batch in alerts.chunks(1_000) {
            for decision in scene.fire_together(batch).await {
                assert_eq!(decision.kind, if round == 1 { Created } else { Duplicate });
                assert_eq!(decision.count, round);
                named.insert(decision.request.unwrap());
            }
        }
        assert_eq!(named.len(), 10_000);
    }
    assert_eq!(scene.store().requests(Default::default(), all()).await.unwrap().items.len(), 10_000);
}

fn all() -> seawall_store::Page {
    seawall_store::Page { limit: 20_000, after: None }
}
