//! The sink as a whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use seawall_cluster::Cluster;
use seawall_model::{Clock, RequestRef};
use seawall_store::{Existing, Sink, SinkHealth, SinkStats, StateStore};
use seawall_telemetry::Metrics;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::KubernetesSettings;
use crate::existing::Arrivals;
use crate::kubernetes::{Objects, Rebuilder, Watcher, Writer, check_definition, probe};
use crate::places::Places;
use crate::publisher::{MAX_HINTS, Publisher, Worker};
use crate::status::Status;

pub(crate) const KIND: &str = "kubernetes";

/// Requests as resources in a cluster. Ends with the tasks it was started with.
pub struct KubernetesSink {
    status: Arc<Status>,
    arrivals: Arc<Arrivals>,
    places: Arc<Places>,
    clock: Arc<dyn Clock>,
    respond_within: Duration,
}

impl KubernetesSettings {
    /// Where requests go that cannot be in a namespace of their own.
    pub fn fallback_in(&self, cluster: &Cluster) -> CompactString {
        self.fallback_namespace.clone().unwrap_or_else(|| cluster.namespace.as_str().into())
    }
}

impl KubernetesSink {
    /// Publishes what `store` tells it to, as one of `tasks`, until `stop`. The API server may be away; nothing waits for it.
    pub fn start(
        cluster: &Cluster,
        store: &Arc<dyn StateStore>,
        settings: &KubernetesSettings,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let metrics = metrics.sink(KIND);
        let objects = Objects::new(cluster.client.clone(), settings.qps, settings.burst, metrics.clone());
        let fallback = settings.fallback_in(cluster);
        let writer = Arc::new(Writer::new(objects, settings.namespace_policy, fallback, metrics.clone()));
        let sink = Arc::new(Self {
            status: Arc::new(Status::new()),
            arrivals: Arc::default(),
            places: Arc::default(),
            clock: Arc::clone(&clock),
            respond_within: settings.publish.respond_within,
        });
        let worker = Arc::new(Worker {
            store: Arc::clone(store),
            writer: Arc::clone(&writer),
            places: Arc::clone(&sink.places),
            status: Arc::clone(&sink.status),
            metrics,
        });
        let (hint, hints) = mpsc::channel(MAX_HINTS);
        // Before anything can be placed, so that nobody waits for what was missed.
        tasks.spawn(listen(store.placements(), Arc::clone(&sink.arrivals), stop.clone()));
        let status = Arc::clone(&sink.status);
        let publisher = Publisher::new(
            Arc::clone(store),
            Arc::clone(&worker),
            Arc::clone(&status),
            clock,
            &settings.publish,
        );
        tasks.spawn(publisher.run(hints, stop.clone()));
        tasks.spawn(probe(Arc::clone(&writer), status.suspended(), hint.clone(), stop.clone()));
        tasks.spawn(check_definition(writer, status, stop.clone()));
        let relist = Arc::new(Notify::new());
        tasks.spawn(Rebuilder::new(Arc::clone(&worker), Arc::clone(&relist)).run(stop.clone()));
        if settings.watch {
            tasks.spawn(Watcher::new(worker, hint, relist).run(stop.clone()));
        }
        sink
    }

    /// Whether whoever waits now would wait in vain.
    fn is_behind(&self) -> bool {
        let within = i64::try_from(self.respond_within.as_millis()).unwrap_or(i64::MAX);
        let is_late = self.status.queued_since().is_some_and(|since| self.clock.now() - since > within);
        is_late || self.status.health().suspended
    }
}

impl Sink for KubernetesSink {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn existing(&self, requests: Vec<RequestRef>) -> Pin<Box<dyn Future<Output = Vec<Existing>> + Send>> {
        let waiting = self.arrivals.wait(requests);
        let (places, within) = (Arc::clone(&self.places), self.respond_within);
        let mut suspended = (!self.is_behind()).then(|| self.status.suspended());
        Box::pin(async move {
            if let Some(suspended) = &mut suspended {
                tokio::select! {
                    () = waiting.all() => {}
                    _ = suspended.wait_for(|suspended| *suspended) => {}
                    () = tokio::time::sleep(within) => {}
                }
            }
            let found = waiting.found().into_iter();
            found.map(|request| Existing { place: places.locate(&request), request }).collect()
        })
    }

    fn health(&self) -> SinkHealth {
        self.status.health()
    }

    fn stats(&self) -> SinkStats {
        self.status.stats()
    }
}

/// Tells those who wait. Who is missed when there are too many at once gets the answer that it follows.
async fn listen(
    mut placements: broadcast::Receiver<RequestRef>,
    arrivals: Arc<Arrivals>,
    stop: CancellationToken,
) {
    loop {
        let placed = tokio::select! {
            placed = placements.recv() => placed,
            () = stop.cancelled() => return,
        };
        match placed {
            Ok(request) => arrivals.arrived(request),
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "more came to exist than could be told")
            }
            Err(RecvError::Closed) => return,
        }
    }
}
