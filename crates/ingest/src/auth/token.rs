//! Bearer tokens.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use seawall_model::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Denial;

/// No cluster makes longer ones. What is longer is refused without asking.
const MAX_TOKEN: usize = 16 * 1024;

/// A secret that says who somebody is. It has no `Debug`, so that no log can show it.
#[derive(Clone)]
pub(crate) struct BearerToken {
    /// As it was sent. Its bytes are those that were read, so that a request does not pay for a copy.
    header: HeaderValue,
    /// Where in it the token is.
    at: Range<usize>,
}

/// What a token is remembered by: nobody who reads memory or a dump finds the token.
pub(super) type Digest = [u8; 32];

impl BearerToken {
    /// Takes the token out of the headers of a request, so that nothing behind can show it.
    pub(super) fn take(headers: &mut HeaderMap) -> Result<Self, Denial> {
        let http::header::Entry::Occupied(entry) = headers.entry(AUTHORIZATION) else {
            return Err(Denial::Missing);
        };
        let mut values = entry.remove_entry_mult().1;
        let first = values.next().ok_or(Denial::Missing)?;
        if values.next().is_some() {
            return Err(Denial::Refused);
        }
        Self::of(first)
    }

    fn of(header: HeaderValue) -> Result<Self, Denial> {
        let text = header.to_str().map_err(|_| Denial::Missing)?.trim_end();
        let (scheme, token) = text.trim_start().split_once(' ').ok_or(Denial::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denial::Missing);
        }
        // Nothing comes behind it.
        let at = text.len() - token.trim_start().len()..text.len();
        if !is_token(&text.as_bytes()[at.clone()]) {
            return Err(Denial::Refused);
        }
        Ok(Self { header, at })
    }

    fn bytes(&self) -> &[u8] {
        &self.header.as_bytes()[self.at.clone()]
    }

    pub(super) fn expose(&self) -> &str {
        // A token is ASCII.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    pub(super) fn digest(&self) -> Digest {
        Sha256::digest(self.bytes()).into()
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
fn is_token(text: &[u8]) -> bool {
    let valid = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    // All of them are looked at, however the first ones are: that goes many at a time.
    (1..=MAX_TOKEN).contains(&text.len()) && text.iter().fold(true, |all, byte| all & valid(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(values: &[&str]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let taken = BearerToken::take(&mut headers);
        assert!(headers.is_empty(), "what was sent is not shown to anybody else");
        match taken {
            Ok(token) => Ok(token.expose().to_owned()),
            Err(Denial::Missing) => Err("missing"),
            Err(Denial::Refused) => Err("refused"),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn token(text: &str) -> BearerToken {
        BearerToken::of(HeaderValue::from_str(&format!("Bearer {text}")).unwrap()).ok().unwrap()
    }

    #[test]
    fn a_token_is_taken_from_the_one_header_it_may_be_in() {
        assert_eq!(taken(&["Bearer a.b-c_d~e+f/g=="]).as_deref(), Ok("a.b-c_d~e+f/g=="));
        assert_eq!(taken(&["bearer   abc "]).as_deref(), Ok("abc"), "the scheme has no case");
        for none in [&[][..], &["Basic YTpi"], &["Bearer"], &[""]] {
            assert_eq!(taken(none), Err("missing"), "{none:?}");
        }
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
        for wrong in [&["Bearer a b"][..], &["Bearer a,b"], &["Bearer a", "Bearer b"], &[long.as_str()]] {
            assert_eq!(taken(wrong), Err("refused"));
        }
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
