//! Exporters that speak about others and leave their own labels behind.

use compact_str::CompactString;

use super::labels::{Found, Names, Slot};
use super::subject::Own;

/// Recognises an alert that was made of an exporter's metrics.
#[derive(Debug)]
pub(super) struct Exporters {
    known: Vec<(CompactString, Own)>,
    job: Slot,
    service: Slot,
    pod: Slot,
}

impl Exporters {
    pub(super) fn new(state: &[CompactString], host: &[CompactString], names: &mut Names) -> Self {
        let state = state.iter().map(|name| (name.clone(), Own::Scraper));
        let host = host.iter().map(|name| (name.clone(), Own::HostExporter));
        Self {
            known: state.chain(host).filter(|(name, _)| !name.is_empty()).collect(),
            job: names.slot("job"),
            service: names.slot("service"),
            pod: names.slot("pod"),
        }
    }

    /// Which labels are the exporter's own, when one speaks: `job` or else `service` names it, and so does `pod`.
    pub(super) fn own(&self, found: &Found<'_>) -> Own {
        let pod = found.get(self.pod);
        if pod.is_empty() {
            return Own::Nothing;
        }
        let named = self.named(found.get(self.job)).or_else(|| self.named(found.get(self.service)));
        match named {
            Some((name, own)) if pod.contains(name.as_str()) => *own,
            _ => Own::Nothing,
        }
    }

    /// The exporter whose name `value` is, or ends in behind a `-`.
    fn named(&self, value: &str) -> Option<&(CompactString, Own)> {
        self.known.iter().find(|(name, _)| {
            value.strip_suffix(name.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('-'))
        })
    }
}
