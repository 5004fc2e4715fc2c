//! Which signals are decided together.

use compact_str::CompactString;
use seawall_model::{Field, Identity, Policy, Signal};
use sha2::{Digest, Sha256};

/// Version of the keys and of what lies in them. Two versions of Seawall with the same number share their state; a
/// newer number takes a partition over by writing it into the partition's record, which the older scripts refuse.
pub(super) const FORMAT: u32 = 1;

/// Everything about a problem is in one partition, and a partition is in one slot: a namespace of a cluster, or the whole
/// cluster when a storm rule looks across namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Partition {
    pub cluster: CompactString,
    /// None: all namespaces of the cluster.
    pub namespace: Option<CompactString>,
}

impl Partition {
    pub fn of(policy: &Policy, signal: &Signal) -> Self {
        Self::holding(policy, &signal.identity)
    }

    pub fn holding(policy: &Policy, identity: &Identity) -> Self {
        let namespace = (!spans_namespaces(policy)).then(|| identity.namespace.clone());
        Self { cluster: identity.cluster.clone(), namespace }
    }

    /// How the registry of partitions calls it.
    pub fn name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("n{}\0{namespace}", self.cluster),
            None => format!("c{}", self.cluster),
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        if let Some(cluster) = name.strip_prefix('c') {
            return Some(Self { cluster: cluster.into(), namespace: None });
        }
        let (cluster, namespace) = name.strip_prefix('n')?.split_once('\0')?;
        Some(Self { cluster: cluster.into(), namespace: Some(namespace.into()) })
    }
}

/// Whether some rule makes a storm of signals from several namespaces.
pub(super) fn spans_namespaces(policy: &Policy) -> bool {
    policy.rules.iter().any(|rule| !rule.group_by.contains(&Field::Namespace))
}

/// The keys under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    base: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { base: format!("{prefix}:{FORMAT}:") }
    }

    /// The record of a partition, whose other keys begin the same but for the last letter.
    pub fn record(&self, partition: &Partition) -> String {
        let digest = Sha256::digest(partition.name());
        let tag: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}{{{tag}}}:p", self.base)
    }

    /// A sorted set of all partitions, by when they were last used.
    pub fn registry(&self) -> String {
        format!("{}{{partitions}}", self.base)
    }

    /// Says that the open requests outside are in the state. Beside the registry, and vanishes with it.
    pub fn whole(&self) -> String {
        format!("{}:whole", self.registry())
    }

    /// A limit, whose name may be anything.
    pub fn limit(&self, name: &str) -> String {
        let digest = Sha256::digest(name);
        let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{}{{l{tag}}}", self.base)
    }

    /// Who was here first: it vanishes with the data.
    pub fn birth(&self) -> String {
        format!("{}birth", self.base)
    }

    /// The channel on which replicas tell each other what changed.
    pub fn channel(&self) -> String {
        format!("{}changes", self.base)
    }
}

/// Another key of the partition that a record belongs to.
pub(super) fn sibling(record: &str, suffix: &str) -> String {
    format!("{}{suffix}", record.strip_suffix('p').unwrap_or(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_reads_back_from_its_name() {
        for (cluster, namespace) in [("", Some("")), ("east", Some("shop")), ("c", None), ("", None)] {
            let partition = Partition { cluster: cluster.into(), namespace: namespace.map(Into::into) };
            assert_eq!(Partition::parse(&partition.name()), Some(partition));
        }
        assert_eq!(Partition::parse(""), None);
    }

    #[test]
    fn keys_of_a_partition_share_a_slot() {
        let keys = Keys::new("seawall");
        let record = keys.record(&Partition { cluster: "".into(), namespace: Some("shop".into()) });
        assert!(record.starts_with("seawall:1:{") && record.ends_with("}:p"), "{record}");
        assert_eq!(sibling(&record, "i"), record.replace("}:p", "}:i"));
    }
}
