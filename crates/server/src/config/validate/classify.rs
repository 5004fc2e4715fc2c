//! The section `classify`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use seawall_classify::Policies;

use super::Check;
use crate::config::error::{ConfigError, KeyPath, Origin};
use crate::config::settings::ClassifySettings;
use crate::config::tree::Classify;

const POLICY_DIR: &str = "classify.policyDir";

/// What Kubernetes allows for the name of a ConfigMap.
const MAX_CONFIG_MAP: usize = 253;

impl Check<'_> {
    pub(super) fn classify(&mut self, classify: &Classify) -> ClassifySettings {
        for (namespace, environment) in &classify.environments {
            if environment.is_empty() || environment.len() > 63 {
                let path = KeyPath::from("classify.environments").key(namespace);
                self.fail(path, "the name of an environment has 1 to 63 bytes");
            }
        }
        let mut seen = BTreeSet::new();
        for word in classify.severity.keys() {
            if !seen.insert(word.to_lowercase()) {
                let path = KeyPath::from("classify.severity").key(word);
                self.fail(path, format!("`{word}` is listed twice; case does not matter"));
            }
        }
        self.config_map(&classify.config_map);
        ClassifySettings {
            kubernetes: classify.kubernetes.unwrap_or_else(seawall_cluster::is_inside),
            config_map: classify.config_map.clone(),
            policies: classify.policy_dir.as_deref().and_then(|directory| self.policies(directory)),
        }
    }

    fn config_map(&mut self, name: &str) {
        let allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
        if name.is_empty() || name.len() > MAX_CONFIG_MAP || !name.chars().all(allowed) {
            self.fail("classify.configMap", format!("`{name}` cannot be the name of a ConfigMap"));
        }
    }

    /// Nothing when they cannot be used, which is noted with the place in their file.
    fn policies(&mut self, directory: &Path) -> Option<Arc<Policies>> {
        match Policies::load(directory) {
            Ok(policies) => Some(Arc::new(policies)),
            Err(error) if error.file == directory => {
                self.fail(POLICY_DIR, format!("{} {error}", directory.display()));
                None
            }
            Err(error) => {
                let name = error.file.display().to_string().into();
                let origin = Origin::File { name, line: error.line, column: error.column };
                self.errors.push(ConfigError { origin, path: POLICY_DIR.into(), message: error.message });
                None
            }
        }
    }
}
