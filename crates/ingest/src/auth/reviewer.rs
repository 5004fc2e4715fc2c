//! Answers of the API server, kept for a short while.

use std::collections::HashSet;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use moka::Expiry;
use moka::future::Cache;
use seawall_cluster::ApiFailure;
use seawall_model::{Clock, is_dns_label};
use seawall_telemetry::{AuthMetrics, AuthOutcome, Metrics};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::api::ReviewApi;
use super::digest::CredentialDigest;
use super::right::Question;
use super::token::BearerToken;
use super::{Denial, Identity, Right};

/// How long a "no" is kept, so that what was granted or renewed just now takes effect soon.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Tokens that are remembered. A cluster has one for each sender and worker, and a new one of each every hour.
const KNOWN_TOKENS: u64 = 10_000;
/// Refused tokens that are remembered, apart from the others: invented ones must not push real ones out.
const REFUSED_TOKENS: u64 = 10_000;
/// Rights that are remembered: those of some dozen senders in the thousand namespaces of a large cluster.
const KNOWN_RIGHTS: u64 = 50_000;

/// Distinct tokens that wait for their review. Real ones take milliseconds and are few; invented ones must not fill the
/// requests that may be answered at the same time (`server.limits.concurrentRequests`).
const WAITING_TOKENS: usize = 256;

/// Namespaces of one body that are asked about at the same time.
const NAMESPACES_AT_ONCE: usize = 16;
/// From this many unknown namespaces in a body on, it is asked first whether the sender has the right in all of them.
const MANY_NAMESPACES: usize = 16;
/// Namespaces of one body that are asked about one by one. Whoever speaks for more has the right everywhere; for anybody
/// else a body of invented ones would be as many reviews.
const MAX_NAMESPACES: usize = 1_000;

/// The namespace that stands for all of them, in a question and in the review.
const EVERYWHERE: &str = "";

#[derive(Clone, Debug)]
pub struct ReviewSettings {
    /// What a token must be meant for; without it, what the API server itself takes.
    pub audience: Option<String>,
    /// How long an answer is kept.
    pub cache_ttl: Duration,
    /// How long a request waits for answers; then it is told to come again.
    pub deadline: Duration,
}

/// Asks the API server who somebody is and what they may do, as seldom as possible: a question that is on its way
/// already is not asked a second time, and errors are never remembered.
pub struct Reviewer {
    api: ReviewApi,
    settings: ReviewSettings,
    clock: Arc<dyn Clock>,
    tokens: AuthMetrics,
    rights: AuthMetrics,
    known: Cache<CredentialDigest, Kept<Identity>>,
    refused: Cache<CredentialDigest, ()>,
    answers: Cache<Question, Kept<bool>>,
    waiting: Semaphore,
}

/// An answer, and how long it holds.
#[derive(Clone)]
struct Kept<T> {
    answer: T,
    lasts: Duration,
}

struct AsLongAsItHolds;

impl<K, T> Expiry<K, Kept<T>> for AsLongAsItHolds {
    fn expire_after_create(&self, _: &K, kept: &Kept<T>, _: std::time::Instant) -> Option<Duration> {
        Some(kept.lasts)
    }
}

fn cache<K, T>(capacity: u64) -> Cache<K, Kept<T>>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(capacity).expire_after(AsLongAsItHolds).build()
}

pub(super) const fn outcome_of(denial: Denial) -> AuthOutcome {
    match denial {
        Denial::Missing => AuthOutcome::Missing,
        Denial::Refused | Denial::WrongPassword | Denial::Stranger | Denial::TooManyNamespaces { .. } => {
            AuthOutcome::Denied
        }
        Denial::Unavailable { .. } | Denial::Saturated => AuthOutcome::Unavailable,
    }
}

impl Reviewer {
    pub fn new(
        client: kube::Client,
        settings: ReviewSettings,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // Shorter than whoever asks may wait, so that all who wait for one question learn how it failed.
        let within = settings.deadline.mul_f64(0.8);
        Self {
            api: ReviewApi::new(client, settings.audience.clone(), within),
            clock,
            tokens: metrics.auth("token_review"),
            rights: metrics.auth("access_review"),
            known: cache(KNOWN_TOKENS),
            refused: Cache::builder()
                .max_capacity(REFUSED_TOKENS)
                .time_to_live(REFUSED_FOR.min(settings.cache_ttl))
                .build(),
            answers: cache(KNOWN_RIGHTS),
            waiting: Semaphore::new(WAITING_TOKENS),
            settings,
        }
    }

    /// How the last review failed; nothing when it did not.
    pub(crate) fn failure(&self) -> Option<ApiFailure> {
        self.api.failure()
    }

    /// A request about whose sender there is nothing to ask.
    pub(super) fn count_unasked(&self, denial: Denial) {
        self.tokens.count(outcome_of(denial));
    }

    /// How long a token may be relied upon before it is reviewed again.
    pub(super) fn trust(&self, token: &BearerToken) -> Duration {
        let most = self.settings.cache_ttl;
        let Some(end) = token.expires_at() else { return most };
        let left = end.as_millis().saturating_sub(self.clock.now().as_millis());
        most.min(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Whose token it is, when that is known.
    pub(super) fn remembered(&self, token: &BearerToken) -> Option<Identity> {
        // It waits for nobody.
        let kept = self.known.get(&token.digest()).now_or_never()??;
        self.tokens.count(AuthOutcome::Allowed);
        Some(kept.answer)
    }

    /// Whose token it is.
    pub(super) async fn identify(&self, token: &BearerToken) -> Result<Identity, Denial> {
        let digest = token.digest();
        let answer = match self.known.get(&digest).await {
            Some(kept) => Ok(kept.answer),
            None => self.in_time(self.identify_anew(digest, token)).await,
        };
        self.tokens
            .count(answer.as_ref().map_or_else(|denial| outcome_of(*denial), |_| AuthOutcome::Allowed));
        answer
    }

    async fn identify_anew(&self, digest: CredentialDigest, token: &BearerToken) -> Result<Identity, Denial> {
        if self.refused.get(&digest).await.is_some() {
            return Err(Denial::Refused);
        }
        let review = async {
            // Inside, so that only distinct tokens are counted: any number of requests may wait for the same review.
            let _waiting = self.waiting.try_acquire().map_err(|_| Denial::Saturated)?;
            let reviewed = self.api.review_token(token, &self.tokens).await;
            if reviewed == Err(Denial::Refused) {
                self.refused.insert(digest, ()).await;
            }
            Ok(Kept { answer: reviewed?, lasts: self.trust(token) })
        };
        let kept = self.known.try_get_with(digest, review).await;
        kept.map(|kept| kept.answer).map_err(|denial: Arc<Denial>| *denial)
    }

    /// Whether somebody has a right in a namespace. Anything that is no name of one is asked about as all of them.
    pub(super) async fn allows(
        &self,
        identity: &Identity,
        right: Right,
        namespace: &str,
    ) -> Result<bool, Denial> {
        let namespace = if is_dns_label(namespace) { namespace } else { EVERYWHERE };
        let question = Question { identity: identity.clone(), right, namespace: namespace.into() };
        let allowed = match self.answers.get(&question).await {
            Some(kept) => Ok(kept.answer),
            None => self.in_time(self.ask(question)).await,
        };
        self.count_right(allowed)
    }

    /// Those of `namespaces` in which somebody has not the right.
    pub(super) async fn forbidden(
        &self,
        identity: &Identity,
        right: Right,
        namespaces: HashSet<CompactString>,
    ) -> Result<HashSet<CompactString>, Denial> {
        let mut forbidden = HashSet::new();
        let mut unknown = Vec::new();
        for namespace in namespaces {
            let question = Question { identity: identity.clone(), right, namespace };
            match self.answers.get(&question).await {
                Some(kept) if kept.answer => {}
                Some(_) => drop(forbidden.insert(question.namespace)),
                None => unknown.push(question),
            }
        }
        if !unknown.is_empty() {
            let asked = self.in_time(self.ask_all(identity, right, unknown)).await;
            forbidden.extend(asked.inspect_err(|denial| self.rights.count(outcome_of(*denial)))?);
        }
        self.rights.count(if forbidden.is_empty() { AuthOutcome::Allowed } else { AuthOutcome::Denied });
        Ok(forbidden)
    }

    async fn ask_all(
        &self,
        identity: &Identity,
        right: Right,
        unknown: Vec<Question>,
    ) -> Result<Vec<CompactString>, Denial> {
        if unknown.len() >= MANY_NAMESPACES {
            let everywhere = Question { identity: identity.clone(), right, namespace: EVERYWHERE.into() };
            if self.ask(everywhere).await? {
                return Ok(Vec::new());
            }
        }
        if unknown.len() > MAX_NAMESPACES {
            return Err(Denial::TooManyNamespaces { limit: MAX_NAMESPACES, received: unknown.len() });
        }
        let answers = stream::iter(unknown).map(|question| async move {
            let namespace = question.namespace.clone();
            self.ask(question).await.map(|allowed| (!allowed).then_some(namespace))
        });
        let answers: Vec<_> = answers.buffer_unordered(NAMESPACES_AT_ONCE).try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }

    async fn ask(&self, question: Question) -> Result<bool, Denial> {
        let asked = question.clone();
        let review = async {
            let allowed = self.api.review_access(&asked, &self.rights).await?;
            let most = self.settings.cache_ttl;
            Ok(Kept { answer: allowed, lasts: if allowed { most } else { most.min(REFUSED_FOR) } })
        };
        let kept = self.answers.try_get_with(question, review).await;
        kept.map(|kept| kept.answer).map_err(|denial: Arc<Denial>| *denial)
    }

    fn count_right(&self, allowed: Result<bool, Denial>) -> Result<bool, Denial> {
        self.rights.count(match allowed {
            Ok(true) => AuthOutcome::Allowed,
            Ok(false) => AuthOutcome::Denied,
            Err(denial) => outcome_of(denial),
        });
        allowed
    }

    /// Whoever asks waits no longer than this, also for a question of somebody else that is on its way.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Denial>>) -> Result<T, Denial> {
        let late = Denial::Unavailable { retry_after: None };
        timeout(self.settings.deadline, answer).await.unwrap_or(Err(late))
    }
}
