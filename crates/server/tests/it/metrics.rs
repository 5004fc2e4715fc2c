//! What other crates call their failures is what the reference of the metrics and the alert rules call them.

use std::collections::BTreeSet;

use seawall_cluster::ApiFailure;
use seawall_store::Failure;
use seawall_telemetry::FAMILIES;

fn classes_of(family: &str) -> BTreeSet<&'static str> {
    let family = FAMILIES.iter().find(|described| described.to_string() == family).unwrap();
    let class = family.labels.iter().find(|label| label.name == "class").unwrap();
    class.values.iter().copied().collect()
}

#[test]
fn every_class_of_failures_is_named_and_none_that_there_is_not() {
    use Failure::{
        Closed, ClusterDown, Denied, Disk, Incomplete, Loading, NotReplicated, OutOfMemory, Protocol,
        ReadOnly, Refused, Reset, Superseded, Timeout,
    };
    let failures = [
        Closed,
        ClusterDown,
        Denied,
        Disk,
        Incomplete,
        Loading,
        NotReplicated,
        OutOfMemory,
        Protocol,
        ReadOnly,
        Refused,
        Reset,
        Superseded,
        Timeout,
    ];
    let mut of_store: BTreeSet<_> = failures.map(Failure::as_str).into();
    // A call that was not even made.
    of_store.insert("saturated");
    assert_eq!(classes_of("seawall_state_errors_total"), of_store);

    let of_cluster = [
        ApiFailure::AlreadyExists,
        ApiFailure::Ambiguous,
        ApiFailure::Conflict,
        ApiFailure::Expired,
        ApiFailure::Forbidden,
        ApiFailure::ForeignManager,
        ApiFailure::Invalid,
        ApiFailure::KindMissing,
        ApiFailure::NamespaceMissing,
        ApiFailure::NamespaceTerminating,
        ApiFailure::NotFound,
        ApiFailure::Protocol,
        ApiFailure::ServerError,
        ApiFailure::Throttled,
        ApiFailure::Unauthorized,
        ApiFailure::Unreachable,
    ];
    let mut of_sinks = of_store;
    of_sinks.extend(of_cluster.map(ApiFailure::as_str));
    of_sinks.insert("name_taken");
    assert_eq!(classes_of("seawall_publish_errors_total"), of_sinks);
}
