//! Reading the configuration again while the server runs.
//!
//! Everything that can change without a restart changes at once or not at all: what was read is validated as a whole
//! before any of it applies.

mod certificates;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use seawall_classify::policy_files;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{
    Classify, Config, ConfigError, ConfigErrors, KeyPath, Loaded, Origin, Rule, Settings, Sink, Sources,
    StateKind, StoreSink,
};
use crate::{Running, ServeError};
use certificates::Certificates;

/// How often the files are looked at. A look is a few calls to the system, follows links, and misses nothing that a mounted
/// volume or an editor does to a file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What changes without a restart.
const RELOADABLE: [&str; 6] = [
    "dedup.",
    "storm.",
    "classify.environments",
    "classify.severity",
    "classify.policyDir",
    "sink.store.retention",
];

/// What tells one version of a file from the next without reading it: when it was written, how long and which it is.
type Fingerprint = Option<(SystemTime, u64, u64)>;

/// One version of everything that is read.
#[derive(Default, PartialEq)]
struct Seen {
    file: Fingerprint,
    identities: Fingerprint,
    policies: Vec<(PathBuf, Fingerprint)>,
}

impl Seen {
    fn now(file: Option<&Path>, identities: Option<&Path>, policy_dir: Option<&Path>) -> Self {
        // A directory that cannot be read has no files; that it was there before is a change.
        let policies = policy_dir.and_then(|directory| policy_files(directory).ok()).unwrap_or_default();
        let policies = policies.into_iter().map(|path| {
            let version = fingerprint(&path);
            (path, version)
        });
        Self {
            file: file.and_then(fingerprint),
            identities: identities.and_then(fingerprint),
            policies: policies.collect(),
        }
    }
}

pub(crate) struct Reloader {
    sources: Sources,
    /// What the server was started with; what needs a restart stays as it is here.
    started: Config,
    /// What is in effect.
    current: Config,
    /// The directory that was named last, also when what is in it was refused: then a better version is waited for.
    policy_dir: Option<PathBuf>,
    seen: Seen,
    certificates: Certificates,
    hangup: Signal,
}

impl Reloader {
    pub(crate) fn new(sources: Sources, loaded: &Loaded) -> Result<Self, ServeError> {
        let policy_dir = loaded.config.classify.policy_dir.clone();
        let identities = loaded.config.auth.identities_file.as_deref();
        let seen = Seen::now(sources.file.as_deref(), identities, policy_dir.as_deref());
        let certificates = Certificates::new(loaded.settings.tls.as_ref());
        let hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
        let current = loaded.config.clone();
        Ok(Self { sources, started: current.clone(), current, policy_dir, seen, certificates, hangup })
    }

    /// Reads again whenever it is asked to, or a file has changed. Does not end.
    pub(crate) async fn watch(&mut self, running: &Running) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // When nobody can send the signal any more, the file is still looked at.
                Some(()) = self.hangup.recv() => {
                    self.reload(running);
                    if let Some(tls) = running.tls() {
                        self.certificates.reload(tls, running.metrics());
                    }
                }
                _ = looks.tick() => {
                    if self.look() != self.seen {
                        self.reload(running);
                    }
                    if let Some(tls) = running.tls() {
                        self.certificates.look(tls, running.metrics());
                    }
                }
            }
        }
    }

    fn look(&self) -> Seen {
        let identities = self.started.auth.identities_file.as_deref();
        Seen::now(self.sources.file.as_deref(), identities, self.policy_dir.as_deref())
    }

    fn reload(&mut self, running: &Running) {
        let allow_anonymous = self.sources.flags.allow_anonymous;
        // First looked at, then read: what changes in between is seen as a change by the next look.
        self.seen = self.look();
        let read = self.sources.read();
        if let Ok((config, _)) = &read
            && config.classify.policy_dir != self.policy_dir
        {
            self.policy_dir.clone_from(&config.classify.policy_dir);
            self.seen.policies = self.look().policies;
        }
        let read = read.and_then(|(config, given)| self.sources.validated(config, given));
        let change = read.and_then(|read| plan(&self.started, &self.current, read.config, allow_anonymous));
        running.metrics().config_reload(change.is_ok());
        match change {
            Ok(change) => {
                if !change.waiting.is_empty() {
                    tracing::warn!(
                        keys = change.waiting.join(" "),
                        "changed keys need a restart to take effect"
                    );
                }
                running.apply(&change.settings);
                self.current = change.effective;
                tracing::info!(keys = change.applied.join(" "), "configuration reloaded");
            }
            Err(errors) => {
                for error in &errors.0 {
                    tracing::error!(%error, "configuration refused; what was in effect stays");
                }
            }
        }
    }
}

/// What a reload does.
#[derive(Debug)]
struct Change {
    effective: Config,
    settings: Settings,
    /// Keys with a new value that is in effect from now on.
    applied: Vec<String>,
    /// Keys with a value that differs from what the server was started with and needs a restart.
    waiting: Vec<String>,
}

/// What becomes of the configuration that was `read`.
fn plan(
    started: &Config,
    current: &Config,
    read: Config,
    allow_anonymous: bool,
) -> Result<Change, ConfigErrors> {
    let reloadable = |key: &String| RELOADABLE.iter().any(|prefix| key.starts_with(prefix));
    let waiting = read.keys_that_differ(started).into_iter().filter(|key| !reloadable(key)).collect();
    let applied = read.keys_that_differ(current).into_iter().filter(reloadable).collect();
    keeps_partitions(started, &read)?;
    let effective = Config {
        classify: Classify {
            kubernetes: started.classify.kubernetes,
            config_map: started.classify.config_map.clone(),
            ..read.classify
        },
        dedup: read.dedup,
        storm: read.storm,
        sink: Sink { store: StoreSink { retention: read.sink.store.retention }, ..started.sink.clone() },
        ..started.clone()
    };
    let settings = effective.validated(allow_anonymous)?;
    Ok(Change { effective, settings, applied, waiting })
}

/// Whether what is open stays where it lies. In Redis, a problem lies with its namespace as long as every rule groups by
/// that, and with its whole cluster otherwise; an incident that is looked for elsewhere would be opened a second time.
fn keeps_partitions(started: &Config, read: &Config) -> Result<(), ConfigError> {
    let spans = |config: &Config| config.storm.rules.iter().any(Rule::spans_namespaces);
    let change = match (spans(started), spans(read)) {
        (false, true) => "the first rule that does not group by `namespace` comes",
        (true, false) => "the last rule that does not group by `namespace` goes",
        _ => return Ok(()),
    };
    if started.state.kind != StateKind::Redis {
        return Ok(());
    }
    Err(ConfigError {
        origin: Origin::Default,
        path: KeyPath::from("storm.rules"),
        message: format!(
            "{change}, which would move everything that is open to another partition of the Redis store; keep the \
             rules, or restart every replica with the new ones and another `state.redis.keyPrefix`"
        ),
    })
}

/// Nothing for a file that is not there.
fn fingerprint(path: &Path) -> Fingerprint {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        Config::from_yaml(yaml).unwrap()
    }

    #[test]
    fn keys_that_need_a_restart_are_named_and_do_not_apply() {
        let started = config("dedup: {ttl: 1m}");
        let read = config(
            "dedup: {ttl: 2m}\nserver: {listen: '127.0.0.1:1', limits: {bodyBytes: 1MiB}}\n\
             classify: {kubernetes: false, configMap: other, environments: {shop: live}}\n\
             identity: {extraLabels: [team]}\nsink: {store: {retention: 1d}}\ntelemetry: {logLevel: debug}\n\
             auth: {identitiesFile: nowhere.yaml}",
        );
        let change = plan(&started, &started, read, false).unwrap();
        assert_eq!(change.applied, ["classify.environments", "dedup.ttl", "sink.store.retention"]);
        let waiting = [
            "server.listen",
            "server.limits.bodyBytes",
            "auth.identitiesFile",
            "identity.extraLabels",
            "classify.kubernetes",
            "classify.configMap",
            "telemetry.logLevel",
        ];
        assert_eq!(change.waiting, waiting);
        let effective =
            "dedup: {ttl: 2m}\nsink: {store: {retention: 1d}}\nclassify: {environments: {shop: live}}";
        assert_eq!(change.effective, config(effective));
        assert_eq!(change.settings.policy.ttl, 120_000);
    }

    #[test]
    fn what_waits_for_a_restart_is_named_at_every_reload_and_what_applies_only_once() {
        let started = config("");
        let read = config("dedup: {ttl: 2m}\nstate: {embedded: {path: elsewhere}}");
        let first = plan(&started, &started, read.clone(), false).unwrap();
        let second = plan(&started, &first.effective, read, false).unwrap();
        assert_eq!(second.applied, Vec::<String>::new());
        assert_eq!(second.waiting, ["state.embedded.path"]);
    }

    #[test]
    fn what_is_open_in_redis_is_not_moved_to_another_partition_by_a_reload() {
        let redis = "state: {kind: redis, redis: {urls: ['redis://redis']}}\n";
        let apart = "storm: {rules: [{name: a, groupBy: [namespace]}]}\n";
        let spanning = "storm: {rules: [{name: a, groupBy: [namespace]}, {name: b, groupBy: [node]}]}\n";
        let more = "storm: {rules: [{name: b, groupBy: [node], threshold: 3}]}\ndedup: {ttl: 2m}\n";
        let reload = |started: &str, read: &str| {
            let started = config(&(redis.to_owned() + started));
            plan(&started, &started, config(&(redis.to_owned() + read)), false)
        };
        for (before, after, said) in [(apart, spanning, "the first rule"), (spanning, "", "the last rule")] {
            let refused = reload(before, after).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("storm.rules: {said}")), "{refused}");
            assert!(refused.contains("another `state.redis.keyPrefix`"), "{refused}");
        }
        assert_eq!(reload(spanning, more).unwrap().applied, ["dedup.ttl", "storm.rules"]);
        assert!(reload(apart, "storm: {rules: []}").is_ok());
        let embedded = plan(&config(apart), &config(apart), config(spanning), false).unwrap();
        assert_eq!(embedded.applied, ["storm.rules"]);
    }

    #[test]
    fn every_key_that_applies_without_a_restart_exists() {
        let all = Config::all_keys();
        for prefix in RELOADABLE {
            assert!(all.iter().any(|key| key.starts_with(prefix)), "{prefix}");
        }
    }
}
