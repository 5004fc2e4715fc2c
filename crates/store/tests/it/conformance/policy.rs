//! Rules that change while things are open.

use seawall_model::DecisionKind;

use crate::support::{Alert, MINUTE, Scene, StoreUnderTest, counted, pods, storm_of};

use DecisionKind::{Aggregated, Created, Duplicate};

pub async fn another_threshold_holds_from_the_next_batch_on<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    scene.fire_each(&pods("shop", "Crash", 3)).await;
    scene.change_policy(|policy| policy.rules[0].threshold = 4);
    let fourth = scene.fire(&pods("shop", "Crash", 4)[3]).await;
    assert_eq!((fourth.kind, fourth.opened_storm), (Aggregated, true));
    scene.change_policy(|policy| policy.rules[0].threshold = 100);
    let fifth = scene.fire(&pods("shop", "Crash", 5)[4]).await;
    assert_eq!(fifth.kind, Aggregated, "an open storm stays open");
    assert_eq!(storm_of(&scene.only_request().await).alert_count, 5);
}

pub async fn another_silence_timer_holds_for_open_incidents<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    scene.send(&alert).await;
    scene.change_policy(|policy| policy.ttl = 60 * MINUTE);
    scene.pass(59 * MINUTE);
    assert_eq!(scene.fire(&alert).await.kind, Duplicate);
    scene.change_policy(|policy| policy.ttl = MINUTE);
    scene.pass(MINUTE);
    assert_eq!(scene.fire(&alert).await.kind, Created);
}

pub async fn a_rule_that_is_gone_leaves_its_storm_open<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 12);
    scene.fire_each(&alerts[..10]).await;
    let storm = scene.only_request().await.doc.reference;
    scene.change_policy(|policy| policy.rules.clear());
    scene.restart().await;
    assert_eq!(scene.fire(&alerts[3]).await.request, Some(storm.clone()));
    let stranger = scene.fire(&alerts[10]).await;
    assert_eq!(stranger.kind, Created, "nothing groups it any more");
    scene.pass(5 * MINUTE);
    scene.wait_for(&storm, "the storm ends", |it| storm_of(it).ended_at.is_some()).await;
    assert_eq!(counted(&scene.requests().await), 12);
}
