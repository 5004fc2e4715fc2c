//! Whoever sends a request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::authentication::v1::UserInfo;

/// Somebody the cluster knows. Found among the extensions of a request once it is known who sends it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity(Arc<Known>);

/// Everything an authorizer may look at.
#[derive(PartialEq, Eq, Hash)]
struct Known {
    user: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// Nothing for somebody without a name, to whom nothing could be granted.
    pub(super) fn of(user: UserInfo) -> Option<Self> {
        let name = user.username.filter(|name| !name.is_empty())?;
        Some(Self(Arc::new(Known {
            user: name,
            uid: user.uid,
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        })))
    }

    /// As the cluster names it: `system:serviceaccount:monitoring:alertmanager`.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    pub fn groups(&self) -> &[String] {
        &self.0.groups
    }

    pub(super) fn uid(&self) -> Option<&String> {
        self.0.uid.as_ref()
    }

    pub(super) fn extra(&self) -> &BTreeMap<String, Vec<String>> {
        &self.0.extra
    }
}

/// Only the name: what else is known about somebody has no place in a log.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.user()).finish()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.user())
    }
}
