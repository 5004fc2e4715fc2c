//! Publishing requests to a cluster: what it needs to know, and its tasks.

use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::Cluster;
use seawall_ingest::Edge;
use seawall_model::{Clock, Policy};
use seawall_sink::{KubernetesSettings, KubernetesSink};
use seawall_store::StateStore;
use seawall_telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ServeError;
use crate::config::{Settings, SinkSettings};

/// What publishing outside of the state store needs to know, if there is any.
pub(crate) struct Publishing(Option<(Cluster, Box<KubernetesSettings>)>);

/// The tasks that publish, and what ends them.
#[derive(Default)]
pub(crate) struct Publisher {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Publishing {
    /// Settings that write requests to a cluster never start a server without one.
    pub(crate) fn new(settings: &Settings, cluster: Option<&Cluster>) -> Result<Self, ServeError> {
        Ok(Self(match &settings.sink {
            SinkSettings::Store => None,
            SinkSettings::Kubernetes(settings) => {
                Some((cluster.ok_or(ServeError::NoCluster)?.clone(), settings.clone()))
            }
        }))
    }

    /// The API server that requests are written to, if they are.
    pub(crate) fn server(&self) -> Option<&str> {
        self.0.as_ref().map(|(cluster, _)| cluster.server.as_str())
    }

    /// The same rules, with what follows from where requests go.
    pub(crate) fn policy(&self, policy: Policy) -> Policy {
        match &self.0 {
            None => policy,
            Some((cluster, settings)) => {
                Policy { published: true, fallback_namespace: settings.fallback_in(cluster), ..policy }
            }
        }
    }

    pub(crate) fn start(
        &self,
        store: &Arc<dyn StateStore>,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
        edge: &Edge,
    ) -> Publisher {
        let publisher = Publisher::default();
        if let Some((cluster, settings)) = &self.0 {
            let Publisher { tasks, stop } = &publisher;
            edge.set_sink(KubernetesSink::start(cluster, store, settings, metrics, clock, tasks, stop));
        }
        publisher.tasks.close();
        publisher
    }
}

impl Publisher {
    /// Lets what is being written end. What is not published then is remembered.
    pub(crate) async fn stop(self, within: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!("a write to the cluster has not ended; it is looked up at the next start");
        }
    }
}
