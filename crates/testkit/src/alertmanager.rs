//! The real Alertmanager.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ports::loopback;
use crate::{Alert, Client, KeyPairFiles, Process, Samples, Scene, eventually, free_port};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// How it groups and repeats; times as Alertmanager writes them.
#[derive(Clone, Debug)]
pub struct AlertmanagerOptions {
    /// Labels, separated by commas.
    pub group_by: String,
    pub group_wait: String,
    pub group_interval: String,
    pub repeat_interval: String,
    /// The file with the bearer token that it shows to its receivers.
    pub credentials_file: Option<PathBuf>,
    /// The file with the authority that its receivers' certificates are verified against.
    pub ca_file: Option<PathBuf>,
    /// Who it is to its receivers.
    pub identity: Option<KeyPairFiles>,
}

impl Default for AlertmanagerOptions {
    fn default() -> Self {
        Self {
            group_by: "alertname, namespace".into(),
            group_wait: "1s".into(),
            group_interval: "1s".into(),
            repeat_interval: "1h".into(),
            credentials_file: None,
            ca_file: None,
            identity: None,
        }
    }
}

impl AlertmanagerOptions {
    fn config(&self, webhooks: &[String]) -> String {
        let Self { group_by, group_wait, group_interval, repeat_interval, .. } = self;
        let mut config = format!(
            "route:\n  receiver: seawall\n  group_by: [{group_by}]\n  group_wait: {group_wait}\n  \
             group_interval: {group_interval}\n  repeat_interval: {repeat_interval}\n\
             receivers:\n- name: seawall\n  webhook_configs:\n"
        );
        for webhook in webhooks {
            config += &format!("  - url: {webhook}\n    send_resolved: true\n");
            config += &format!("    http_config: {}\n", self.http_config());
        }
        config
    }

    fn http_config(&self) -> Value {
        let mut config = json!({});
        if let Some(file) = &self.credentials_file {
            config["authorization"] = json!({ "credentials_file": file });
        }
        if let Some(file) = &self.ca_file {
            config["tls_config"]["ca_file"] = json!(file);
        }
        if let Some(KeyPairFiles { cert, key }) = &self.identity {
            config["tls_config"]["cert_file"] = json!(cert);
            config["tls_config"]["key_file"] = json!(key);
        }
        config
    }
}

/// A running `prometheus-alertmanager` that sends everything to one webhook, or to each of several.
#[derive(Debug)]
pub struct Alertmanager {
    command: CommandLine,
    process: Process,
    client: Client,
}

#[derive(Debug)]
struct CommandLine {
    name: String,
    args: Vec<String>,
    log: PathBuf,
}

impl CommandLine {
    fn spawn(&self) -> Process {
        let mut command = Command::new("prometheus-alertmanager");
        Process::spawn(&self.name, command.args(&self.args), &self.log, Some("prometheus-alertmanager"))
    }
}

impl Alertmanager {
    /// `name` tells several apart; `webhook` is the URL it sends to.
    pub async fn start(scene: &Scene, name: &str, webhook: &str, options: &AlertmanagerOptions) -> Self {
        Self::start_for(scene, name, &[webhook.to_owned()], options).await
    }

    /// Sends everything to every one of the webhooks, as it does for receivers that are replicas without a balancer
    /// in front of them.
    pub async fn start_for(
        scene: &Scene,
        name: &str,
        webhooks: &[String],
        options: &AlertmanagerOptions,
    ) -> Self {
        let config = scene.file(&format!("{name}.yml"), &options.config(webhooks));
        let listen = loopback(free_port());
        let args = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", scene.folder(&format!("{name}-data")).display()),
            format!("--web.listen-address={listen}"),
            // No peers: a pair in a test delivers everything twice, which is the worst case of a real pair.
            "--cluster.listen-address=".to_owned(),
        ];
        let command =
            CommandLine { name: name.to_owned(), args, log: scene.path().join(format!("{name}.log")) };
        let alertmanager = Self { process: command.spawn(), command, client: Client::new(listen) };
        alertmanager.ready().await;
        alertmanager
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.client.address()
    }

    async fn ready(&self) {
        eventually(READY_WITHIN, || async {
            match self.client.get("/-/ready").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(lost) => Err(lost.to_string()),
            }
        })
        .await;
    }

    /// Posts alerts to its API, as Prometheus does.
    pub async fn post(&self, alerts: &[Alert]) {
        let body = Value::Array(alerts.iter().map(Alert::api_alert).collect()).to_string();
        let answer = self.client.post("/api/v2/alerts", body).await.expect("an answer of Alertmanager");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Its own metrics.
    pub async fn metrics(&self) -> Samples {
        Samples::parse(&self.client.get("/metrics").await.expect("an answer of Alertmanager").text())
    }

    /// Deliveries to the webhook so far, and how many of them failed.
    pub async fn deliveries(&self) -> (u64, u64) {
        let metrics = self.metrics().await;
        let count = |name: &str| metrics.sum(name, &["integration=\"webhook\""]).round() as u64;
        (count("alertmanager_notifications_total"), count("alertmanager_notification_requests_failed_total"))
    }

    /// Ends it in peace, so that it writes down what it has sent, and starts it again with the same memory.
    pub async fn restart(&mut self) {
        self.process.signal("TERM");
        self.process.exited(READY_WITHIN).await;
        self.process = self.command.spawn();
        self.ready().await;
    }
}
