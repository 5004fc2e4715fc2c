//! Who is let in, and what they may do.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use http::Method;
use seawall_testkit::{Alert, Answer, Client, Samples, eventually, request_head, webhook};
use serde_json::{Value, json};

use crate::fake::NOW;
use crate::fake_api::{BRIEF, FakeApi, Mode};
use crate::server::{SOON, Server};

const CREATE: &str = "create remediationrequests in prod";
const SEND: &str = "/webhook/prometheus";

fn alert(namespace: &str) -> Alert {
    Alert::new("PodCrashLooping", namespace, "web-1")
}

fn alice(server: &Server) -> Client {
    server.client().bearer("alices")
}

async fn fire(client: &Client, namespaces: &[&str]) -> Answer {
    let alerts: Vec<_> = namespaces.iter().map(|namespace| alert(namespace)).collect();
    client.fire(&alerts).await.unwrap()
}

async fn patch(client: &Client, path: &str) -> Answer {
    let patch = json!({"status": {"overallPhase": "Completed"}}).to_string();
    client.send(Method::PATCH, path, &[("content-type", "application/json")], patch).await.unwrap()
}

#[tokio::test]
async fn without_a_token_everything_that_is_described_is_401_but_health_metrics_and_the_description() {
    let api = FakeApi::new();
    let server = Server::reviewed(&api, |_| {}).await;
    let client = server.client();
    let open = ["/healthz", "/health/live", "/readyz", "/ready", "/health/ready", "/health", "/metrics"];
    let description = client.document("/openapi.json").await;
    let mut closed = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = client.send(method, path, &[], "{}").await.unwrap();
            if open.contains(&path.as_str()) {
                assert_eq!(answer.status, 200, "{path}");
                assert!(operation.get("security").is_none(), "{path}");
                continue;
            }
            closed += 1;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
            assert_eq!(answer.json()["type"], "urn:seawall:problem:unauthenticated");
            assert_eq!(
                operation["security"],
                json!([{"bearer": []}, {"basic": []}, {"certificate": []}, {}]),
                "{path}"
            );
            for status in ["401", "403"] {
                assert!(operation["responses"].get(status).is_some(), "{path} {status}");
            }
        }
    }
    assert_eq!(closed, 11, "every other operation");
    assert_eq!(client.get("/nothing").await.unwrap().status, 401, "not even what exists is told");
    assert_eq!(client.send(Method::DELETE, SEND, &[], "").await.unwrap().status, 401);
    assert_eq!((server.store.batches(), api.asked()), (0, Vec::new()));
}

#[tokio::test]
async fn a_token_is_asked_about_once_and_a_right_once_for_each_namespace() {
    let api = FakeApi::with_alice(&[CREATE, "create remediationrequests in shop"]);
    let server = Server::reviewed(&api, |_| {}).await;
    let answers =
        join_all((0..100).map(|_| async { fire(&alice(&server), &["prod", "shop", "prod"]).await })).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 202)));
    assert_eq!(server.store.signals(), 300);
    let mut asked = api.asked();
    asked.sort();
    assert_eq!(asked, [CREATE, "create remediationrequests in shop", "who is alices"]);
    let samples = Samples::parse(&server.client().get("/metrics").await.unwrap().text());
    for (method, reviews) in [("token_review", 1), ("access_review", 2)] {
        let method = format!("method=\"{method}\"");
        let sum = |name, labels: &[&str]| samples.sum(name, labels) as u64;
        assert_eq!(sum("seawall_auth_total", &[&method, "outcome=\"allowed\""]), 100, "{method}");
        assert_eq!(sum("seawall_auth_total", &[&method]), 100, "{method}");
        assert_eq!(sum("seawall_auth_duration_seconds_count", &[&method]), reviews, "{method}");
    }
}

#[tokio::test]
async fn a_refused_token_is_401_and_asked_about_once() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |_| {}).await;
    let mallory = server.client().bearer("mallorys");
    for _ in 0..3 {
        let answer = fire(&mallory, &["prod"]).await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some("Bearer")));
        assert!(!answer.text().contains("mallorys"));
    }
    for wrong in ["Basic YTpi", "Bearer", "Bearer two words"] {
        let headers = [("authorization", wrong)];
        let answer = server.client().send(Method::GET, "/api/v1/requests", &headers, "").await.unwrap();
        assert_eq!(answer.status, 401, "{wrong}");
    }
    assert_eq!(api.asked(), ["who is mallorys"]);
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn what_was_granted_or_renewed_just_now_takes_effect_soon() {
    let api = FakeApi::new();
    let server = Server::reviewed(&api, |_| {}).await;
    let answered = async |status: u16| {
        eventually(SOON, async || {
            let answer = fire(&alice(&server), &["prod"]).await.status;
            if answer == status { Ok(()) } else { Err(format!("{answer}, not {status}")) }
        })
        .await;
    };
    answered(401).await;
    api.know("alices", "alice");
    answered(403).await;
    api.grant("alice", CREATE);
    answered(201).await;
    assert_eq!(api.asked().len(), 4, "a no is kept for some seconds: {:?}", api.asked());
}

#[tokio::test]
async fn in_a_mixed_body_the_forbidden_alerts_are_rejected_and_the_others_are_taken() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |_| {}).await;
    let answer = fire(&alice(&server), &["prod", "secret", "prod", "secret"]).await;
    assert_eq!(answer.status, 201);
    let body = answer.json();
    let statuses: Vec<_> =
        body["results"].as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, ["created", "rejected", "duplicate", "rejected"]);
    let sentence = "`alice` may not create remediationrequests in namespace `secret`";
    assert_eq!(body["results"][1]["message"], sentence);
    assert_eq!(body["summary"]["rejected"], 2);
    assert_eq!(server.store.signals(), 2);
    let list = server.client().bearer("alices");
    api.grant("alice", "list remediationrequests in *");
    let namespaces: Vec<_> =
        list.requests("").await.into_iter().map(|request| request.metadata.namespace.unwrap()).collect();
    assert_eq!(namespaces, ["prod"]);
    let samples = Samples::parse(&server.client().get("/metrics").await.unwrap().text());
    let rejected = samples.sum("seawall_signals_rejected_total", &["reason=\"forbidden\""]);
    assert_eq!(rejected as u64, 2);
}

#[tokio::test]
async fn a_body_of_which_nothing_is_allowed_is_403_and_nothing_of_it_is_decided() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |_| {}).await;
    for namespaces in [&["secret"][..], &["secret", "hidden"]] {
        let answer = fire(&alice(&server), namespaces).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["type"]),
            (403, &json!("urn:seawall:problem:forbidden"))
        );
        assert_eq!(answer.header("www-authenticate"), None);
        assert!(answer.text().contains("`alice` may not create remediationrequests in namespace `secret`"));
    }
    // What is invalid besides makes nothing allowed.
    let mut body: Value = serde_json::from_slice(&webhook(&[alert("secret")])).unwrap();
    body["alerts"].as_array_mut().unwrap().push(Value::Null);
    assert_eq!(alice(&server).post(SEND, body.to_string()).await.unwrap().status, 403);
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn signals_without_a_namespace_of_their_own_need_the_right_in_the_fallback_namespace() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed_at("ops", &api).await;
    let node = Alert::new("NodeDown", "", "").label("node", "n1").label("pod", "").label("namespace", "");
    let odd = alert("Not_A_Label");
    let answer = alice(&server).fire(&[node.clone(), odd.clone()]).await.unwrap();
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("in namespace `ops`"), "{}", answer.text());
    let mixed = alice(&server).fire(&[node.clone(), alert("prod"), odd.clone()]).await.unwrap().json();
    assert_eq!(mixed["summary"]["rejected"], 2, "{mixed}");
    assert_eq!(api.asked(), ["who is alices", "create remediationrequests in ops", CREATE]);

    let api = FakeApi::with_alice(&["create remediationrequests in ops"]);
    let server = Server::reviewed_at("ops", &api).await;
    assert_eq!(alice(&server).fire(&[node, odd]).await.unwrap().status, 201);
    assert_eq!(server.store.signals(), 2);
}

#[tokio::test]
async fn a_token_for_another_audience_is_401() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |settings| settings.audience = Some("seawall".into())).await;
    // One that knows nothing of audiences, and one that names another.
    assert_eq!(fire(&alice(&server), &["prod"]).await.status, 401);
    api.know("others", "alice");
    api.audience("vault");
    assert_eq!(fire(&server.client().bearer("others"), &["prod"]).await.status, 401);
    api.know("ours", "alice");
    api.audience("seawall");
    assert_eq!(fire(&server.client().bearer("ours"), &["prod"]).await.status, 201);
    let tokens = ["who is alices for seawall", "who is others for seawall", "who is ours for seawall"];
    assert_eq!(api.asked()[..3], tokens);
}

#[tokio::test]
async fn nobody_is_let_in_while_reviews_fail_and_failures_are_not_remembered() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |_| {}).await;
    for mode in [Mode::Fails(500), Mode::Fails(403), Mode::Fails(401), Mode::Fails(429), Mode::Babbles] {
        api.mode(mode);
        let answer = fire(&alice(&server), &["prod"]).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.retry_after().is_some());
        assert_eq!(answer.json()["type"], "urn:seawall:problem:auth-unavailable");
        assert!(!answer.text().contains("alice"), "{}", answer.text());
        let ready = server.client().get("/readyz").await.unwrap();
        assert_eq!(ready.status, 200, "readiness is about the state store");
        let said = ready.json()["checks"]["auth"].as_str().unwrap().to_owned();
        assert!(said.starts_with("unavailable: "), "{said}");
    }
    api.mode(Mode::Fails(429));
    assert_eq!(fire(&alice(&server), &["prod"]).await.retry_after(), Some(7), "as the API server asks");
    assert_eq!(server.store.batches(), 0);
    api.mode(Mode::Reviews);
    assert_eq!(fire(&alice(&server), &["prod"]).await.status, 201);
    assert_eq!(server.client().document("/readyz").await["checks"]["auth"], "ok");
}

#[tokio::test]
async fn nobody_is_let_in_while_there_is_no_answer() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |settings| settings.deadline = BRIEF).await;
    api.hold();
    let refused = join_all((0..5).map(|_| async { fire(&alice(&server), &["prod"]).await.status })).await;
    assert_eq!(refused, [503; 5], "silence is no yes");
    assert_eq!(server.store.batches(), 0);
    api.release();
    eventually(SOON, async || match fire(&alice(&server), &["prod"]).await.status.as_u16() {
        201 => Ok(()),
        other => Err(format!("still {other}")),
    })
    .await;
}

#[tokio::test]
async fn a_right_that_cannot_be_checked_is_503_and_nothing_is_decided() {
    let api = FakeApi::with_alice(&[CREATE, "create remediationrequests in shop"]);
    let server = Server::reviewed(&api, |_| {}).await;
    assert_eq!(fire(&alice(&server), &["prod"]).await.status, 201);
    api.mode(Mode::Fails(500));
    assert_eq!(fire(&alice(&server), &["prod"]).await.status, 202, "what is known goes on");
    assert_eq!(fire(&alice(&server), &["prod", "shop"]).await.status, 503, "a batch is taken as a whole");
    assert_eq!(alice(&server).get("/api/v1/requests?namespace=prod").await.unwrap().status, 503);
    assert_eq!(server.store.signals(), 2);
    api.mode(Mode::Reviews);
    assert_eq!(fire(&alice(&server), &["prod", "shop"]).await.status, 201);
}

#[tokio::test]
async fn a_token_is_not_trusted_beyond_its_own_end() {
    let api = FakeApi::new();
    let exp = NOW.as_millis() as f64 / 1000.0 + 1.0;
    let payload = URL_SAFE_NO_PAD.encode(json!({ "exp": exp }).to_string());
    let token = format!("e30.{payload}.c2ln");
    api.know(&token, "alice");
    api.grant("alice", CREATE);
    // Answers are kept for an hour, and the token has a second left.
    let server = Server::reviewed(&api, |_| {}).await;
    let client = server.client().bearer(&token);
    assert_eq!(fire(&client, &["prod"]).await.status, 201);
    api.forget(&token);
    eventually(SOON, async || match fire(&client, &["prod"]).await.status.as_u16() {
        401 => Ok(()),
        other => Err(format!("still {other}")),
    })
    .await;
    assert_eq!(api.tokens_asked(), 2);
}

#[tokio::test]
async fn a_withdrawn_token_is_refused_once_its_answer_is_old() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |settings| settings.cache_ttl = BRIEF).await;
    assert_eq!(fire(&alice(&server), &["prod"]).await.status, 201);
    api.forget("alices");
    eventually(SOON, async || match fire(&alice(&server), &["prod"]).await.status.as_u16() {
        401 => Ok(()),
        other => Err(format!("still {other}")),
    })
    .await;
}

#[tokio::test]
async fn of_somebody_unknown_no_body_is_read() {
    let server = Server::reviewed(&FakeApi::new(), |_| {}).await;
    let mut raw = server.raw().await;
    raw.send(request_head(SEND, "content-length: 50000000\r\nauthorization: Bearer unknown\r\n")).await;
    let answer = raw.read_answer(SOON).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_parsed_while_it_arrives_is_treated_alike() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |_| {}).await;
    let mut alerts = Alert::pods("A", "prod", 3000);
    alerts.extend(Alert::pods("A", "secret", 3000));
    assert!(webhook(&alerts).len() > 1024 * 1024, "large enough to be streamed");
    let answer = alice(&server).fire(&alerts).await.unwrap();
    assert_eq!(answer.status, 201);
    let body = answer.json();
    assert_eq!((&body["summary"]["created"], &body["summary"]["rejected"]), (&json!(3000), &json!(3000)));
    assert_eq!(
        body["results"].as_array().unwrap().len(),
        100,
        "the rejected ones are named, as far as there is room"
    );
    let refused = alice(&server).fire(&Alert::pods("A", "secret", 6000)).await.unwrap();
    assert_eq!(refused.status, 403);
    assert_eq!((server.store.signals(), server.store.batches()), (3000, 1));
}

#[tokio::test]
async fn reading_and_reporting_need_rights_of_their_own() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |_| {}).await;
    let name =
        fire(&alice(&server), &["prod"]).await.json()["remediationRequestName"].as_str().unwrap().to_owned();
    let one = format!("/api/v1/requests/prod/{name}");
    let fingerprint = alert("prod").fingerprint();
    let explain = format!("/api/v1/explain/{fingerprint}");
    let reads = [
        ("/api/v1/requests?namespace=prod", "prod"),
        ("/api/v1/requests?namespace=prod&watch=true", "prod"),
        (one.as_str(), "prod"),
        ("/api/v1/requests/prod/rr-none", "prod"),
        ("/api/v1/requests", "*"),
        ("/api/v1/requests?watch=true", "*"),
        ("/api/v1/requests?namespace=", "*"),
        ("/api/v1/requests?namespace=..%2f", "*"),
        ("/api/v1/storms", "*"),
        ("/api/v1/storms/none", "*"),
        (explain.as_str(), "*"),
    ];
    for (path, namespace) in reads {
        let before = api.asked().len();
        let answer = alice(&server).get(path).await.unwrap();
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        let asked = api.asked().split_off(before);
        let question = format!("list remediationrequests in {namespace}");
        assert!(asked.is_empty() || asked == [question.clone()], "{path}: {asked:?}");
        assert!(api.asked().contains(&question), "{path}");
    }
    let status = format!("{one}/status");
    assert_eq!(patch(&alice(&server), &status).await.status, 403);
    assert_eq!(api.asked().last().unwrap(), "update remediationrequests/status in prod");

    api.know("bobs", "bob");
    api.grant("bob", "list remediationrequests in prod");
    api.grant("bob", "update remediationrequests/status in prod");
    let bob = server.client().bearer("bobs");
    assert_eq!(bob.requests("namespace=prod").await.len(), 1);
    assert!(bob.document(&one).await.get("status").is_none(), "nothing was reported by alice");
    assert_eq!(patch(&bob, &status).await.status, 200);
    assert_eq!(bob.document(&one).await["status"]["overallPhase"], "Completed");
    for path in ["/api/v1/requests", "/api/v1/storms", "/api/v1/requests?namespace=shop"] {
        assert_eq!(bob.get(path).await.unwrap().status, 403, "{path}");
    }
    assert_eq!(fire(&bob, &["prod"]).await.status, 403, "who reads may not send");
}

#[tokio::test]
async fn a_stream_ends_when_its_right_or_its_token_does() {
    for withdraw in [
        (|api: &FakeApi| api.withdraw("alice", "list remediationrequests in *")) as fn(&FakeApi),
        |api| api.forget("alices"),
        |api| api.mode(Mode::Fails(500)),
    ] {
        let api = FakeApi::with_alice(&[CREATE, "list remediationrequests in *"]);
        let server = Server::reviewed(&api, |settings| settings.cache_ttl = BRIEF).await;
        fire(&alice(&server), &["prod"]).await;
        let mut watch = alice(&server).watch().await;
        assert!(watch.next(SOON).await.is_some());
        assert_eq!(watch.next(Duration::from_millis(1500)).await, None);
        assert!(!watch.has_ended(Duration::ZERO).await, "it goes on as long as it may");
        withdraw(&api);
        assert!(watch.has_ended(SOON).await);
    }
}

#[tokio::test]
async fn whoever_may_send_about_all_namespaces_is_asked_about_once_for_many() {
    let many: Vec<String> = (0..500).map(|n| format!("ns-{n}")).collect();
    let alerts: Vec<_> = many.iter().map(|namespace| alert(namespace)).collect();
    let api = FakeApi::with_alice(&["create remediationrequests in *"]);
    let server = Server::reviewed(&api, |_| {}).await;
    assert_eq!(alice(&server).fire(&alerts).await.unwrap().status, 201);
    assert_eq!(api.asked(), ["who is alices", "create remediationrequests in *"]);

    let api = FakeApi::with_alice(&["create remediationrequests in ns-7"]);
    let server = Server::reviewed(&api, |_| {}).await;
    let summary = alice(&server).fire(&alerts).await.unwrap().json()["summary"].clone();
    assert_eq!((&summary["created"], &summary["rejected"]), (&json!(1), &json!(499)));
    assert_eq!(api.asked().len(), 502, "and one by one otherwise");
    let more: Vec<_> = (0..1001).map(|n| alert(&format!("other-{n}"))).collect();
    let refused = alice(&server).fire(&more).await.unwrap();
    assert_eq!((refused.status.as_u16(), &refused.json()["limit"]), (413, &json!(1000)));
    assert_eq!(api.asked().len(), 502, "invented namespaces are not asked about");
}

#[tokio::test]
async fn a_flood_of_invented_tokens_keeps_nobody_out_who_is_known() {
    let api = FakeApi::with_alice(&[CREATE]);
    let server = Server::reviewed(&api, |_| {}).await;
    assert_eq!(fire(&alice(&server), &["prod"]).await.status, 201);
    api.hold();
    let flood = (0..300).map(|n| {
        let client = server.client().bearer(&format!("invented-{n}"));
        async move { client.get("/api/v1/requests").await.unwrap().status.as_u16() }
    });
    let known = async {
        eventually(SOON, async || {
            let samples = Samples::parse(&server.client().get("/metrics").await.unwrap().text());
            match samples.sum("seawall_auth_total", &["outcome=\"unavailable\""]) as usize {
                44 => Ok(()),
                refused => Err(format!("{refused} were told to come again")),
            }
        })
        .await;
        let answer = fire(&alice(&server), &["prod"]).await.status;
        let asked = api.tokens_asked();
        api.release();
        (answer.as_u16(), asked)
    };
    let (statuses, (known, asked)) = tokio::join!(join_all(flood), known);
    assert_eq!(known, 202);
    assert!(asked <= 65, "{asked} reviews were on their way at once");
    let count = |status| statuses.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(401), count(503)), (256, 44), "the rest is told to come again");
}
