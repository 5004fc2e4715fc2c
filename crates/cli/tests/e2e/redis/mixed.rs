//! Several replicas on one Redis under everything at once, while replicas are killed and all of them stand still at times.

use std::sync::Arc;
use std::time::Duration;

use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Deadline, Random, Seawall, SeawallBuilder};

use super::{clients, listed_everywhere, replicas, senders, storms};
use crate::load::{CONFIG, Load, STORMS, balanced};
use crate::support::{SOON, lasting, scene_alone};

const LENGTH: Duration = Duration::from_secs(12);
const LEAST_FAULTS: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_of_two_replicas_balance_whoever_is_killed_or_stands_still() {
    the_books_balance(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_of_three_replicas_balance_whoever_is_killed_or_stands_still() {
    the_books_balance(3).await;
}

async fn the_books_balance(count: usize) {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let redis = RedisServer::start(&scene, "redis").await;
    // Short enough a lease that others take over from whoever was killed, or stands still, in the middle of this.
    let recipe = |it: SeawallBuilder| it.config(CONFIG).redis(&redis).redis_option("publishLease", "2s");
    let mut replicas = replicas(&scene, count, recipe).await;
    let clients = clients(&replicas);
    let load = Load::start(Arc::default(), &senders(&clients), &mut random);

    let clock = Deadline::after(LENGTH);
    let mut faults = 0;
    while faults < LEAST_FAULTS || !clock.is_over() {
        load.goes_on(random.between(1..600)).await;
        fault(&mut replicas, &redis, &mut random).await;
        faults += 1;
    }
    load.goes_on(100).await;
    let book = load.stop().await;

    for client in &clients {
        let ledger = balanced(&book, client).await;
        assert_eq!(storms(&ledger.requests), STORMS, "every storm is one request");
    }
    let listed = listed_everywhere(&clients, "").await.len();
    println!(
        "{faults} faults, {} acknowledged, {} without a clear answer, {listed} requests",
        book.acknowledged(),
        book.unknown()
    );
    assert!(book.acknowledged() > 1_000, "there was load: {}", book.acknowledged());
    assert_eq!(redis.keys_without_expiry(), [""; 0]);

    // Nothing of it was in the replicas.
    replicas.iter_mut().for_each(Seawall::kill9);
    for replica in &mut replicas {
        replica.restart().await;
        book.assert_balanced(&replica.client()).await;
    }
}

/// Lets something fail and come back.
async fn fault(replicas: &mut [Seawall], redis: &RedisServer, random: &mut Random) {
    let replica = random.between(0..replicas.len() as u64) as usize;
    let replica = &mut replicas[replica];
    match random.between(0..10) {
        0..3 => {
            replica.kill9();
            replica.restart().await;
        }
        3 => {
            replica.terminate();
            assert!(replica.exited(SOON).await.success());
            replica.restart().await;
        }
        4..6 => {
            redis.pause();
            lasting(Duration::from_millis(random.between(200..2_000))).await;
            redis.resume();
        }
        6..8 => {
            replica.process().signal("STOP");
            lasting(Duration::from_millis(random.between(200..3_000))).await;
            replica.process().signal("CONT");
        }
        8 => redis.script_flush(),
        _ => {
            // Whatever is on its way in these connections is lost, and messages to watchers and publishers are.
            for kind in ["normal", "pubsub"] {
                redis.ask::<u64>(&["CLIENT", "KILL", "TYPE", kind]);
            }
        }
    }
}
