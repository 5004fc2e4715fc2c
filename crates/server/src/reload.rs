//! Reading the configuration again while the server runs.
//!
//! Everything that can change without a restart changes at once or not at all: what was read is validated as a whole
//! before any of it applies.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, ConfigErrors, Loaded, Settings, Sources, StoreSink};
use crate::{Running, ServeError};

/// How often the file is looked at. A look is one call to the system, follows links, and misses nothing that a mounted
/// secret or an editor does to a file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What changes without a restart.
const RELOADABLE: [&str; 4] = ["dedup.", "storm.", "classify.", "sink.store.retention"];

/// What tells one version of a file from the next without reading it.
type Fingerprint = Option<(SystemTime, u64)>;

pub(crate) struct Reloader {
    sources: Sources,
    /// What the server was started with; what needs a restart stays as it is here.
    started: Config,
    /// What is in effect.
    current: Config,
    seen: Fingerprint,
    hangup: Signal,
}

impl Reloader {
    pub(crate) fn new(sources: Sources, loaded: Loaded) -> Result<Self, ServeError> {
        let seen = sources.file.as_deref().and_then(fingerprint);
        let hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
        Ok(Self { sources, started: loaded.config.clone(), current: loaded.config, seen, hangup })
    }

    /// Reads again whenever it is asked to, or the file has changed. Does not end.
    pub(crate) async fn watch(&mut self, running: &Running) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // When nobody can send the signal any more, the file is still looked at.
                Some(()) = self.hangup.recv() => {
                    self.seen = self.sources.file.as_deref().and_then(fingerprint);
                    self.reload(running);
                }
                _ = looks.tick() => {
                    let now = self.sources.file.as_deref().and_then(fingerprint);
                    if now != self.seen {
                        self.seen = now;
                        self.reload(running);
                    }
                }
            }
        }
    }

    fn reload(&mut self, running: &Running) {
        let change = self.sources.load().and_then(|loaded| self.change_to(loaded));
        running.metrics().config_reload(change.is_ok());
        match change {
            Ok(change) => {
                if !change.waiting.is_empty() {
                    tracing::warn!(
                        keys = change.waiting.join(" "),
                        "changed keys need a restart to take effect"
                    );
                }
                running.apply(change.settings.build_normaliser(), change.settings.policy);
                tracing::info!(keys = change.applied.join(" "), "configuration reloaded");
            }
            Err(errors) => {
                for error in &errors.0 {
                    tracing::error!(%error, "configuration refused; what was in effect stays");
                }
            }
        }
    }

    fn change_to(&mut self, loaded: Loaded) -> Result<Change, ConfigErrors> {
        let reloadable = |key: &String| RELOADABLE.iter().any(|prefix| key.starts_with(prefix));
        let waiting = loaded
            .config
            .keys_that_differ(&self.started)
            .into_iter()
            .filter(|key| !reloadable(key))
            .collect();
        let applied = loaded.config.keys_that_differ(&self.current).into_iter().filter(reloadable).collect();
        let effective = Config {
            classify: loaded.config.classify,
            dedup: loaded.config.dedup,
            storm: loaded.config.storm,
            sink: crate::config::Sink {
                store: StoreSink { retention: loaded.config.sink.store.retention },
                ..self.started.sink.clone()
            },
            ..self.started.clone()
        };
        let settings = effective.validated(self.sources.flags.allow_anonymous)?;
        self.current = effective;
        Ok(Change { settings, applied, waiting })
    }
}

/// What a reload does.
#[derive(Debug)]
struct Change {
    settings: Settings,
    /// Keys with a new value that is in effect from now on.
    applied: Vec<String>,
    /// Keys with a value that differs from what the server was started with and needs a restart.
    waiting: Vec<String>,
}

/// Nothing for a file that is not there.
fn fingerprint(path: &Path) -> Fingerprint {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
