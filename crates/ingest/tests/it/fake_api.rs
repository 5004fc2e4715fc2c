//! An API server that only reviews. It writes down what it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

type Answer = Response<Full<bytes::Bytes>>;

#[derive(Clone)]
pub struct FakeApi(Arc<Inner>);

struct Inner {
    users: Mutex<BTreeMap<String, String>>,
    /// `alice: create remediationrequests in prod`
    rights: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<String>>,
    audience: Mutex<Option<String>>,
    mode: Mutex<Mode>,
    gate: Semaphore,
}

#[derive(Clone, Copy)]
pub enum Mode {
    Reviews,
    /// Every answer is this one, with a `Retry-After` of 7 s in its details.
    Fails(u16),
    /// Answers with something that is no review, and repeats the question.
    Babbles,
}

impl FakeApi {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            users: Mutex::default(),
            rights: Mutex::default(),
            asked: Mutex::default(),
            audience: Mutex::default(),
            mode: Mutex::new(Mode::Reviews),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }))
    }

    /// One that knows `alice` by the token `alices`, who may do these things.
    pub fn with_alice(rights: &[&str]) -> Self {
        let api = Self::new();
        api.know("alices", "alice");
        rights.iter().for_each(|right| api.grant("alice", right));
        api
    }

    pub fn know(&self, token: &str, user: &str) {
        self.0.users.lock().insert(token.to_owned(), user.to_owned());
    }

    pub fn forget(&self, token: &str) {
        self.0.users.lock().remove(token);
    }

    /// `create remediationrequests in prod`; in all namespaces: `… in *`.
    pub fn grant(&self, user: &str, right: &str) {
        self.0.rights.lock().insert(format!("{user}: {right}"));
    }

    pub fn withdraw(&self, user: &str, right: &str) {
        self.0.rights.lock().remove(&format!("{user}: {right}"));
    }

    /// Tokens are meant for this audience.
    pub fn audience(&self, audience: &str) {
        *self.0.audience.lock() = Some(audience.to_owned());
    }

    pub fn mode(&self, mode: Mode) {
        *self.0.mode.lock() = mode;
    }

    /// Questions are written down and not answered from now on.
    pub fn hold(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn release(&self) {
        self.0.gate.add_permits(Semaphore::MAX_PERMITS - self.0.gate.available_permits());
    }

    /// Everything it was asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.0.asked.lock().clone()
    }

    /// How often it was asked about a token.
    pub fn tokens_asked(&self) -> usize {
        self.asked().iter().filter(|question| question.starts_with("who is ")).count()
    }

    pub fn client(&self) -> kube::Client {
        let api = self.0.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }
}

impl Inner {
    async fn answer(&self, request: Request<Body>) -> Answer {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(review["apiVersion"].as_str().map(|version| version.contains(".k8s.io/v1")), Some(true));
        let status = match path.as_str() {
            "/apis/authentication.k8s.io/v1/tokenreviews" => self.token(&review["spec"]),
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => self.access(&review["spec"]),
            other => panic!("{other} is no review"),
        };
        let _open = self.gate.acquire().await.unwrap();
        let mode = *self.mode.lock();
        match mode {
            Mode::Reviews => {
                let mut answer = review;
                answer["status"] = status;
                json_answer(StatusCode::CREATED, &answer)
            }
            Mode::Fails(code) => {
                let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": "as asked for",
                    "details": {"retryAfterSeconds": 7}});
                json_answer(StatusCode::from_u16(code).unwrap(), &status)
            }
            Mode::Babbles => json_answer(StatusCode::CREATED, &json!({"spec": review, "status": 1})),
        }
    }

    fn token(&self, spec: &Value) -> Value {
        let token = spec["token"].as_str().unwrap();
        let audience = self.audience.lock().clone();
        let mut question = format!("who is {token}");
        if let Some(asked) = spec["audiences"].get(0) {
            question += &format!(" for {}", asked.as_str().unwrap());
        }
        self.asked.lock().push(question);
        match self.users.lock().get(token) {
            None => json!({"authenticated": false, "error": "invalid bearer token", "user": {}}),
            Some(user) => json!({
                "authenticated": true,
                "audiences": audience.map(|audience| vec![audience]),
                "user": {"username": user, "uid": "7", "groups": ["team", "system:authenticated"],
                    "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"]}},
            }),
        }
    }

    fn access(&self, spec: &Value) -> Value {
        let user = spec["user"].as_str().unwrap();
        // An authorizer decides by everything that is known about somebody.
        assert_eq!(spec["groups"], json!(["team", "system:authenticated"]));
        assert_eq!(spec["uid"], "7");
        assert_eq!(spec["extra"], json!({"authentication.kubernetes.io/credential-id": ["JTI=1"]}));
        let asked = &spec["resourceAttributes"];
        assert_eq!(asked["group"], "remediation.kubernaut.io");
        let text = |key: &str| asked[key].as_str().unwrap_or_default();
        let subresource = asked["subresource"].as_str().map_or(String::new(), |name| format!("/{name}"));
        let what = format!("{} {}{subresource}", text("verb"), text("resource"));
        let namespace = Some(text("namespace")).filter(|namespace| !namespace.is_empty()).unwrap_or("*");
        self.asked.lock().push(format!("{what} in {namespace}"));
        let rights = self.rights.lock();
        let allowed =
            ["*", namespace].iter().any(|place| rights.contains(&format!("{user}: {what} in {place}")));
        json!({"allowed": allowed, "reason": "RBAC"})
    }
}

fn json_answer(code: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = code;
    response
}

/// Long enough for a review here, short for a test in which there is none.
pub const BRIEF: Duration = Duration::from_millis(200);
