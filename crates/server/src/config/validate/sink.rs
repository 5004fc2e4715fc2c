//! The sections `sink` and `publish`.

use std::num::NonZeroU32;

use seawall_model::is_dns_label;
use seawall_sink::{KubernetesSettings, NamespacePolicy as Namespaces, PublishSettings};

use super::Check;
use crate::config::error::KeyPath;
use crate::config::settings::SinkSettings;
use crate::config::tree::{Config, KubernetesSink, NamespacePolicy, Publish, SinkKind};

impl Check<'_> {
    pub(super) fn sink(&mut self, config: &Config) -> SinkSettings {
        let kubernetes = self.kubernetes(&config.sink.kubernetes, &config.publish);
        // What nobody has decided follows from where Seawall runs.
        let kind = config.sink.kind.unwrap_or_else(|| match seawall_cluster::is_inside() {
            true => SinkKind::Kubernetes,
            false => SinkKind::Store,
        });
        match kind {
            SinkKind::Kubernetes => SinkSettings::Kubernetes(Box::new(kubernetes)),
            SinkKind::Store => {
                for path in ["sink.kubernetes", "publish"] {
                    if self.differs(config, path) {
                        self.warn(path, "is not used; `sink.kind: kubernetes` is missing");
                    }
                }
                SinkSettings::Store
            }
        }
    }

    /// Whether somebody wrote something else than the default, which `config show` writes.
    fn differs(&self, config: &Config, section: &str) -> bool {
        let default = Config::default();
        let is_default = match section {
            "publish" => config.publish == default.publish,
            _ => config.sink.kubernetes == default.sink.kubernetes,
        };
        !is_default && self.given.origin_of(&KeyPath::from(section)).is_some()
    }

    fn kubernetes(&mut self, sink: &KubernetesSink, publish: &Publish) -> KubernetesSettings {
        if let Some(namespace) = sink.fallback_namespace.as_deref().filter(|name| !is_dns_label(name)) {
            let message = format!("`{namespace}` is not the name of a namespace");
            self.fail("sink.kubernetes.fallbackNamespace", message);
        }
        let defaults = KubernetesSettings::default();
        KubernetesSettings {
            namespace_policy: match sink.namespace_policy {
                NamespacePolicy::Signal => Namespaces::Signal,
                NamespacePolicy::Fallback => Namespaces::Fallback,
            },
            fallback_namespace: sink.fallback_namespace.as_deref().map(Into::into),
            qps: self.some(sink.qps, "sink.kubernetes.qps").unwrap_or(defaults.qps),
            burst: self.some(sink.burst, "sink.kubernetes.burst").unwrap_or(defaults.burst),
            watch: sink.watch,
            publish: self.publish(publish),
        }
    }

    fn publish(&mut self, publish: &Publish) -> PublishSettings {
        let initial = self.lasting(publish.retry.initial, "publish.retry.initial");
        let max = self.lasting(publish.retry.max, "publish.retry.max");
        if !max.is_zero() && max < initial {
            let message = format!("{max} is shorter than `publish.retry.initial` ({initial})");
            self.fail("publish.retry.max", message);
        }
        self.positive(publish.breaker.failures, "publish.breaker.failures");
        PublishSettings {
            respond_within: publish.respond_within.into(),
            retry_initial: initial.into(),
            retry_max: max.into(),
            breaker_failures: publish.breaker.failures,
            breaker_open: self.lasting(publish.breaker.open, "publish.breaker.open").into(),
        }
    }

    fn some(&mut self, value: u32, path: &str) -> Option<NonZeroU32> {
        self.positive(value, path);
        NonZeroU32::new(value)
    }
}
