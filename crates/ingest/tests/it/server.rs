//! The edge on a real socket, over a store in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_engine::normalise::{Normaliser, NormaliserConfig};
use seawall_ingest::{
    Authenticator, DrainReport, Edge, EdgeSettings, ReviewSettings, Reviewer, Tls, TlsFiles, router, serve,
};
use seawall_model::{Clock, ManualClock, Policy};
use seawall_telemetry::Metrics;
use seawall_testkit::{Client, Raw, Watch};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fake::{FakeStore, NOW};
use crate::fake_api::FakeApi;

/// Every wait of a test ends here; nothing takes nearly as long.
pub const SOON: Duration = Duration::from_secs(10);

pub struct Server {
    pub address: SocketAddr,
    pub store: Arc<FakeStore>,
    pub edge: Arc<Edge>,
    pub clock: ManualClock,
    pub tls: Option<Arc<Tls>>,
    shutdown: Option<oneshot::Sender<()>>,
    served: JoinHandle<DrainReport>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut EdgeSettings)) -> Self {
        Self::build(change, None, |_, _| None).await
    }

    /// One that speaks TLS.
    pub async fn secure(files: TlsFiles, change: impl FnOnce(&mut EdgeSettings)) -> Self {
        Self::build(change, Some(files), |_, _| None).await
    }

    /// One that lets in only whom `api` knows.
    pub async fn reviewed(api: &FakeApi, change: impl FnOnce(&mut ReviewSettings)) -> Self {
        Self::reviewed_with(api, change, |_| {}).await
    }

    pub async fn reviewed_with(
        api: &FakeApi,
        change: impl FnOnce(&mut ReviewSettings),
        edge: impl FnOnce(&mut EdgeSettings),
    ) -> Self {
        let reviewer = reviewer(api, change);
        Self::guarded("default", edge, |guard, metrics, clock| guard.with_reviewer(reviewer(metrics, clock)))
            .await
    }

    /// One that lets in only whom `api` knows, and where signals without a namespace are at home in `fallback`.
    pub async fn reviewed_at(fallback: &str, api: &FakeApi) -> Self {
        let reviewer = reviewer(api, |_| {});
        Self::guarded(fallback, |_| {}, |guard, metrics, clock| guard.with_reviewer(reviewer(metrics, clock)))
            .await
    }

    /// One that lets in whom `guard` makes the authenticator know.
    pub async fn guarded(
        fallback: &str,
        change: impl FnOnce(&mut EdgeSettings),
        guard: impl FnOnce(Authenticator, &Metrics, Arc<dyn Clock>) -> Authenticator,
    ) -> Self {
        Self::build(change, None, |metrics, clock| {
            Some(guard(Authenticator::new(fallback.into(), metrics).unwrap(), metrics, clock))
        })
        .await
    }

    async fn build(
        change: impl FnOnce(&mut EdgeSettings),
        tls: Option<TlsFiles>,
        authenticator: impl FnOnce(&Metrics, Arc<dyn Clock>) -> Option<Authenticator>,
    ) -> Self {
        let mut settings = EdgeSettings::default();
        change(&mut settings);
        let store = Arc::new(FakeStore::default());
        let normaliser = Normaliser::new(&NormaliserConfig::default(), &Policy::default());
        let manual = ManualClock::at(NOW);
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let metrics = Arc::new(Metrics::new());
        let tls = tls.map(|files| Tls::open(files, clock.clone(), metrics.clone()).unwrap());
        let authenticator = authenticator(&metrics, clock.clone());
        let edge = Edge::new(store.clone(), Arc::new(normaliser), settings, metrics, clock, authenticator);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, told) = oneshot::channel::<()>();
        let served = serve(listener, tls.clone(), router(edge.clone()), edge.clone(), async {
            told.await.ok();
        });
        #[allow(clippy::disallowed_methods, reason = "a test has no tracker")]
        let served = tokio::spawn(served);
        Self { address, store, edge, clock: manual, tls, shutdown: Some(shutdown), served }
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    pub async fn watch(&self, query: &str, last: Option<&str>) -> Watch {
        Watch::open(self.address, &format!("/api/v1/requests?watch=true{query}"), last).await
    }

    /// Says that it shall end.
    pub fn tell_to_end(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    pub async fn ended(self) -> DrainReport {
        tokio::time::timeout(SOON, self.served).await.expect("it ends").unwrap()
    }

    pub async fn end(mut self) -> DrainReport {
        self.tell_to_end();
        self.ended().await
    }
}

/// A reviewer that asks `api`.
pub fn reviewer(
    api: &FakeApi,
    change: impl FnOnce(&mut ReviewSettings),
) -> impl FnOnce(&Metrics, Arc<dyn Clock>) -> Reviewer {
    let mut settings =
        ReviewSettings { audience: None, cache_ttl: Duration::from_secs(3600), deadline: SOON };
    change(&mut settings);
    let client = api.client();
    |metrics, clock| Reviewer::new(client, settings, metrics, clock)
}
