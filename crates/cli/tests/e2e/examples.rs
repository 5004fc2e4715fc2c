//! What people are told to try.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use seawall_testkit::Process;

use crate::support::scene;

/// The script gives up by itself before. `timeout` asks it to end then, so that it ends what it has started.
const GIVES_UP: &str = "240";
const ENDED_WITHIN: Duration = Duration::from_secs(270);

#[tokio::test]
async fn the_storm_in_a_cluster_shows_two_hundred_alerts_become_one_resource() {
    let scene = scene().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/storm-in-a-cluster");
    let left = scene.folder("left");
    let mut command = Command::new("timeout");
    command.arg(GIVES_UP).arg(script).env("SEAWALL", scene.binary()).env("TMPDIR", &left);
    let log = scene.path().join("script.log");
    let mut script = Process::spawn("storm-in-a-cluster", &mut command, &log, Some("coreutils"));
    let status = script.exited(ENDED_WITHIN).await;
    let output = script.output();
    assert!(status.success(), "{output}");
    assert!(output.contains("200 alerts -> 1 request\n"), "{output}");
    assert!(output.contains("The storm: PodCrashLooping in prod, 200 alerts, 200 pods listed"), "{output}");
    let table: Vec<_> = output.lines().skip_while(|line| !line.starts_with("NAME ")).collect();
    assert!(table[1].starts_with("rr-") && table[1].contains("PodCrashLooping"), "{output}");
    assert_eq!(std::fs::read_dir(left).unwrap().count(), 0, "it leaves nothing behind");
}
