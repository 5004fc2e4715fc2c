//! Everybody who can say who is asking: the identities file, and the cluster.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use seawall_cluster::ApiFailure;
use seawall_model::is_dns_label;
use seawall_telemetry::{AuthMetrics, AuthOutcome, Metrics};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::credential::{BasicCredentials, Credential};
use super::identities::Identities;
use super::reviewer::outcome_of;
use super::roster::Roster;
use super::token::BearerToken;
use super::verifier::Verifier;
use super::{Denial, Identity, Reviewer, Right};
use crate::peer::PeerNames;
use crate::problem::Problem;

/// Says who is asking and what they may do. A token that is in the file is that identity's; any other is the cluster's to
/// judge, where there is one.
pub struct Authenticator {
    roster: watch::Sender<Arc<Roster>>,
    verifier: Verifier,
    reviewer: Option<Reviewer>,
    /// Where signals are at home whose namespace is none.
    fallback_namespace: CompactString,
    tokens: AuthMetrics,
    passwords: AuthMetrics,
    certificates: AuthMetrics,
    rights: AuthMetrics,
}

impl Authenticator {
    /// Lets nobody in until it is given a reviewer or identities. Fails when the system has no random numbers.
    pub fn new(fallback_namespace: CompactString, metrics: &Metrics) -> io::Result<Self> {
        Ok(Self {
            roster: watch::Sender::new(Arc::new(Roster::new(Arc::default()))),
            verifier: Verifier::new()?,
            reviewer: None,
            fallback_namespace,
            tokens: metrics.auth("static_bearer"),
            passwords: metrics.auth("basic"),
            certificates: metrics.auth("certificate"),
            rights: metrics.auth("static_access"),
        })
    }

    #[must_use]
    pub fn with_reviewer(self, reviewer: Reviewer) -> Self {
        Self { reviewer: Some(reviewer), ..self }
    }

    #[must_use]
    pub fn with_identities(self, identities: &Arc<Identities>) -> Self {
        self.set_identities(identities);
        self
    }

    /// From the next request on these count, and no others. Nothing happens when they are the same.
    pub fn set_identities(&self, identities: &Arc<Identities>) {
        let changed = self.roster.send_if_modified(|roster| {
            let changed = !roster.is_of(identities);
            if changed {
                *roster = Arc::new(Roster::new(Arc::clone(identities)));
            }
            changed
        });
        if changed {
            tracing::info!(identities = identities.0.len(), "identities read");
        }
    }

    /// How the last review failed; nothing when it did not.
    pub(crate) fn failure(&self) -> Option<ApiFailure> {
        self.reviewer.as_ref()?.failure()
    }

    /// Changes whenever the identities do.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// A request about whose sender there is nothing to ask.
    pub(super) fn count_unasked(&self, denial: Denial) {
        match (&self.reviewer, denial) {
            (_, Denial::WrongPassword) => self.passwords.count(outcome_of(denial)),
            (Some(reviewer), _) => reviewer.count_unasked(denial),
            (None, _) => self.tokens.count(outcome_of(denial)),
        }
    }

    /// Who it is, as far as that is known without asking or computing anything; nothing when it is not.
    pub(super) fn remembered(&self, credential: &Credential) -> Option<Result<Identity, Denial>> {
        match credential {
            Credential::Token(token) => self.of_token(token).or_else(|| self.reviewed(token)),
            Credential::Password(credentials) => {
                let answer = self.of_password(credentials)?;
                Some(counted(&self.passwords, answer))
            }
            Credential::Certificate(names) => Some(self.of_certificate(names)),
        }
    }

    /// Who it is.
    pub(super) async fn identify(
        &self,
        credential: &Credential,
        tasks: &TaskTracker,
    ) -> Result<Identity, Denial> {
        match credential {
            Credential::Token(token) => match (self.of_token(token), &self.reviewer) {
                (Some(answer), _) => answer,
                (None, Some(reviewer)) => reviewer.identify(token).await,
                (None, None) => Err(Denial::Refused),
            },
            Credential::Password(credentials) => {
                let roster = self.roster();
                if !roster.has_passwords() {
                    return counted(&self.passwords, Err(Denial::WrongPassword));
                }
                let checked = self.verifier.verify(&roster, credentials, tasks, &self.passwords).await;
                counted(&self.passwords, checked)
            }
            Credential::Certificate(names) => self.of_certificate(names),
        }
    }

    /// Nothing when it is for the reviewer to say.
    fn of_token(&self, token: &BearerToken) -> Option<Result<Identity, Denial>> {
        let answer = match self.roster.borrow().of_token(token.digest()) {
            Some(identity) => Ok(identity.clone()),
            None if self.reviewer.is_some() => return None,
            None => Err(Denial::Refused),
        };
        Some(counted(&self.tokens, answer))
    }

    fn reviewed(&self, token: &BearerToken) -> Option<Result<Identity, Denial>> {
        self.reviewer.as_ref()?.remembered(token).map(Ok)
    }

    /// Nothing when it has to be checked.
    fn of_password(&self, credentials: &BasicCredentials) -> Option<Result<Identity, Denial>> {
        let roster = self.roster.borrow();
        if roster.has_passwords() {
            return self.verifier.remembered(&roster, credentials);
        }
        Some(Err(Denial::Missing))
    }

    fn of_certificate(&self, PeerNames(names): &PeerNames) -> Result<Identity, Denial> {
        let roster = self.roster.borrow();
        let answer = match roster.of_certificate(names) {
            Some(identity) => Ok(identity.clone()),
            None if roster.has_certificates() => Err(Denial::Stranger),
            // Certificates only guard the connection here.
            None => Err(Denial::Missing),
        };
        drop(roster);
        counted(&self.certificates, answer)
    }

    /// How long a credential may be relied upon while the identities stay the same; nothing when as long as that.
    pub(super) fn trust(&self, credential: &Credential, identity: &Identity) -> Option<Duration> {
        match (credential, &self.reviewer) {
            (Credential::Token(token), Some(reviewer)) if identity.grants().is_none() => {
                Some(reviewer.trust(token))
            }
            _ => None,
        }
    }

    /// Whether somebody has a right in a namespace. Anything that is no name of one is asked about as all of them.
    pub(super) async fn allows(
        &self,
        identity: &Identity,
        right: Right,
        namespace: &str,
    ) -> Result<bool, Denial> {
        match (identity.grants(), &self.reviewer) {
            (Some(grants), _) => {
                let allowed = grants.allow(right, namespace);
                self.rights.count(if allowed { AuthOutcome::Allowed } else { AuthOutcome::Denied });
                Ok(allowed)
            }
            (None, Some(reviewer)) => reviewer.allows(identity, right, namespace).await,
            (None, None) => Err(Denial::Missing),
        }
    }

    /// Those of `namespaces` in which somebody has not the right.
    pub(super) async fn forbidden(
        &self,
        identity: &Identity,
        right: Right,
        mut namespaces: HashSet<CompactString>,
    ) -> Result<HashSet<CompactString>, Denial> {
        match (identity.grants(), &self.reviewer) {
            (Some(grants), _) => {
                namespaces.retain(|namespace| !grants.allow(right, namespace));
                let allowed = namespaces.is_empty();
                self.rights.count(if allowed { AuthOutcome::Allowed } else { AuthOutcome::Denied });
                Ok(namespaces)
            }
            (None, Some(reviewer)) => reviewer.forbidden(identity, right, namespaces).await,
            (None, None) => Err(Denial::Missing),
        }
    }

    /// Where the request about a signal of `namespace` would live.
    pub(super) fn home<'a>(&'a self, namespace: &'a str) -> &'a str {
        if is_dns_label(namespace) { namespace } else { &self.fallback_namespace }
    }

    /// The answer to somebody who is not let in, which says how they could be.
    pub(crate) fn refuse(&self, denial: Denial) -> Problem {
        let roster = self.roster.borrow();
        let (tokens, passwords) = (self.reviewer.is_some() || roster.has_tokens(), roster.has_passwords());
        denial.into_problem(tokens, passwords)
    }
}

fn counted(metrics: &AuthMetrics, answer: Result<Identity, Denial>) -> Result<Identity, Denial> {
    metrics.count(answer.as_ref().map_or_else(|denial| outcome_of(*denial), |_| AuthOutcome::Allowed));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::identities::{Grants, IdentityEntry};

    fn with_certificate(name: &str, certificate: Option<&str>) -> IdentityEntry {
        let grants = Grants { rights: vec![Right::Send], namespaces: None };
        let certificate = certificate.map(str::to_owned);
        IdentityEntry { name: name.into(), tokens: vec![], password: None, certificate, grants }
    }

    fn knowing(entries: Vec<IdentityEntry>) -> Authenticator {
        let identities = Arc::new(Identities(entries));
        Authenticator::new("default".into(), &Metrics::new()).unwrap().with_identities(&identities)
    }

    #[tokio::test]
    async fn somebody_is_known_by_any_name_of_their_certificate_letter_by_letter() {
        let known = knowing(vec![
            with_certificate("prometheus-0", Some("prometheus-0.monitoring")),
            with_certificate("worker", Some("spiffe://cluster/worker")),
        ]);
        for (names, expected) in [
            (&["prometheus-0.monitoring"][..], Ok("prometheus-0")),
            (&["localhost", "spiffe://cluster/worker"], Ok("worker")),
            (&["prometheus-0.monitoring", "spiffe://cluster/worker"], Ok("prometheus-0")),
            (&["Prometheus-0.monitoring", "prometheus-0", "worker", ""], Err(Denial::Stranger)),
            (&[], Err(Denial::Stranger)),
        ] {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let credential = Credential::Certificate(PeerNames(names));
            let expected = expected.map(str::to_owned);
            let named = |identity: Identity| identity.user().to_owned();
            let at_once = known.remembered(&credential).unwrap().map(named);
            let after_all = known.identify(&credential, &TaskTracker::new()).await.map(named);
            assert_eq!((&at_once, &after_all), (&expected, &expected));
        }
    }

    #[test]
    fn where_certificates_only_guard_the_connection_something_else_has_to_be_shown() {
        let credential = Credential::Certificate(PeerNames(["prometheus-0".to_owned()].into()));
        for known in [knowing(vec![]), knowing(vec![with_certificate("prometheus-0", None)])] {
            assert_eq!(known.remembered(&credential), Some(Err(Denial::Missing)));
        }
    }
}
