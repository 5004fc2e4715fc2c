//! A real API server says who is asking and what they may do.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::{Alert, Answer, Client, Deadline, Samples, Scene, Seawall};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{name_of, requests_in, run, samples, scene};

/// What Seawall waits for a review at most, and what a loaded machine adds.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

const AUDIENCE: &str = "seawall";
const GROUP: &str = "remediation.kubernaut.io";

/// Who there is: Seawall, which may ask for reviews and nothing else; a sender for `prod` and `shop`; a worker, who reads
/// everything and reports on `prod`; and somebody who may do nothing.
const ACCOUNTS: [(&str, &str); 4] =
    [("seawall-system", "seawall"), ("monitoring", "sender"), ("agents", "worker"), ("lobby", "stranger")];

/// An API server, and a Seawall that asks it.
struct Stage {
    plane: ControlPlane,
    seawall: Seawall,
    scene: Scene,
}

impl Stage {
    async fn set() -> Self {
        let scene = scene().await;
        let plane = ControlPlane::start(&scene).await;
        for (namespace, name) in ACCOUNTS {
            plane.service_account(namespace, name);
        }
        for namespace in ["prod", "shop", "secret"] {
            plane.namespace(namespace);
        }
        bind(&plane, "", "system:auth-delegator", "seawall-system", "seawall");
        role(&plane, "sender", "create", "remediationrequests");
        role(&plane, "reader", "list", "remediationrequests");
        role(&plane, "worker", "update", "remediationrequests/status");
        bind(&plane, "prod", "sender", "monitoring", "sender");
        bind(&plane, "shop", "sender", "monitoring", "sender");
        bind(&plane, "", "reader", "agents", "worker");
        bind(&plane, "prod", "worker", "agents", "worker");
        let account = plane.service_account("seawall-system", "seawall");
        let seawall = scene
            .seawall("seawall")
            .kubeconfig(plane.kubeconfig_of(&account))
            .env("SEAWALL_AUTH__KUBERNETES__ENABLED", "true")
            .env("SEAWALL_AUTH__KUBERNETES__AUDIENCE", AUDIENCE)
            .env("SEAWALL_TELEMETRY__LOG_LEVEL", "trace")
            .start()
            .await;
        Self { plane, seawall, scene }
    }

    fn token(&self, namespace: &str, name: &str) -> String {
        self.plane.token(namespace, name, Some(AUDIENCE), 600)
    }

    fn client(&self, token: &str) -> Client {
        self.seawall.client().bearer(token)
    }

    fn sender(&self) -> Client {
        self.client(&self.token("monitoring", "sender"))
    }

    fn worker(&self) -> Client {
        self.client(&self.token("agents", "worker"))
    }

    /// A token of the sender as the API server would have made it an hour ago for a minute.
    fn expired_token(&self) -> String {
        let pki = self.plane.ca();
        let pem = std::fs::read_to_string(pki.with_file_name("accounts.key")).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let random = SystemRandom::new();
        let der = STANDARD.decode(der).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).unwrap();
        // Everything but the times is that of a good one.
        let good = self.token("monitoring", "sender");
        let payload = good.split('.').nth(1).unwrap();
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let now = claims["iat"].as_i64().unwrap();
        for (claim, ago) in [("iat", 3600), ("nbf", 3600), ("exp", 3540)] {
            claims[claim] = (now - ago).into();
        }
        let head = URL_SAFE_NO_PAD.encode(json!({ "alg": "ES256" }).to_string());
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = key.sign(&random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// How many reviews of this kind the API server has answered by its own account.
    fn reviews(&self, resource: &str) -> u64 {
        let metrics = Samples::parse(&self.plane.kubectl(&["get", "--raw", "/metrics"]));
        metrics.sum("apiserver_request_total", &[&format!("resource=\"{resource}\"")]) as u64
    }
}

/// The token with one digit of its signature changed; not the last one, of which not every bit counts.
fn tampered(token: &str) -> String {
    let (start, end) = token.split_at(token.len() - 10);
    let other = if end.starts_with('A') { 'B' } else { 'A' };
    format!("{start}{other}{}", &end[1..])
}

fn role(plane: &ControlPlane, name: &str, verb: &str, resource: &str) {
    let rules = json!([{ "apiGroups": [GROUP], "resources": [resource], "verbs": [verb] }]);
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": name }, "rules": rules });
    plane.apply(&role.to_string());
}

/// In a namespace, or everywhere when it is empty.
fn bind(plane: &ControlPlane, namespace: &str, role: &str, of: &str, account: &str) {
    let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    let metadata = json!({ "name": format!("{role}-{account}"), "namespace": namespace });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "namespace": of, "name": account }],
    });
    plane.apply(&binding.to_string());
}

fn alert(namespace: &str) -> Alert {
    Alert::new("PodCrashLooping", namespace, "web-1")
}

async fn fire(client: &Client, namespaces: &[&str]) -> Answer {
    let alerts: Vec<_> = namespaces.iter().map(|namespace| alert(namespace)).collect();
    client.fire(&alerts).await.expect("an answer")
}

#[tokio::test]
async fn the_cluster_says_who_may_send_read_and_work() {
    let stage = Stage::set().await;
    let sent = stage.token("monitoring", "sender");
    let expired = stage.expired_token();
    let tampered = tampered(&sent);
    let for_the_api = stage.plane.token("monitoring", "sender", None, 600);
    let for_another = stage.plane.token("monitoring", "sender", Some("vault"), 600);
    let refused = [&expired, &tampered, &for_the_api, &for_another, "nonsense"];
    for token in refused {
        let answer = fire(&stage.client(token), &["prod"]).await;
        assert_eq!(answer.status, 401, "{token}: {}", answer.text());
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(fire(&stage.seawall.client(), &["prod"]).await.status, 401, "no token");
    let stranger = stage.client(&stage.token("lobby", "stranger"));
    let forbidden = fire(&stranger, &["prod"]).await;
    assert_eq!(forbidden.status, 403);
    assert!(forbidden.text().contains("`system:serviceaccount:lobby:stranger` may not create"));
    let worker = stage.worker();
    assert_eq!(worker.requests("").await.len(), 0, "nothing of all that became a request");

    let sender = stage.client(&sent);
    assert_eq!(fire(&sender, &["prod"]).await.status, 201);
    let mixed = fire(&sender, &["secret", "shop"]).await.json();
    let statuses: Vec<_> = mixed["results"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["rejected", "created"]);
    for (namespace, count) in [("prod", 1), ("shop", 1), ("secret", 0)] {
        requests_in(&worker, namespace, count).await;
    }
    assert_eq!(sender.get("/api/v1/requests").await.unwrap().status, 403, "who sends may not read");

    for (namespace, status) in [("prod", StatusCode::OK), ("shop", StatusCode::FORBIDDEN)] {
        let request = requests_in(&worker, namespace, 1).await.remove(0);
        let answer = worker.set_phase(namespace, name_of(&request), "Processing").await;
        assert_eq!(answer.status, status, "the right is for one namespace");
    }
    let reported = worker.requests("phase=Processing").await;
    assert_eq!(
        reported.iter().map(|request| request.metadata.namespace.as_deref()).collect::<Vec<_>>(),
        [Some("prod")]
    );

    let file = stage.scene.file("token", &format!("{}\n", stage.token("agents", "worker")));
    let (url, file) = (stage.seawall.url(""), file.to_string_lossy());
    let arguments = ["requests", "list", "--server", &url, "--token-file", &file];
    let listed = run(&stage.scene, &arguments, &[]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.said);
    assert!(listed.said.contains("PodCrashLooping"), "{}", listed.said);
    let without = run(&stage.scene, &arguments[..4], &[]).await;
    assert!(without.code == Some(1) && without.said.contains("a bearer token is needed"), "{}", without.said);

    let log = stage.seawall.process().output();
    assert!(log.contains("system:serviceaccount:monitoring:sender"), "the log says who, at this level");
    for token in refused.into_iter().chain([sent.as_str()]) {
        let secret = token.rsplit('.').next().unwrap();
        assert!(!log.contains(secret), "a token is in the log");
    }
}

#[tokio::test]
async fn a_thousand_requests_with_one_token_are_two_reviews() {
    let stage = Stage::set().await;
    let sender = stage.sender();
    let before = ["tokenreviews", "subjectaccessreviews"].map(|resource| stage.reviews(resource));
    let mut senders = JoinSet::new();
    for _ in 0..20 {
        let client = sender.clone();
        senders.spawn(async move {
            for _ in 0..50 {
                let answer = fire(&client, &["prod"]).await;
                assert!(matches!(answer.status.as_u16(), 201 | 202), "{}", answer.text());
            }
        });
    }
    senders.join_all().await;
    let after = ["tokenreviews", "subjectaccessreviews"].map(|resource| stage.reviews(resource));
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 1]);
    let request = requests_in(&stage.worker(), "prod", 1).await.remove(0);
    assert_eq!(request.spec.deduplication.occurrence_count, 1000, "and every one of them counts");
    let allowed = samples(&stage.seawall.client()).await;
    let labels = ["method=\"token_review\"", "outcome=\"allowed\""];
    assert!(allowed.sum("seawall_auth_total", &labels) >= 1000.0);
}

#[tokio::test]
async fn while_the_api_server_is_away_nobody_new_is_let_in() {
    let mut stage = Stage::set().await;
    let (sender, worker) = (stage.sender(), stage.worker());
    assert_eq!(fire(&sender, &["prod"]).await.status, 201);
    requests_in(&worker, "prod", 1).await;
    let (second, third) = (stage.sender(), stage.sender());

    stage.plane.pause();
    let waited = Deadline::after(TOLD_WITHIN);
    let answer = fire(&second, &["prod"]).await;
    assert!(!waited.is_over(), "a silent API server keeps nobody waiting: {:?}", waited.elapsed());
    told_to_come_again(&answer);
    stage.plane.resume();
    assert_eq!(fire(&second, &["prod"]).await.status, 202, "that it failed is not remembered");

    stage.plane.kill_apiserver();
    told_to_come_again(&fire(&third, &["prod"]).await);
    told_to_come_again(&fire(&sender, &["prod", "new"]).await);
    assert_eq!(fire(&sender, &["prod"]).await.status, 202, "who is known goes on for a while");
    let report = stage.seawall.client().get("/readyz").await.unwrap();
    assert_eq!(
        (report.status.as_u16(), &report.json()["checks"]["auth"]),
        (200, &json!("unavailable: unreachable"))
    );

    stage.plane.restart_apiserver().await;
    assert_eq!(fire(&third, &["prod"]).await.status, 202);
    let request = requests_in(&worker, "prod", 1).await.remove(0);
    assert_eq!(request.spec.deduplication.occurrence_count, 4, "what was refused does not count");
    assert_eq!(
        worker.send(Method::GET, "/api/v1/requests?namespace=new", &[], "").await.unwrap().json()["items"],
        json!([])
    );
}

fn told_to_come_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.retry_after().is_some());
    assert_eq!(answer.json()["type"], "urn:seawall:problem:auth-unavailable");
}
