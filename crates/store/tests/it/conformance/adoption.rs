//! The state is lost, and what is open outside is taken over.

use seawall_model::DecisionKind::{Aggregated, Created, Duplicate};
use seawall_model::RemediationRequestStatus;
use seawall_store::{Failure, Placement, RequestRecord, StoreError};

use crate::support::{Alert, MINUTE, SECOND, Scene, StoreUnderTest, counted, eventually, pods, storm_of};

fn alert() -> Alert {
    Alert::new("shop", "Crash", "web-0")
}

async fn scene<S: StoreUnderTest>() -> Scene<S> {
    Scene::<S>::with(|policy| policy.published = true).await
}

/// The requests as they were last written outside, where nobody has finished them.
async fn published<S: StoreUnderTest>(scene: &mut Scene<S>) -> Vec<RequestRecord> {
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    let mut open = scene.requests().await;
    for record in &mut open {
        record.placement = Some(Placement {
            namespace: record.doc.reference.namespace.clone(),
            name: record.doc.reference.id.to_string().into(),
            uid: "6f9a3c1e".into(),
            sequence: record.state.sequence,
            deleted: false,
        });
        if let Some(storm) = &mut record.state.storm {
            storm.group_by.sort();
        }
    }
    open
}

/// Loses everything and gives back what was published.
async fn lose_and_adopt<S: StoreUnderTest>(scene: &mut Scene<S>) -> Vec<RequestRecord> {
    let open = published(scene).await;
    scene.lose().await;
    scene.store().adopt(open.clone()).await.unwrap();
    open
}

pub async fn nothing_is_decided_before_what_is_open_was_taken_over<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    let request = scene.fire(&alert()).await.request.unwrap();
    let open = published(&mut scene).await;
    scene.lose().await;
    eventually("the loss is noticed", async || match *scene.store().incomplete().borrow() {
        true => Ok(()),
        false => Err("not noticed yet"),
    })
    .await;
    let refused = scene.store().decide(vec![alert().firing()]).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable { class: Failure::Incomplete, .. })),
        "{refused:?}"
    );
    let health = scene.store().health();
    assert!(!health.available && health.reason.unwrap().contains("open requests"));

    scene.store().adopt(open).await.unwrap();
    assert!(!*scene.store().incomplete().borrow());
    assert!(scene.store().health().available);
    let repeat = scene.fire(&alert()).await;
    assert_eq!((repeat.kind, repeat.count, repeat.request.as_ref()), (Duplicate, 2, Some(&request)));
    assert_eq!(scene.only_request().await.doc.reference, request);
    eventually("the loss is counted", async || match scene.store().stats().state_losses {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
}

pub async fn an_empty_cluster_is_taken_over_at_once<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    scene.send(&alert()).await;
    scene.lose().await;
    scene.store().adopt(Vec::new()).await.unwrap();
    assert_eq!(scene.fire(&alert()).await.kind, Created);
    scene.crash().await;
    assert!(!*scene.store().incomplete().borrow(), "once is enough");
    assert_eq!(scene.fire(&alert()).await.kind, Duplicate);
}

pub async fn a_storm_is_taken_over_with_its_members<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    let alerts = pods("shop", "Crash", 20);
    let leader = scene.fire_each(&alerts[..15]).await[0].request.clone();
    lose_and_adopt(&mut scene).await;
    for decision in scene.fire_each(&alerts[..15]).await {
        assert_eq!((decision.kind, &decision.request), (Duplicate, &leader));
    }
    scene.crash().await;
    for decision in scene.fire_together(&alerts[15..]).await {
        assert_eq!((decision.kind, &decision.request), (Aggregated, &leader));
    }
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    let request = scene.only_request().await;
    let storm = storm_of(&request);
    assert_eq!((storm.alert_count, storm.affected.len(), storm.truncated), (20, 20, false));
    assert_eq!(request.state.occurrences, 35);
    assert_eq!(storm.group_by[0].0, "namespace", "in the order of the rule");
    let id = request.doc.reference.id.to_string().trim_start_matches("rr-").to_owned();
    let members = seawall_store::Page { limit: 100, after: None };
    assert_eq!(scene.store().storm(id, members).await.unwrap().members.len(), 20);
    scene.pass(6 * MINUTE);
    scene.subject.settle().await;
    assert!(storm_of(&scene.only_request().await).ended_at.is_some());
}

pub async fn unlisted_members_join_again_and_totals_are_said_to_be_inexact<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::with(|policy| (policy.published, policy.sample) = (true, 12)).await;
    let alerts = pods("shop", "Crash", 15);
    let leader = scene.fire_each(&alerts).await[0].request.clone();
    lose_and_adopt(&mut scene).await;
    let again = scene.fire_each(&alerts).await;
    assert!(again.iter().all(|decision| decision.request == leader));
    let storm = storm_of(&scene.only_request().await).clone();
    assert_eq!((storm.alert_count, storm.affected.len(), storm.truncated), (18, 12, true));
}

pub async fn superseded_requests_are_taken_over_as_they_are<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::with(|policy| {
        policy.published = true;
        policy.rules.iter_mut().for_each(|rule| (rule.threshold, rule.hold) = (3, 0));
    })
    .await;
    let decisions = scene.fire_each(&pods("shop", "Crash", 3)).await;
    let (leader, second) = (decisions[0].request.clone().unwrap(), decisions[1].request.clone().unwrap());
    lose_and_adopt(&mut scene).await;
    assert_eq!(scene.request(&second).await.state.superseded_by, Some(leader.id));
    let repeat = scene.fire(&pods("shop", "Crash", 2)[1]).await;
    assert_eq!((repeat.kind, repeat.request), (Duplicate, Some(leader)));
    assert_eq!(scene.request(&second).await.state.occurrences, 1);
    assert_eq!(scene.requests().await.len(), 2);
}

pub async fn what_was_taken_over_is_published_again_in_a_newer_epoch<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    let alerts = [alert(), Alert::new("pay", "Slow", "api-0")];
    scene.fire_each(&alerts).await;
    let mut open = published(&mut scene).await;
    open.iter_mut().for_each(|record| record.state.epoch = 41);
    scene.lose().await;
    let mut told = scene.store().unpublished().unwrap();
    scene.store().adopt(open.clone()).await.unwrap();
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    for record in &open {
        let reference = &record.doc.reference;
        assert!(scene.request(reference).await.state.epoch > 41);
        assert_eq!(scene.request(reference).await.placement.unwrap().uid, "6f9a3c1e");
        let patience = std::time::Duration::from_secs(30);
        let next = tokio::time::timeout(patience, told.recv()).await.expect("it is told").unwrap();
        assert!(open.iter().any(|record| record.doc.reference == next));
    }
}

pub async fn a_phase_is_taken_over_and_ends_by_a_report<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    let request = scene.fire(&alert()).await.request.unwrap();
    scene.report(&request, "Executing").await;
    lose_and_adopt(&mut scene).await;
    let phase = |status: Option<RemediationRequestStatus>| status.unwrap().overall_phase;
    assert_eq!(phase(scene.request(&request).await.status).as_deref(), Some("Executing"));
    scene.pass(20 * MINUTE);
    assert_eq!(scene.fire(&alert()).await.request.as_ref(), Some(&request), "somebody works on it");
    scene.report(&request, "Completed").await;
    scene.pass(6 * MINUTE);
    assert_eq!(scene.fire(&alert()).await.kind, Created);
}

pub async fn a_person_may_delete_what_was_taken_over<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    let request = scene.fire(&alert()).await.request.unwrap();
    lose_and_adopt(&mut scene).await;
    assert!(scene.store().deleted(request).await.unwrap());
    scene.pass(SECOND);
    assert_eq!(scene.fire(&alert()).await.kind, Created);
}

pub async fn taking_over_twice_changes_nothing<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    let alerts = pods("shop", "Crash", 15);
    scene.fire_each(&alerts).await;
    scene.send(&Alert::new("pay", "Slow", "api-0")).await;
    let open = lose_and_adopt(&mut scene).await;
    scene.fire_each(&alerts).await;
    scene.store().adopt(open).await.unwrap();
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    let requests = scene.requests().await;
    assert_eq!((requests.len(), counted(&requests)), (2, 31));
}

pub async fn what_is_known_goes_before_what_is_taken_over<S: StoreUnderTest>() {
    let mut scene = scene::<S>().await;
    let before = scene.fire(&alert()).await.request.unwrap();
    let open = published(&mut scene).await;
    scene.lose().await;
    scene.store().adopt(Vec::new()).await.unwrap();
    let opened = scene.fire(&alert()).await.request.unwrap();
    assert_ne!(opened, before);
    scene.store().adopt(open).await.unwrap();
    let repeat = scene.fire(&alert()).await;
    assert_eq!((repeat.kind, repeat.request), (Duplicate, Some(opened)));
    assert_eq!(scene.requests().await.len(), 2, "the other one is there to be seen");
}
