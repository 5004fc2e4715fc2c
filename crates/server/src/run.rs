//! The server as a process: until somebody ends it, and reading its configuration again meanwhile.

use std::future::Future;

use seawall_store::RedisDurability;
use tokio::signal::unix::{SignalKind, signal};
use tracing::field::display;

use crate::config::{Loaded, Sources, StateSettings};
use crate::reload::Reloader;
use crate::{Running, ServeError, Server};

/// Runs until `shutdown`, then ends in order. `ready` is told where it listens.
pub async fn run(
    sources: Sources,
    loaded: Loaded,
    ready: impl FnOnce(&Running),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Before anybody can see that it runs: a SIGHUP that nobody has asked for ends the process.
    let mut reloader = Reloader::new(sources, &loaded)?;
    let running = Server::start(loaded.settings.clone()).await?;
    announce(&running, &loaded);
    ready(&running);
    tokio::select! {
        () = shutdown => {}
        () = reloader.watch(&running) => {}
    }
    tracing::info!("stopping");
    let report = running.stop().await?;
    tracing::info!(
        connections = report.open,
        aborted = report.aborted,
        unfinished = report.unfinished,
        milliseconds = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        "stopped"
    );
    Ok(())
}

fn announce(running: &Running, loaded: &Loaded) {
    let address = running.address();
    let scheme = if running.tls().is_some() { "https" } else { "http" };
    let state = &loaded.settings.state;
    let (data, redis) = match state {
        StateSettings::Embedded { path } => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            (Some(display(path.display().to_string())), None)
        }
        StateSettings::Redis(options) => (None, Some(options)),
    };
    tracing::info!(
        address = %address,
        store = running.store_kind(),
        data,
        redis = redis.map(|options| display(StateSettings::addresses(options))),
        mode = redis.map(|options| display(&options.mode)),
        cluster = running.cluster(),
        durability = redis.map(|options| display(promise(options.durability))),
        send = %format_args!("POST {scheme}://{address}/webhook/prometheus"),
        metrics = %running.metrics_address().unwrap_or(address),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
}

fn promise(durability: RedisDurability) -> String {
    match durability {
        RedisDurability::Memory => "memory".to_owned(),
        RedisDurability::Wait { replicas, .. } => format!("wait for {replicas} replicas"),
        RedisDurability::Aof { .. } => "aof".to_owned(),
    }
}

/// Resolves when the system asks the process to end (SIGTERM, SIGINT).
pub fn termination() -> Result<impl Future<Output = ()>, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
