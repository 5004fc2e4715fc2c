//! What somebody shows to say who they are.

use std::ops::Range;

use axum::extract::Request;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::Denial;
use super::digest::CredentialDigest;
use super::token::BearerToken;
use crate::peer::PeerNames;

/// No cluster makes longer tokens, and nobody remembers longer passwords. What is longer is refused without asking.
pub(super) const MAX_SECRET: usize = 16 * 1024;

/// Some senders leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One of the ways to say who one is. It has no `Debug`, so that no log can show it.
#[derive(Clone)]
pub(crate) enum Credential {
    Token(BearerToken),
    Password(BasicCredentials),
    /// The connection says it for all requests that say nothing themselves.
    Certificate(PeerNames),
}

impl Credential {
    /// Takes it out of a request, so that nothing behind can show it. The header comes before the certificate: it is what
    /// the sender says this time, and when it is wrong, the certificate does not make it right.
    pub(super) fn take(request: &mut Request) -> Result<Self, Denial> {
        match Self::of_headers(request.headers_mut())? {
            Some(credential) => Ok(credential),
            None => request.extensions().get().cloned().map(Self::Certificate).ok_or(Denial::Missing),
        }
    }

    /// Nothing when there is no such header.
    fn of_headers(headers: &mut HeaderMap) -> Result<Option<Self>, Denial> {
        let http::header::Entry::Occupied(entry) = headers.entry(AUTHORIZATION) else { return Ok(None) };
        let mut values = entry.remove_entry_mult().1;
        let first = values.next().ok_or(Denial::Missing)?;
        if values.next().is_some() {
            return Err(Denial::Refused);
        }
        Self::of_header(first).map(Some)
    }

    fn of_header(header: HeaderValue) -> Result<Self, Denial> {
        let text = header.to_str().map_err(|_| Denial::Missing)?.trim_end();
        let (scheme, secret) = text.trim_start().split_once(' ').ok_or(Denial::Missing)?;
        // Nothing comes behind it.
        let at = text.len() - secret.trim_start().len()..text.len();
        let fits = (1..=MAX_SECRET).contains(&at.len());
        if scheme.eq_ignore_ascii_case("bearer") {
            let secret = fits.then_some(Secret { header, at }).ok_or(Denial::Refused)?;
            BearerToken::of(secret).map(Self::Token)
        } else if scheme.eq_ignore_ascii_case("basic") {
            let secret = fits.then_some(Secret { header, at }).ok_or(Denial::WrongPassword)?;
            Ok(Self::Password(BasicCredentials(secret)))
        } else {
            Err(Denial::Missing)
        }
    }
}

/// The part of a header that is secret. Its bytes are those that were read, so that a request does not pay for a copy.
#[derive(Clone)]
pub(super) struct Secret {
    header: HeaderValue,
    at: Range<usize>,
}

impl Secret {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.header.as_bytes()[self.at.clone()]
    }

    pub(super) fn expose(&self) -> &str {
        // What is no text was not taken.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self { header: HeaderValue::from_str(text).unwrap(), at: 0..text.len() }
    }
}

/// A user name and a password (RFC 7617), still in one.
#[derive(Clone)]
pub(crate) struct BasicCredentials(Secret);

impl BasicCredentials {
    /// `key` keeps what is remembered from being looked up in tables of others.
    pub(super) fn digest(&self, key: &[u8; 32]) -> CredentialDigest {
        CredentialDigest::of_parts(&[key, self.0.bytes()])
    }

    /// Nothing when it is not what the scheme says.
    pub(super) fn read(&self) -> Option<UserAndPassword> {
        let joined = BASE64.decode(self.0.bytes()).ok()?;
        let colon = joined.iter().position(|byte| *byte == b':')?;
        std::str::from_utf8(&joined[..colon]).ok()?;
        Some(UserAndPassword { joined, colon })
    }
}

/// What was read of a header, for as long as it takes to check it.
pub(super) struct UserAndPassword {
    joined: Vec<u8>,
    /// Where the name ends; passwords may have colons in them.
    colon: usize,
}

impl UserAndPassword {
    pub(super) fn user(&self) -> &str {
        std::str::from_utf8(&self.joined[..self.colon]).unwrap_or_default()
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.joined[self.colon + 1..]
    }
}

/// Reads the value of an `Authorization` header as a request's is read, and everything in it. For fuzzing; says nothing about
/// whether anybody is let in.
#[doc(hidden)]
pub fn read_authorization(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let header = HeaderValue::from_bytes(value).ok()?;
    match Credential::of_header(header).ok()? {
        Credential::Token(token) => {
            token.expires_at();
            Some((String::new(), token.expose().into()))
        }
        Credential::Password(credentials) => {
            let read = credentials.read()?;
            Some((read.user().to_owned(), read.password().to_vec()))
        }
        Credential::Certificate(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(values: &[&str]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let taken = Credential::of_headers(&mut headers);
        assert!(headers.is_empty(), "what was sent is not shown to anybody else");
        match taken {
            Ok(Some(Credential::Token(token))) => Ok(token.expose().to_owned()),
            Ok(Some(Credential::Password(credentials))) => {
                let read = credentials.read().ok_or("unreadable")?;
                Ok(format!("{} with {}", read.user(), String::from_utf8_lossy(read.password())))
            }
            Ok(Some(Credential::Certificate(_))) => panic!("a header is no certificate"),
            Ok(None) => Err("nothing"),
            Err(Denial::Missing) => Err("missing"),
            Err(Denial::Refused | Denial::WrongPassword) => Err("refused"),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_is_taken_from_the_one_header_it_may_be_in() {
        assert_eq!(taken(&["Bearer a.b-c_d~e+f/g=="]).as_deref(), Ok("a.b-c_d~e+f/g=="));
        assert_eq!(taken(&["bearer   abc "]).as_deref(), Ok("abc"), "the scheme has no case");
        assert_eq!(taken(&[]), Err("nothing"));
        for none in [&["Digest YTpi"][..], &["Bearer"], &["Basic"], &[""]] {
            assert_eq!(taken(none), Err("missing"), "{none:?}");
        }
        let long = format!("Bearer {}", "a".repeat(MAX_SECRET + 1));
        for wrong in [&["Bearer a b"][..], &["Bearer a,b"], &["Bearer a", "Bearer b"], &[long.as_str()]] {
            assert_eq!(taken(wrong), Err("refused"));
        }
    }

    #[test]
    fn a_user_and_a_password_are_what_the_header_says_with_colons_in_the_password() {
        let basic = |text: &str| taken(&[&format!("Basic {}", BASE64.encode(text))]);
        assert_eq!(basic("oncall:secret").as_deref(), Ok("oncall with secret"));
        assert_eq!(basic("jörg:a:b:").as_deref(), Ok("jörg with a:b:"));
        assert_eq!(basic(":").as_deref(), Ok(" with "));
        assert_eq!(basic("no colon"), Err("unreadable"));
        assert_eq!(taken(&["basic b25jYWxsOng"]).as_deref(), Ok("oncall with x"), "without padding");
        for wrong in ["Basic ?", "Basic b25jYWxs b25jYWxs", "Basic /w=="] {
            assert_eq!(taken(&[wrong]), Err("unreadable"), "{wrong}");
        }
        let long = format!("Basic {}", "a".repeat(MAX_SECRET + 1));
        assert_eq!(taken(&[&long]), Err("refused"));
    }

    #[test]
    fn a_certificate_speaks_only_for_a_request_that_says_nothing_itself() {
        let request = |header: Option<&str>, names: Option<&str>| {
            let mut request = Request::new(axum::body::Body::empty());
            if let Some(header) = header {
                request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
            }
            if let Some(name) = names {
                request.extensions_mut().insert(PeerNames([name.to_owned()].into()));
            }
            Credential::take(&mut request)
        };
        assert!(
            matches!(request(None, Some("a")), Ok(Credential::Certificate(names)) if *names.0 == ["a".to_owned()])
        );
        assert!(matches!(request(Some("Bearer b"), Some("a")), Ok(Credential::Token(_))));
        assert!(matches!(request(Some("Bearer b c"), Some("a")), Err(Denial::Refused)));
        assert!(matches!(request(None, None), Err(Denial::Missing)));
    }
}
