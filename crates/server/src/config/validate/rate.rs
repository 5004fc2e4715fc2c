//! The section `rateLimit`, and whose word about addresses counts.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use seawall_ingest::RateSettings;

use super::Check;
use crate::config::tree::{Config, StateKind, parse_net};

impl Check<'_> {
    pub(super) fn rate_limit(&mut self, config: &Config) -> RateSettings {
        let written = &config.rate_limit;
        let requests = self.limit(written.requests, "rateLimit.requests");
        let burst = written.burst.map_or(requests, |burst| self.limit(burst, "rateLimit.burst"));
        let authenticated = written.authenticated.map(|it| self.limit(it, "rateLimit.authenticated"));
        let window = Duration::from(self.lasting(written.window, "rateLimit.window"));
        if written.shared && config.state.kind != StateKind::Redis {
            self.fail(
                "rateLimit.shared",
                "replicas count together only in Redis: `state.kind: redis` is missing",
            );
        }
        RateSettings {
            requests,
            window,
            burst,
            exempt: self.nets(&written.exempt, "rateLimit.exempt"),
            authenticated,
            trusted_proxies: self.nets(&config.server.trusted_proxies, "server.trustedProxies"),
        }
    }

    fn limit(&mut self, number: u32, key: &'static str) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap_or_else(|| {
            self.fail(key, "0 would refuse everybody; to limit nobody, exempt `0.0.0.0/0` and `::/0`");
            NonZeroU32::MIN
        })
    }

    fn nets(&mut self, texts: &[String], key: &'static str) -> Vec<IpNet> {
        let mut nets = Vec::new();
        for text in texts {
            match parse_net(text.trim()) {
                Some(net) => nets.push(net),
                None => self.fail(
                    key,
                    format!("`{text}` is no address and no network, such as `192.0.2.1` or `10.0.0.0/8`"),
                ),
            }
        }
        nets
    }
}
