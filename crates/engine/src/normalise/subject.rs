//! What an alert is about.

use compact_str::CompactString;

use super::ResourceLabel;
use super::exporter::Exporters;
use super::labels::{Found, Names, Slot};

/// The kind of a problem whose resource is not known.
pub(super) const UNKNOWN: &str = "Unknown";

/// Which plain labels of an alert describe whoever reported it instead of what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Nothing,
    /// `pod`, `container`, `service`; `instance` is the host.
    HostExporter,
    /// `pod`, `container`, `service` and `instance`.
    Scraper,
}

/// A label about an object: Prometheus renames it to `exported_…` where the scraper's own label has its name.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) plain: Slot,
    pub(super) exported: Slot,
    /// From which reporter on the plain label is the reporter's own.
    owned: Option<Own>,
}

impl Object {
    pub(super) fn new(label: &str, names: &mut Names) -> Self {
        let owned = match label {
            "pod" | "container" | "service" => Some(Own::HostExporter),
            "instance" => Some(Own::Scraper),
            _ => None,
        };
        Self { plain: names.slot(label), exported: names.slot(&format!("exported_{label}")), owned }
    }

    /// The value, empty where nothing is said about the object.
    pub(super) fn value<'f>(&self, found: &Found<'f>, own: Own) -> &'f str {
        let exported = found.get(self.exported);
        if !exported.is_empty() {
            return exported;
        }
        let is_own = match self.owned {
            None => false,
            Some(Own::Scraper) => own == Own::Scraper,
            Some(_) => own != Own::Nothing,
        };
        if is_own { "" } else { found.get(self.plain) }
    }
}

/// A label that says what an alert is about.
#[derive(Debug)]
pub(super) struct ResourceRule {
    object: Object,
    pub(super) kind: CompactString,
    /// Objects of this kind are in no namespace; a `namespace` label is the reporter's.
    pub(super) cluster_scoped: bool,
}

impl ResourceRule {
    pub(super) fn new(label: &ResourceLabel, names: &mut Names) -> Self {
        Self {
            object: Object::new(&label.label, names),
            cluster_scoped: is_cluster_scoped(&label.kind),
            kind: label.kind.clone(),
        }
    }
}

pub(super) fn is_cluster_scoped(kind: &str) -> bool {
    matches!(kind, "Node" | "PersistentVolume" | "Namespace")
}

/// The first rule that finds its label, and whose labels were passed over on the way.
pub(super) fn pick<'f>(
    rules: &'f [ResourceRule],
    exporters: &Exporters,
    found: &Found<'f>,
    has_exported_namespace: bool,
) -> (Option<(&'f ResourceRule, &'f str)>, Own) {
    if has_exported_namespace {
        return (first(rules, found, Own::Scraper), Own::Scraper);
    }
    let own = exporters.own(found);
    if own != Own::Nothing
        && let Some(picked) = first(rules, found, own)
    {
        return (Some(picked), own);
    }
    // An exporter that says nothing about others is the problem itself.
    (first(rules, found, Own::Nothing), Own::Nothing)
}

fn first<'f>(rules: &'f [ResourceRule], found: &Found<'f>, own: Own) -> Option<(&'f ResourceRule, &'f str)> {
    rules.iter().map(|rule| (rule, rule.object.value(found, own))).find(|(_, value)| !value.is_empty())
}
