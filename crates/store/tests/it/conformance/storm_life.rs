//! How a storm goes on, ends, is continued, and survives.

use seawall_model::DecisionKind;
use seawall_store::{Page, StoreError};

use crate::support::{MINUTE, SECOND, Scene, StoreUnderTest, counted, eventually, of_kind, pods, storm_of};

use DecisionKind::{Accepted, Aggregated, Created, Duplicate};

pub async fn after_quiet_a_storm_has_ended_and_a_later_alert_starts_afresh<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 11);
    scene.fire_each(&alerts[..10]).await;
    let last = scene.now();
    let storm = scene.only_request().await.doc.reference;
    scene.pass(5 * MINUTE);
    let ended = scene.wait_for(&storm, "the storm ends", |it| storm_of(it).ended_at.is_some()).await;
    assert_eq!(storm_of(&ended).ended_at, Some(last + 5 * MINUTE));
    let (old, new) = (scene.fire(&alerts[0]).await, scene.fire(&alerts[10]).await);
    assert_eq!((old.kind, new.kind), (Created, Accepted), "the group counts from zero");
    assert_ne!(old.request, Some(storm.clone()));
    scene.pass(SECOND);
    let requests = scene.wait_for_requests(3).await;
    assert_eq!(requests.iter().filter(|request| request.state.storm.is_some()).count(), 1);
    assert_eq!(counted(&requests), 12);
    assert_eq!(scene.request(&storm).await.state.occurrences, 10);
}

pub async fn a_repeat_keeps_a_storm_open<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 11);
    scene.fire_each(&alerts[..10]).await;
    for _ in 0..3 {
        scene.pass(5 * MINUTE - 1);
        assert_eq!(scene.fire(&alerts[3]).await.kind, Duplicate);
    }
    // Web-7 has been silent for longer than any timer but is a member for as long as the storm lasts.
    assert_eq!(scene.fire(&alerts[7]).await.kind, Duplicate);
    assert_eq!(scene.fire(&alerts[10]).await.kind, Aggregated);
    assert_eq!(storm_of(&scene.only_request().await).alert_count, 11);
}

pub async fn after_its_longest_duration_a_storm_is_continued_and_linked<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 13);
    scene.fire_each(&alerts[..10]).await;
    let first = scene.only_request().await.doc.reference;
    for _ in 0..14 {
        scene.pass(4 * MINUTE);
        scene.send(&alerts[1]).await;
    }
    scene.pass(4 * MINUTE);
    let continued = scene.fire(&alerts[10]).await;
    assert_eq!((continued.kind, continued.opened_storm), (Created, true));
    let second = continued.request.unwrap();
    let old = scene.request(&first).await;
    assert_eq!(storm_of(&old).ended_at, Some(scene.now()));
    assert_eq!(storm_of(&old).successor, Some(second.id));
    assert_eq!(old.state.occurrences, 24);
    let moved = scene.fire(&alerts[2]).await;
    assert_eq!((moved.kind, moved.request.as_ref()), (Aggregated, Some(&second)));
    assert_eq!(scene.fire(&alerts[2]).await.kind, Duplicate);
    let joined = scene.fire(&alerts[11]).await;
    assert_eq!((joined.kind, joined.request.as_ref()), (Aggregated, Some(&second)));
    let new = scene.request(&second).await;
    assert_eq!((storm_of(&new).alert_count, new.state.occurrences), (3, 4));
    assert_eq!(new.doc.previous, Some(first.id));
    assert_eq!(scene.requests().await.len(), 2);
}

pub async fn when_all_members_are_resolved_so_is_the_storm<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 10);
    scene.fire_each(&alerts).await;
    for alert in &alerts[..9] {
        scene.pass(SECOND);
        scene.send_resolved(alert).await;
    }
    assert_eq!(scene.only_request().await.state.resolved_at, None);
    scene.pass(SECOND);
    let resolved = scene.resolve(&alerts[9]).await;
    assert_eq!(resolved.kind, DecisionKind::Resolved);
    let request = scene.only_request().await;
    assert_eq!(request.state.resolved_at, Some(scene.now()));
    assert_eq!(storm_of(&request).ended_at, None, "it still ends by quiet");
    scene.send(&alerts[4]).await;
    assert_eq!(scene.only_request().await.state.resolved_at, None);
    scene.pass(5 * MINUTE);
    let reference = &request.doc.reference;
    scene.wait_for(reference, "the storm ends", |it| storm_of(it).ended_at.is_some()).await;
}

pub async fn a_flapping_storm_stays_one_request<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 12);
    for _ in 0..10 {
        scene.fire_each(&alerts).await;
        scene.pass(20 * SECOND);
        for alert in &alerts {
            scene.send_resolved(alert).await;
        }
        scene.pass(20 * SECOND);
    }
    let request = scene.only_request().await;
    assert_eq!((storm_of(&request).alert_count, request.state.occurrences), (12, 120));
    assert!(request.state.resolved_at.is_some());
}

pub async fn finishing_the_request_of_a_storm_ends_it<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 11);
    scene.fire_each(&alerts[..10]).await;
    let storm = scene.only_request().await.doc.reference;
    scene.pass(MINUTE);
    let finished = scene.report(&storm, "Completed").await;
    assert_eq!(storm_of(&finished).ended_at, Some(scene.now()));
    scene.pass(5 * MINUTE - 1);
    let member = scene.fire(&alerts[3]).await;
    assert_eq!((member.kind, member.request), (Duplicate, Some(storm.clone())), "within the cooldown");
    let stranger = scene.fire(&alerts[10]).await;
    assert_eq!(stranger.kind, Created, "was never in the storm");
    scene.pass(1);
    let again = scene.fire(&alerts[4]).await;
    assert!(matches!(again.kind, Created | Accepted), "{again:?}");
    scene.pass(SECOND);
    scene.wait_for_requests(3).await;
}

pub async fn a_storm_can_be_looked_at_with_its_members_page_by_page<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 25);
    scene.fire_each(&alerts).await;
    scene.pass(SECOND);
    scene.send(&alerts[24]).await;
    scene.send_resolved(&alerts[23]).await;
    let listed = scene.store().storms(Page { limit: 10, after: None }).await.unwrap();
    assert_eq!((listed.items.len(), listed.next), (1, None));
    let id = listed.items[0].id.clone();
    assert_eq!(format!("rr-{id}"), scene.only_request().await.doc.reference.id.to_string());
    let (mut members, mut after) = (Vec::new(), None);
    loop {
        let detail = scene.store().storm(id.clone(), Page { limit: 4, after }).await.unwrap();
        assert_eq!((detail.storm.alert_count, detail.storm.occurrence_count), (25, 26));
        members.extend(detail.members);
        after = detail.next;
        if after.is_none() {
            break;
        }
    }
    let found: Vec<_> = members.iter().map(|member| member.fingerprint).collect();
    let expected: Vec<_> = alerts.iter().map(|alert| alert.fingerprint()).collect();
    assert_eq!(found, expected, "every member once, in the order in which they joined");
    assert_eq!((members[24].count, members[24].last_seen), (2, scene.now()));
    assert!(members[23].resolved && !members[22].resolved);
    for unknown in ["0123456789abcdef-1", "nonsense", ""] {
        let missing = scene.store().storm(unknown.to_owned(), Page { limit: 4, after: None }).await;
        assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{unknown}: {missing:?}");
    }
}

pub async fn storms_are_listed_the_newest_first<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    for namespace in ["a", "b", "c", "d", "e"] {
        scene.fire_each(&pods(namespace, "Crash", 10)).await;
        scene.pass(SECOND);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = scene.store().storms(Page { limit: 2, after }).await.unwrap();
        found.extend(page.items.into_iter().map(|storm| storm.request.namespace.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["e", "d", "c", "b", "a"]);
}

pub async fn a_storm_survives_a_crash_with_its_members_and_counts<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 14);
    scene.fire_each(&alerts[..12]).await;
    scene.fire_each(&alerts[..3]).await;
    scene.send_resolved(&alerts[5]).await;
    let before = scene.only_request().await;
    scene.crash().await;
    let mut after = scene.only_request().await;
    assert!(after.state.epoch > before.state.epoch, "a new writer has a higher epoch");
    (after.state.epoch, after.state.sequence) = (before.state.epoch, before.state.sequence);
    assert_eq!(after, before);
    assert_eq!(scene.fire(&alerts[6]).await.kind, Duplicate);
    assert_eq!(scene.fire(&alerts[12]).await.kind, Aggregated);
    scene.pass(5 * MINUTE);
    let reference = &before.doc.reference;
    let ended = scene.wait_for(reference, "it ends", |it| storm_of(it).ended_at.is_some()).await;
    scene.crash().await;
    let still = scene.request(reference).await;
    assert_eq!(storm_of(&still), storm_of(&ended));
    assert_eq!((storm_of(&still).alert_count, still.state.occurrences), (13, 17));
}

pub async fn held_requests_survive_a_crash_and_are_published<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let decisions = scene.fire_each(&pods("shop", "Crash", 6)).await;
    assert_eq!(of_kind(&decisions, Accepted), 5);
    scene.crash().await;
    scene.only_request().await;
    scene.pass(SECOND);
    assert_eq!(counted(&scene.wait_for_requests(6).await), 6);
}

pub async fn held_requests_become_members_after_a_crash_too<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 15);
    scene.fire_each(&alerts[..6]).await;
    scene.crash().await;
    scene.fire_each(&alerts[6..]).await;
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    let request = scene.only_request().await;
    assert_eq!((storm_of(&request).alert_count, request.state.occurrences), (15, 15));
    eventually("nothing waits to be published", async || match scene.store().stats().publish_pending {
        0 => Ok(()),
        pending => Err(pending),
    })
    .await;
}
