//! Nothing that was acknowledged is lost and nothing is counted twice, whenever the process is killed.

use std::sync::Arc;
use std::time::Duration;

use seawall_testkit::{AccountBook, Client, Deadline, Random, until};

use crate::load::{CONFIG, Load, STORMS, Senders, balanced};
use crate::support::{SOON, scene_alone};

/// Problems that are made up before they repeat.
const NEW_PROBLEMS: u64 = 6_000;

/// How long the books are kept, and how often the process is killed meanwhile at least. `SEAWALL_TEST_QUICK` makes it
/// short, for people who are waiting.
fn extent() -> (Duration, u32) {
    match std::env::var_os("SEAWALL_TEST_QUICK") {
        Some(_) => (Duration::from_secs(10), 5),
        None => (Duration::from_secs(60), 30),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_to_the_unit_after_a_minute_of_random_kills() {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let mut seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let load = load(Arc::default(), seawall.client(), 32, &mut random);

    let (length, least_kills) = extent();
    let clock = Deadline::after(length);
    let mut kills = 0;
    while kills < least_kills || !clock.is_over() {
        let goal = load.book.acknowledged() + random.between(1..3_000);
        until(Duration::from_secs(2), || async { load.book.acknowledged() >= goal }).await;
        seawall.kill9();
        kills += 1;
        seawall.restart().await;
    }
    let book = load.stop().await;

    let client = seawall.client();
    let ledger = balanced(&book, &client).await;
    println!(
        "{kills} kills, {} acknowledged, {} without a clear answer, {} counted in {} requests",
        book.acknowledged(),
        book.unknown(),
        ledger.total(),
        ledger.requests.len()
    );
    assert!(book.acknowledged() > 5_000, "there was load: {}", book.acknowledged());
    let storms = ledger.requests.iter().filter(|request| request.spec.is_storm).count();
    assert_eq!(storms as u64, STORMS, "every storm is one request");

    seawall.kill9();
    seawall.restart().await;
    book.assert_balanced(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_exactly_when_every_answer_arrived_also_after_a_restart() {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let mut seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let load = load(Arc::default(), seawall.client(), 32, &mut random);
    until(SOON, || async { load.book.acknowledged() >= 10_000 }).await;
    let book = load.stop().await;

    assert_eq!(book.unknown(), 0);
    assert_eq!(balanced(&book, &seawall.client()).await.total(), book.acknowledged());
    seawall.terminate();
    assert!(seawall.exited(SOON).await.success());
    seawall.restart().await;
    assert_eq!(book.assert_balanced(&seawall.client()).await.total(), book.acknowledged());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_at_random_points_lose_nothing() {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let mut seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let book = Arc::<AccountBook>::default();
    for _ in 0..50 {
        let load = load(Arc::clone(&book), seawall.client(), 4, &mut random);
        let goal = book.acknowledged() + random.between(1..100);
        until(Duration::from_secs(2), || async { book.acknowledged() >= goal }).await;
        seawall.kill9();
        load.stop().await;
        seawall.restart().await;
        balanced(&book, &seawall.client()).await;
    }
}

fn load(book: Arc<AccountBook>, client: Client, count: usize, random: &mut Random) -> Load {
    let senders = Senders { clients: vec![client], count, problems: NEW_PROBLEMS, patience: SOON };
    Load::start(book, &senders, random)
}
