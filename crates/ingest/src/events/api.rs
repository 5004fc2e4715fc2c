//! Listing and watching events.
//!
//! The library's watcher begins with a list of what is there now. Here it matters where the one before stopped, so the calls
//! are made one by one. It is events.k8s.io/v1 alone: every cluster that Seawall runs on has it, it shows the events that
//! were written by the older API too, and one API needs half the rights.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kube::Client;
use kube::api::{ListParams, VersionMatch, WatchParams};
use kube::core::WatchEvent;
use kube::core::request::Request;
use seawall_cluster::{ApiError, call};
use seawall_model::Stopwatch;
use seawall_telemetry::Metrics;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::sighting::Sighting;

const PATH: &str = "/apis/events.k8s.io/v1/events";
/// Everything that reports a problem; the adapter knows the types.
const SELECTOR: &str = "type!=Normal";
/// Events of one page: about a megabyte.
const PAGE: u32 = 500;
/// The API server reads events from its database, not from memory.
const LISTED_WITHIN: Duration = Duration::from_secs(30);
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// After this long the server ends a watch, and it begins again. A connection that died without a word is noticed no later.
pub(super) const WATCHED_FOR: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// Part of a list.
pub(super) struct Listed {
    pub(super) events: Vec<Sighting>,
    /// What the whole list is like as of.
    pub(super) version: String,
    pub(super) next: Option<String>,
}

/// One line of a watch.
pub(super) enum Line {
    Seen(Sighting),
    Gone(Sighting),
    /// Nothing else has happened up to this version.
    Bookmark(String),
}

pub(super) struct EventsApi {
    client: Client,
    metrics: Arc<Metrics>,
}

impl EventsApi {
    pub(super) const fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics }
    }

    /// A page of the events as they are now, or as they were at exactly the version `at`; the first one, or the `next` of
    /// the one before.
    pub(super) async fn list(&self, at: Option<&str>, next: Option<String>) -> Result<Listed, ApiError> {
        let mut params = ListParams::default().fields(SELECTOR).limit(PAGE);
        match (next, at) {
            (Some(next), _) => params.continue_token = Some(next),
            (None, Some(version)) => {
                params.version_match = Some(VersionMatch::Exact);
                params.resource_version = Some(version.to_owned());
            }
            (None, None) => {}
        }
        let request = Request::new(PATH).list(&params)?;
        let watch = Stopwatch::start();
        let answer = call(&self.client, request, LISTED_WITHIN).await;
        self.metrics.kube_call("list", watch.elapsed().as_secs_f64());
        let (_, page): (_, Page) = answer?;
        let PageMeta { resource_version: version, next } = page.metadata;
        let events = page.items.into_iter().map(|item| Sighting::new(complete(item))).collect();
        Ok(Listed { events, version, next: next.filter(|next| !next.is_empty()) })
    }

    /// What happens after `version`.
    pub(super) async fn watch(
        &self,
        version: &str,
    ) -> Result<impl Stream<Item = Result<Line, ApiError>> + use<>, ApiError> {
        let seconds = u32::try_from(WATCHED_FOR.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams::default().fields(SELECTOR).timeout(seconds);
        let request = Request::new(PATH).watch(&params, version)?;
        let events = timeout(ANSWERED_WITHIN, self.client.request_events::<Value>(request)).await;
        let events = events.map_err(|_| ApiError::timed_out(ANSWERED_WITHIN))??;
        Ok(events.map(|event| match event? {
            WatchEvent::Added(event) | WatchEvent::Modified(event) => Ok(Line::Seen(Sighting::new(event))),
            WatchEvent::Deleted(event) => Ok(Line::Gone(Sighting::new(event))),
            WatchEvent::Bookmark(mark) => Ok(Line::Bookmark(mark.metadata.resource_version)),
            WatchEvent::Error(status) => Err((*status).into()),
        }))
    }
}

/// Items of a list do not say what they are.
fn complete(mut item: Value) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| "events.k8s.io/v1".into());
        fields.entry("kind").or_insert_with(|| "Event".into());
    }
    item
}
