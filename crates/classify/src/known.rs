//! What is known about namespaces, in memory.

use std::collections::HashMap;

use compact_str::CompactString;
use parking_lot::RwLock;

use crate::Overrides;

/// Environments of namespaces: what they are labelled with, then what is written over it elsewhere. Empty until somebody
/// fills it, and then the next source in order is used.
#[derive(Debug, Default)]
pub struct Known {
    /// By namespace; only those that are labelled.
    labels: RwLock<HashMap<CompactString, CompactString>>,
    overrides: RwLock<Overrides>,
}

impl Known {
    pub fn environment(&self, namespace: &str) -> Option<CompactString> {
        if let Some(label) = self.labels.read().get(namespace) {
            return Some(label.clone());
        }
        self.overrides.read().of(namespace)
    }

    /// Takes over all labels that there are; what is not among them is gone.
    pub fn set_labels(&self, labels: HashMap<CompactString, CompactString>) {
        *self.labels.write() = labels;
    }

    /// One namespace is labelled like this from now on; an empty value is none.
    pub fn set_label(&self, namespace: &str, value: &str) {
        match value {
            "" => drop(self.labels.write().remove(namespace)),
            value => drop(self.labels.write().insert(namespace.into(), value.into())),
        }
    }

    pub fn overrides(&self) -> Overrides {
        self.overrides.read().clone()
    }

    pub fn set_overrides(&self, overrides: Overrides) {
        *self.overrides.write() = overrides;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_before_an_override_and_shows_it_again_when_it_goes() {
        let known = Known::default();
        assert_eq!(known.environment("shop"), None);
        let (overrides, complaints) = Overrides::default().updated(&[("shop", "staging")]);
        assert_eq!(complaints, Vec::<String>::new());
        known.set_overrides(overrides);
        known.set_label("shop", "production");
        assert_eq!(known.environment("shop").unwrap(), "production");
        known.set_label("shop", "");
        assert_eq!(known.environment("shop").unwrap(), "staging");
        known.set_labels(HashMap::from([("other".into(), "production".into())]));
        assert_eq!(known.environment("shop").unwrap(), "staging");
        assert_eq!(known.environment("other").unwrap(), "production");
    }
}
