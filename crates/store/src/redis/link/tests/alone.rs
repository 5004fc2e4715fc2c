//! One server that is always the same.

use super::*;
use crate::redis::link::Heard;

#[tokio::test]
async fn a_script_runs_whether_the_server_knows_it_or_not() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let linked = Linked::to(&server).await;
    assert_eq!(linked.count().await.unwrap(), done(), "the server does not know it yet");
    assert_eq!(linked.count().await.unwrap(), done(), "known");
    server.script_flush();
    assert_eq!(linked.count().await.unwrap(), done(), "forgotten");
    assert_eq!(server.ask::<i64>(&["GET", KEY]), 3, "each call ran once");
    linked.close().await;
}

#[tokio::test]
async fn an_error_of_a_script_is_one_of_the_call_and_no_outage() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let linked = Linked::to(&server).await;
    let fails = |source: &str, class| {
        let (links, script) = (Arc::clone(&linked.links), Script::new(source));
        async move {
            let error = links.run(&script, KEY, &[], true).await.unwrap_err();
            assert_eq!(error.class, class, "{}", error.reason);
        }
    };
    fails("return redis.error_reply('SEAWALL SUPERSEDED by format 2')", Failure::Superseded).await;
    fails("return nothing.at.all", Failure::Protocol).await;
    assert!(linked.links.health().available);
    assert_eq!(linked.links.outages().0, 0);
    linked.close().await;
}

#[tokio::test]
async fn other_commands_are_sent_in_one_piece_and_answered_in_order() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let linked = Linked::to(&server).await;
    let mut several = command(&["SET", KEY, "7", "PX", "60000"]);
    several.cmd("GET").arg(KEY).cmd("PTTL").arg(KEY);
    let answers = linked.links.pipe(&several, KEY).await.unwrap();
    assert_eq!(answers[..2], [Value::Okay, Value::BulkString(b"7".to_vec())]);
    let error = linked.links.pipe(&command(&["HGET", KEY, "x"]), KEY).await.unwrap_err();
    assert!(error.class == Failure::Protocol && error.reason.starts_with("WRONGTYPE"), "{}", error.reason);
    let here = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
    let there = linked.links.server_time().await.unwrap();
    assert!(here.abs_diff(there) < 60_000_000, "{here} {there}");
    linked.close().await;
}

#[tokio::test]
async fn calls_of_one_partition_stay_in_order() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let linked = Linked::to(&server).await;
    let append = Script::new("return redis.call('RPUSH', KEYS[1], ARGV[1])");
    linked.links.run(&append, "seawall:1:{a}:list", &[b"0"], true).await.unwrap();
    let calls = (1..100).map(|n: u32| {
        let (links, append, n) = (&linked.links, &append, n.to_string());
        async move { links.run(append, "seawall:1:{a}:list", &[n.as_bytes()], true).await.unwrap() }
    });
    futures_util::future::join_all(calls).await;
    let list: Vec<u32> = server.ask(&["LRANGE", "seawall:1:{a}:list", "0", "-1"]);
    assert_eq!(list, (0..100).collect::<Vec<_>>());
    linked.close().await;
}

#[tokio::test]
async fn a_subscriber_hears_messages_and_is_told_of_every_gap() {
    let directory = directory();
    let mut server = RedisServer::start_in(directory.path(), "redis").await;
    let linked = Linked::to(&server).await;
    let mut heard = linked.links.subscribe("seawall:1:changes".to_owned());
    let next = async |heard: &mut tokio::sync::mpsc::Receiver<Heard>| {
        tokio::time::timeout(PATIENCE, heard.recv()).await.expect("something is heard in time").unwrap()
    };
    assert_eq!(next(&mut heard).await, Heard::Gap);
    linked.links.pipe(&command(&["PUBLISH", "seawall:1:changes", "one"]), KEY).await.unwrap();
    assert_eq!(next(&mut heard).await, Heard::Message(b"one".to_vec()));
    server.restart().await;
    assert_eq!(next(&mut heard).await, Heard::Gap);
    linked.recovered().await;
    linked.links.pipe(&command(&["PUBLISH", "seawall:1:changes", "two"]), KEY).await.unwrap();
    assert_eq!(next(&mut heard).await, Heard::Message(b"two".to_vec()));
    linked.close().await;
    assert_eq!(heard.recv().await, None, "ends with the store");
}
