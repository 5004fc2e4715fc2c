//! The real Prometheus, and `promtool`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::ports::loopback;
use crate::{Client, Process, Scene, eventually, free_port};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running `prometheus` that scrapes one exporter and evaluates rules every second.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    client: Client,
}

impl Prometheus {
    /// `rules` is the text of a rules file; firing alerts go to `alertmanager`, which may be Seawall itself.
    pub async fn start(scene: &Scene, exporter: SocketAddr, rules: &str, alertmanager: SocketAddr) -> Self {
        let rules = scene.file("rules.yml", rules);
        let config = scene.file(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [{}]\n\
                 scrape_configs:\n- job_name: fake\n  honor_labels: true\n  static_configs: [{{targets: ['{exporter}']}}]\n\
                 alerting:\n  alertmanagers:\n  - api_version: v2\n    static_configs: [{{targets: ['{alertmanager}']}}]\n",
                rules.display()
            ),
        );
        let listen = loopback(free_port());
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", scene.folder("prometheus-data").display()))
            .arg(format!("--web.listen-address={listen}"))
            // By default a firing alert is sent again every minute: too slow for a test to see repeats.
            .arg("--rules.alert.resend-delay=1s");
        let log = scene.path().join("prometheus.log");
        let process = Process::spawn("prometheus", &mut command, &log, Some("prometheus"));
        let prometheus = Self { _process: process, client: Client::new(listen) };
        eventually(READY_WITHIN, || async {
            match prometheus.client.get("/-/ready").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(lost) => Err(lost.to_string()),
            }
        })
        .await;
        prometheus
    }

    /// The alerts that are pending or firing, each with `labels`, `annotations` and `state`.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = self.client.document("/api/v1/alerts").await;
        answer["data"]["alerts"].as_array().cloned().unwrap_or_default()
    }

    /// What `promtool check metrics` has to say about a scrape; nothing means it is content.
    pub fn lint_metrics(text: &str) -> String {
        let started = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut tool = started.unwrap_or_else(|error| {
            panic!("promtool could not be started ({error}): `apt-get install --no-install-recommends prometheus`")
        });
        let mut input = tool.stdin.take().expect("the input is a pipe");
        input.write_all(text.as_bytes()).expect("promtool reads its input");
        drop(input);
        let output = tool.wait_with_output().expect("promtool ends");
        let said = [output.stdout, output.stderr].concat();
        match String::from_utf8_lossy(&said).trim() {
            "" if !output.status.success() => format!("{}", output.status),
            said => said.to_owned(),
        }
    }
}
