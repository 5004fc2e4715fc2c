//! What credentials are remembered by.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::identities::CredentialError;
use super::token::is_token;

/// How the hash of a token begins where it is written down.
const PREFIX: &str = "sha256:";

/// The SHA-256 of a credential: nobody who reads memory or a dump finds the credential. How long a comparison takes says
/// nothing about how much is the same.
#[derive(Clone, Copy)]
pub struct CredentialDigest([u8; 32]);

impl CredentialDigest {
    pub(super) fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    pub(super) fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }

    /// Some of it as a number, which is the same for the same.
    pub(super) fn number(self) -> u64 {
        self.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl PartialEq for CredentialDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for CredentialDigest {}

impl Hash for CredentialDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// As it is written down.
impl fmt::Display for CredentialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads a token as it is written down: its hash, `sha256:` and 64 hexadecimal digits, or the token itself, of which only
/// the hash is kept.
impl FromStr for CredentialDigest {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let Some(digits) = text.strip_prefix(PREFIX) else {
            return if is_token(text.as_bytes()) {
                Ok(Self::of(text.as_bytes()))
            } else {
                Err(CredentialError::Token)
            };
        };
        let mut digest = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(CredentialError::Digest);
        }
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(CredentialError::Digest);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).map_err(|_| CredentialError::Digest)?;
        }
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_its_hash_are_the_same_credential() {
        // printf '%s' abc | sha256sum
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let token = CredentialDigest::from_str("abc").unwrap();
        for written in [format!("sha256:{hash}"), format!("sha256:{}", hash.to_uppercase())] {
            assert!(CredentialDigest::from_str(&written).unwrap() == token, "{written}");
        }
        assert_eq!(token.to_string(), format!("sha256:{hash}"));
        assert!(CredentialDigest::from_str("abd").unwrap() != token);
    }

    #[test]
    fn what_can_be_no_token_and_no_hash_is_refused() {
        let wrong = |text: &str| CredentialDigest::from_str(text).err().unwrap().to_string();
        let digits = "0".repeat(63);
        for hash in ["sha256:", "sha256:abc", &format!("sha256:{digits}g"), &format!("sha256:{digits}00")] {
            assert_eq!(
                wrong(hash),
                "`sha256:` is followed by the 64 hexadecimal digits of the hash",
                "{hash}"
            );
        }
        for token in ["", "two words", "a:b", "größe"] {
            assert!(wrong(token).starts_with("a token consists of"), "{token}");
        }
    }
}
