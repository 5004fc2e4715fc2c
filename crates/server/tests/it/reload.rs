//! Configuration that changes while the server runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_server::config::{Flags, Sources};
use seawall_server::{ServeError, run};
use seawall_testkit::{Alert, Client, Samples, eventually};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A change of the file is seen within two seconds; the rest is for slow machines.
pub const SOON: Duration = Duration::from_secs(30);

/// A server with a configuration file, as `seawall serve` runs it.
pub struct Served {
    _directory: TempDir,
    file: PathBuf,
    pub client: Client,
    end: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    pub async fn with(yaml: &str) -> Self {
        Self::with_client(yaml, Client::new).await
    }

    pub async fn with_client(yaml: &str, client: impl FnOnce(SocketAddr) -> Client) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("seawall.yaml");
        std::fs::write(&file, yaml).unwrap();
        let flags = Flags {
            listen: Some("127.0.0.1:0".into()),
            data_dir: Some(directory.path().join("data")),
            allow_anonymous: false,
        };
        let sources = Sources { file: Some(file.clone()), env: Vec::new(), flags };
        let loaded = sources.load().unwrap();
        let (ready, address) = oneshot::channel::<SocketAddr>();
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio_util::task::TaskTracker::new().spawn(async move {
            let announce = |running: &seawall_server::Running| ready.send(running.address()).unwrap();
            run(sources, loaded, announce, async move { ended.await.unwrap_or_default() }).await
        });
        let client = client(address.await.unwrap());
        Self { _directory: directory, file, client, end, task }
    }

    /// Replaces the file in one step, as editors and mounted volumes do.
    pub fn write(&self, yaml: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, yaml).unwrap();
        std::fs::rename(&next, &self.file).unwrap();
    }

    pub async fn reloads(&self, outcome: &str) -> f64 {
        let text = self.client.get("/metrics").await.unwrap().text();
        Samples::parse(&text).sum("seawall_config_reloads_total", &[&format!("outcome=\"{outcome}\"")])
    }

    pub async fn until_reloads(&self, outcome: &str, count: f64) {
        eventually(SOON, || async {
            let reloads = self.reloads(outcome).await;
            if reloads >= count { Ok(()) } else { Err(format!("{reloads} reloads: {outcome}")) }
        })
        .await;
    }

    /// Whether two new problems of one group are a storm.
    async fn two_are_a_storm(&self, namespace: &str) -> bool {
        let answer = self.client.fire(&Alert::pods("PodCrashLooping", namespace, 2)).await.unwrap();
        answer.json()["results"][1]["isStorm"] == true
    }

    pub async fn end(self) {
        self.end.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn rules(threshold: u32) -> String {
    format!(
        "storm: {{rules: [{{name: few, groupBy: [namespace, team, alertname], threshold: {threshold}}}, \
             {{name: some, groupBy: [namespace], threshold: {threshold}}}]}}\n"
    )
}

#[tokio::test]
async fn new_thresholds_apply_without_a_restart_and_a_bad_file_changes_nothing() {
    let served = Served::with(&rules(10)).await;
    assert!(!served.two_are_a_storm("before").await);

    served.write(&rules(2));
    served.until_reloads("success", 1.0).await;
    assert!(served.two_are_a_storm("after").await);

    served.write("storm: {rules: [{name: few, treshold: 100}]}\n");
    served.until_reloads("failure", 1.0).await;
    assert!(served.two_are_a_storm("still").await, "what was in effect stays");

    served.write(&(rules(10) + "server: {limits: {alertsPerBody: 1}}\n"));
    served.until_reloads("success", 2.0).await;
    let taken = served.two_are_a_storm("last").await;
    assert!(!taken, "the threshold applies, the limit waits for a restart");
    served.end().await;
}

#[tokio::test]
async fn a_rule_on_a_new_label_finds_it_in_the_next_alert() {
    let served = Served::with("storm: {rules: []}\n").await;
    served.write("storm: {rules: [{name: team, groupBy: [namespace, team], threshold: 2}]}\n");
    served.until_reloads("success", 1.0).await;
    let team = |name: &str| Alert::new(name, "shop", "web-0").label("team", "checkout");
    let answer = served.client.fire(&[team("A"), team("B")]).await.unwrap();
    assert_eq!(answer.json()["results"][1]["storm"]["rule"], "team");
    served.end().await;
}

#[tokio::test]
async fn a_file_that_goes_away_changes_nothing() {
    let served = Served::with(&rules(2)).await;
    std::fs::remove_file(Path::new(&served.file)).unwrap();
    served.until_reloads("failure", 1.0).await;
    assert!(served.two_are_a_storm("gone").await);
    served.end().await;
}
