//! One version of the identities file, as requests look things up in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use futures_util::FutureExt;
use moka::future::Cache;

use super::digest::CredentialDigest;
use super::identities::Identities;
use super::password::PasswordHash;
use super::{Denial, Identity};

/// How long right credentials go without being checked again.
const RIGHT_FOR: Duration = Duration::from_secs(60);
/// How long wrong ones are refused without being checked again, so that somebody who tries the same again and again keeps nobody
/// from being checked.
const WRONG_FOR: Duration = Duration::from_secs(5);
/// Credentials that are remembered, of each kind: more than there are people with a password.
const REMEMBERED: u64 = 10_000;

/// Who is who. What was found out lives here too, so that all of it goes when a new version comes.
pub(super) struct Roster {
    identities: Arc<Identities>,
    tokens: HashMap<CredentialDigest, Identity>,
    passwords: Vec<(PasswordHash, Identity)>,
    /// Where in `passwords` somebody is.
    users: HashMap<CompactString, usize>,
    certificates: HashMap<String, Identity>,
    /// Credentials that are right, and whose they are.
    pub(super) right: Cache<CredentialDigest, Identity>,
    wrong: Cache<CredentialDigest, ()>,
}

/// What a password is held against.
pub(super) struct Candidate<'a> {
    pub(super) hash: &'a PasswordHash,
    /// Nobody, whatever the hash says, when there is no such user.
    pub(super) identity: Option<&'a Identity>,
}

impl Roster {
    pub(super) fn new(identities: Arc<Identities>) -> Self {
        let mut roster = Self {
            tokens: HashMap::new(),
            passwords: Vec::new(),
            users: HashMap::new(),
            certificates: HashMap::new(),
            right: Cache::builder().max_capacity(REMEMBERED).time_to_live(RIGHT_FOR).build(),
            wrong: Cache::builder().max_capacity(REMEMBERED).time_to_live(WRONG_FOR).build(),
            identities: Arc::clone(&identities),
        };
        for entry in &identities.0 {
            let identity = Identity::named(&entry.name, entry.grants.clone());
            roster.tokens.extend(entry.tokens.iter().map(|token| (*token, identity.clone())));
            if let Some(hash) = &entry.password {
                roster.users.insert(entry.name.clone(), roster.passwords.len());
                roster.passwords.push((hash.clone(), identity.clone()));
            }
            roster.certificates.extend(entry.certificate.clone().map(|name| (name, identity)));
        }
        roster
    }

    pub(super) fn is_of(&self, identities: &Identities) -> bool {
        *self.identities == *identities
    }

    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    pub(super) fn has_passwords(&self) -> bool {
        !self.passwords.is_empty()
    }

    pub(super) fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    pub(super) fn of_token(&self, token: CredentialDigest) -> Option<&Identity> {
        self.tokens.get(&token)
    }

    /// By the first name that somebody has.
    pub(super) fn of_certificate(&self, names: &[String]) -> Option<&Identity> {
        names.iter().find_map(|name| self.certificates.get(name))
    }

    /// A user who does not exist is held against the hash of one who does: which one it is cannot be foreseen and does not
    /// change, so that how long the answer takes does not say who exists. Nothing when nobody has a password.
    pub(super) fn candidate(&self, user: &str, key: &[u8; 32]) -> Option<Candidate<'_>> {
        let stranger = CredentialDigest::of_parts(&[key, user.as_bytes()]).number();
        let stranger = stranger.checked_rem(self.passwords.len() as u64)?;
        let known = self.users.get(user);
        let at = known.copied().unwrap_or(usize::try_from(stranger).unwrap_or(0));
        let (hash, identity) = self.passwords.get(at)?;
        Some(Candidate { hash, identity: known.is_some().then_some(identity) })
    }

    /// How a check of this header went, when that is known.
    pub(super) fn remembered(&self, header: CredentialDigest) -> Option<Result<Identity, Denial>> {
        // Neither waits for anybody.
        if let Some(identity) = self.right.get(&header).now_or_never().flatten() {
            return Some(Ok(identity));
        }
        self.wrong.get(&header).now_or_never().flatten().map(|()| Err(Denial::WrongPassword))
    }

    pub(super) async fn remember_wrong(&self, header: CredentialDigest) {
        self.wrong.insert(header, ()).await;
    }
}
