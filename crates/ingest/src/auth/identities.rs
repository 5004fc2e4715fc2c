//! Whom the identities file names, and what they may do.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use seawall_model::{is_dns_label, matches_pattern};

use super::Right;
use super::digest::CredentialDigest;
use super::password::{MAX_BCRYPT_COST, MAX_LANES, MAX_MEMORY, MAX_WORK, PasswordHash};

/// What a pattern of namespaces may have beside what a name has.
const ANY: char = '*';

/// The longest name of a namespace.
const MAX_NAMESPACE: usize = 63;

/// What is wrong with a credential as it is written down. It never repeats the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("`sha256:` is followed by the 64 hexadecimal digits of the hash")]
    Digest,
    #[error("a token consists of letters, digits and `-._~+/=`; write it, or `sha256:` and its hash")]
    Token,
    #[error("is neither a bcrypt (`$2y$…`) nor an argon2id (`$argon2id$…`) hash of a password")]
    Scheme,
    #[error("looks like a bcrypt hash and is none; it may be cut off")]
    Bcrypt,
    #[error("looks like an argon2id hash and is none; it may be cut off")]
    Argon2,
    #[error("takes too long to check; at most cost {MAX_BCRYPT_COST} for bcrypt")]
    BcryptCost,
    #[error(
        "takes too much to check; at most m={MAX_MEMORY}, p={MAX_LANES} and m times t={MAX_WORK} for argon2id"
    )]
    Argon2Cost,
}

/// Everybody in the file. What is unique there (names, tokens, names of certificates) is unique here: whoever reads the file
/// sees to that, because they can say where it is not.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identities(pub Vec<IdentityEntry>);

/// Only who there is: what they are known by has no place in a log.
impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|entry| &entry.name)).finish()
    }
}

/// Somebody in the file.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityEntry {
    pub name: CompactString,
    pub tokens: Vec<CredentialDigest>,
    pub password: Option<PasswordHash>,
    /// A subject alternative name, or the common name.
    pub certificate: Option<String>,
    pub grants: Grants,
}

/// What somebody in the file may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    pub rights: Vec<Right>,
    /// None stands for all namespaces, and for what has no namespace.
    pub namespaces: Option<Vec<NamespacePattern>>,
}

impl Grants {
    pub(super) fn has(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Anything that is no name of a namespace stands for all of them.
    pub(super) fn allow(&self, right: Right, namespace: &str) -> bool {
        let there = |patterns: &Vec<NamespacePattern>| {
            is_dns_label(namespace)
                && patterns.iter().any(|NamespacePattern(p)| matches_pattern(p, namespace))
        };
        self.has(right) && self.namespaces.as_ref().is_none_or(there)
    }
}

/// The name of a namespace, in which `*` stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacePattern(CompactString);

impl NamespacePattern {
    /// Whether it is every namespace's.
    pub fn is_everything(&self) -> bool {
        self.0.chars().all(|letter| letter == ANY)
    }
}

/// Nothing for what no namespace can be called.
impl FromStr for NamespacePattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fits = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | ANY);
        let valid = if text.contains(ANY) {
            text.len() <= MAX_NAMESPACE && text.chars().all(fits)
        } else {
            is_dns_label(text)
        };
        valid.then(|| Self(text.into())).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(rights: &[Right], namespaces: &[&str]) -> Grants {
        let namespaces: Vec<_> = namespaces.iter().map(|pattern| pattern.parse().unwrap()).collect();
        Grants { rights: rights.to_vec(), namespaces: (!namespaces.is_empty()).then_some(namespaces) }
    }

    #[test]
    fn somebody_may_what_their_verbs_say_where_their_namespaces_say() {
        let some = grants(&[Right::Send], &["prod", "shop-*", "eu-*-db"]);
        for (namespace, allowed) in [
            ("prod", true),
            ("prod-2", false),
            ("shop-1", true),
            ("shop", false),
            ("eu-1-db", true),
            ("eu-1", false),
            ("", false),
            ("Not_A_Label", false),
            ("shop-UPPER", false),
        ] {
            assert_eq!(some.allow(Right::Send, namespace), allowed, "{namespace}");
            assert!(!some.allow(Right::Read, namespace), "{namespace}");
        }
    }

    #[test]
    fn without_namespaces_it_is_all_of_them_and_what_has_none() {
        let all = grants(&[Right::Read, Right::Work], &[]);
        for namespace in ["prod", "", "Not_A_Label"] {
            assert!(all.allow(Right::Read, namespace) && all.allow(Right::Work, namespace), "{namespace}");
            assert!(!all.allow(Right::Send, namespace), "{namespace}");
        }
    }

    #[test]
    fn a_pattern_is_what_a_namespace_may_be_called() {
        let read = |text: &str| text.parse::<NamespacePattern>();
        for good in ["prod", "a", "shop-*", "*-db", "a*b*c", "*"] {
            assert!(read(good).is_ok(), "{good}");
        }
        let long = format!("{}*", "a".repeat(63));
        for bad in ["", "Prod", "-prod", "a.b", "a_*", "pröd*", "a b", long.as_str()] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("*").unwrap().is_everything() && !read("a*").unwrap().is_everything());
    }
}
