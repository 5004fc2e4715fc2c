#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_server::config::parse_identities;

// The text of `auth.identitiesFile`.
fuzz_target!(|text: &str| match parse_identities(text, "identities.yaml") {
    Ok(identities) => {
        assert!(!identities.0.is_empty());
        for entry in &identities.0 {
            assert!(!entry.name.is_empty() && !entry.grants.rights.is_empty());
            assert!(!entry.tokens.is_empty() || entry.password.is_some() || entry.certificate.is_some());
        }
    }
    Err(errors) => {
        assert!(!errors.0.is_empty());
        assert!(errors.to_string().starts_with("identities.yaml"), "{errors}");
    }
});
