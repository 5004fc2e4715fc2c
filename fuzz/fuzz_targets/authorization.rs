#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_ingest::read_authorization;

// The value of an `Authorization` header.
fuzz_target!(|value: &[u8]| {
    if let Some((user, secret)) = read_authorization(value) {
        assert!(!user.contains(':'), "{user}");
        assert!(user.len() + secret.len() <= value.len());
    }
});
