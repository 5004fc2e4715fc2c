//! A primary that is replaced by another one.

use seawall_testkit::redis::Sentinels;

use super::*;
use crate::redis::RedisMode;
use crate::redis::link::Heard;

fn options(sentinels: &Sentinels) -> RedisOptions {
    let mut options = RedisOptions::standalone("");
    options.urls = sentinels.urls();
    options.mode = RedisMode::Sentinel { master: sentinels.master_name().to_owned() };
    options
}

#[tokio::test]
async fn calls_and_messages_follow_the_primary() {
    let directory = directory();
    let mut sentinels = Sentinels::start_in(directory.path(), "ha").await;
    let linked = Linked::open(options(&sentinels)).await.unwrap();
    let mut heard = linked.links.subscribe("seawall:1:changes".to_owned());
    assert_eq!(heard.recv().await, Some(Heard::Gap));
    linked.count().await.unwrap();

    let old = sentinels.kill_primary();
    let error = linked.count().await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    let new = sentinels.failed_over(old).await;
    linked.recovered().await;
    assert_eq!(linked.links.outages().0, 1);
    assert_eq!(sentinels.servers()[new].ask::<i64>(&["EXISTS", KEY]), 1);
    assert_eq!(heard.recv().await, Some(Heard::Gap));
    linked.links.pipe(&command(&["PUBLISH", "seawall:1:changes", "new"]), KEY).await.unwrap();
    assert_eq!(heard.recv().await, Some(Heard::Message(b"new".to_vec())));

    // Asked for, without a crash: the old primary goes on answering, as a replica. The server that was killed takes
    // itself for a primary when it comes back, and nobody must believe it.
    sentinels.restart(old).await;
    linked.count().await.unwrap();
    sentinels.rejoined(old).await;
    sentinels.sentinels()[0].ask::<()>(&["SENTINEL", "FAILOVER", sentinels.master_name()]);
    let third = sentinels.failed_over(new).await;
    seawall_testkit::eventually(PATIENCE, || async {
        _ = linked.count().await;
        match sentinels.servers()[third].info::<String>("replication", "role").as_str() {
            "master" if linked.links.health().available => match linked.count().await {
                Ok(_) => Ok(()),
                Err(error) => Err(error.reason),
            },
            role => Err(format!("{role}, {:?}", linked.links.health())),
        }
    })
    .await;
    linked.close().await;
}

#[tokio::test]
async fn sentinels_that_are_gone_change_nothing_while_the_primary_stays() {
    let directory = directory();
    let mut sentinels = Sentinels::start_in(directory.path(), "ha").await;
    let linked = Linked::open(options(&sentinels)).await.unwrap();
    for sentinel in sentinels.sentinels_mut() {
        sentinel.kill9();
    }
    linked.count().await.unwrap();
    let primary = sentinels.servers()[0].process().pid();
    assert!(primary > 0);
    let mut admin = sentinels.servers()[0].connection();
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut admin).unwrap();
    linked.recovered().await;
    linked.close().await;
}
