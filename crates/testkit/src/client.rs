//! An HTTP client that keeps connections, never repeats a request by itself, and tells a lost answer from a request
//! that was never sent.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use seawall_model::RemediationRequest;
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::{Alert, Watch, eventually, webhook};

type Pool = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Items asked for at once when a whole list is read.
const PAGE: usize = 500;

#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    scheme: &'static str,
    pool: Pool,
    /// The value of `Authorization`.
    authorization: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Nobody listens, so nothing was received.
    #[error("not sent: {0}")]
    NotSent(hyper_util::client::legacy::Error),
    /// It may have been received, and it may have been acted on.
    #[error("the answer was lost: {0}")]
    Unknown(Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After` in seconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        static NOBODY: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions of TLS")
                .with_root_certificates(RootCertStore::empty());
            Arc::new(config.with_no_client_auth())
        });
        Self::connecting(address, "http", &NOBODY)
    }

    /// One that speaks TLS.
    pub fn secure(address: SocketAddr, tls: &Arc<ClientConfig>) -> Self {
        Self::connecting(address, "https", tls)
    }

    fn connecting(address: SocketAddr, scheme: &'static str, tls: &Arc<ClientConfig>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnector::from((connector, tls.clone()));
        let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .build(connector);
        Self { address, scheme, pool, authorization: None }
    }

    /// The same client for somebody with this bearer token.
    pub fn bearer(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    /// The same client for somebody with this user name and password.
    pub fn basic(&self, user: &str, password: &str) -> Self {
        let both = STANDARD.encode(format!("{user}:{password}"));
        Self { authorization: Some(format!("Basic {both}")), ..self.clone() }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Lost> {
        let mut request =
            Request::builder().method(method).uri(format!("{}://{}{path}", self.scheme, self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body.into())).expect("a test sends a valid request");
        let exchange = async {
            let response = self.pool.request(request).await.map_err(|error| {
                if error.is_connect() { Lost::NotSent(error) } else { Lost::Unknown(error.into()) }
            })?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| Lost::Unknown(error.into()))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(ANSWER_WITHIN, exchange).await.map_err(|late| Lost::Unknown(late.into()))?
    }

    pub async fn get(&self, path: &str) -> Result<Answer, Lost> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, Lost> {
        self.send(Method::POST, path, &[(CONTENT_TYPE.as_str(), "application/json")], body).await
    }

    /// Sends the alerts in one Alertmanager body.
    pub async fn fire(&self, alerts: &[Alert]) -> Result<Answer, Lost> {
        self.post("/webhook/prometheus", webhook(alerts)).await
    }

    /// A document that must be there. While the server says 503 it is asked again: its store may just come back.
    pub async fn document(&self, path: &str) -> Value {
        let answer = eventually(ANSWER_WITHIN, || async {
            let answer = self.get(path).await.expect("an answer");
            if answer.status == StatusCode::SERVICE_UNAVAILABLE { Err(answer.text()) } else { Ok(answer) }
        })
        .await;
        assert_eq!(answer.status, StatusCode::OK, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// Every request, page by page; `filter` is a query such as `namespace=prod`.
    pub async fn requests(&self, filter: &str) -> Vec<RemediationRequest> {
        let items = self.list("/api/v1/requests", filter, "").await;
        items.into_iter().map(|item| serde_json::from_value(item).expect("a RemediationRequest")).collect()
    }

    /// Open and recent storms.
    pub async fn storms(&self) -> Vec<Value> {
        self.list("/api/v1/storms", "", "").await
    }

    /// All members of a storm.
    pub async fn members(&self, storm: &str) -> Vec<Value> {
        self.list(&format!("/api/v1/storms/{storm}"), "", "/members").await
    }

    /// Follows a paginated list to its end; the list is at `at` of the document.
    async fn list(&self, path: &str, filter: &str, at: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let filter = if filter.is_empty() { String::new() } else { format!("&{filter}") };
        let mut from = String::new();
        loop {
            let mut page = self.document(&format!("{path}?limit={PAGE}{filter}{from}")).await;
            let part = page.pointer_mut(&format!("{at}/items")).expect("a list has items").take();
            let Value::Array(part) = part else { panic!("items is no array: {part}") };
            items.extend(part);
            match page.pointer(&format!("{at}/metadata/continue")).and_then(Value::as_str) {
                Some(token) if !token.is_empty() => from = format!("&continue={}", escaped(token)),
                _ => return items,
            }
        }
    }

    /// What a worker does.
    pub async fn set_phase(&self, namespace: &str, name: &str, phase: &str) -> Answer {
        let patch = json!({ "status": { "overallPhase": phase } }).to_string();
        let path = format!("/api/v1/requests/{namespace}/{name}/status");
        let kind = [(CONTENT_TYPE.as_str(), "application/merge-patch+json")];
        self.send(Method::PATCH, &path, &kind, patch).await.expect("an answer")
    }

    /// Follows requests: those that exist, then every change.
    pub async fn watch(&self) -> Watch {
        let path = "/api/v1/requests?watch=true";
        Watch::open_as(self.address, path, None, self.authorization.as_deref()).await
    }
}

/// Percent-encodes everything that is not unreserved.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}
