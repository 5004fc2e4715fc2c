//! Looking at requests: pages, filters, revisions.

use std::collections::HashSet;

use seawall_model::{RequestRef, Timestamp};
use seawall_store::{ChangeKind, Page, RequestFilter, RequestRecord, StoreError};

use crate::support::{Alert, SECOND, Scene, StoreUnderTest, pods};

fn names(requests: &[RequestRecord]) -> Vec<RequestRef> {
    requests.iter().map(|request| request.doc.reference.clone()).collect()
}

fn everything() -> RequestFilter {
    RequestFilter::default()
}

/// Twenty single requests in each of three namespaces.
async fn sixty<S: StoreUnderTest>() -> Scene<S> {
    let scene = Scene::<S>::without_rules().await;
    for namespace in ["shop", "pay", "shop-2"] {
        scene.fire_together(&pods(namespace, "Crash", 20)).await;
    }
    scene
}

pub async fn requests_are_listed_by_namespace_and_name_page_by_page<S: StoreUnderTest>() {
    let scene = sixty::<S>().await;
    for limit in [1, 20, 59, 60, 61, 10_000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = scene.store().requests(everything(), Page { limit, after }).await.unwrap();
            assert!(page.items.len() <= limit);
            assert!(page.next.is_none() || page.items.len() == limit);
            found.extend(names(&page.items));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), 60, "in pages of {limit}");
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(shown.is_sorted(), "{shown:#?}");
        assert_eq!(shown.iter().collect::<HashSet<_>>().len(), 60);
    }
}

pub async fn a_list_can_be_narrowed_to_a_namespace<S: StoreUnderTest>() {
    let scene = sixty::<S>().await;
    for (namespace, expected) in [("shop", 20), ("pay", 20), ("shop-2", 20), ("sho", 0), ("", 0)] {
        let found = scene.requests_in(namespace).await;
        assert_eq!(found.len(), expected, "`{namespace}`");
        assert!(found.iter().all(|request| request.doc.reference.namespace == namespace));
    }
}

pub async fn a_list_can_be_narrowed_to_a_phase<S: StoreUnderTest>() {
    let scene = sixty::<S>().await;
    let all = names(&scene.requests().await);
    scene.report(&all[3], "AwaitingApproval").await;
    scene.report(&all[40], "awaiting-approval").await;
    scene.report(&all[59], "Completed").await;
    let of_phase = async |phase: &str| {
        names(&scene.list(RequestFilter { phase: Some(phase.to_owned()), ..everything() }).await)
    };
    for spelling in ["AwaitingApproval", "awaiting approval", "AWAITING_APPROVAL"] {
        assert_eq!(of_phase(spelling).await, [all[3].clone(), all[40].clone()]);
    }
    assert_eq!(of_phase("completed").await, [all[59].clone()]);
    assert_eq!(of_phase("").await.len(), 57, "no phase yet");
    assert!(of_phase("Failed").await.is_empty());
}

pub async fn a_list_can_be_narrowed_to_a_problem<S: StoreUnderTest>() {
    let mut scene = sixty::<S>().await;
    let alert = Alert::new("pay", "Crash", "web-7");
    scene.pass(600 * SECOND);
    scene.send(&alert).await;
    let filter = RequestFilter { fingerprint: Some(alert.fingerprint()), ..everything() };
    let found = scene.list(filter).await;
    assert_eq!(found.len(), 2, "the ended one and the open one");
    assert!(found.iter().all(|request| request.doc.fingerprint == alert.fingerprint()));
    let stranger = Alert::new("pay", "Crash", "web-70").fingerprint();
    let filter = RequestFilter { fingerprint: Some(stranger), ..everything() };
    assert!(scene.list(filter).await.is_empty());
}

pub async fn a_list_can_be_narrowed_to_storms_or_to_the_rest<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    scene.fire_together(&pods("shop", "Crash", 15)).await;
    scene.fire_together(&pods("pay", "Crash", 1)).await;
    for (storm, namespace) in [(true, "shop"), (false, "pay")] {
        let found = scene.list(RequestFilter { storm: Some(storm), ..everything() }).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].doc.reference.namespace, namespace);
    }
}

pub async fn a_list_can_be_narrowed_to_what_changed<S: StoreUnderTest>() {
    let scene = sixty::<S>().await;
    let all = scene.store().requests(everything(), Page { limit: 100, after: None }).await.unwrap();
    let since = |since| RequestFilter { since: Some(since), ..everything() };
    assert!(scene.list(since(all.revision)).await.is_empty());
    assert_eq!(scene.list(since(0)).await.len(), 60);
    let repeated = scene.fire(&Alert::new("shop", "Crash", "web-3")).await.request.unwrap();
    let created = scene.fire(&Alert::new("shop", "Crash", "new")).await.request.unwrap();
    let reported = all.items[30].doc.reference.clone();
    scene.report(&reported, "Executing").await;
    let changed: HashSet<RequestRef> = names(&scene.list(since(all.revision)).await).into_iter().collect();
    assert_eq!(changed, HashSet::from([repeated, created, reported]));
}

pub async fn filters_combine_and_pages_stay_full<S: StoreUnderTest>() {
    let scene = sixty::<S>().await;
    let shop = names(&scene.requests_in("shop").await);
    for reference in shop.iter().step_by(2) {
        scene.report(reference, "Executing").await;
    }
    scene.report(&names(&scene.requests_in("pay").await)[0], "Executing").await;
    let filter = RequestFilter {
        namespace: Some("shop".into()),
        phase: Some("executing".to_owned()),
        storm: Some(false),
        ..everything()
    };
    let first = scene.store().requests(filter.clone(), Page { limit: 6, after: None }).await.unwrap();
    let second = scene.store().requests(filter, Page { limit: 6, after: first.next }).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (6, 4, None));
    let found = [names(&first.items), names(&second.items)].concat();
    assert_eq!(found, shop.into_iter().step_by(2).collect::<Vec<_>>());
}

/// Else whoever lists and then watches from there misses what came between.
pub async fn a_list_contains_everything_up_to_its_revision<S: StoreUnderTest>() {
    let scene = Scene::<S>::without_rules().await;
    let mut changes = scene.store().changes();
    let writer = scene.store();
    let writing = tokio::task::JoinSet::from_iter([async move {
        for nth in 0..600 {
            let _ = writer
                .decide(vec![Alert::new("shop", "Crash", &format!("web-{nth}")).firing()])
                .await
                .unwrap();
        }
    }]);
    let mut lists = Vec::new();
    while lists.last().is_none_or(|list: &(u64, HashSet<RequestRef>)| list.1.len() < 600) {
        let page = scene.store().requests(everything(), Page { limit: 1_000, after: None }).await.unwrap();
        lists.push((page.revision, names(&page.items).into_iter().collect()));
    }
    writing.join_all().await;
    while let Ok(change) = changes.try_recv() {
        assert_eq!(change.kind, ChangeKind::Added);
        for (revision, listed) in &lists {
            assert!(
                change.revision > *revision || listed.contains(&change.reference),
                "{} was made in {}, a list says that it is up to {revision} but does not have it",
                change.reference,
                change.revision,
            );
        }
    }
}

pub async fn a_request_that_does_not_exist_is_not_found<S: StoreUnderTest>() {
    let mut scene = sixty::<S>().await;
    let one = names(&scene.requests().await).remove(0);
    assert_eq!(scene.request(&one).await.doc.reference, one);
    let mut unknown = one.clone();
    unknown.id.generation += 1;
    scene.pass(SECOND);
    for missing in [unknown, RequestRef { namespace: "shopping".into(), ..one }] {
        let found = scene.store().request(missing.clone()).await;
        assert!(matches!(found, Err(StoreError::NotFound { .. })), "{missing}: {found:?}");
    }
}

pub async fn a_held_request_is_not_listed<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    scene.fire_each(&pods("shop", "Crash", 2)).await;
    let held = Alert::new("shop", "Crash", "web-1").fingerprint();
    let filter = RequestFilter { fingerprint: Some(held), ..everything() };
    assert!(scene.list(filter.clone()).await.is_empty());
    scene.pass(SECOND);
    scene.wait_for_requests(2).await;
    let published = scene.list(filter).await;
    assert_eq!(published.len(), 1);
    let received: Timestamp = published[0].doc.received_time;
    assert_eq!(received, scene.now() - SECOND, "when the signal came, not when it was published");
}
