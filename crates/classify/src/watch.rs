//! Learning from the cluster: labels of namespaces, and one ConfigMap of ours.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use compact_str::CompactString;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Error, Event, watch_object};
use kube::runtime::{WatchStreamExt, watcher};
use seawall_cluster::{ApiError, ApiFailure, Cluster};
use tokio_util::sync::CancellationToken;

use crate::Known;

/// The label of a namespace that says its environment.
const LABEL: &str = "environment";

/// Keeps `known` as the cluster says, until it is told to stop. Needs nobody to wait for it: what is not known yet is
/// asked of the next source, and what cannot be watched stays as it was last seen.
pub async fn watch(cluster: Cluster, config_map: String, known: Arc<Known>, stop: CancellationToken) {
    let watches = async {
        tokio::join!(namespaces(&cluster, &known), overrides(&cluster, &config_map, &known));
    };
    // Boxed, because two watches are larger than what a task should carry around.
    stop.run_until_cancelled(Box::pin(watches)).await;
}

/// The server sends only namespaces that are labelled, without their specification; one that loses the label is told as gone.
async fn namespaces(cluster: &Cluster, known: &Known) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(cluster.client.clone());
    let mut listed = HashMap::new();
    follow(watcher(api, Config::default().labels(LABEL)), "the labels of namespaces", |event| match event {
        Event::Init => listed.clear(),
        Event::InitApply(namespace) => {
            let (name, label) = labelled(&namespace);
            if !label.is_empty() {
                listed.insert(CompactString::from(name), CompactString::from(label));
            }
        }
        Event::InitDone => {
            tracing::info!(namespaces = listed.len(), "namespaces with a label `{LABEL}` are known");
            known.set_labels(std::mem::take(&mut listed));
        }
        Event::Apply(namespace) => {
            let (name, label) = labelled(&namespace);
            known.set_label(name, label);
        }
        Event::Delete(namespace) => known.set_label(labelled(&namespace).0, ""),
    })
    .await;
}

fn labelled(namespace: &PartialObjectMeta<Namespace>) -> (&str, &str) {
    let metadata = &namespace.metadata;
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(LABEL));
    (metadata.name.as_deref().unwrap_or_default(), label.map_or("", String::as_str))
}

async fn overrides(cluster: &Cluster, name: &str, known: &Known) {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    follow(watch_object(api, name), "the ConfigMap of environments", |config_map| {
        let entries = config_map.and_then(|config_map| config_map.data).unwrap_or_default();
        let entries: Vec<(String, String)> = entries.into_iter().collect();
        let before = known.overrides();
        let (after, complaints) = before.updated(&entries);
        for complaint in complaints {
            tracing::warn!("ConfigMap {}/{name}: {complaint}", cluster.namespace);
        }
        if after != before {
            tracing::info!(entries = after.len(), "environments of ConfigMap {}/{name}", cluster.namespace);
            known.set_overrides(after);
        }
    })
    .await;
}

/// Does not end. Says once when a watch does not work, and once when it does again.
async fn follow<T>(
    events: impl Stream<Item = Result<T, Error>> + Send,
    what: &'static str,
    mut act: impl FnMut(T),
) {
    let mut events = pin!(events.default_backoff());
    let mut failing = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("{what} can be watched again");
                }
                act(event);
            }
            Err(error) => {
                let error = reason(error);
                // The watcher lists again by itself; nothing is wrong.
                if error.class == ApiFailure::Expired || std::mem::replace(&mut failing, true) {
                    tracing::debug!(%error, class = error.class.as_str(), "{what}: the watch starts again");
                } else {
                    tracing::warn!(
                        %error,
                        class = error.class.as_str(),
                        "{what} cannot be watched; what was last known stays, and without it the next source is used"
                    );
                }
            }
        }
    }
}

fn reason(error: Error) -> ApiError {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            error.into()
        }
        Error::WatchError(status) => (*status).into(),
        other => ApiError::new(ApiFailure::Protocol, other.to_string()),
    }
}
