//! The stream of changes.

use std::time::Duration;

use seawall_store::ChangeKind;
use seawall_testkit::{Alert, Event};

use crate::fake::FakeStore;
use crate::server::{SOON, Server};

/// Long enough for an event that must not come, as far as one can tell.
const MOMENT: Duration = Duration::from_millis(200);

async fn fire(server: &Server, names: &[&str]) {
    let alerts: Vec<_> = names.iter().map(|name| Alert::new(name, "prod", "web-1")).collect();
    assert_eq!(server.client().fire(&alerts).await.unwrap().status, 201);
}

fn brief(event: Option<Event>) -> (String, String, String) {
    let event = event.expect("an event");
    let name = event.request().spec.signal_name;
    (event.kind, name, event.id)
}

fn event(kind: &str, name: &str, id: &str) -> (String, String, String) {
    (kind.to_owned(), name.to_owned(), id.to_owned())
}

#[tokio::test]
async fn a_watch_begins_with_what_exists_and_goes_on_with_what_changes() {
    let server = Server::start().await;
    fire(&server, &["One"]).await;
    fire(&server, &["Two"]).await;
    let mut watch = server.watch("", None).await;
    assert_eq!(brief(watch.next(SOON).await), event("ADDED", "One", "1"));
    assert_eq!(brief(watch.next(SOON).await), event("ADDED", "Two", "2"));
    fire(&server, &["Three"]).await;
    assert_eq!(brief(watch.next(SOON).await), event("ADDED", "Three", "3"));
    server.store.touch("One");
    server.store.announce(ChangeKind::Modified, &["One"]);
    assert_eq!(brief(watch.next(SOON).await), event("MODIFIED", "One", "4"));
    server.store.touch("Two");
    server.store.announce(ChangeKind::Deleted, &["Two"]);
    assert_eq!(brief(watch.next(SOON).await), event("DELETED", "Two", "5"));
    assert_eq!(watch.next(MOMENT).await, None);
}

#[tokio::test]
async fn a_watch_resumes_after_the_last_event_without_gap_or_repetition() {
    let server = Server::start().await;
    fire(&server, &["One"]).await;
    let mut watch = server.watch("", None).await;
    let (_, _, id) = brief(watch.next(SOON).await);
    drop(watch);
    fire(&server, &["Two"]).await;
    for mut watch in
        [server.watch("", Some(&id)).await, server.watch(&format!("&resourceVersion={id}"), None).await]
    {
        assert_eq!(brief(watch.next(SOON).await), event("ADDED", "Two", "2"));
        assert_eq!(watch.next(MOMENT).await, None);
    }
    let mut done = server.watch("", Some("2")).await;
    assert_eq!(done.next(MOMENT).await, None);
}

#[tokio::test]
async fn changes_of_one_commit_carry_an_id_only_when_all_of_them_are_sent() {
    let server = Server::start().await;
    fire(&server, &["One"]).await;
    fire(&server, &["Two"]).await;
    let mut watch = server.watch("", Some("2")).await;
    let revision = server.store.touch("One");
    server.store.touch_at("Two", revision);
    server.store.announce(ChangeKind::Modified, &["One", "Two"]);
    assert_eq!(brief(watch.next(SOON).await), event("MODIFIED", "One", ""));
    assert_eq!(brief(watch.next(SOON).await), event("MODIFIED", "Two", "3"));
}

#[tokio::test]
async fn a_watch_that_fell_behind_catches_up() {
    let server = Server::start().await;
    fire(&server, &["One"]).await;
    let mut watch = server.watch("", Some("1")).await;
    let revision = server.store.touch("One");
    // More than the channel holds, in one go.
    server.store.announce(ChangeKind::Modified, &["One"; 100]);
    let (_, name, id) = brief(watch.next(SOON).await);
    assert_eq!((name.as_str(), id), ("One", revision.to_string()));
    fire(&server, &["Two"]).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, name, _): &(String, String, String)| name != "Two") {
        seen.push(brief(watch.next(SOON).await));
    }
    assert_eq!(seen.last(), Some(&event("ADDED", "Two", "3")));
}

#[tokio::test]
async fn what_a_worker_has_taken_up_is_not_new_after_a_break() {
    let server = Server::start().await;
    fire(&server, &["One"]).await;
    fire(&server, &["Two"]).await;
    let request = &server.client().requests("").await;
    let one = request.iter().find(|request| request.spec.signal_name == "One").unwrap();
    server.client().set_phase("prod", one.metadata.name.as_ref().unwrap(), "Analyzing").await;
    let mut watch = server.watch("", Some("0")).await;
    assert_eq!(brief(watch.next(SOON).await), event("MODIFIED", "One", "1"));
    assert_eq!(brief(watch.next(SOON).await), event("ADDED", "Two", "2"));
}

#[tokio::test]
async fn a_client_that_has_seen_more_than_there_is_gets_everything() {
    let server = Server::start().await;
    fire(&server, &["One"]).await;
    fire(&server, &["Two"]).await;
    server.store.lose_everything();
    fire(&server, &["Three"]).await;
    let mut watch = server.watch("", Some("2")).await;
    assert_eq!(brief(watch.next(SOON).await), event("ADDED", "Three", "1"));
}

#[tokio::test]
async fn a_filtered_watch_has_only_what_was_asked_for() {
    let server = Server::start().await;
    let mut watch = server.watch("&namespace=shop", None).await;
    let mut storms = server.watch("&storm=true", None).await;
    fire(&server, &["One"]).await;
    server.client().fire(&[Alert::new("Two", "shop", "web-1")]).await.unwrap();
    assert_eq!(brief(watch.next(SOON).await), event("ADDED", "Two", "2"));
    assert_eq!(storms.next(MOMENT).await, None);
}

#[tokio::test]
async fn a_change_that_is_announced_behind_one_of_no_interest_is_not_lost() {
    let server = Server::start().await;
    fire(&server, &["One"]).await;
    server.client().fire(&[Alert::new("Two", "shop", "web-1")]).await.unwrap();
    let mut everything = server.watch("", Some("2")).await;
    let mut filtered = server.watch("&namespace=shop", Some("2")).await;
    let revision = server.store.touch("One");
    server.store.touch_at("Two", revision);
    server.store.announce(ChangeKind::Modified, &["One"]);
    assert_eq!(brief(everything.next(SOON).await), event("MODIFIED", "One", "3"));
    server.store.announce(ChangeKind::Modified, &["Two"]);
    assert_eq!(brief(filtered.next(SOON).await), event("MODIFIED", "Two", "3"));
    assert_eq!(brief(everything.next(SOON).await), event("MODIFIED", "Two", "3"));
}

#[tokio::test]
async fn a_list_of_several_pages_is_sent_in_order_of_revision() {
    let server = Server::start().await;
    server.client().fire(&Alert::pods("Many", "prod", 1100)).await.unwrap();
    let mut watch = server.watch("", None).await;
    for revision in 1..=1100 {
        let (kind, _, id) = brief(watch.next(SOON).await);
        assert_eq!((kind.as_str(), id), ("ADDED", revision.to_string()));
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_is_503_and_a_wrong_id_400() {
    let server = Server::start().await;
    let wrong = [("last-event-id", "yesterday")];
    let answer =
        server.client().send(http::Method::GET, "/api/v1/requests?watch=true", &wrong, "").await.unwrap();
    assert_eq!(answer.status, 400);
    server.store.fail(Some(FakeStore::unavailable()));
    assert_eq!(server.client().get("/api/v1/requests?watch=true").await.unwrap().status, 503);
}
