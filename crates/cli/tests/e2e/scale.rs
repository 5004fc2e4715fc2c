//! Many problems at once, and many of one tenant beside few of another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_testkit::{Alert, Client, Deadline};
use tokio::task::JoinSet;

use crate::support::{SOON, count_status, fire, fire_at_once, scene_alone};

const REPETITIONS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_and_a_thousand_concurrent_problems_are_as_many_requests_fifty_times_in_a_row() {
    let scene = scene_alone().await;
    for repetition in 0..REPETITIONS {
        let seawall = scene.seawall(&format!("seawall-{repetition}")).start().await;
        let client = seawall.client();
        let mut expected = 0;
        for count in [100, 1_000] {
            // Different in name and namespace, so that no storm rule has a say.
            let alerts: Vec<_> = (0..count)
                .map(|at| Alert::new(&format!("Problem{at}"), &format!("tenant-{count}-{at}"), "web-0"))
                .collect();
            let answers = fire_at_once(&client, &alerts).await;
            assert_eq!(count_status(&answers, 201), count, "repetition {repetition}");
            expected += count;
            let requests = client.requests("").await;
            assert_eq!(requests.len(), expected, "repetition {repetition}");
            let counted: u64 =
                requests.iter().map(|request| request.spec.deduplication.occurrence_count).sum();
            assert_eq!(counted, expected as u64, "repetition {repetition}");
        }
    }
}

/// Senders that never wait, each with bodies of this many alerts.
const NOISY_SENDERS: usize = 4;
const NOISY_BODY: usize = 100;
const QUIET_ALERTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_noisy_namespace_does_not_delay_a_quiet_one() {
    let scene = scene_alone().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let noisy: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(true)));
    let mut senders = JoinSet::new();
    for sender in 0..NOISY_SENDERS {
        senders.spawn(make_noise(client.clone(), sender, noisy));
    }

    let mut late = Vec::new();
    for at in 0..QUIET_ALERTS {
        let alert = Alert::new("DiskFull", &format!("quiet-{at}"), "db-0");
        let clock = Deadline::after(SOON);
        let answer = fire(&client, &alert).await;
        // 201 says that the request exists, so it is published as fast as it is answered.
        assert_eq!(answer.status, 201, "{}", answer.text());
        late.extend(Some(clock.elapsed()).filter(|took| *took > Duration::from_millis(50)));
        assert_eq!(client.requests(&format!("namespace={}", alert.namespace)).await.len(), 1);
    }
    noisy.store(false, Ordering::Relaxed);
    println!("{} of {QUIET_ALERTS} answered late: {late:?}", late.len());
    let sent: usize = senders.join_all().await.into_iter().sum();
    assert!(sent > QUIET_ALERTS, "the noise was louder than the rest: {sent}");
    // The load comes from the same two cores, and one answer may meet a flush of the disk: most must be in time.
    assert!(late.len() * 10 <= QUIET_ALERTS, "{} of {QUIET_ALERTS} were answered late: {late:?}", late.len());
}

async fn make_noise(client: Client, sender: usize, on: &AtomicBool) -> usize {
    let mut sent = 0;
    while on.load(Ordering::Relaxed) {
        let alerts: Vec<_> = (0..NOISY_BODY)
            .map(|at| {
                Alert::new("PodCrashLooping", "noisy", format!("web-{sender}-{}", (sent + at) % 20_000))
            })
            .collect();
        let answer = client.fire(&alerts).await.expect("an answer");
        assert!(answer.status.is_success() || answer.status == 503, "{}", answer.text());
        sent += NOISY_BODY;
    }
    sent
}
