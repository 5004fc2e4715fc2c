//! Asking the API server for a review.
//!
//! Done by hand rather than with the client's typed calls: those log an answer that they cannot read, and the answer to a
//! token review repeats the token.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::core::Status;
use parking_lot::Mutex;
use seawall_cluster::{ApiError, ApiFailure};
use seawall_telemetry::AuthMetrics;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::right::Question;
use super::token::BearerToken;
use super::{Denial, Identity};

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Reviews that are on their way at the same time. The API server answers thousands a second, so this is not what holds
/// anybody up; it keeps a flood of invented tokens from becoming a flood of connections.
const REVIEWS_AT_ONCE: usize = 64;

/// Bytes of an answer. A review has a user, its groups and what it was asked.
const MAX_ANSWER: usize = 1024 * 1024;

/// The part of an answer that matters. What it repeats of the question is not even read.
#[derive(Deserialize)]
struct Answer<S> {
    status: Option<S>,
}

/// The API server as a reviewer.
pub(super) struct ReviewApi {
    client: kube::Client,
    audience: Option<String>,
    within: Duration,
    slots: Semaphore,
    /// How the last question failed, if it did.
    failure: Mutex<Option<ApiFailure>>,
}

impl ReviewApi {
    pub(super) fn new(client: kube::Client, audience: Option<String>, within: Duration) -> Self {
        let slots = Semaphore::new(REVIEWS_AT_ONCE);
        Self { client, audience, within, slots, failure: Mutex::new(None) }
    }

    pub(super) fn failure(&self) -> Option<ApiFailure> {
        *self.failure.lock()
    }

    /// Whose the token is. The refusal of a token is an answer; everything that is no answer is unavailability.
    pub(super) async fn review_token(
        &self,
        token: &BearerToken,
        metrics: &AuthMetrics,
    ) -> Result<Identity, Denial> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.expose().to_owned(),
                audiences: self.audience.clone().map(|audience| vec![audience]),
            },
            ..TokenReview::default()
        };
        let status: TokenReviewStatus = self.ask(TOKEN_REVIEWS, &review, metrics).await?;
        if status.authenticated != Some(true) {
            return Err(Denial::Refused);
        }
        // An authenticator that knows nothing of audiences takes any token; only one that names ours has looked.
        if let Some(audience) = &self.audience
            && !status.audiences.unwrap_or_default().contains(audience)
        {
            return Err(Denial::Refused);
        }
        status.user.and_then(Identity::of).ok_or(Denial::Refused)
    }

    pub(super) async fn review_access(
        &self,
        question: &Question,
        metrics: &AuthMetrics,
    ) -> Result<bool, Denial> {
        let Question { identity, right, namespace } = question;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(identity.user().to_owned()),
                uid: identity.uid().cloned(),
                groups: Some(identity.groups().to_vec()),
                extra: Some(identity.extra().clone()),
                resource_attributes: Some(right.attributes(namespace)),
                non_resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        let status: SubjectAccessReviewStatus = self.ask(ACCESS_REVIEWS, &review, metrics).await?;
        Ok(status.allowed && status.denied != Some(true))
    }

    async fn ask<S: DeserializeOwned>(
        &self,
        path: &'static str,
        review: &impl Serialize,
        metrics: &AuthMetrics,
    ) -> Result<S, Denial> {
        let began = Instant::now();
        let answer = timeout(self.within, self.post(path, review)).await;
        metrics.reviewed(began.elapsed().as_secs_f64());
        let answer = answer.unwrap_or_else(|_| Err(ApiError::timed_out(self.within)));
        self.note(answer.as_ref().err());
        answer.map_err(|error| Denial::Unavailable { retry_after: error.retry_after })
    }

    async fn post<S: DeserializeOwned>(
        &self,
        path: &'static str,
        review: &impl Serialize,
    ) -> Result<S, ApiError> {
        let unreadable = |what| ApiError::new(ApiFailure::Protocol, what);
        let body = serde_json::to_vec(review).map_err(|_| unreadable("the review cannot be written"))?;
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .body(body.into())
            .map_err(|_| unreadable("the review cannot be sent"))?;
        // Never closed.
        let _slot = self.slots.acquire().await;
        let response = self.client.send(request).await?;
        let code = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let body = body.collect().await.map_err(|_| unreadable("the answer broke off or is too large"))?;
        let body = body.to_bytes();
        if !code.is_success() {
            return Err(refusal(code, &body));
        }
        let answer: Answer<S> =
            serde_json::from_slice(&body).map_err(|_| unreadable("the answer is no review"))?;
        answer.status.ok_or_else(|| unreadable("the answer is a review without a result"))
    }

    /// Says so when reviews begin to fail, and when they work again.
    fn note(&self, error: Option<&ApiError>) {
        let class = error.map(|error| error.class);
        let before = std::mem::replace(&mut *self.failure.lock(), class);
        match error {
            Some(error) if before != class => tracing::warn!(
                class = error.class.as_str(),
                reason = %error.reason,
                "the Kubernetes API does not review who is asking; they are answered 503"
            ),
            Some(error) => tracing::debug!(class = error.class.as_str(), "review failed"),
            None if before.is_some() => tracing::info!("the Kubernetes API reviews again"),
            None => {}
        }
    }
}

/// What the server says when it does not review. What is no status is not repeated: it may be the question.
fn refusal(code: StatusCode, body: &[u8]) -> ApiError {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let status = Status { code: code.as_u16(), ..status };
    let mut error = ApiError::from(status);
    if error.reason.is_empty() {
        error.reason = format!("the answer is {code}");
    }
    error
}
