//! Power loss: what was acknowledged is there, what was torn was never acknowledged.

use seawall_model::DecisionKind;
use seawall_store::StateStore;
use tempfile::TempDir;

use super::{content, journal, opened, refusal};
use crate::embedded::{Embedded, copy_data, fast_directory};
use crate::support::{Alert, Scene, StoreUnderTest, counted, pods};

async fn scene() -> Scene<Embedded> {
    Scene::start().await
}

fn copy_of(directory: &TempDir) -> TempDir {
    let copy = tempfile::tempdir_in(fast_directory()).unwrap();
    copy_data(directory.path(), copy.path());
    copy
}

#[tokio::test]
async fn opening_and_closing_again_and_again_changes_nothing() {
    let scene = scene().await;
    scene.fire_each(&pods("shop", "Crash", 12)).await;
    scene.fire_each(&pods("pay", "Crash", 5)).await;
    let mut directory = scene.subject.power_loss();
    let first = opened(directory.path()).unwrap();
    let expected = content(&first).await;
    first.close().await.unwrap();
    for round in 0..20 {
        let store = opened(directory.path()).unwrap();
        assert_eq!(content(&store).await, expected, "after {round} rounds");
        if round % 2 == 0 {
            store.close().await.unwrap();
        } else {
            directory = copy_of(&directory);
        }
    }
}

#[tokio::test]
async fn a_new_directory_survives_power_loss_before_anything_was_decided() {
    let scene = scene().await;
    let left = scene.subject.power_loss();
    let store = opened(left.path()).unwrap();
    assert!(content(&store).await.is_empty());
}

/// The last commit is torn at every place, by cutting the file and by leaving zeros or noise where it was to be.
#[tokio::test]
async fn a_torn_last_record_that_was_not_acknowledged_is_dropped() {
    let scene = scene().await;
    scene.fire_each(&pods("shop", "Crash", 4)).await;
    let before = scene.subject.power_loss();
    let acknowledged = content(&opened(copy_of(&before).path()).unwrap()).await;
    let start = journal::end_of(&journal::newest(before.path()));
    scene.send(&Alert::new("pay", "Crash", "torn")).await;
    let after = scene.subject.power_loss();
    let end = journal::end_of(&journal::newest(after.path()));
    assert!(start < end);
    // As if the power had gone between the write and the mark.
    std::fs::copy(before.path().join("high-water"), after.path().join("high-water")).unwrap();
    for (nth, place) in (start..end).step_by(5).enumerate() {
        let torn = copy_of(&after);
        let newest = journal::newest(torn.path());
        match nth % 3 {
            0 => journal::cut(&newest, place),
            1 => journal::erase(&newest, place, end),
            _ => {
                journal::cut(&newest, place);
                journal::cut(&newest, place + 4096);
            }
        }
        let store = opened(torn.path()).unwrap_or_else(|error| panic!("torn at {place}: {error}"));
        assert_eq!(content(&store).await, acknowledged, "torn at {place}");
        // What is written behind a torn record must not be lost with it.
        let decision = store.decide(vec![Alert::new("pay", "Crash", "torn").firing()]).await.unwrap();
        assert_eq!(decision[0].kind, DecisionKind::Created);
        let again = opened(copy_of(&torn).path()).unwrap();
        assert_eq!(counted(&content(&again).await), counted(&acknowledged) + 1);
    }
}

/// The answer was on its way: the commit is whole but the mark is behind.
#[tokio::test]
async fn a_commit_whose_mark_was_not_written_is_kept() {
    let scene = scene().await;
    scene.send(&Alert::new("shop", "Crash", "web-0")).await;
    let before = scene.subject.power_loss();
    scene.send(&Alert::new("shop", "Slow", "web-0")).await;
    let after = scene.subject.power_loss();
    std::fs::copy(before.path().join("high-water"), after.path().join("high-water")).unwrap();
    let store = opened(after.path()).unwrap();
    store.decide(vec![Alert::new("shop", "Slow", "web-0").firing()]).await.unwrap();
    assert_eq!(counted(&scene.requests().await), counted(&content(&store).await));
}

#[tokio::test]
async fn a_log_that_is_shorter_than_what_was_acknowledged_is_refused() {
    let scene = scene().await;
    scene.fire_each(&pods("shop", "Crash", 4)).await;
    let left = scene.subject.power_loss();
    let end = journal::end_of(&journal::newest(left.path()));
    for lost in [1, 2, 9, 60, end / 2, end] {
        let cut = copy_of(&left);
        journal::cut(&journal::newest(cut.path()), end - lost);
        let reason = refusal(cut.path());
        assert!(reason.contains("is damaged") && reason.contains("acknowledged"), "{reason}");
        assert!(reason.contains("backup") && reason.contains("move it away"), "it says what to do: {reason}");
        // Refusing it must not make it look whole.
        refusal(cut.path());
    }
}

/// The mark is written without waiting for it; after a power loss it may be an old one or empty.
#[tokio::test]
async fn an_old_or_empty_mark_is_taken() {
    let scene = scene().await;
    let old = scene.subject.power_loss();
    scene.fire_each(&pods("shop", "Crash", 4)).await;
    let left = scene.subject.power_loss();
    std::fs::copy(old.path().join("high-water"), left.path().join("high-water")).unwrap();
    let store = opened(left.path()).unwrap();
    assert_eq!(content(&store).await.len(), 1);
    let left = scene.subject.power_loss();
    std::fs::write(left.path().join("high-water"), b"").unwrap();
    let store = opened(left.path()).unwrap();
    assert_eq!(content(&store).await.len(), 1);
}

/// Crashes with what earlier crashes left, while problems come and go and everything moves through all tables.
#[tokio::test]
async fn fifty_power_losses_in_a_row_lose_nothing() {
    let mut scene = scene().await;
    let mut sent = 0;
    for round in 0..50 {
        let alerts = pods(&format!("shop-{}", round % 7), "Crash", 1 + round % 13);
        scene.fire_together(&alerts).await;
        sent += alerts.len() as u64;
        scene.pass([100, 1_000, 30_000, 400_000][round % 4]);
        scene.subject.settle().await;
        scene.crash().await;
    }
    scene.pass(60_000);
    scene.subject.settle().await;
    assert_eq!(counted(&scene.requests().await), sent);
}
