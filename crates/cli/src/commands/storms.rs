//! Storms: listed and shown with their members.

use anyhow::Context;
use seawall_model::{Clock, SystemClock, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::args::{ClientOptions, Format, StormsCommand, StormsOptions};
use crate::client::{Client, encode};
use crate::output::{print, print_json};
use crate::table::{Table, age, shown};

const PATH: &str = "/api/v1/storms";

/// What of a storm is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storm {
    id: String,
    pub rule: String,
    pub pattern: String,
    request_ref: Reference,
    alert_count: u64,
    occurrence_count: u64,
    opened_at: Timestamp,
    last_seen: Timestamp,
    ended_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct Reference {
    pub namespace: String,
    pub name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    kind: String,
    name: String,
    namespace: String,
    last_seen: Timestamp,
    count: u64,
    resolved: bool,
    fingerprint: String,
}

pub async fn storms(options: StormsOptions) -> anyhow::Result<()> {
    let StormsOptions { command, client } = options;
    match command.unwrap_or(StormsCommand::List { client }) {
        StormsCommand::List { client } => list(&client).await,
        StormsCommand::Get { id, client } => get(&id, &client).await,
    }
}

async fn list(options: &ClientOptions) -> anyhow::Result<()> {
    let list = options.connect()?.list(PATH, &Vec::new()).await?;
    if options.output == Format::Json {
        return print_json(&list);
    }
    let storms: Vec<Storm> =
        serde_json::from_value(list["items"].clone()).context("what answers does not list storms")?;
    print(&storm_table(&storms, SystemClock.now()))
}

fn storm_table(storms: &[Storm], now: Timestamp) -> String {
    if storms.is_empty() {
        return "No storms.\n".to_owned();
    }
    let mut table = Table::new(&["ID", "PATTERN", "RULE", "PROBLEMS", "ALERTS", "REQUEST", "STATE", "AGE"]);
    for storm in storms {
        table.row([
            storm.id.clone(),
            storm.pattern.clone(),
            storm.rule.clone(),
            storm.alert_count.to_string(),
            storm.occurrence_count.to_string(),
            format!("{}/{}", storm.request_ref.namespace, storm.request_ref.name),
            state(storm, now),
            age(storm.opened_at, now),
        ]);
    }
    table.render()
}

fn state(storm: &Storm, now: Timestamp) -> String {
    match storm.ended_at {
        Some(at) => format!("ended {} ago", age(at, now)),
        None => format!("open, last alert {} ago", age(storm.last_seen, now)),
    }
}

async fn get(id: &str, options: &ClientOptions) -> anyhow::Result<()> {
    let client = options.connect()?;
    let path = format!("{PATH}/{}", encode(id));
    let document = with_all_members(&client, &path).await?;
    if options.output == Format::Json {
        return print_json(&document);
    }
    let members: Vec<Member> = serde_json::from_value(document["members"]["items"].clone())?;
    let storm: Storm = serde_json::from_value(document)?;
    let now = SystemClock.now();
    let mut table =
        Table::new(&["KIND", "NAMESPACE", "NAME", "ALERTS", "LAST SEEN", "RESOLVED", "FINGERPRINT"]);
    for member in &members {
        table.row([
            member.kind.clone(),
            member.namespace.clone(),
            member.name.clone(),
            member.count.to_string(),
            age(member.last_seen, now),
            if member.resolved { "true".to_owned() } else { String::new() },
            member.fingerprint.clone(),
        ]);
    }
    print(&format!(
        "{} (rule {}), {}\n{} problems, {} alerts, one request: {}/{}\n\n{}",
        shown(&storm.pattern),
        shown(&storm.rule),
        state(&storm, now),
        storm.alert_count,
        storm.occurrence_count,
        storm.request_ref.namespace,
        storm.request_ref.name,
        table.render()
    ))
}

/// The storm with the members of all pages.
async fn with_all_members(client: &Client, path: &str) -> anyhow::Result<Value> {
    let mut parameters = vec![("limit", "5000".to_owned())];
    let mut storm: Value = client.get(path, &parameters).await?;
    loop {
        let next =
            storm["members"]["metadata"].as_object_mut().and_then(|metadata| metadata.remove("continue"));
        let Some(next) = next.as_ref().and_then(Value::as_str) else { return Ok(storm) };
        parameters.truncate(1);
        parameters.push(("continue", next.to_owned()));
        let mut page: Value = client.get(path, &parameters).await?;
        let more = page["members"]["items"].take();
        if let (Some(items), Value::Array(more)) = (storm["members"]["items"].as_array_mut(), more) {
            items.extend(more);
        }
        if let Some(next) = page["members"]["metadata"].get("continue") {
            storm["members"]["metadata"]["continue"] = next.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storms_are_shown_with_what_they_cost_and_whether_they_go_on() {
        let storms: Vec<Storm> = serde_json::from_value(serde_json::json!([{
            "id": "00aa-1", "rule": "namespace-rate", "stormType": "rate", "pattern": "PodCrashLooping in prod",
            "groupBy": {}, "requestRef": {"namespace": "prod", "name": "rr-00aa-1"}, "alertCount": 15,
            "occurrenceCount": 20, "openedAt": "2026-01-01T00:00:00Z", "lastSeen": "2026-01-01T00:01:00Z"
        }]))
        .unwrap();
        let now = Timestamp::parse("2026-01-01T00:02:00Z").unwrap();
        assert_eq!(
            storm_table(&storms, now),
            "ID      PATTERN                  RULE            PROBLEMS  ALERTS  REQUEST         STATE                     AGE\n\
             00aa-1  PodCrashLooping in prod  namespace-rate  15        20      prod/rr-00aa-1  open, last alert 60s ago  2m\n"
        );
        assert_eq!(storm_table(&[], now), "No storms.\n");
    }
}
