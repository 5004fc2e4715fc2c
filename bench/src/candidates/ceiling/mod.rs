//! The parse-only ceiling: Seawall's accept loop, edge layers and parsers, and a small answer instead of a decision.
//!
//! The benchmark starts itself again for it, so that the ceiling is a process of its own like everybody else.

mod nothing;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use seawall_engine::normalise::{Normaliser, NormaliserConfig};
use seawall_ingest::adapters::{BodyError, Item, ParsedBody, parse_alertmanager, parse_prometheus};
use seawall_ingest::{Edge, EdgeSettings, with_edge_layers};
use seawall_model::{Clock, Policy, SystemClock, Timestamp};
use seawall_telemetry::Metrics;

use crate::control;
use crate::process::{Server, free_address};
use nothing::NoStore;

pub fn start(directory: &Path) -> Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["ceiling", &address.to_string()]);
    Server::start(command, address, "/readyz", &directory.join("log"))
}

pub fn check_accepted(address: SocketAddr, alerts: u64) -> Result<()> {
    let parsed = control::get_json(address, "/parsed")?.as_u64();
    anyhow::ensure!(
        parsed == Some(alerts),
        "the ceiling parsed {parsed:?} of {alerts} alerts that were answered"
    );
    Ok(())
}

/// What the routes share.
struct Ceiling {
    edge: Arc<Edge>,
    clock: SystemClock,
    /// Firing alerts that were parsed.
    parsed: AtomicU64,
}

/// Serves until the process is killed.
pub fn serve(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let edge = Edge::new(
            Arc::new(NoStore),
            Arc::new(Normaliser::new(&NormaliserConfig::default(), &Policy::default())),
            EdgeSettings::default(),
            Arc::new(Metrics::new()),
            Arc::new(SystemClock),
            None,
        );
        let state = Arc::new(Ceiling { edge: edge.clone(), clock: SystemClock, parsed: AtomicU64::new(0) });
        let router = Router::new()
            .route("/webhook/prometheus", post(webhook))
            .route("/api/v2/alerts", post(alerts))
            .route("/readyz", get(async || StatusCode::OK))
            .route("/parsed", get(parsed))
            .layer(DefaultBodyLimit::disable())
            .with_state(state);
        seawall_ingest::serve(
            listener,
            None,
            with_edge_layers(router, edge.clone()),
            edge,
            std::future::pending(),
        )
        .await;
        Ok(())
    })
}

async fn webhook(State(ceiling): State<Arc<Ceiling>>, body: Bytes) -> (StatusCode, &'static str) {
    ceiling.parse(body, parse_alertmanager)
}

async fn alerts(State(ceiling): State<Arc<Ceiling>>, body: Bytes) -> (StatusCode, &'static str) {
    ceiling.parse(body, parse_prometheus)
}

async fn parsed(State(ceiling): State<Arc<Ceiling>>) -> String {
    ceiling.parsed.load(Ordering::Relaxed).to_string()
}

type Parse = fn(Bytes, &Normaliser, Timestamp, usize) -> Result<ParsedBody, BodyError>;

impl Ceiling {
    fn parse(&self, body: Bytes, parse: Parse) -> (StatusCode, &'static str) {
        let most = self.edge.settings().limits.alerts_per_body;
        let Ok(body) = parse(body, &self.edge.normaliser(), self.clock.now(), most) else {
            return (StatusCode::BAD_REQUEST, "");
        };
        let firing =
            body.items.iter().filter(|item| matches!(item, Item::Signal(signal) if !signal.resolved));
        self.parsed.fetch_add(firing.count() as u64, Ordering::Relaxed);
        (StatusCode::ACCEPTED, r#"{"status":"accepted"}"#)
    }
}
