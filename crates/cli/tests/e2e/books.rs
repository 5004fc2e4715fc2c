//! Nothing that was acknowledged is lost and nothing is counted twice, whenever the process is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use seawall_testkit::{AccountBook, Alert, Client, Deadline, Ledger, Lost, Random, eventually, until};
use tokio::task::JoinSet;

use crate::support::{SOON, scene_alone};

/// Problems that are made up before they repeat: the list of requests is read whole, again and again.
const NEW_PROBLEMS: u64 = 6_000;
const KNOWN_PROBLEMS: u64 = 200;
const STORMS: u64 = 4;
const PODS_PER_STORM: u64 = 500;

/// Long enough a hold to be met by kills. Grouped by name too, so that only the storms below are storms.
const CONFIG: &str = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 10, hold: 300ms, flush: 200ms}]}";

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
    let load = Load::start(Arc::default(), &seawall.client(), 32, &mut random);

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
    let load = Load::start(Arc::default(), &seawall.client(), 32, &mut random);
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
        let load = Load::start(Arc::clone(&book), &seawall.client(), 4, &mut random);
        let goal = book.acknowledged() + random.between(1..100);
        until(Duration::from_secs(2), || async { book.acknowledged() >= goal }).await;
        seawall.kill9();
        load.stop().await;
        seawall.restart().await;
        balanced(&book, &seawall.client()).await;
    }
}

/// Waits until what is held has been published and the books balance.
async fn balanced(book: &AccountBook, client: &Client) -> Ledger {
    eventually(SOON, || async {
        let ledger = Ledger::read(client).await;
        let errors = book.errors(&ledger);
        if errors.is_empty() {
            return Ok(ledger);
        }
        let first = errors[..errors.len().min(10)].join("\n");
        Err(format!(
            "{} errors, acknowledged {}, unknown {}, counted {}; the first:\n{first}",
            errors.len(),
            book.acknowledged(),
            book.unknown(),
            ledger.total()
        ))
    })
    .await
}

/// Clients that send new problems, repeats, storms and resolutions, each the next as soon as the last is answered.
struct Load {
    book: Arc<AccountBook>,
    stopped: Arc<AtomicBool>,
    senders: JoinSet<()>,
}

impl Load {
    fn start(book: Arc<AccountBook>, client: &Client, senders: usize, random: &mut Random) -> Self {
        let stopped = Arc::<AtomicBool>::default();
        let problems = Arc::<AtomicU64>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..senders {
            let sender = Sender {
                book: Arc::clone(&book),
                stopped: Arc::clone(&stopped),
                problems: Arc::clone(&problems),
                client: client.clone(),
                random: random.fork(),
            };
            tasks.spawn(sender.run());
        }
        Self { book, stopped, senders: tasks }
    }

    async fn stop(self) -> Arc<AccountBook> {
        self.stopped.store(true, Ordering::Relaxed);
        self.senders.join_all().await;
        self.book
    }
}

struct Sender {
    book: Arc<AccountBook>,
    stopped: Arc<AtomicBool>,
    problems: Arc<AtomicU64>,
    client: Client,
    random: Random,
}

impl Sender {
    async fn run(mut self) {
        while !self.stopped.load(Ordering::Relaxed) {
            let alerts = self.next_body();
            if let Err(Lost::NotSent(_)) = self.book.fire(&self.client, &alerts).await {
                self.until_it_is_back().await;
            }
        }
    }

    async fn until_it_is_back(&self) {
        until(SOON, || async {
            self.stopped.load(Ordering::Relaxed) || self.client.get("/healthz").await.is_ok()
        })
        .await;
    }

    fn next_body(&mut self) -> Vec<Alert> {
        let alerts = if self.random.between(0..10) == 0 { self.random.between(2..20) } else { 1 };
        (0..alerts).map(|_| self.next_alert()).collect()
    }

    fn next_alert(&mut self) -> Alert {
        match self.random.between(0..20) {
            0..6 => {
                let problem = self.problems.fetch_add(1, Ordering::Relaxed) % NEW_PROBLEMS;
                Alert::new(&format!("New{problem}"), &format!("tenant-{}", problem % 50), "web-0")
            }
            6..12 => self.known(),
            12..19 => {
                let storm = self.random.between(0..STORMS);
                let pod = self.random.between(0..PODS_PER_STORM);
                Alert::new("PodCrashLooping", &format!("storm-{storm}"), format!("web-{pod}"))
            }
            _ => self.known().resolved(),
        }
    }

    fn known(&mut self) -> Alert {
        let known = self.random.between(0..KNOWN_PROBLEMS);
        Alert::new(&format!("Known{known}"), &format!("tenant-{}", known % 50), "web-0")
    }
}
