//! A full disk is said and survived, in the same process.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use seawall_model::{DecisionKind, ManualClock, Policy, Signal};
use seawall_store::{EmbeddedStore, StateStore, StoreError};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::content;
use crate::embedded::open;
use crate::support::{Alert, START, counted, eventually};

/// A memory file system of a few megabytes, unmounted when it is dropped.
struct SmallDisk {
    path: TempDir,
}

impl SmallDisk {
    fn mount() -> Self {
        let path = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(path.path()).output();
        let output = mount.expect("`mount` can be run");
        assert!(
            output.status.success(),
            "what happens on a full disk can only be tested where a small one may be mounted, as root: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { path }
    }

    fn data(&self) -> PathBuf {
        self.path.path().join("data")
    }

    /// Takes all the space there is but for `spare` bytes.
    fn fill(&self, spare: u64) {
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(spare)).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for the store of a failed test may still have files open here.
        let _ = Command::new("umount").arg("--lazy").arg(self.path.path()).status();
    }
}

fn signals(namespace: &str, from: usize, count: usize) -> Vec<Signal> {
    let noise = |nth: usize| format!("{{\"labels\":{{\"a\":\"{}\"}}}}", noise(nth));
    let alert = |nth: usize| {
        Alert::new(namespace, &format!("Alert{nth}"), &format!("web-{nth}")).with_payload(noise(nth)).firing()
    };
    (from..from + count).map(alert).collect()
}

/// Text that does not get smaller, a little over a kilobyte.
fn noise(seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 59) as u8 % 26)
    };
    (0..1_200).map(|_| letter()).collect()
}

/// Sends batches of five until one is not taken. Says how many signals were.
async fn send_until_full(store: &EmbeddedStore, namespace: &str) -> (u64, String) {
    for batch in 0..10_000 {
        match store.decide(signals(namespace, batch * 5, 5)).await {
            Ok(_) => {}
            Err(StoreError::Unavailable { reason, .. }) => return (batch as u64 * 5, reason),
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk does not run full");
}

async fn wait_until_back(store: &Arc<EmbeddedStore>) {
    eventually("the store works again", async || {
        let health = store.health();
        if health.available { Ok(()) } else { Err(health) }
    })
    .await;
}

/// Without rules nothing is held back, so that everything that is durable can be seen.
fn opened(path: &Path) -> Arc<EmbeddedStore> {
    let policy = Policy { rules: Vec::new(), ..Policy::default() };
    open(path, &policy, &ManualClock::at(START)).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_full_disk_refuses_everything_and_loses_nothing() {
    let disk = SmallDisk::mount();
    let store = opened(&disk.data());
    let mut changes = store.changes();
    store.decide(signals("before", 0, 5)).await.unwrap();
    disk.fill(64 * 1024);
    let (taken, reason) = send_until_full(&store, "full").await;
    assert!(reason.contains("No space left"), "{reason}");
    let health = store.health();
    assert!(!health.available, "{health:?}");
    assert!(health.reason.unwrap().contains("No space left"));
    // While it lasts every call is answered, quickly, and says why.
    for _ in 0..3 {
        let refused = store.decide(signals("full", 0, 1)).await;
        assert!(
            matches!(&refused, Err(StoreError::Unavailable { reason, .. }) if !reason.is_empty()),
            "{refused:?}"
        );
        let page = seawall_store::Page { limit: 1, after: None };
        assert!(store.requests(Default::default(), page).await.is_err_and(|error| error.is_retryable()));
    }
    assert_eq!(store.stats().outages, 1, "an outage is counted when it begins");
    disk.free();
    wait_until_back(&store).await;
    let found = counted(&content(&store).await);
    // The batch whose answer was an error may have become durable; then all of it did.
    assert!(found == 5 + taken || found == 10 + taken, "{found} are counted, {} were answered", 5 + taken);
    let again = store.decide(signals("full", 0, 5)).await.unwrap();
    assert!(again.iter().all(|decision| decision.kind == DecisionKind::Duplicate && decision.count == 2));
    eventually("the outage is in the statistics", async || {
        let stats = store.stats();
        if stats.outage_seconds > 0.0 { Ok(()) } else { Err(stats) }
    })
    .await;
    while changes.try_recv().is_ok() {}
    let expected = content(&store).await;
    store.close().await.unwrap();
    assert_eq!(content(&opened(&disk.data())).await, expected);
}

/// Callers of all sizes while the disk runs full and is freed, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_runs_full_again_and_again_never_loses_what_was_answered() {
    let disk = SmallDisk::mount();
    let store = opened(&disk.data());
    let mut answered = 0;
    let mut refused = 0;
    for round in 0..6 {
        disk.fill(20 * 1024 * (1 + round));
        let mut callers = JoinSet::new();
        for caller in 0..12 {
            let store = store.clone();
            callers.spawn(async move {
                let size = 1 + caller % 7;
                let (mut answered, mut refused) = (0, 0);
                for nth in 0..6 {
                    let namespace = format!("team-{round}-{caller}");
                    match store.decide(signals(&namespace, nth * size, size)).await {
                        Ok(decisions) => answered += decisions.len() as u64,
                        Err(StoreError::Unavailable { .. }) => refused += size as u64,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                (answered, refused)
            });
        }
        for (one, other) in callers.join_all().await {
            (answered, refused) = (answered + one, refused + other);
        }
        disk.free();
        wait_until_back(&store).await;
    }
    assert!(refused > 0, "the disk never ran full");
    let found = counted(&content(&store).await);
    assert!(
        (answered..=answered + refused).contains(&found),
        "{found} found, {answered} answered, {refused} refused"
    );
}
