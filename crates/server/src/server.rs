//! Starting everything, and stopping it in the reverse order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_classify::Known;
use seawall_cluster::Cluster;
use seawall_ingest::{AuditLog, Authenticator, DrainReport, Edge, Reviewer, Tls, TlsFiles};
use seawall_model::{Clock, Policy, SystemClock};
use seawall_store::{EmbeddedOptions, EmbeddedStore, RedisStore, StateStore, StoreError};
use seawall_telemetry::Metrics;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ServeError;
use crate::config::{Settings, StateSettings};
use crate::publishing::{Publisher, Publishing};

/// How the product is put together. Everything that runs Seawall (the command, the demo, tests, measurements) starts
/// here, so that there is no second wiring that could behave differently.
pub struct Server;

impl Server {
    /// Starts with the given settings; alerts are taken when this returns. Does not touch logging or signals of the
    /// system, which belong to the process.
    pub async fn start(settings: Settings) -> Result<Running, ServeError> {
        let addresses = reserve(&settings)?;
        let cluster = find_cluster(&settings).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new());
        let tls = open_tls(&settings, &clock, &metrics)?;
        let audit = open_audit(&settings)?;
        let publishing = Publishing::new(&settings, cluster.as_ref())?;
        let policy = publishing.policy(settings.policy.clone());
        let authenticator = authenticator(&settings, &policy, cluster.as_ref(), &metrics, &clock)?;
        let store = open_store(&settings, policy, Arc::clone(&clock)).await?;
        let known = Arc::new(Known::default());
        let normaliser = Arc::new(settings.build_normaliser(&known, &metrics));
        let (edge_settings, counted, time) =
            (settings.edge.clone(), Arc::clone(&metrics), Arc::clone(&clock));
        let edge = Edge::new(Arc::clone(&store), normaliser, edge_settings, counted, time, authenticator);
        if let Some(limits) = Arc::clone(&store).shared_limits().filter(|_| settings.share_limits) {
            edge.share_limits(limits);
        }
        if let Some(audit) = &audit {
            edge.set_audit(Arc::clone(audit));
        }
        match addresses.listen() {
            Ok(listeners) => {
                let publisher = publishing.start(&store, &metrics, clock, &edge);
                let parts = Parts { store, metrics, edge, tls, audit, known, publishing, publisher };
                let running = Running::spawn(&settings, parts, listeners);
                if let Some(cluster) = cluster {
                    running.watch(cluster, &settings);
                }
                Ok(running)
            }
            Err(error) => {
                // The store is free again when the caller learns of the error.
                if let Err(close) = store.close().await {
                    tracing::warn!(error = %close, "the state store was not closed cleanly");
                }
                Err(error)
            }
        }
    }
}

/// Before anything is opened, so that a certificate that cannot be used leaves nothing behind.
fn open_tls(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Tls>>, ServeError> {
    let open = |files: &TlsFiles| Tls::open(files.clone(), Arc::clone(clock), Arc::clone(metrics));
    settings.tls.as_ref().map(open).transpose().map_err(ServeError::Tls)
}

/// Before anything is opened, too.
fn open_audit(settings: &Settings) -> Result<Option<Arc<AuditLog>>, ServeError> {
    let Some(audit) = settings.audit.clone() else { return Ok(None) };
    let file = audit.file.clone();
    AuditLog::open(audit).map(Some).map_err(|source| ServeError::Audit { file, source })
}

/// The cluster, when anything needs it. It may be away: what needs it asks for it again and again.
async fn find_cluster(settings: &Settings) -> Result<Option<Cluster>, ServeError> {
    if !settings.wants_cluster() {
        return Ok(None);
    }
    let cluster = Cluster::connect().await?;
    tracing::info!(server = cluster.server, namespace = cluster.namespace, "Kubernetes");
    Ok(Some(cluster))
}

/// Nothing when nobody is asked who they are. Settings that ask for identities or reviews never start a server without
/// them.
fn authenticator(
    settings: &Settings,
    policy: &Policy,
    cluster: Option<&Cluster>,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Authenticator>, ServeError> {
    if settings.identities.is_none() && settings.reviews.is_none() {
        return Ok(None);
    }
    // Rights are asked about where requests will be.
    let fallback_namespace = policy.fallback_namespace.clone();
    let mut authenticator = Authenticator::new(fallback_namespace, metrics).map_err(ServeError::Random)?;
    if let Some(identities) = &settings.identities {
        authenticator = authenticator.with_identities(identities);
    }
    if let Some(reviews) = settings.reviews.clone() {
        let client = cluster.ok_or(ServeError::NoCluster)?.client.clone();
        authenticator =
            authenticator.with_reviewer(Reviewer::new(client, reviews, metrics, Arc::clone(clock)));
    }
    Ok(Some(authenticator))
}

async fn open_store(
    settings: &Settings,
    policy: Policy,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn StateStore>, ServeError> {
    let policy = Arc::new(policy);
    let opened: Result<Arc<dyn StateStore>, StoreError> = match settings.state.clone() {
        StateSettings::Embedded { path } => {
            // Recovery reads and computes for as long as there is something to recover.
            let open = move || EmbeddedStore::open(EmbeddedOptions { path }, policy, clock);
            tokio::task::spawn_blocking(open).await?.map(|store| -> Arc<dyn StateStore> { store })
        }
        StateSettings::Redis(options) => {
            // Boxed, because it is much larger than everything else that starting waits for.
            let open = Box::pin(RedisStore::open(*options, policy, clock));
            open.await.map(|store| -> Arc<dyn StateStore> { store })
        }
    };
    opened.map_err(|source| ServeError::Open { store: settings.state.to_string(), source })
}

/// The addresses are taken before the store is touched, so that a port in use is told at once and leaves
/// nothing behind; but nobody is let in before there is a store to decide.
struct Reserved<T> {
    main: T,
    metrics: Option<T>,
}

struct Socket {
    socket: TcpSocket,
    asked: SocketAddr,
}

/// A listener, and where it really listens: port 0 lets the system choose.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

fn reserve(settings: &Settings) -> Result<Reserved<Socket>, ServeError> {
    Ok(Reserved {
        main: Socket::bind(settings.listen)?,
        metrics: settings.metrics_listen.map(Socket::bind).transpose()?,
    })
}

impl Reserved<Socket> {
    fn listen(self) -> Result<Reserved<Bound>, ServeError> {
        Ok(Reserved { main: self.main.listen()?, metrics: self.metrics.map(Socket::listen).transpose()? })
    }
}

impl Socket {
    fn bind(asked: SocketAddr) -> Result<Self, ServeError> {
        let fail = |source| ServeError::Listen { address: asked, source };
        let socket = if asked.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(fail)?;
        // A server that was just stopped has left connections behind that nobody answers any more.
        socket.set_reuseaddr(true).map_err(fail)?;
        socket.bind(asked).map_err(fail)?;
        Ok(Self { socket, asked })
    }

    fn listen(self) -> Result<Bound, ServeError> {
        let fail = |source| ServeError::Listen { address: self.asked, source };
        let listener = self.socket.listen(BACKLOG).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Bound { listener, address })
    }
}

/// What was started before anybody is let in.
struct Parts {
    store: Arc<dyn StateStore>,
    metrics: Arc<Metrics>,
    edge: Arc<Edge>,
    tls: Option<Arc<Tls>>,
    audit: Option<Arc<AuditLog>>,
    /// What the cluster says about namespaces.
    known: Arc<Known>,
    publishing: Publishing,
    publisher: Publisher,
}

/// A server that takes alerts. To be ended with [`Running::stop`]; dropping it leaves it running.
pub struct Running {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    /// The store as a part of a sentence.
    store_name: String,
    store: Arc<dyn StateStore>,
    metrics: Arc<Metrics>,
    edge: Arc<Edge>,
    tls: Option<Arc<Tls>>,
    audit: Option<Arc<AuditLog>>,
    publishing: Publishing,
    publisher: Publisher,
    /// For what is being published to end.
    drain: Duration,
    known: Arc<Known>,
    stop: CancellationToken,
    tasks: TaskTracker,
    serving: JoinHandle<DrainReport>,
}

impl Running {
    fn spawn(settings: &Settings, parts: Parts, listeners: Reserved<Bound>) -> Self {
        let Parts { store, metrics, edge, tls, audit, known, publishing, publisher } = parts;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let Bound { listener, address } = listeners.main;
        let router = seawall_ingest::router(Arc::clone(&edge));
        let until = stop.clone().cancelled_owned();
        let serve = seawall_ingest::serve(listener, tls.clone(), router, Arc::clone(&edge), until);
        let serving = tasks.spawn(serve);
        let metrics_address = listeners.metrics.map(|Bound { listener, address }| {
            let router = seawall_ingest::operations_router(Arc::clone(&edge));
            let until = stop.clone().cancelled_owned();
            tasks.spawn(seawall_ingest::serve(listener, None, router, Arc::clone(&edge), until));
            address
        });
        tasks.close();
        Self {
            address,
            metrics_address,
            store_name: settings.state.to_string(),
            store,
            metrics,
            edge,
            tls,
            audit,
            known,
            publishing,
            publisher,
            drain: settings.edge.timeouts.drain,
            stop,
            tasks,
            serving,
        }
    }

    /// Where alerts are taken.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are served alone, if anywhere.
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// How the state store is called in metrics.
    pub fn store_kind(&self) -> &'static str {
        self.store.kind()
    }

    /// The API server of the cluster that requests are written to, if they are.
    pub fn cluster(&self) -> Option<&str> {
        self.publishing.server()
    }

    /// What TLS is spoken with, if it is.
    pub const fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Learns from the cluster until it is stopped. Nothing waits for it.
    fn watch(&self, cluster: Cluster, settings: &Settings) {
        let stop = &self.stop;
        if settings.classify.kubernetes {
            let (config_map, known) = (settings.classify.config_map.clone(), Arc::clone(&self.known));
            self.tasks.spawn(seawall_classify::watch(cluster.clone(), config_map, known, stop.clone()));
        }
        if let Some(events) = settings.events {
            // Ends before the store is closed, and lets another replica have the lease.
            let edge = Arc::clone(&self.edge);
            self.tasks.spawn(seawall_ingest::follow_events(cluster, edge, events, stop.clone()));
        }
    }

    /// Lets in, classes and decides by these rules from now on.
    pub fn apply(&self, settings: &Settings) {
        if let Some(identities) = &settings.identities {
            self.edge.set_identities(identities);
        }
        let normaliser = settings.build_normaliser(&self.known, &self.metrics);
        // Signals first carry what the new rules group by, then the rules ask for it: the other way round, signals in
        // between would lack it and be left out of their groups.
        self.edge.set_normaliser(Arc::new(normaliser));
        self.store.set_policy(Arc::new(self.publishing.policy(settings.policy.clone())));
    }

    /// Ends it: readiness says no, the listener closes after the drain delay, what was begun is answered within the
    /// drain time, and everything acknowledged is in the store.
    pub async fn stop(self) -> Result<DrainReport, ServeError> {
        self.stop.cancel();
        let report = self.serving.await?;
        self.tasks.wait().await;
        // Whatever was decided has been recorded by now, or waits in line.
        if let Some(audit) = &self.audit {
            audit.close().await;
        }
        // Senders may have waited until now for their requests to exist. What is not published then is remembered.
        self.publisher.stop(self.drain).await;
        self.store.close().await.map_err(|source| ServeError::Close { store: self.store_name, source })?;
        Ok(report)
    }
}
