//! Whoever sends a request.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::authentication::v1::UserInfo;

use super::identities::Grants;

/// Somebody the cluster or the identities file knows. Found among the extensions of a request once it is known who sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Arc<Known>);

/// Everything an authorizer may look at.
#[derive(PartialEq, Eq)]
struct Known {
    /// Of everything below, because every request looks up what its sender may do. The cluster says what there is to hash,
    /// so nobody can aim at others' hashes.
    hash: u64,
    user: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
    /// What the identities file lets them do; nothing for somebody of the cluster, which says that itself.
    grants: Option<Grants>,
}

impl Identity {
    /// Nothing for somebody without a name, to whom nothing could be granted.
    pub(super) fn of(user: UserInfo) -> Option<Self> {
        let name = user.username.filter(|name| !name.is_empty())?;
        let (uid, groups, extra) =
            (user.uid, user.groups.unwrap_or_default(), user.extra.unwrap_or_default());
        let mut hasher = DefaultHasher::new();
        (&name, &uid, &groups, &extra).hash(&mut hasher);
        let hash = hasher.finish();
        Some(Self(Arc::new(Known { hash, user: name, uid, groups, extra, grants: None })))
    }

    /// Somebody of the identities file.
    pub(super) fn named(name: &str, grants: Grants) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let (uid, groups, extra) = (None, Vec::new(), BTreeMap::new());
        let known =
            Known { hash: hasher.finish(), user: name.to_owned(), uid, groups, extra, grants: Some(grants) };
        Self(Arc::new(known))
    }

    /// As the file or the cluster names it: `system:serviceaccount:monitoring:alertmanager`.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    pub fn groups(&self) -> &[String] {
        &self.0.groups
    }

    pub(super) fn grants(&self) -> Option<&Grants> {
        self.0.grants.as_ref()
    }

    pub(super) fn uid(&self) -> Option<&String> {
        self.0.uid.as_ref()
    }

    pub(super) fn extra(&self) -> &BTreeMap<String, Vec<String>> {
        &self.0.extra
    }
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
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
