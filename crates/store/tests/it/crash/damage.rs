//! Damage is found before anything is decided on less than what was acknowledged.

use std::path::Path;

use seawall_store::{RequestRecord, StateStore, StoreError};
use tempfile::TempDir;

use super::{content, journal, opened, refusal};
use crate::embedded::{Embedded, copy_data, fast_directory};
use crate::support::{Alert, Scene, StoreUnderTest, pods};

/// A directory with a storm, repeats, single requests and a report in its log, and what is in it.
async fn filled() -> (TempDir, Vec<RequestRecord>) {
    let mut scene = Scene::<Embedded>::start().await;
    scene.fire_each(&pods("shop", "Crash", 12)).await;
    scene.fire_each(&pods("shop", "Crash", 3)).await;
    let other = scene.fire(&Alert::new("pay", "Slow", "db-0")).await.request.unwrap();
    scene.report(&other, "Executing").await;
    scene.pass(2_000);
    scene.subject.settle().await;
    let left = scene.subject.power_loss();
    let store = opened(copy_of(left.path()).path()).unwrap();
    let expected = content(&store).await;
    (left, expected)
}

fn copy_of(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir_in(fast_directory()).unwrap();
    copy_data(directory, copy.path());
    copy
}

/// Opening a damaged directory is refused with a sentence, or what was damaged did not matter. Never anything between.
async fn is_noticed_or_harmless(damaged: &Path, expected: &[RequestRecord], what: &str) -> bool {
    match opened(damaged) {
        Err(StoreError::Refused { reason }) => {
            assert!(reason.contains("is damaged"), "{what}: {reason}");
            true
        }
        Err(error) => panic!("{what}: {error:?}"),
        Ok(store) => {
            let found = content(&store).await;
            let lost = expected.iter().filter(|request| !found.contains(request)).count();
            assert!(
                lost == 0 && found.len() == expected.len(),
                "{what}: opened, but {lost} requests are not as they were"
            );
            false
        }
    }
}

#[tokio::test]
async fn a_damaged_byte_anywhere_in_the_log_is_noticed() {
    let (left, expected) = filled().await;
    let end = journal::end_of(&journal::newest(left.path()));
    let (mut noticed, mut all) = (0, 0);
    for at in (0..end).step_by(37) {
        let damaged = copy_of(left.path());
        journal::flip(&journal::newest(damaged.path()), at);
        let what = format!("byte {at} of {end}");
        noticed += u64::from(is_noticed_or_harmless(damaged.path(), &expected, &what).await);
        all += 1;
    }
    assert!(noticed * 10 > all * 9, "only {noticed} of {all} places are noticed");
}

#[tokio::test]
async fn a_hole_in_the_middle_of_the_log_is_refused() {
    let (left, _) = filled().await;
    let end = journal::end_of(&journal::newest(left.path()));
    for from in [0, end / 4, end / 2] {
        let damaged = copy_of(left.path());
        journal::erase(&journal::newest(damaged.path()), from, from + 200);
        let reason = refusal(damaged.path());
        assert!(reason.contains("damaged"), "{reason}");
    }
}

/// A log that has grown over several files can be damaged in one that is not the last: the last one still knows the
/// number of the last commit.
#[tokio::test]
async fn damage_in_an_older_journal_is_noticed() {
    let scene = Scene::<Embedded>::without_rules().await;
    scene.fire_each(&pods("shop", "Crash", 20)).await;
    let mut noise = 1u64;
    let mut nth = 0;
    while journal::journals(scene.subject.path()).len() < 2 {
        let alerts: Vec<Alert> = (0..50).map(|one| large(nth * 50 + one, &mut noise)).collect();
        scene.fire_together(&alerts).await;
        nth += 1;
        assert!(nth < 200, "the library does not begin new journals");
    }
    scene.fire_each(&pods("shop", "Slow", 20)).await;
    let left = scene.subject.power_loss();
    let expected = content(&opened(copy_of(left.path()).path()).unwrap()).await;
    assert_eq!(expected.len() as u64, 40 + nth * 50);
    let oldest = journal::end_of(&journal::journals(left.path())[0]);
    for (from, to) in [(2_000, 2_001), (oldest / 2, oldest / 2 + 100), (oldest - 40, oldest)] {
        let damaged = copy_of(left.path());
        journal::erase(&journal::journals(damaged.path())[0], from, to);
        is_noticed_or_harmless(damaged.path(), &expected, &format!("bytes {from} to {to} of {oldest}")).await;
    }
    let gone = copy_of(left.path());
    std::fs::remove_file(&journal::journals(gone.path())[0]).unwrap();
    is_noticed_or_harmless(gone.path(), &expected, "a journal that is gone").await;
}

/// An alert with a payload that cannot be compressed, to fill journals with few signals.
fn large(nth: u64, noise: &mut u64) -> Alert {
    let mut random = || {
        *noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (*noise >> 59) as u8 % 26)
    };
    let text: String = (0..15_000).map(|_| random()).collect();
    Alert::new("large", "Large", &format!("web-{nth}"))
        .with_payload(format!("{{\"labels\":{{\"a\":\"{text}\"}}}}"))
}

#[tokio::test]
async fn a_directory_whose_data_is_gone_is_refused() {
    let (left, _) = filled().await;
    let gone = copy_of(left.path());
    std::fs::remove_dir_all(gone.path().join("db")).unwrap();
    for _ in 0..2 {
        let reason = refusal(gone.path());
        assert!(reason.contains("was acknowledged"), "{reason}");
    }
    let emptied = copy_of(left.path());
    std::fs::remove_file(journal::newest(emptied.path())).unwrap();
    let reason = refusal(emptied.path());
    assert!(reason.contains("damaged"), "{reason}");
}

#[tokio::test]
async fn a_damaged_mark_is_refused() {
    let (left, _) = filled().await;
    let good = std::fs::read(left.path().join("high-water")).unwrap();
    let damages: [Vec<u8>; 5] = [
        b"x".to_vec(),
        good[..23].to_vec(),
        [b"SWMARK99", &good[8..]].concat(),
        good.iter().enumerate().map(|(at, byte)| if at == 15 { byte ^ 1 } else { *byte }).collect(),
        vec![0; 24],
    ];
    for damage in damages {
        let damaged = copy_of(left.path());
        std::fs::write(damaged.path().join("high-water"), &damage).unwrap();
        let reason = refusal(damaged.path());
        assert!(reason.contains("high-water"), "{reason}");
        assert_eq!(std::fs::read(damaged.path().join("high-water")).unwrap(), damage, "it is left as it was");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_unavailable() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("file"), b"in the way").unwrap();
    let refused = opened(&parent.path().join("file/data"));
    let Err(StoreError::Unavailable { reason, .. }) = refused.map(|_| ()) else {
        panic!("a file is no directory")
    };
    assert!(reason.contains("cannot make the data directory"), "{reason}");
    assert!(reason.contains("file/data"), "{reason}");
}

/// Closing is not what makes data durable.
#[tokio::test]
async fn a_store_that_is_dropped_without_closing_leaves_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path()).unwrap();
    store.decide(vec![Alert::new("shop", "Crash", "web-0").firing()]).await.unwrap();
    let expected = content(&store).await;
    drop(store);
    let again = crate::support::eventually("the directory is free again", async || {
        opened(directory.path()).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(content(&again).await, expected);
}
