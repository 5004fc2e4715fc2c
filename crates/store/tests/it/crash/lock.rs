//! One process per data directory.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{array, thread};

use seawall_store::StateStore;

use super::{content, opened, refusal};
use crate::support::Alert;

#[tokio::test]
async fn a_second_store_on_the_same_directory_is_refused_and_told_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let first = opened(directory.path()).unwrap();
    first.decide(vec![Alert::new("shop", "Crash", "web-0").firing()]).await.unwrap();
    let reason = refusal(directory.path());
    assert!(reason.contains(&format!("process {}", std::process::id())), "{reason}");
    assert!(reason.contains(&directory.path().display().to_string()), "{reason}");
    assert!(reason.contains("--data-dir"), "it says what to do: {reason}");
    assert_eq!(content(&first).await.len(), 1, "the first one is not disturbed");
    first.decide(vec![Alert::new("shop", "Crash", "web-0").firing()]).await.unwrap();
}

#[tokio::test]
async fn another_process_that_holds_the_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    opened(directory.path()).unwrap().close().await.unwrap();
    let lock = directory.path().join("lock");
    // Holds the lock until its standard input ends.
    let mut holder = Command::new("flock")
        .arg(&lock)
        .args(["sh", "-c", "echo $$ > \"$0\"; echo locked; read -r _"])
        .arg(&lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`flock` of util-linux is there");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    assert_eq!(line, "locked\n");
    let pid = std::fs::read_to_string(&lock).unwrap();
    let reason = refusal(directory.path());
    assert!(reason.contains(&format!("process {}", pid.trim())), "{reason}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    opened(directory.path()).unwrap();
}

#[tokio::test]
async fn the_lock_is_free_as_soon_as_closing_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..10 {
        let store = opened(directory.path()).unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_child_that_is_started_while_the_store_closes_does_not_keep_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let start_children = |ended: Arc<AtomicBool>| {
        while !ended.load(Ordering::Relaxed) {
            assert!(Command::new("true").status().unwrap().success());
        }
    };
    let children: [_; 4] = array::from_fn(|_| {
        let ended = Arc::clone(&ended);
        thread::spawn(move || start_children(ended))
    });
    let mut refused = Vec::new();
    for _ in 0..300 {
        match opened(directory.path()) {
            Ok(store) => store.close().await.unwrap(),
            Err(error) => refused.push(error),
        }
    }
    ended.store(true, Ordering::Relaxed);
    children.into_iter().for_each(|child| child.join().unwrap());
    assert!(refused.is_empty(), "{} of 300, such as {:?}", refused.len(), refused[0]);
}
