//! A disk that takes no more: nothing is acknowledged, everybody is told, and it goes on by itself.

use std::process::Stdio;

use seawall_testkit::{AccountBook, Alert, Outcome, Samples, SmallDisk, eventually};

use crate::support::{SOON, fire, scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_nothing_is_acknowledged_until_there_is_space_again() {
    let scene = scene().await;
    let disk = SmallDisk::mount(&scene, "disk", 96);
    let mut seawall = scene.seawall("seawall").data_dir(disk.path().join("data")).start().await;
    let client = seawall.client();
    let book = AccountBook::default();
    let problem = |number: u32| Alert::new(&format!("Problem{number}"), &format!("tenant-{number}"), "web-0");
    book.fire(&client, &[problem(0)]).await.expect("an answer");

    disk.fill(0);
    let mut number = 0;
    let refused = loop {
        number += 1;
        assert!(number < 100_000, "the disk is full, and it goes on acknowledging");
        let alerts = [problem(number)];
        let answer = client.fire(&alerts).await.expect("an answer");
        if !answer.status.is_success() {
            // The commit that met the full disk may reach it when there is space again: then it is counted although it
            // was refused, never less (I1).
            book.note(&alerts, Outcome::Unknown);
            break answer;
        }
        book.note(&alerts, Outcome::Acknowledged);
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.retry_after().is_some_and(|seconds| seconds >= 1), "{:?}", refused.headers);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));

    for repeat in 0..10 {
        let answer = fire(&client, &problem(repeat)).await;
        assert_eq!(answer.status, 503, "repeats are not acknowledged either: {}", answer.text());
    }
    let readiness = client.get("/readyz").await.expect("an answer");
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("No space left"), "the reason is told: {}", readiness.text());
    assert_eq!(client.get("/healthz").await.expect("an answer").status, 200, "a restart would not help");

    disk.free();
    eventually(SOON, || async {
        let readiness = client.get("/readyz").await.expect("an answer");
        if readiness.status == 200 { Ok(()) } else { Err(readiness.text()) }
    })
    .await;
    for again in 0..=number {
        let answer = book.fire(&client, &[problem(again)]).await.expect("an answer");
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    let counted = book.assert_balanced(&client).await.total();
    assert!(counted <= book.acknowledged() + 1, "what was refused while the disk was full is not counted");
    let metrics = Samples::parse(&client.get("/metrics").await.expect("an answer").text());
    assert!(metrics.sum("seawall_state_outages_total", &[]) >= 1.0);
    assert!(metrics.sum("seawall_state_outage_seconds_total", &[]) > 0.0);
    assert!(metrics.sum("seawall_state_errors_total", &[]) >= 11.0);

    seawall.kill9();
    seawall.restart().await;
    assert_eq!(book.assert_balanced(&client).await.total(), counted);
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_refused_with_its_name() {
    let scene = scene().await;
    let disk = SmallDisk::read_only(&scene, "disk");
    let data = disk.path().join("data");
    let mut command = std::process::Command::new(scene.binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data).stdin(Stdio::null());
    let output = command.current_dir(scene.path()).output().expect("seawall can be started");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&data.display().to_string()) && said.contains("Read-only"), "{said}");
}
