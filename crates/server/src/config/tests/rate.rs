//! How often a sender may send.

use std::num::NonZeroU32;
use std::time::Duration;

use seawall_ingest::RateSettings;

use super::{message, settings};

#[test]
fn without_a_word_it_is_a_hundred_a_minute_and_loopback_is_exempt() {
    let RateSettings { requests, window, burst, exempt, authenticated, trusted_proxies } =
        settings("").edge.rate;
    assert_eq!((requests.get(), burst.get(), window), (100, 100, Duration::from_secs(60)));
    assert_eq!(exempt.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.0/8", "::1/128"]);
    assert_eq!((authenticated, trusted_proxies), (None, Vec::new()));
}

#[test]
fn every_key_is_taken_over() {
    let settings = settings(
        "server: {trustedProxies: [10.0.0.0/8, '2001:db8::1']}\n\
         rateLimit: {requests: 20, window: 1h, exempt: [192.0.2.1], authenticated: 7, retryableFor: [Vector/],\n\
         \u{20} shared: true}\n\
         state: {kind: redis, redis: {urls: ['redis://localhost']}}\n",
    );
    let rate = &settings.edge.rate;
    assert_eq!((rate.requests.get(), rate.burst.get(), rate.window), (20, 20, Duration::from_secs(3600)));
    assert_eq!(rate.authenticated, NonZeroU32::new(7));
    assert_eq!(rate.exempt[0].to_string(), "192.0.2.1/32");
    let proxies: Vec<_> = rate.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "2001:db8::1/128"]);
    assert_eq!(settings.edge.retryable_for, ["Vector/"]);
    assert!(settings.share_limits);
}

#[test]
fn what_makes_no_sense_is_named() {
    let cases = [
        ("rateLimit: {requests: 0}", "0 would refuse everybody"),
        ("rateLimit: {burst: 0}", "0 would refuse everybody"),
        ("rateLimit: {authenticated: 0}", "0 would refuse everybody"),
        ("rateLimit: {window: 0s}", "must be longer than zero"),
        ("rateLimit: {exempt: [10.0.0.0/33]}", "`10.0.0.0/33` is no address and no network"),
        ("server: {trustedProxies: [proxy.example]}", "`proxy.example` is no address and no network"),
        ("rateLimit: {shared: true}", "`state.kind: redis` is missing"),
    ];
    for (yaml, expected) in cases {
        let message = message(yaml);
        assert!(message.contains(expected), "{yaml}: {message}");
    }
}
