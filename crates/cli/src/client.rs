//! The client's side of the HTTP interface, with errors a person can act on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};

/// Longer than a server may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Items of one page; the most a server gives.
const PAGE: &str = "5000";

#[derive(Clone, Debug)]
pub struct Client {
    /// `http://127.0.0.1:8080`, without a slash at the end.
    base: String,
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The value of `Authorization`, which is not shown.
    authorization: Option<HeaderValue>,
}

/// Parameters of a query, not yet encoded.
pub type Parameters = Vec<(&'static str, String)>;

impl Client {
    /// `authorities` is a file with the certificates in PEM that the server's is verified against, instead of those of the
    /// system.
    pub fn new(server: &str, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let with_scheme = match server.contains("://") {
            true => server.to_owned(),
            false => format!("http://{server}"),
        };
        let base = with_scheme.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().with_context(|| format!("`{server}` is not the address of a server"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => bail!("`{server}` is not the address of a server; write for example http://127.0.0.1:8080"),
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        connector.enforce_http(false);
        // Certificates are read only where they are looked at.
        let tls = tls(authorities, uri.scheme_str() == Some("https"))?;
        let connector = HttpsConnector::from((connector, tls));
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base, http, authorization: None })
    }

    /// The same for somebody whose bearer token is in this file.
    pub fn with_token_of(self, file: &Path) -> anyhow::Result<Self> {
        let token = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .with_context(|| format!("{} has no token in it", file.display()))?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value), ..self })
    }

    /// The document at a path.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, parameters: &Parameters) -> anyhow::Result<T> {
        let answer = self.ask(Method::GET, path, parameters, None).await?;
        self.document(answer).await
    }

    /// All items of a list, page by page, in the envelope of the first page.
    pub async fn list(&self, path: &str, parameters: &Parameters) -> anyhow::Result<Value> {
        let mut parameters = parameters.clone();
        parameters.push(("limit", PAGE.to_owned()));
        let mut list: Value = self.get(path, &parameters).await?;
        while let Some(next) = take_continue(&mut list) {
            parameters.retain(|(name, _)| *name != "continue");
            parameters.push(("continue", next));
            let mut page: Value = self.get(path, &parameters).await?;
            if let (Some(items), Some(more)) = (list["items"].as_array_mut(), page["items"].as_array_mut()) {
                items.append(more);
            }
            if let Some(next) = take_continue(&mut page) {
                list["metadata"]["continue"] = next.into();
            }
        }
        Ok(list)
    }

    pub async fn patch<T: DeserializeOwned>(&self, path: &str, patch: &Value) -> anyhow::Result<T> {
        let body = (patch.to_string().into(), "application/merge-patch+json");
        let answer = self.ask(Method::PATCH, path, &Vec::new(), Some(body)).await?;
        self.document(answer).await
    }

    /// Posts JSON and returns the status with the document, whatever the status.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(StatusCode, Value)> {
        let body = (body.to_string().into(), "application/json");
        let answer = self.send(Method::POST, path, &Vec::new(), Some(body), None).await?;
        let status = answer.status();
        Ok((status, self.document(answer).await?))
    }

    /// Opens a stream of events after the event `after`.
    pub async fn stream(
        &self,
        path: &str,
        parameters: &Parameters,
        after: Option<&str>,
    ) -> anyhow::Result<Incoming> {
        let answer = self.send(Method::GET, path, parameters, None, after).await?;
        Ok(self.successful(answer).await?.into_body())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        parameters: &Parameters,
        body: Option<(Bytes, &'static str)>,
    ) -> anyhow::Result<Response<Incoming>> {
        let answer = self.send(method, path, parameters, body, None).await?;
        self.successful(answer).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        parameters: &Parameters,
        body: Option<(Bytes, &'static str)>,
        after: Option<&str>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}{}", self.base, query(parameters)))
            .header(ACCEPT, "application/json");
        if let Some((_, media)) = &body {
            request = request.header(CONTENT_TYPE, *media);
        }
        if let Some(id) = after {
            request = request.header(HeaderName::from_static("last-event-id"), id);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body.map(|(bytes, _)| bytes).unwrap_or_default()))?;
        timeout(ANSWER_WITHIN, self.http.request(request))
            .await
            .map_err(|_| anyhow!("{} did not answer within {} s", self.base, ANSWER_WITHIN.as_secs()))?
            .map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: hyper_util::client::legacy::Error) -> anyhow::Error {
        let base = &self.base;
        let cause = root_cause(&error);
        if self.base.starts_with("https:") && certificate_refused(&error) {
            return anyhow!(
                "the certificate of {base} is not accepted ({cause}); name the authority's with --ca-file or \
                 SEAWALL_CA_FILE"
            );
        }
        if error.is_connect() {
            return anyhow!(
                "no server answers at {base} ({cause}); start one with `seawall serve`, or say where it is with \
                 --server or SEAWALL_URL"
            );
        }
        anyhow!("the connection to {base} was lost: {cause}")
    }

    async fn document<T: DeserializeOwned>(&self, answer: Response<Incoming>) -> anyhow::Result<T> {
        let body = self.body(answer).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("what answers at {} does not speak like a Seawall", self.base))
    }

    async fn body(&self, answer: Response<Incoming>) -> anyhow::Result<Bytes> {
        let collected = timeout(ANSWER_WITHIN, answer.into_body().collect())
            .await
            .map_err(|_| anyhow!("{} did not finish its answer", self.base))?;
        Ok(collected.with_context(|| format!("the connection to {} was lost", self.base))?.to_bytes())
    }

    /// The answer when it is a good one, else what the problem says.
    async fn successful(&self, answer: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let again = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .map(|seconds| format!("; try again in {seconds} s"))
            .unwrap_or_default();
        let body = self.body(answer).await?;
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        match problem["detail"].as_str() {
            Some(detail) if status == StatusCode::SERVICE_UNAVAILABLE => {
                bail!("{} cannot do this now: {detail}{again}", self.base)
            }
            Some(detail) => bail!("{detail} ({status}){again}"),
            None => bail!("what answers at {} says {status} and does not speak like a Seawall", self.base),
        }
    }
}

fn tls(authorities: Option<&Path>, wanted: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(file) => {
            let found =
                CertificateDer::pem_file_iter(file).with_context(|| format!("read {}", file.display()))?;
            for certificate in found {
                let certificate = certificate.with_context(|| format!("read {}", file.display()))?;
                roots
                    .add(certificate)
                    .with_context(|| format!("{} has no authority in it", file.display()))?;
            }
            if roots.is_empty() {
                bail!("{} has no certificate in it", file.display());
            }
        }
        None if wanted => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether the server has shown a certificate that does not vouch for it.
fn certificate_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref() {
        return matches!(error, TlsError::InvalidCertificate(_));
    }
    // What an error of I/O has inside is not its source; that is the source of what it has inside.
    let inside = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
    let next = inside.map(|inside| inside as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    next.is_some_and(certificate_refused)
}

fn take_continue(list: &mut Value) -> Option<String> {
    let next = list["metadata"].as_object_mut()?.remove("continue")?;
    next.as_str().map(str::to_owned)
}

/// The last cause, which says what happened; the ones before say only where.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn query(parameters: &Parameters) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Text as part of an address (RFC 3986).
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_parts_of_an_address() {
        assert_eq!(encode("prod-1.a_b~c"), "prod-1.a_b~c");
        assert_eq!(encode("a b/ü?&="), "a%20b%2F%C3%BC%3F%26%3D");
        assert_eq!(query(&vec![("a", "1 2".to_owned()), ("b", String::new())]), "?a=1%202&b=");
        assert_eq!(query(&Vec::new()), "");
    }

    #[test]
    fn the_address_of_a_server_may_be_short_and_must_be_http_or_https() {
        assert_eq!(Client::new("127.0.0.1:8080", None).unwrap().base, "http://127.0.0.1:8080");
        assert_eq!(Client::new("http://seawall:80/", None).unwrap().base, "http://seawall:80");
        assert_eq!(Client::new("https://seawall/", None).unwrap().base, "https://seawall");
        assert!(Client::new("http://", None).is_err());
        let other = Client::new("ftp://seawall", None).unwrap_err().to_string();
        assert!(other.contains("is not the address of a server"), "{other}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said_with_what_to_do() {
        let server = format!("127.0.0.1:{}", seawall_testkit::free_port());
        let error =
            Client::new(&server, None).unwrap().get::<Value>("/readyz", &Vec::new()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "no server answers at http://{server} (Connection refused (os error 111)); start one with `seawall \
                 serve`, or say where it is with --server or SEAWALL_URL"
            )
        );
    }
}
