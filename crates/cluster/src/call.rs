//! One call and its answer, with what the client of the library leaves out: a deadline, whether something was made, and
//! when the server asks to come again.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{ApiError, ApiFailure};

/// Sends a request and reads its answer; gives up after `within`.
///
/// # Errors
/// When there is no answer, when it is a refusal, and when it cannot be read.
pub async fn call<T: DeserializeOwned>(
    client: &Client,
    request: Request<Vec<u8>>,
    within: Duration,
) -> Result<(StatusCode, T), ApiError> {
    match timeout(within, exchange(client, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::timed_out(within)),
    }
}

async fn exchange<T: DeserializeOwned>(
    client: &Client,
    request: Request<Vec<u8>>,
) -> Result<(StatusCode, T), ApiError> {
    let response = client.send(request.map(Body::from)).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(ApiError::from)?.to_bytes();
    if !head.status.is_success() {
        return Err(refusal(head.status, &head.headers, &body));
    }
    // It was done, and nobody knows what was done: as good as no answer.
    let read = serde_json::from_slice(&body);
    let read =
        read.map_err(|error| ApiError::new(ApiFailure::Protocol, format!("unreadable answer: {error}")));
    Ok((head.status, read?))
}

/// A refusal that is no `Status` comes from the server's outermost layer, or from something in front of it.
fn refusal(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let mut error = match serde_json::from_slice::<Status>(body) {
        Ok(status) if status.code != 0 || !status.reason.is_empty() => ApiError::from(status),
        _ => ApiError::of_code(code, String::from_utf8_lossy(body).trim()),
    };
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    error.retry_after = error.retry_after.max(seconds);
    error
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_server_that_is_overrun_says_when_to_come_again_in_a_header() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("3"))]);
        let error =
            refusal(StatusCode::TOO_MANY_REQUESTS, &headers, b"Too many requests, please try again\n");
        assert_eq!(error.class, ApiFailure::Throttled);
        assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(error.reason, "Too many requests, please try again (429 Too Many Requests)");
    }

    #[test]
    fn a_kind_that_the_server_does_not_know_is_not_an_object_that_is_gone() {
        let unknown = refusal(StatusCode::NOT_FOUND, &HeaderMap::new(), b"404 page not found\n");
        assert_eq!(unknown.class, ApiFailure::KindMissing);
        let gone = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"gone",
            "reason":"NotFound","details":{"name":"rr","group":"g","kind":"remediationrequests"},"code":404}"#;
        assert_eq!(refusal(StatusCode::NOT_FOUND, &HeaderMap::new(), gone).class, ApiFailure::NotFound);
    }
}
