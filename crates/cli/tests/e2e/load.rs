//! Senders that send new problems, repeats, storms and resolutions, and an account book of what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use seawall_testkit::{AccountBook, Alert, Client, Ledger, Lost, Outcome, Random, eventually, until};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::SOON;

const KNOWN_PROBLEMS: u64 = 200;
pub const STORMS: u64 = 4;
const PODS_PER_STORM: u64 = 500;

/// Long enough a hold to be met by kills. Grouped by name too, so that only the storms below are storms.
pub const CONFIG: &str = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 10, hold: 300ms, flush: 200ms}]}";

/// How long a look at readiness may take: a replica that stands still does not say that it does.
const LOOK: Duration = Duration::from_secs(1);

/// Who sends what.
#[derive(Clone, Debug)]
pub struct Senders {
    /// One for each replica.
    pub clients: Vec<Client>,
    pub count: usize,
    /// Problems that are made up before they repeat: the list of requests is read whole, again and again.
    pub problems: u64,
    /// How long they wait for an answer before they send again.
    pub patience: Duration,
}

/// Clients that send each the next body as soon as the last one is acknowledged, by whichever replica.
pub struct Load {
    pub book: Arc<AccountBook>,
    stopped: Arc<AtomicBool>,
    senders: JoinSet<()>,
}

impl Load {
    pub fn start(book: Arc<AccountBook>, senders: &Senders, random: &mut Random) -> Self {
        let stopped = Arc::<AtomicBool>::default();
        let next_problem = Arc::<AtomicU64>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..senders.count {
            let sender = Sender {
                book: Arc::clone(&book),
                stopped: Arc::clone(&stopped),
                next_problem: Arc::clone(&next_problem),
                all: senders.clone(),
                random: random.fork(),
            };
            tasks.spawn(sender.run());
        }
        Self { book, stopped, senders: tasks }
    }

    /// Waits until so many more alerts have been acknowledged: everything works.
    pub async fn goes_on(&self, more: u64) {
        let goal = self.book.acknowledged() + more;
        eventually(SOON, || async {
            match self.book.acknowledged() {
                enough if enough >= goal => Ok(()),
                few => Err(format!("{few} are acknowledged and not {goal}")),
            }
        })
        .await;
    }

    /// Lets every sender end.
    pub async fn stop(self) -> Arc<AccountBook> {
        self.stopped.store(true, Ordering::Relaxed);
        timeout(SOON, self.senders.join_all()).await.expect("every sender ends");
        self.book
    }
}

struct Sender {
    book: Arc<AccountBook>,
    stopped: Arc<AtomicBool>,
    next_problem: Arc<AtomicU64>,
    all: Senders,
    random: Random,
}

impl Sender {
    async fn run(mut self) {
        while !self.is_stopped() {
            let alerts = self.next_body();
            while !self.deliver(&alerts).await && !self.is_stopped() {
                self.until_somebody_is_ready().await;
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Sends a body to some replica and says whether that has acknowledged it.
    async fn deliver(&mut self, alerts: &[Alert]) -> bool {
        let replica = self.random.between(0..self.all.clients.len() as u64) as usize;
        let sent = timeout(self.all.patience, self.all.clients[replica].fire(alerts)).await;
        let result = sent.unwrap_or_else(|late| Err(Lost::Unknown(late.into())));
        if let Ok(answer) = &result
            && !answer.status.is_success()
        {
            // Whatever else it were, a sender would take it for final, or not know when to come back.
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.retry_after().is_some(), "{}", answer.text());
        }
        let outcome = Outcome::of(&result);
        self.book.note(alerts, outcome);
        outcome == Outcome::Acknowledged
    }

    async fn until_somebody_is_ready(&self) {
        until(SOON, || async {
            for client in &self.all.clients {
                let asked = timeout(LOOK, client.get("/readyz")).await;
                if matches!(asked, Ok(Ok(answer)) if answer.status == 200) {
                    return true;
                }
            }
            self.is_stopped()
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
                let problem = self.next_problem.fetch_add(1, Ordering::Relaxed) % self.all.problems;
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

/// Waits until what is held has been published and the books balance.
pub async fn balanced(book: &AccountBook, client: &Client) -> Ledger {
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
