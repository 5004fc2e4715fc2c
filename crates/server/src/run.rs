//! The server as a process: until somebody ends it, and reading its configuration again meanwhile.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Loaded, Sources};
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
    let running = Server::start(loaded.settings.clone()).await?;
    announce(&running, &loaded);
    ready(&running);
    let mut reloader = Reloader::new(sources, loaded)?;
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
    let data =
        std::path::absolute(&loaded.settings.data_dir).unwrap_or_else(|_| loaded.settings.data_dir.clone());
    let address = running.address();
    tracing::info!(
        address = %address,
        data = %data.display(),
        send = %format_args!("POST http://{address}/webhook/prometheus"),
        metrics = %running.metrics_address().unwrap_or(address),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
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
