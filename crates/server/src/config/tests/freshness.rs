//! Whether senders have to say when they sent.

use std::time::Duration;

use seawall_ingest::Freshness;

use super::{message, settings};

#[test]
fn nobody_is_asked_unless_it_is_required() {
    assert_eq!(settings("").edge.freshness, None);
    assert_eq!(settings("freshness: {maxAge: 1m}").edge.freshness, None);
    assert_eq!(settings("freshness: {required: true}").edge.freshness, Some(Freshness::default()));
    let given = settings("freshness: {required: true, maxAge: 1m, maxSkew: 0s}").edge.freshness;
    assert_eq!(given, Some(Freshness { max_age: Duration::from_secs(60), max_skew: Duration::ZERO }));
}

#[test]
fn an_age_of_zero_would_refuse_everybody() {
    let message = message("freshness: {maxAge: 0s}");
    assert!(message.contains("freshness.maxAge: ") && message.contains("longer than zero"), "{message}");
}
