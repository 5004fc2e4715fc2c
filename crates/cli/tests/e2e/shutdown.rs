//! Beginning and ending in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seawall_testkit::{
    AccountBook, Alert, Client, Ledger, Lost, Outcome, Raw, Seawall, Watch, eventually, request_head, until,
    webhook,
};
use tokio::task::JoinSet;

use crate::support::{SOON, fire, scene, scene_alone};

const CONFIG: &str = "server: {timeouts: {drainDelay: 2s, drain: 20s}}";
const UNFINISHED: usize = 20;
const SENDERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_was_begun_is_answered_when_it_is_asked_to_end_under_load() {
    let scene = scene_alone().await;
    let mut seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let client = seawall.client();
    let book = Arc::<AccountBook>::default();
    let terminated = Arc::<AtomicBool>::default();
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(send_until_refused(client.clone(), sender, Arc::clone(&book), Arc::clone(&terminated)));
    }
    let mut unfinished = begin_requests(&seawall).await;
    until(SOON, || async { book.acknowledged() > 500 }).await;

    terminated.store(true, Ordering::SeqCst);
    seawall.terminate();
    eventually(SOON, || async {
        match Client::new(seawall.address()).get("/readyz").await {
            Ok(answer) if answer.status == 503 => Ok(()),
            Ok(answer) => Err(format!("readiness says {}", answer.status)),
            Err(lost) => panic!("it stopped listening before readiness had said so: {lost}"),
        }
    })
    .await;
    let late = fire(&Client::new(seawall.address()), &Alert::new("Late", "late", "web-0")).await;
    assert_eq!(late.status, 201, "not ready, but not deaf");
    book.note(&[Alert::new("Late", "late", "web-0")], Outcome::Acknowledged);

    for (raw, rest, alert) in &mut unfinished {
        assert!(raw.send(&*rest).await, "the connection is still open");
        let answer = raw.read_answer(SOON).await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        book.note(std::slice::from_ref(alert), Outcome::Acknowledged);
    }
    senders.join_all().await;
    let status = seawall.exited(SOON).await;
    assert!(status.success(), "{status}");

    seawall.restart().await;
    eventually(SOON, || async {
        let ledger = Ledger::read(&client).await;
        let errors = book.errors(&ledger);
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    })
    .await;
}

/// Requests of which the second half is not sent yet.
async fn begin_requests(seawall: &Seawall) -> Vec<(Raw, Vec<u8>, Alert)> {
    let mut begun = Vec::new();
    for number in 0..UNFINISHED {
        let alert = Alert::new(&format!("Begun{number}"), &format!("begun-{number}"), "web-0");
        let body = webhook(std::slice::from_ref(&alert));
        let (first, rest) = body.split_at(body.len() / 2);
        let mut raw = Raw::connect(seawall.address()).await;
        raw.send(request_head("/webhook/prometheus", &format!("content-length: {}\r\n", body.len()))).await;
        raw.send(first).await;
        begun.push((raw, rest.to_vec(), alert));
    }
    begun
}

/// Sends until nobody listens any more. Before the end was asked for every alert must be answered.
async fn send_until_refused(
    client: Client,
    sender: usize,
    book: Arc<AccountBook>,
    terminated: Arc<AtomicBool>,
) {
    for number in 0.. {
        let alert = Alert::new(&format!("Load{}", number % 100), &format!("tenant-{sender}"), "web-0");
        let before = !terminated.load(Ordering::SeqCst);
        let result = book.fire(&client, std::slice::from_ref(&alert)).await;
        match result {
            Ok(answer) => assert!(answer.status.is_success(), "{}", answer.text()),
            Err(lost) if before => panic!("an answer was lost before the end was asked for: {lost}"),
            Err(Lost::NotSent(_)) => return,
            // A kept connection may be closed while the next request is on its way; nobody can tell beforehand.
            Err(Lost::Unknown(_)) => {}
        }
    }
}

#[tokio::test]
async fn it_ends_although_somebody_watches() {
    let scene = scene().await;
    let mut seawall = scene.seawall("seawall").start().await;
    let mut watch = seawall.client().watch().await;
    seawall.terminate();
    assert!(seawall.exited(SOON).await.success());
    assert_eq!(watch.next(SOON).await, None, "the stream was ended");
}

#[tokio::test]
async fn it_starts_from_nothing_says_where_it_listens_and_is_ready() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").any_port().start().await;
    let client = seawall.client();
    let readiness = client.document("/readyz").await;
    assert!(readiness["checks"].is_object(), "{readiness}");
    assert_eq!(fire(&client, &Alert::new("DiskFull", "prod", "db-0")).await.status, 201);
    let said = seawall.process().output();
    assert!(said.contains(&seawall.address().to_string()), "{said}");
    assert!(said.contains(&seawall.data_dir().display().to_string()), "{said}");
}

#[tokio::test]
async fn a_watcher_that_comes_back_continues_where_it_was() {
    let scene = scene().await;
    let mut seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let mut watch = client.watch().await;
    fire(&client, &Alert::new("First", "prod", "web-0")).await;
    let first = watch.next(SOON).await.expect("the first request");
    assert_eq!((first.kind.as_str(), first.request().spec.signal_name.as_str()), ("ADDED", "First"));
    drop(watch);
    fire(&client, &Alert::new("Second", "shop", "web-0")).await;

    let path = "/api/v1/requests?watch=true";
    let mut resumed = Watch::open(seawall.address(), path, Some(&first.id)).await;
    let second = resumed.next(SOON).await.expect("what was missed");
    assert_eq!(second.request().spec.signal_name, "Second", "what was seen is not sent again");

    seawall.kill9();
    seawall.restart().await;
    let mut after_crash = Watch::open(seawall.address(), path, Some(&first.id)).await;
    let mut seen = Vec::new();
    while !seen.contains(&"Second".to_owned()) {
        seen.push(after_crash.next(SOON).await.expect("what was missed").request().spec.signal_name);
    }
}
