//! A storm to look at: 15 pods begin to crash at once, and one request comes of it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use futures_util::future::join_all;
use seawall_model::{Clock, RemediationRequest, SystemClock};
use seawall_server::config::{Config, Settings};
use seawall_server::{Server, termination};
use serde_json::{Value, json};
use tokio::time::{Duration, interval, timeout};

use super::explain::{Explanation, explanation};
use super::requests::{full_name, items, request_table};
use crate::client::Client;
use crate::output::print;
use crate::table::Table;

const ALERTNAME: &str = "PodCrashLooping";
const NAMESPACE: &str = "prod";
const PODS: u64 = 15;

/// What one request costs downstream, in cents; the usual price of one run of an AI remediator.
const CENTS_PER_REQUEST: u64 = 10;

/// Everything is published within the hold and one flush; the rest is for slow machines.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

pub async fn demo() -> anyhow::Result<()> {
    let directory =
        tempfile::Builder::new().prefix("seawall-demo-").tempdir().context("make a temporary directory")?;
    let running = Server::start(settings(directory.path())?).await?;
    let result = tokio::select! {
        result = show(running.address()) => result,
        () = termination()? => Err(anyhow::anyhow!("interrupted")),
    };
    running.stop().await?;
    directory.close().context("remove the temporary directory")?;
    result
}

fn settings(directory: &Path) -> anyhow::Result<Settings> {
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".to_owned();
    config.state.embedded.path = directory.join("data");
    Ok(config.validated(false)?)
}

async fn show(address: SocketAddr) -> anyhow::Result<()> {
    let client = Client::new(&format!("http://{address}"), None)?;
    print(&format!(
        "A Seawall of its own listens on http://{address}, with its data in a temporary directory.\n\n\
         {PODS} pods of one deployment begin to crash at the same moment: {PODS} alerts, sent at once.\n\n"
    ))?;
    let answers = send_all(&client).await?;
    print(&answer_table(&answers))?;
    let requests = settled(&client).await?;
    print(&format!("\nThe requests that exist now:\n\n{}", request_table(&requests, SystemClock.now())))?;
    let [request] = requests.as_slice() else {
        bail!("{PODS} alerts became {} requests, not 1", requests.len())
    };
    let counted = request.spec.storm_aggregation.as_ref().map_or(1, |storm| storm.alert_count);
    if counted != PODS {
        bail!("the request says {counted} alerts, not {PODS}");
    }
    print(&why(&client, &answers).await?)?;
    print(&conclusion(request))
}

/// An answer: which pod, with which status, what became of it.
struct Answer {
    pod: String,
    status: u16,
    document: Value,
}

async fn send_all(client: &Client) -> anyhow::Result<Vec<Answer>> {
    let sent = (1..=PODS).map(|number| async move {
        let pod = format!("checkout-{number}");
        let (status, document) = client.post("/webhook/prometheus", &webhook(&pod)).await?;
        anyhow::Ok(Answer { pod, status: status.as_u16(), document })
    });
    join_all(sent).await.into_iter().collect()
}

/// What Alertmanager sends for one alert.
fn webhook(pod: &str) -> Value {
    let now = SystemClock.now();
    json!({
        "version": "4",
        "receiver": "seawall",
        "status": "firing",
        "groupKey": format!("{{}}:{{pod=\"{pod}\"}}"),
        "alerts": [{
            "status": "firing",
            "labels": {"alertname": ALERTNAME, "namespace": NAMESPACE, "pod": pod, "severity": "critical"},
            "annotations": {"summary": format!("{pod} restarts again and again")},
            "startsAt": now,
        }],
    })
}

fn answer_table(answers: &[Answer]) -> String {
    let mut table = Table::new(&["ALERT", "POD", "STATUS", "BECAME", "ANSWER"]);
    for answer in answers {
        let text = |key: &str| answer.document[key].as_str().unwrap_or_default().to_owned();
        table.row([
            ALERTNAME.to_owned(),
            answer.pod.clone(),
            answer.status.to_string(),
            text("status"),
            text("message"),
        ]);
    }
    table.render()
}

/// The requests once all alerts are counted on what exists.
async fn settled(client: &Client) -> anyhow::Result<Vec<RemediationRequest>> {
    let polled = async {
        let mut looks = interval(Duration::from_millis(50));
        loop {
            looks.tick().await;
            let requests = items(&client.list("/api/v1/requests", &Vec::new()).await?)?;
            let counted: u64 =
                requests.iter().map(|request| request.spec.deduplication.occurrence_count).sum();
            if counted >= PODS {
                return anyhow::Ok(requests);
            }
        }
    };
    match timeout(SETTLED_WITHIN, polled).await {
        Ok(requests) => requests,
        Err(_) => {
            bail!("{PODS} alerts were sent, and after {} s not all are counted", SETTLED_WITHIN.as_secs())
        }
    }
}

/// The reasons the server gives for the alert that joined last.
async fn why(client: &Client, answers: &[Answer]) -> anyhow::Result<String> {
    let joined = answers.iter().rfind(|answer| answer.document["status"] == "aggregated");
    let fingerprint = joined.or(answers.last()).and_then(|answer| answer.document["fingerprint"].as_str());
    let Some(fingerprint) = fingerprint else { return Ok(String::new()) };
    let explanation: Explanation = serde_json::from_value(explanation(client, fingerprint).await?)?;
    let mut text = "\nWhy they are one:\n\n".to_owned();
    for decision in &explanation.decisions {
        writeln!(text, "  {}: {}", decision.decision, decision.reason)?;
    }
    Ok(text)
}

fn conclusion(request: &RemediationRequest) -> String {
    let name = full_name(request);
    let dollars = |requests: u64| {
        format!("${}.{:02}", requests * CENTS_PER_REQUEST / 100, requests * CENTS_PER_REQUEST % 100)
    };
    format!(
        "\n{PODS} alerts -> 1 request: {name}\n\
         At {} a request: {} -> {}\n",
        dollars(1),
        dollars(PODS),
        dollars(1)
    )
}
