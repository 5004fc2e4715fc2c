//! Hashes of passwords, which take long to check on purpose.

use std::str::FromStr;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordVerifier};

use super::identities::CredentialError;

/// A second or so. Whoever checks a password keeps a core busy meanwhile.
pub(super) const MAX_BCRYPT_COST: u32 = 14;
const MIN_BCRYPT_COST: u32 = 4;

/// KiB; twice what RFC 9106 recommends where memory is scarce.
pub(super) const MAX_MEMORY: u32 = 128 * 1024;
/// KiB that are written in all passes.
pub(super) const MAX_WORK: u32 = 4 * MAX_MEMORY;
/// Lanes are worked on one after the other here.
pub(super) const MAX_LANES: u32 = 16;

/// A password as it is written down, in the format of `htpasswd -B` or `argon2`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Scheme);

#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    Bcrypt(String),
    Argon2id(Box<phc::PasswordHash>),
}

impl PasswordHash {
    /// Takes from milliseconds to a second of a core.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        match &self.0 {
            Scheme::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Scheme::Argon2id(hash) => Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
        }
    }
}

impl FromStr for PasswordHash {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            bcrypt_hash(text)
        } else if text.starts_with("$argon2id$") {
            argon2_hash(text)
        } else {
            Err(CredentialError::Scheme)
        }
    }
}

fn bcrypt_hash(text: &str) -> Result<PasswordHash, CredentialError> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| CredentialError::Bcrypt)?;
    match parts.get_cost() {
        ..MIN_BCRYPT_COST => Err(CredentialError::Bcrypt),
        MIN_BCRYPT_COST..=MAX_BCRYPT_COST => Ok(PasswordHash(Scheme::Bcrypt(text.to_owned()))),
        _ => Err(CredentialError::BcryptCost),
    }
}

fn argon2_hash(text: &str) -> Result<PasswordHash, CredentialError> {
    let hash = phc::PasswordHash::new(text).map_err(|_| CredentialError::Argon2)?;
    // Without these it would be refused at every check.
    let salt = hash.salt.as_ref().map_or(0, |salt| salt.len());
    let version = hash.version.is_none_or(|version| argon2::Version::try_from(version).is_ok());
    if salt < argon2::MIN_SALT_LEN || hash.hash.is_none() || !version {
        return Err(CredentialError::Argon2);
    }
    let params = Params::try_from(&hash).map_err(|_| CredentialError::Argon2)?;
    let work = params.m_cost().checked_mul(params.t_cost());
    if params.m_cost() > MAX_MEMORY || params.p_cost() > MAX_LANES || work.is_none_or(|work| work > MAX_WORK)
    {
        return Err(CredentialError::Argon2Cost);
    }
    Ok(PasswordHash(Scheme::Argon2id(Box::new(hash))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -nbB -C 4 oncall secret`
    const BCRYPT: &str = "$2y$04$3Cr90.UFIA9tndY9f1CgvuUtf8sGUZIUk5iVQG81Ya406eV.gcQ5a";
    /// `printf '%s' secret | argon2 saltsaltsalt -id -t 2 -k 1024 -p 4 -e`
    const ARGON2: &str =
        "$argon2id$v=19$m=1024,t=2,p=4$c2FsdHNhbHRzYWx0$7qyqHOoaUUcH8aJn/rg+kgkANeGEAZLbZyC0SHj5NYU";
    /// The same with `-t 1 -m 8 -p 1 -v 10`.
    const OLD_ARGON2: &str =
        "$argon2id$v=16$m=256,t=1,p=1$c2FsdHNhbHRzYWx0$8IGDKbkbaUB6Vorq/o4/QJRNdZLOOiMBx0nMRUkXD6U";

    fn read(text: &str) -> Result<PasswordHash, CredentialError> {
        text.parse()
    }

    #[test]
    fn the_hashes_of_common_tools_are_those_of_their_password() {
        let others = ["$2a$", "$2b$"].map(|prefix| BCRYPT.replacen("$2y$", prefix, 1));
        let hashes = [BCRYPT, &others[0], &others[1], ARGON2, OLD_ARGON2];
        for hash in hashes {
            let hash = read(hash).unwrap();
            assert!(hash.is_of(b"secret"));
            for wrong in [&b""[..], b"Secret", b"secret\n", b"secre", &[0xff; 100]] {
                assert!(!hash.is_of(wrong));
            }
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        use CredentialError::{Argon2, Bcrypt, Scheme};
        for (text, error) in [
            ("", Scheme),
            ("secret", Scheme),
            ("$apr1$QmhvljSO$FDEPCy8cJECKQSCEXIRwd0", Scheme),
            (
                "$argon2i$v=19$m=256,t=1,p=1$c2FsdHNhbHRzYWx0$ysWGlk+XNwhinp+TQwrHvlnwHLIHwKiccrBzmTZjRKs",
                Scheme,
            ),
            (&BCRYPT.replacen("$2y$", "$2x$", 1), Scheme),
            (&BCRYPT[..59], Bcrypt),
            (&BCRYPT.replacen("$04$", "$03$", 1), Bcrypt),
            (&BCRYPT.replacen("3Cr", "3=r", 1), Bcrypt),
            (&ARGON2[..40], Argon2),
            (&ARGON2.replacen("v=19", "v=7", 1), Argon2),
            (&ARGON2.replacen("m=1024,", "", 1).replacen("t=2", "t=0", 1), Argon2),
            (&ARGON2.replacen("c2FsdHNhbHRzYWx0", "c2Fsd", 1), Argon2),
            ("$argon2id$", Argon2),
        ] {
            assert_eq!(read(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn a_hash_that_would_take_too_much_to_check_is_refused() {
        for cost in ["15", "31"] {
            let hash = BCRYPT.replacen("$04$", &format!("${cost}$"), 1);
            assert_eq!(read(&hash).err(), Some(CredentialError::BcryptCost), "{hash}");
        }
        for params in ["m=131073,t=1,p=1", "m=131072,t=5,p=1", "m=1024,t=1,p=17", "m=1024,t=4294967295,p=1"] {
            let hash = ARGON2.replacen("m=1024,t=2,p=4", params, 1);
            assert_eq!(read(&hash).err(), Some(CredentialError::Argon2Cost), "{params}");
        }
        assert!(read(&ARGON2.replacen("m=1024,t=2,p=4", "m=131072,t=4,p=4", 1)).is_ok());
    }
}
