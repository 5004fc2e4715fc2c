//! Whatever happens to the server, nothing that is not in it is acknowledged, and everything goes on when it is back.

use std::sync::Arc;
use std::time::Duration;

use seawall_testkit::redis::{LossyWire, RedisServer};
use seawall_testkit::{
    AccountBook, Alert, Client, Deadline, Outcome, Random, Scene, Seawall, eventually, free_port,
};

use super::{clients, fire_everywhere, listed_everywhere, replicas, senders};
use crate::load::{CONFIG, Load, balanced};
use crate::support::{SOON, count_status, fire, lasting, occurrences, samples, scene, scene_alone};

/// `state.redis.timeout` is a second; the rest is for a loaded machine.
const ANSWERED_WITHIN: Duration = Duration::from_millis(2_500);
/// A probe looks every 200 ms or so; the rest is for a loaded machine.
const BACK_WITHIN: Duration = Duration::from_secs(5);
const STORE: &str = "store=\"redis\"";
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_start_without_the_server_ends_and_says_what_is_missing() {
    let scene = scene().await;
    let url = format!("redis://127.0.0.1:{}", free_port());
    let builder = scene.seawall("seawall").redis_option("urls", &url).redis_option("timeout", "200ms");
    let refusal = builder.try_start().await.expect_err("there is no server");
    assert_eq!(refusal.code, Some(1));
    let place = url.trim_start_matches("redis://");
    assert!(refusal.said.contains(place) && refusal.said.contains("nobody listens"), "{}", refusal.said);
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_is_about_to_come() {
    let scene = scene().await;
    let mut redis = RedisServer::start(&scene, "redis").await;
    redis.kill9();
    let seawall = scene.seawall("seawall").redis(&redis).redis_option("timeout", "5s");
    let (seawall, ()) = tokio::join!(seawall.start(), redis.restart());
    assert_eq!(fire(&seawall.client(), &Alert::new("DiskFull", "prod", "db-0")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_with_its_data_loses_nothing() {
    let scene = scene_alone().await;
    let redis = RedisServer::builder(scene.path(), "redis").arg("appendonly", "yes");
    let mut redis = redis.arg("appendfsync", "always").start().await;
    let trial = Trial::start(&scene, &redis).await;
    let load = trial.load().await;
    redis.kill9();
    trial.refuses(Duration::from_secs(1), &["refused", "reset"], &load).await;
    redis.restart().await;
    trial.recovers(&load).await;
    trial.has_everything(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_for_ten_seconds_loses_nothing() {
    let scene = scene_alone().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let trial = Trial::start(&scene, &redis).await;
    let load = trial.load().await;
    redis.pause();
    trial.refuses(Duration::from_secs(10), &["timeout"], &load).await;
    redis.resume();
    trial.recovers(&load).await;
    trial.has_everything(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_out_of_memory_loses_nothing() {
    let scene = scene_alone().await;
    let redis = RedisServer::start(&scene, "redis").await;
    redis.set_config("maxmemory-policy", "noeviction");
    let trial = Trial::start(&scene, &redis).await;
    let load = trial.load().await;
    // The load itself fills what is left.
    redis.set_config("maxmemory", &(redis.memory() + 256 * 1024).to_string());
    trial.until_unavailable(&["out_of_memory"]).await;
    // At the very edge a small write can still succeed.
    redis.set_config("maxmemory", "1");
    trial.refuses(Duration::from_secs(1), &["out_of_memory"], &load).await;
    redis.set_config("maxmemory", "0");
    trial.recovers(&load).await;
    trial.has_everything(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_is_used_again_and_the_loss_is_said_and_counted() {
    let scene = scene().await;
    let mut redis = RedisServer::start(&scene, "redis").await;
    let trial = Trial::start(&scene, &redis).await;
    let alerts = Alert::pods("DiskFull", "prod", 3);
    fire_everywhere(&trial.clients, &alerts).await;
    redis.restart().await;
    for client in &trial.clients {
        until_ready(client).await;
        eventually(SOON, || async {
            match samples(client).await.sum("seawall_state_losses_total", &[STORE]) {
                1.0 => Ok(()),
                other => Err(format!("{other} losses are counted")),
            }
        })
        .await;
    }
    for replica in &trial.replicas {
        let said = replica.process().output();
        assert_eq!(said.matches("has lost its data").count(), 1, "{said}");
    }
    // Goes on from nothing: a problem that still fires is a new one.
    let answers = fire_everywhere(&trial.clients, &alerts[..1]).await;
    assert_eq!(count_status(&answers, 201), 1);
    let requests = listed_everywhere(&trial.clients, "").await;
    assert_eq!(requests.iter().map(occurrences).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_get_lost_on_the_way_from_the_server_are_asked_for_again_and_count_once() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let wire = LossyWire::start(redis.port()).await;
    let seawall = scene.seawall("seawall").redis_option("urls", &wire.url()).start().await;
    let client = seawall.client();
    let alerts: Vec<_> = (0..40).map(|at| Alert::new("DiskFull", &format!("tenant-{at}"), "db-0")).collect();
    for alert in &alerts {
        wire.lose_next_answer();
        let answer = fire(&client, alert).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        wire.lose_next_answer();
        let answer = fire(&client, alert).await;
        assert_eq!(answer.json()["metadata"]["count"], 2, "{}", answer.text());
    }
    // The last loss may be still to come; nobody loses anything on the way to another replica.
    let other = scene.seawall("other").redis(&redis).start().await;
    let counts: Vec<_> = other.client().requests("").await.iter().map(occurrences).collect();
    assert_eq!(counts, [2; 40]);
}

/// Two replicas that something happens to.
struct Trial {
    replicas: Vec<Seawall>,
    clients: Vec<Client>,
}

impl Trial {
    async fn start(scene: &Scene, redis: &RedisServer) -> Self {
        let replicas = replicas(scene, 2, |it| it.config(CONFIG).redis(redis)).await;
        Self { clients: clients(&replicas), replicas }
    }

    /// Load that is well on its way.
    async fn load(&self) -> Load {
        let mut random = Random::new();
        println!("seed {}", random.seed());
        let load = Load::start(Arc::default(), &senders(&self.clients), &mut random);
        load.goes_on(300).await;
        load
    }

    /// Waits until every replica has noticed, and says so.
    async fn until_unavailable(&self, classes: &[&str]) {
        for client in &self.clients {
            eventually(SOON, || async { is_unready(client).await }).await;
            // Calls that may be repeated fail a little later.
            eventually(ANSWERED_WITHIN, || async {
                let samples = samples(client).await;
                let of = |class: &&str| {
                    let class = format!("class=\"{class}\"");
                    samples.sum("seawall_state_errors_total", &[STORE, &class])
                };
                if classes.iter().map(of).sum::<f64>() > 0.0 {
                    Ok(())
                } else {
                    Err(format!("no errors of {classes:?} are counted"))
                }
            })
            .await;
            assert!(samples(client).await.sum("seawall_state_outages_total", &[STORE]) >= 1.0);
        }
    }

    /// Nothing is acknowledged as long as this lasts, and every sender learns so soon.
    async fn refuses(&self, length: Duration, classes: &[&str], load: &Load) {
        let clock = Deadline::after(length);
        self.until_unavailable(classes).await;
        // What was on its way has been answered after this round.
        self.refuses_once(&load.book).await;
        let acknowledged = load.book.acknowledged();
        while !clock.is_over() {
            self.refuses_once(&load.book).await;
            for client in &self.clients {
                is_unready(client).await.expect("it stays unready");
                assert_eq!(client.get("/healthz").await.expect("an answer").status, 200);
                let samples = samples(client).await;
                assert_eq!(samples.sum("seawall_state_available", &[STORE]), 0.0);
            }
            lasting(BETWEEN_ROUNDS).await;
        }
        assert_eq!(load.book.acknowledged(), acknowledged, "nothing was acknowledged meanwhile");
        for client in &self.clients {
            let seconds = outage_seconds(client).await;
            assert!(seconds > length.as_secs_f64() / 2.0, "{seconds} s of {length:?} are counted");
        }
    }

    async fn refuses_once(&self, book: &AccountBook) {
        let refused = |at| Alert::new("Refused", &format!("refused-{at}"), "web-0");
        let alerts: Vec<_> = (0..20).map(refused).collect();
        // It may be counted: its answer can have been lost on the way from the server to the replica.
        book.note(&alerts, Outcome::Unknown);
        let clock = Deadline::after(ANSWERED_WITHIN);
        for answer in fire_everywhere(&self.clients, &alerts).await {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.retry_after().is_some_and(|seconds| seconds >= 1), "{:?}", answer.headers);
        }
        assert!(!clock.is_over(), "it took {:?} to refuse", clock.elapsed());
    }

    /// The same processes take alerts again.
    async fn recovers(&self, load: &Load) {
        let clock = Deadline::after(BACK_WITHIN);
        for client in &self.clients {
            until_ready(client).await;
        }
        assert!(!clock.is_over(), "it took {:?} to come back", clock.elapsed());
        load.goes_on(300).await;
        for client in &self.clients {
            let samples = samples(client).await;
            assert_eq!(samples.sum("seawall_state_available", &[STORE]), 1.0);
            let seconds = samples.sum("seawall_state_outage_seconds_total", &[STORE]);
            assert_eq!(outage_seconds(client).await, seconds, "the outage is over");
        }
    }

    async fn has_everything(self, load: Load) {
        let book = load.stop().await;
        for client in &self.clients {
            balanced(&book, client).await;
        }
        listed_everywhere(&self.clients, "").await;
    }
}

async fn is_unready(client: &Client) -> Result<(), String> {
    let answer = client.get("/readyz").await.map_err(|lost| lost.to_string())?;
    let check = answer.json()["checks"]["stateStore"].as_str().unwrap_or_default().to_owned();
    match answer.status.as_u16() {
        503 if check.starts_with("unavailable: ") => Ok(()),
        status => Err(format!("/readyz answers {status} and says {check:?}")),
    }
}

async fn until_ready(client: &Client) {
    eventually(SOON, || async {
        match client.get("/readyz").await.expect("an answer").status.as_u16() {
            200 => Ok(()),
            other => Err(format!("/readyz answers {other}")),
        }
    })
    .await;
}

async fn outage_seconds(client: &Client) -> f64 {
    samples(client).await.sum("seawall_state_outage_seconds_total", &[STORE])
}
