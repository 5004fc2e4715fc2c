//! New or known: the silence timer, repeats, resolved alerts, and why.

use std::collections::HashSet;

use seawall_model::{DecisionKind, Severity};
use seawall_store::StoreError;

use crate::support::{Alert, MINUTE, SECOND, START, Scene, StoreUnderTest, counted, of_kind, pods};

use DecisionKind::{Created, Duplicate, Resolved};

pub async fn a_repeat_names_the_request_and_carries_count_and_times<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    let first = scene.fire(&alert).await;
    assert_eq!((first.kind, first.count), (Created, 1));
    scene.pass(2 * MINUTE);
    let repeat = scene.fire(&alert).await;
    assert_eq!((repeat.kind, repeat.count, &repeat.request), (Duplicate, 2, &first.request));
    assert_eq!((repeat.first_seen, repeat.last_seen), (START, START + 2 * MINUTE));
    let state = scene.only_request().await.state;
    assert_eq!((state.occurrences, state.first_seen, state.last_seen), (2, START, START + 2 * MINUTE));
}

pub async fn a_hundred_identical_alerts_at_once_are_one_request<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let alerts = vec![Alert::new("shop", "Crash", "web-0"); 100];
    let decisions = scene.fire_at_once(&alerts).await;
    assert_eq!((of_kind(&decisions, Created), of_kind(&decisions, Duplicate)), (1, 99));
    let counts: HashSet<u64> = decisions.iter().map(|decision| decision.count).collect();
    assert_eq!(counts, (1..=100).collect());
    assert_eq!(scene.only_request().await.state.occurrences, 100);
}

/// Fired 9:00, 9:03, 9:06: ends 9:11, so the one at 9:12 is new.
pub async fn the_timer_restarts_with_every_signal<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    let mut decisions = vec![scene.fire(&alert).await];
    for minutes in [3, 3, 6] {
        scene.pass(minutes * MINUTE);
        decisions.push(scene.fire(&alert).await);
    }
    let kinds: Vec<_> = decisions.iter().map(|decision| decision.kind).collect();
    assert_eq!(kinds, [Created, Duplicate, Duplicate, Created]);
    assert_eq!(decisions[2].request, decisions[0].request);
    assert_ne!(decisions[3].request, decisions[0].request);
    let counts: Vec<u64> = scene.requests().await.iter().map(|request| request.state.occurrences).collect();
    assert_eq!(counts, [3, 1]);
    scene.pass(5 * MINUTE - 1);
    assert_eq!(scene.fire(&alert).await.kind, Duplicate, "a millisecond before the timer ends");
    scene.pass(5 * MINUTE);
    assert_eq!(scene.fire(&alert).await.kind, Created, "when the timer ends");
}

pub async fn a_resolved_alert_creates_nothing<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let resolved = scene.resolve(&Alert::new("shop", "Crash", "web-0")).await;
    assert_eq!((resolved.kind, resolved.request, resolved.count), (Resolved, None, 0));
    assert!(scene.requests().await.is_empty());
}

pub async fn a_flapping_alert_stays_one_request<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    for _ in 0..10 {
        scene.send(&alert).await;
        assert_eq!(scene.only_request().await.state.resolved_at, None);
        scene.pass(MINUTE);
        let resolved = scene.resolve(&alert).await;
        assert_eq!((resolved.kind, resolved.request.is_some()), (Resolved, true));
        assert_eq!(scene.only_request().await.state.resolved_at, Some(scene.now()));
        let at = scene.now();
        scene.pass(SECOND);
        scene.send_resolved(&alert).await;
        assert_eq!(scene.only_request().await.state.resolved_at, Some(at), "resolved once is resolved");
    }
    // A resolved signal does not restart the timer either.
    let last_seen = scene.only_request().await.state.last_seen;
    scene.pass((last_seen + 5 * MINUTE - 1) - scene.now());
    scene.send_resolved(&alert).await;
    scene.pass(1);
    assert_eq!(scene.fire(&alert).await.kind, Created);
}

pub async fn severity_rises_and_never_falls<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    for (sent, shown) in [
        (Severity::Info, Severity::Info),
        (Severity::Critical, Severity::Critical),
        (Severity::Warning, Severity::Critical),
    ] {
        let signal = alert.clone().with_severity(sent).firing();
        scene.deliver(vec![signal]).await;
        assert_eq!(scene.only_request().await.state.severity, shown);
    }
    let priority = alert.with_severity(Severity::Critical).firing().priority;
    assert_eq!(scene.only_request().await.state.priority, priority);
}

pub async fn a_new_incident_names_the_request_before_it<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    let first = scene.fire(&alert).await.request.unwrap();
    assert_eq!(scene.request(&first).await.doc.previous, None);
    scene.pass(6 * MINUTE);
    let second = scene.fire(&alert).await.request.unwrap();
    assert!(second.id.generation > first.id.generation);
    assert_eq!(second.id.prefix, first.id.prefix);
    assert_eq!(scene.request(&first).await.state.occurrences, 1, "a finished request is never reused");
}

/// Case, unicode, separators and long names make different problems.
pub async fn problems_that_look_alike_are_kept_apart<S: StoreUnderTest>() {
    let scene = Scene::<S>::without_rules().await;
    let long = "n".repeat(4_000);
    let alerts = [
        Alert::new("shop", "Crash", "web"),
        Alert::new("shop", "crash", "web"),
        Alert::new("shop", "Crash", "web:0"),
        Alert::new("shop", "Crash:web", "0"),
        Alert::new("shop", "Crash\\", "web"),
        Alert::new("shop", "Größe", "wéb"),
        Alert::new("shop", "Gro\u{308}ße", "wéb"),
        Alert::new("shop", "Crash", ""),
        Alert::new("shop", &long, "web"),
        Alert::new("shop", &format!("{long}n"), "web"),
        Alert::new("Not A Label", "Crash", "web"),
        Alert::new("", "Crash", "web"),
        Alert::new("shop", "Crash", "web").in_cluster("east"),
    ];
    let decisions = scene.fire_together(&alerts).await;
    assert_eq!(of_kind(&decisions, Created), alerts.len());
    let requests = scene.requests().await;
    assert_eq!(requests.len(), alerts.len());
    for alert in &alerts {
        let found = requests.iter().find(|request| request.doc.fingerprint == alert.fingerprint()).unwrap();
        assert_eq!(found.doc.identity, alert.firing().identity);
    }
    let decisions = scene.fire_together(&alerts).await;
    assert!(decisions.iter().all(|decision| (decision.kind, decision.count) == (Duplicate, 2)));
}

pub async fn the_clock_going_back_neither_ends_nor_reopens_anything<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    scene.send(&alert).await;
    scene.pass(-60 * MINUTE);
    let repeat = scene.fire(&alert).await;
    assert_eq!((repeat.kind, repeat.last_seen), (Duplicate, START), "a problem's time never goes back");
    // The burst of a storm goes on as if the clock stood still.
    scene.fire_each(&pods("shop", "Crash", 12)[1..]).await;
    let requests = scene.requests().await;
    assert_eq!((requests.len(), counted(&requests)), (1, 13));
    scene.pass(60 * MINUTE + 5 * MINUTE - 1);
    assert_eq!(scene.fire(&alert).await.kind, Duplicate);
}

pub async fn repeats_across_a_crash_count_on<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    let first = scene.fire(&alert).await.request;
    for count in 2..6 {
        scene.pass(2 * MINUTE);
        scene.crash().await;
        let repeat = scene.fire(&alert).await;
        assert_eq!((repeat.kind, repeat.count, &repeat.request), (Duplicate, count, &first));
        assert_eq!(repeat.first_seen, START);
    }
    assert_eq!(scene.only_request().await.state.occurrences, 5);
}

pub async fn explain_tells_why<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 10);
    scene.fire_each(&alerts[..2]).await;
    let held = scene.store().explain(alerts[1].fingerprint()).await.unwrap();
    assert!(held.open && held.request.is_none() && held.storm.is_none());
    assert_eq!(held.decisions[0].decision, "accepted");
    scene.fire_each(&alerts[2..]).await;
    scene.pass(SECOND);
    scene.send(&alerts[9]).await;
    scene.send_resolved(&alerts[9]).await;
    let member = scene.store().explain(alerts[9].fingerprint()).await.unwrap();
    let request = scene.only_request().await;
    assert_eq!(member.request.as_ref(), Some(&request.doc.reference));
    assert_eq!(member.storm.as_ref().unwrap().alert_count, 10);
    assert_eq!(member.identity, alerts[9].firing().identity);
    let words: Vec<&str> = member.decisions.iter().map(|decision| decision.decision).collect();
    assert_eq!(words, ["aggregated", "duplicate", "resolved"]);
    let why = &member.decisions[0];
    assert_eq!(why.rule.as_deref(), Some("namespace-rate"));
    assert!(why.reason.contains("10") && why.reason.contains("60 s"), "{}", why.reason);
    assert!(member.decisions.is_sorted_by_key(|decision| decision.at));
}

pub async fn explain_tells_of_problems_that_have_left_memory<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::without_rules().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    let reference = scene.fire(&alert).await.request.unwrap();
    scene.pass(60 * MINUTE);
    scene.subject.settle().await;
    let explained = scene.store().explain(alert.fingerprint()).await.unwrap();
    assert!(!explained.open);
    assert_eq!(explained.request, Some(reference));
    assert_eq!(explained.identity, alert.firing().identity);
    assert_eq!(explained.decisions.first().unwrap().decision, "created");
    assert_eq!(explained.decisions.last().unwrap().decision, "ended");
}

pub async fn explain_knows_nothing_of_strangers<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    scene.send(&Alert::new("shop", "Crash", "web-0")).await;
    let stranger = scene.store().explain(Alert::new("shop", "Crash", "web-1").fingerprint()).await;
    assert!(matches!(stranger, Err(StoreError::NotFound { .. })), "{stranger:?}");
}
