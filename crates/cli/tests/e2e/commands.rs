//! The commands with which people look at a server and work on requests.

use std::process::Command;

use seawall_testkit::{Alert, Process, Scene, eventually};
use serde_json::Value;

use crate::repeats::until_released;
use crate::support::{Ended, SOON, fire, fire_at_once, name_of, occurrences, run, scene};

#[tokio::test]
async fn the_demo_shows_fifteen_alerts_become_one_request_and_what_that_saves() {
    let scene = scene().await;
    let ended = run(&scene, &["demo"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("15 alerts -> 1 request"), "{}", ended.said);
    assert!(ended.said.contains("$1.50 -> $0.10"), "{}", ended.said);
}

/// Runs a command against the server and expects it to succeed.
async fn ask(scene: &Scene, server: &str, args: &[&str]) -> String {
    let ended = run(scene, args, &[("SEAWALL_URL", server)]).await;
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.said);
    ended.said
}

async fn ask_json(scene: &Scene, server: &str, args: &[&str]) -> Value {
    let said = ask(scene, server, &[args, &["-o", "json"]].concat()).await;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error} in {said}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_storms_are_shown_to_people_and_to_programs() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let (client, server) = (seawall.client(), seawall.url(""));
    assert!(
        ask(&scene, &server, &["requests"]).await.contains("No requests"),
        "nothing is said to be nothing"
    );
    fire_at_once(&client, &Alert::pods("PodCrashLooping", "prod", 15)).await;
    fire(&client, &Alert::new("DiskFull", "shop", "db-0")).await;
    let requests = client.requests("").await;
    let storm = requests.iter().find(|request| request.spec.is_storm).expect("a storm");
    let (name, full) = (name_of(storm), format!("prod/{}", name_of(storm)));

    let table = ask(&scene, &server, &["requests", "list"]).await;
    assert!(
        table.contains(name) && table.contains("PodCrashLooping") && table.contains("DiskFull"),
        "{table}"
    );
    let storms_only = ask(&scene, &server, &["requests", "--storm"]).await;
    assert!(storms_only.contains(name) && !storms_only.contains("DiskFull"), "{storms_only}");
    let list = ask_json(&scene, &server, &["requests", "-n", "shop"]).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["spec"]["signalName"], "DiskFull");
    let one = ask(&scene, &server, &["requests", "get", &full]).await;
    assert!(one.contains("PodCrashLooping in prod") && one.contains("15"), "{one}");
    assert_eq!(ask_json(&scene, &server, &["requests", "get", &full]).await["metadata"]["name"], name);

    let storms = ask(&scene, &server, &["storms"]).await;
    assert!(storms.contains("PodCrashLooping in prod") && storms.contains("namespace-rate"), "{storms}");
    let storms = ask_json(&scene, &server, &["storms", "list"]).await;
    let id = storms["items"][0]["id"].as_str().expect("an id");
    let members = ask(&scene, &server, &["storms", "get", id]).await;
    assert!(members.contains("web-0") && members.contains("web-14"), "{members}");

    let member = Alert::new("PodCrashLooping", "prod", "web-3").fingerprint().to_string();
    let why = ask(&scene, &server, &["explain", &member]).await;
    assert!(why.contains("threshold") && why.contains(&full), "{why}");
    assert_eq!(ask_json(&scene, &server, &["explain", &full]).await["requestRef"]["name"], name);
}

#[tokio::test]
async fn a_worker_finishes_a_request_from_the_command_line() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config("dedup: {ttl: 1h, cooldown: 1s}").start().await;
    let (client, server) = (seawall.client(), seawall.url(""));
    let alert = Alert::new("DiskFull", "prod", "db-0");
    let created = fire(&client, &alert).await.json();
    let full = format!("prod/{}", created["remediationRequestName"].as_str().expect("a name"));

    ask(&scene, &server, &["requests", "set-phase", &full, "Executing", "--message", "on it"]).await;
    let shown = ask_json(&scene, &server, &["requests", "get", &full]).await;
    assert_eq!(
        (&shown["status"]["overallPhase"], &shown["status"]["message"]),
        (&"Executing".into(), &"on it".into())
    );
    ask(&scene, &server, &["requests", "set-phase", &full, "Completed"]).await;
    assert!(ask(&scene, &server, &["requests", "--phase", "completed"]).await.contains("DiskFull"));

    until_released(&client, &alert).await;
    assert_eq!(fire(&client, &alert).await.status, 201);
    let requests = client.requests("").await;
    assert_eq!(requests.iter().map(occurrences).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn a_watch_prints_requests_as_they_come() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    fire(&client, &Alert::new("Before", "prod", "web-0")).await;
    let mut command = Command::new(scene.binary());
    command.args(["requests", "watch", "--server", &seawall.url("")]).current_dir(scene.path());
    let watch = Process::spawn("watch", &mut command, &scene.path().join("watch.log"), None);
    let prints = async |text: &str| {
        eventually(SOON, || async {
            let output = watch.output();
            if output.contains(text) { Ok(()) } else { Err(format!("{text} is not printed: {output}")) }
        })
        .await;
    };
    prints("Before").await;
    fire(&client, &Alert::new("After", "prod", "web-0")).await;
    prints("After").await;
}

#[tokio::test]
async fn what_does_not_exist_or_does_not_answer_ends_with_one_and_a_sentence() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let server = seawall.url("");
    let unknown =
        run(&scene, &["requests", "get", "prod/rr-00000000000000ab-7"], &[("SEAWALL_URL", &server)]).await;
    assert!(unknown.said.contains("rr-00000000000000ab-7 does not exist"), "{}", unknown.said);
    let nowhere = run(&scene, &["requests"], &[("SEAWALL_URL", "http://127.0.0.1:9")]).await;
    assert!(nowhere.said.contains("127.0.0.1:9"), "{}", nowhere.said);
    for Ended { code, said } in [unknown, nowhere] {
        assert_eq!(code, Some(1), "{said}");
    }
}

#[tokio::test]
async fn the_remaining_commands_print_what_they_promise() {
    let scene = scene().await;
    scene.file("seawall.yaml", "dedup: {ttl: 7m}\n");
    for (args, expected) in [
        (&["version"][..], "0.1.0"),
        (&["--version"], "0.1.0"),
        (&["crd"], "remediationrequests.remediation.kubernaut.io"),
        (&["completions", "bash"], "complete"),
        (&["config", "check"], "seawall.yaml"),
        (&["config", "show"], "ttl: 7m"),
        (&["config", "schema"], "alertsPerBody"),
    ] {
        let ended = run(&scene, args, &[]).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.said);
        assert!(ended.said.contains(expected), "{args:?}: {}", ended.said);
    }
    scene.file("seawall.yaml", "dedup: {tll: 7m}\n");
    let wrong = run(&scene, &["config", "check"], &[]).await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.said);
    assert!(wrong.said.contains("did you mean `ttl`?"), "{}", wrong.said);
}
