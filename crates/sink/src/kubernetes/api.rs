//! The calls to the API server: within limits, with a deadline, measured.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::StatusCode;
use kube::api::{GetParams, ListParams, Patch, PatchParams};
use kube::core::request::Request;
use kube::{Client, Resource};
use seawall_cluster::{ApiError, call};
use seawall_model::{RemediationRequest, RequestRef, Stopwatch};
use seawall_telemetry::SinkMetrics;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::object::{MANAGER, Seen};

/// For how long the server may take over one call. Beyond it, whether the call was carried out is looked up.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// For how long over a page of a list, which may have megabytes.
const PAGE_WITHIN: Duration = Duration::from_secs(30);

/// The requests in the cluster, as objects.
pub(crate) struct Objects {
    client: Client,
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    metrics: SinkMetrics,
}

impl Objects {
    /// At most `qps` calls a second on average, and `burst` at once.
    pub(crate) fn new(client: Client, qps: NonZeroU32, burst: NonZeroU32, metrics: SinkMetrics) -> Self {
        let limiter = RateLimiter::direct(Quota::per_second(qps).allow_burst(burst));
        Self { client, limiter, clock: DefaultClock::default(), metrics }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the object equal to `object`, as far as the fields go that are in it. Says whether it was made.
    pub(crate) async fn apply(
        &self,
        place: &RequestRef,
        object: &Value,
        dry_run: bool,
    ) -> Result<(bool, Seen), ApiError> {
        let params = PatchParams { dry_run, ..PatchParams::apply(MANAGER) };
        let request = at(place).patch(&place.id.to_string(), &params, &Patch::Apply(object));
        let (code, seen) = self.call("apply", request?).await?;
        Ok((code == StatusCode::CREATED, seen))
    }

    pub(crate) async fn get(&self, place: &RequestRef) -> Result<Seen, ApiError> {
        let request = at(place).get(&place.id.to_string(), &GetParams::default());
        Ok(self.call("get", request?).await?.1)
    }

    /// A page of the objects in all namespaces.
    pub(crate) async fn list<T: DeserializeOwned>(&self, params: &ListParams) -> Result<T, ApiError> {
        let request = Request::new(RemediationRequest::url_path(&(), None)).list(params);
        Ok(self.call_within(PAGE_WITHIN, "list", request?).await?.1)
    }

    /// Whether any request can be read, which takes the server to its storage.
    pub(crate) async fn look(&self) -> Result<(), ApiError> {
        let all = Request::new(RemediationRequest::url_path(&(), None));
        let request = all.list(&ListParams::default().limit(1));
        self.call::<IgnoredAny>("list", request?).await.map(drop)
    }

    /// Another call of this client, for example for another kind.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        request: http::Request<Vec<u8>>,
    ) -> Result<(StatusCode, T), ApiError> {
        self.call_within(ANSWER_WITHIN, verb, request).await
    }

    async fn call_within<T: DeserializeOwned>(
        &self,
        within: Duration,
        verb: &'static str,
        request: http::Request<Vec<u8>>,
    ) -> Result<(StatusCode, T), ApiError> {
        self.turn().await;
        let watch = Stopwatch::start();
        let answer = call(&self.client, request, within).await;
        self.metrics.call(verb, watch.elapsed().as_secs_f64());
        answer
    }

    async fn turn(&self) {
        while let Err(refused) = self.limiter.check() {
            tokio::time::sleep(refused.wait_time_from(self.clock.now())).await;
        }
    }
}

fn at(place: &RequestRef) -> Request {
    Request::new(RemediationRequest::url_path(&(), Some(&place.namespace)))
}
