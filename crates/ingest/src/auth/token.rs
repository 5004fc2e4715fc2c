//! Bearer tokens.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seawall_model::Timestamp;
use serde::Deserialize;

use super::Denial;
use super::credential::{MAX_SECRET, Secret};
use super::digest::CredentialDigest;

/// How tokens begin that are made here, so that whoever finds one knows what it is.
const MARK: &str = "seawall_";

/// A token that nobody can guess. Fails when the system has no random numbers.
pub fn new_token() -> io::Result<String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// A secret that says who somebody is. It has no `Debug`, so that no log can show it.
#[derive(Clone)]
pub(crate) struct BearerToken {
    secret: Secret,
    digest: CredentialDigest,
}

impl BearerToken {
    pub(super) fn of(secret: Secret) -> Result<Self, Denial> {
        if !is_token(secret.bytes()) {
            return Err(Denial::Refused);
        }
        Ok(Self { digest: CredentialDigest::of(secret.bytes()), secret })
    }

    pub(super) fn expose(&self) -> &str {
        self.secret.expose()
    }

    pub(super) const fn digest(&self) -> CredentialDigest {
        self.digest
    }

    /// When it ends by its own account; nothing when it is no JWT or does not say. Nobody vouches for that, so it may
    /// shorten trust and never give any.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        #[derive(Deserialize)]
        struct Claims {
            exp: f64,
        }
        let payload = self.expose().split('.').nth(1)?;
        let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: Claims = serde_json::from_slice(&json).ok()?;
        // Conversion of a number that is out of range gives the nearest one.
        Some(Timestamp::from_millis((claims.exp * 1000.0) as i64))
    }
}

/// What RFC 6750 allows in a token.
pub(super) fn is_token(text: &[u8]) -> bool {
    let valid = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    // All of them are looked at, however the first ones are: that goes many at a time.
    (1..=MAX_SECRET).contains(&text.len()) && text.iter().fold(true, |all, byte| all & valid(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> BearerToken {
        BearerToken::of(Secret::of(text)).ok().unwrap()
    }

    #[test]
    fn a_new_token_is_one_and_never_the_same() {
        let [one, other] = [new_token().unwrap(), new_token().unwrap()];
        assert!(one.starts_with("seawall_") && one.len() == 8 + 43 && is_token(one.as_bytes()), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn the_end_of_a_token_is_what_its_payload_says() {
        let end = |payload: &str| {
            let text = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
            token(&text).expires_at().map(Timestamp::as_millis)
        };
        assert_eq!(end(r#"{"exp":1793530800,"sub":"x"}"#), Some(1_793_530_800_000));
        assert_eq!(end(r#"{"exp":1.5}"#), Some(1_500));
        assert_eq!(end(r#"{"exp":-1e300}"#), Some(i64::MIN));
        for silent in [r#"{"exp":"soon"}"#, "{}", "[]", "not JSON"] {
            assert_eq!(end(silent), None, "{silent}");
        }
        for opaque in ["opaque", "a.b", "a.~.c"] {
            assert_eq!(token(opaque).expires_at(), None, "{opaque}");
        }
    }
}
