//! The record of what was decided, as an operator has it.

use seawall_testkit::Alert;
use serde_json::Value;

use crate::support::{SOON, fire, run, scene};

#[tokio::test]
async fn whatever_was_answered_is_in_the_record_when_the_server_has_ended() {
    let scene = scene().await;
    let file = scene.path().join("audit.jsonl");
    let config = format!("telemetry: {{audit: {{file: {}}}}}", file.display());
    let mut answered = 0;
    for _ in 0..2 {
        let mut seawall = scene.seawall("seawall").config(&config).start().await;
        let client = seawall.client();
        for at in 0..20 {
            let answer = fire(&client, &Alert::new("DiskFull", "prod", format!("db-{at}"))).await;
            assert!(answer.status.is_success());
            answered += 1;
        }
        seawall.terminate();
        assert!(seawall.exited(SOON).await.success());
    }
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), answered);
    // The tenth opens a storm, and the next start goes on where this one ended.
    let opens = lines.iter().position(|line| line["reason"] == "opens a storm: the rule counted 10 problems");
    assert_eq!(opens, Some(9), "{text}");
    assert!(
        lines[20..].iter().all(|line| line["decision"] == "duplicate" && line["rule"] == "namespace-rate")
    );
}

#[tokio::test]
async fn a_record_that_cannot_be_opened_refuses_to_start() {
    let scene = scene().await;
    let config = scene.file("seawall.yaml", "telemetry: {audit: {file: nowhere/audit.jsonl}}");
    let args = ["serve", "--listen", "127.0.0.1:0", "--config", &config.to_string_lossy()];
    let ended = run(&scene, &args, &[]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("open the audit log nowhere/audit.jsonl: "), "{}", ended.said);
}
