//! What somebody may do here, and what the cluster calls it.

use k8s_openapi::api::authorization::v1::ResourceAttributes;

use super::Identity;
use compact_str::CompactString;

const GROUP: &str = "remediation.kubernaut.io";
const RESOURCE: &str = "remediationrequests";

/// What one may have the right to. The rights are those that one would need to do the same in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// To send signals about a namespace: `create remediationrequests`.
    Send,
    /// To look at requests and how they came about: `list remediationrequests`.
    Read,
    /// To report on the work at requests: `update remediationrequests/status`.
    Work,
}

impl Right {
    const fn verb(self) -> &'static str {
        match self {
            Self::Send => "create",
            Self::Read => "list",
            Self::Work => "update",
        }
    }

    const fn subresource(self) -> Option<&'static str> {
        match self {
            Self::Send | Self::Read => None,
            Self::Work => Some("status"),
        }
    }

    /// As a part of a sentence: `create remediationrequests`.
    pub(super) const fn in_the_cluster(self) -> &'static str {
        match self {
            Self::Send => "create remediationrequests",
            Self::Read => "list remediationrequests",
            Self::Work => "update remediationrequests/status",
        }
    }

    /// The same in the words of the identities file, whose verbs these begin with.
    pub(super) const fn in_the_file(self) -> &'static str {
        match self {
            Self::Send => "send signals",
            Self::Read => "read requests",
            Self::Work => "work on requests",
        }
    }

    pub(super) fn attributes(self, namespace: &str) -> ResourceAttributes {
        ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some(RESOURCE.to_owned()),
            subresource: self.subresource().map(str::to_owned),
            verb: Some(self.verb().to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ResourceAttributes::default()
        }
    }
}

/// May this somebody do this there? What is remembered of an answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) identity: Identity,
    pub(super) right: Right,
    /// A DNS label; empty for all namespaces.
    pub(super) namespace: CompactString,
}
