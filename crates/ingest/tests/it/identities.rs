//! Whom the identities file knows, and what they may do.

use std::sync::Arc;

use futures_util::future::join_all;
use http::Method;
use seawall_ingest::{EdgeSettings, Grants, Identities, IdentityEntry, Right};
use seawall_store::ChangeKind;
use seawall_testkit::{Alert, Answer, Client, Samples, eventually};
use serde_json::{Value, json};

use crate::fake_api::FakeApi;
use crate::server::{SOON, Server, reviewer};

const SEND: &str = "/webhook/prometheus";
const BEARER: &str = "Bearer";
const BASIC: &str = "Basic realm=\"seawall\", charset=\"UTF-8\"";

/// `htpasswd -nbB -C 4 oncall secret`
const SECRET: &str = "$2y$04$3Cr90.UFIA9tndY9f1CgvuUtf8sGUZIUk5iVQG81Ya406eV.gcQ5a";

/// `htpasswd -nbB -C 4 oncall other`
const OTHER: &str = "$2y$04$bvQWhfFgC8W6K1ebw7.zGO82E5QK0NZu5L21Nooe081cQG5JkEOk2";

/// Somebody who may do these things everywhere, and cannot show yet who they are.
fn somebody(name: &str, rights: &[Right]) -> IdentityEntry {
    IdentityEntry {
        name: name.into(),
        tokens: Vec::new(),
        password: None,
        certificate: None,
        grants: Grants { rights: rights.to_vec(), namespaces: None },
    }
}

trait Known: Sized {
    fn with_tokens(self, tokens: &[&str]) -> Self;
    fn with_password(self, hash: &str) -> Self;
    fn within(self, namespaces: &[&str]) -> Self;
}

impl Known for IdentityEntry {
    fn with_tokens(self, tokens: &[&str]) -> Self {
        Self { tokens: tokens.iter().map(|token| token.parse().unwrap()).collect(), ..self }
    }

    fn with_password(self, hash: &str) -> Self {
        Self { password: Some(hash.parse().unwrap()), ..self }
    }

    fn within(mut self, namespaces: &[&str]) -> Self {
        let namespaces = namespaces.iter().map(|namespace| namespace.parse().unwrap());
        self.grants.namespaces = Some(namespaces.collect());
        self
    }
}

fn sender() -> IdentityEntry {
    somebody("sender", &[Right::Send]).with_tokens(&["senders"])
}

fn oncall() -> IdentityEntry {
    somebody("oncall", &[Right::Read, Right::Work]).with_password(SECRET)
}

fn identities(entries: impl IntoIterator<Item = IdentityEntry>) -> Arc<Identities> {
    Arc::new(Identities(entries.into_iter().collect()))
}

async fn knowing(entries: impl IntoIterator<Item = IdentityEntry>) -> Server {
    knowing_with(entries, |_| {}).await
}

async fn knowing_with(
    entries: impl IntoIterator<Item = IdentityEntry>,
    change: impl FnOnce(&mut EdgeSettings),
) -> Server {
    let identities = identities(entries);
    Server::guarded("default", change, |guard, _, _| guard.with_identities(&identities)).await
}

fn alert(namespace: &str) -> Alert {
    Alert::new("PodCrashLooping", namespace, "web-1")
}

async fn fire(client: &Client, namespaces: &[&str]) -> Answer {
    let alerts: Vec<_> = namespaces.iter().map(|namespace| alert(namespace)).collect();
    client.fire(&alerts).await.unwrap()
}

async fn status(client: &Client, path: &str) -> u16 {
    client.get(path).await.unwrap().status.as_u16()
}

async fn complete(client: &Client, path: &str) -> Answer {
    let patch = json!({"status": {"overallPhase": "Completed"}}).to_string();
    client.send(Method::PATCH, path, &[("content-type", "application/json")], patch).await.unwrap()
}

async fn samples(server: &Server) -> Samples {
    Samples::parse(&server.client().get("/metrics").await.unwrap().text())
}

/// How often somebody was checked in this way, with this outcome.
async fn checks(server: &Server, method: &str, outcome: &str) -> u64 {
    let labels = [format!("method=\"{method}\""), format!("outcome=\"{outcome}\"")];
    samples(server).await.sum("seawall_auth_total", &[&labels[0], &labels[1]]) as u64
}

/// How many passwords were held against a hash.
async fn passwords_checked(server: &Server) -> u64 {
    samples(server).await.sum("seawall_auth_duration_seconds_count", &["method=\"basic\""]) as u64
}

#[tokio::test]
async fn only_who_is_known_is_let_in_and_everything_that_is_described_is_closed_to_others() {
    let server = knowing([sender(), oncall()]).await;
    let nobody = server.client();
    let description = nobody.document("/openapi.json").await;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = nobody.send(method, path, &[], "{}").await.unwrap();
            let expected = if operation.get("security").is_some() { 401 } else { 200 };
            assert_eq!(answer.status, expected, "{path}");
        }
    }
    for stranger in [
        nobody.clone(),
        nobody.bearer("wrong"),
        nobody.bearer("senders2"),
        nobody.basic("oncall", "wrong"),
        nobody.basic("sender", "senders"),
        nobody.basic("nobody", "secret"),
    ] {
        let answer = fire(&stranger, &["prod"]).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["type"], "urn:seawall:problem:unauthenticated");
        for secret in ["wrong", "senders", "secret"] {
            assert!(!answer.text().contains(secret), "{}", answer.text());
        }
    }
    assert_eq!(server.store.batches(), 0);

    let answer = fire(&nobody.bearer("senders"), &["prod", "shop"]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!((server.store.signals_in("prod"), server.store.signals_in("shop")), (1, 1));
    assert_eq!(nobody.document("/readyz").await["checks"]["auth"], "ok");
    assert_eq!(checks(&server, "static_bearer", "allowed").await, 1);
    assert_eq!(checks(&server, "static_bearer", "denied").await, 2);
    assert_eq!(checks(&server, "static_access", "allowed").await, 1);
    assert_eq!(checks(&server, "basic", "denied").await, 3);
}

#[tokio::test]
async fn the_answer_to_somebody_unknown_says_how_to_become_known() {
    let api = FakeApi::new();
    let reviewed = identities([oncall()]);
    let reviewed = Server::guarded(
        "default",
        |_| {},
        |guard, metrics, clock| {
            guard.with_identities(&reviewed).with_reviewer(reviewer(&api, |_| {})(metrics, clock))
        },
    );
    for (server, challenges, said) in [
        (knowing([sender()]).await, &[BEARER][..], "a bearer token is needed"),
        (knowing([oncall()]).await, &[BASIC], "a user name with a password is needed"),
        (knowing([sender(), oncall()]).await, &[BEARER, BASIC], "a bearer token or a user name"),
        (reviewed.await, &[BEARER, BASIC], "a bearer token or a user name"),
    ] {
        let answer = fire(&server.client(), &["prod"]).await;
        assert_eq!(answer.status, 401);
        let given: Vec<_> = answer.headers.get_all("www-authenticate").into_iter().collect();
        assert_eq!(given, challenges);
        assert!(answer.text().contains(said), "{}", answer.text());
    }
}

#[tokio::test]
async fn everybody_may_what_their_verbs_say_and_is_told_so_otherwise() {
    let reader = somebody("reader", &[Right::Read]).with_tokens(&["readers"]);
    let server = knowing([sender(), oncall(), reader]).await;
    let [sender, reader] = ["senders", "readers"].map(|token| server.client().bearer(token));
    let oncall = server.client().basic("oncall", "secret");
    let sent = fire(&sender, &["prod"]).await;
    assert_eq!(sent.status, 201);
    let name = sent.json()["remediationRequestName"].as_str().unwrap().to_owned();
    let one = format!("/api/v1/requests/prod/{name}");
    let work = format!("{one}/status");

    for path in ["/api/v1/requests", &one, "/api/v1/storms", "/api/v1/requests?watch=true&namespace=prod"] {
        let refused = sender.get(path).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.header("www-authenticate")), (403, None), "{path}");
        assert!(refused.text().contains("`sender` may not read requests\""), "{}", refused.text());
    }
    for client in [&reader, &oncall] {
        let refused = fire(client, &["prod"]).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("may not send signals\""), "{}", refused.text());
        assert_eq!(status(client, &one).await, 200);
        assert_eq!(client.requests("").await.len(), 1);
    }
    for client in [&sender, &reader] {
        let refused = complete(client, &work).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("may not work on requests\""), "{}", refused.text());
    }
    assert!(reader.document(&one).await.get("status").is_none());
    assert_eq!(complete(&oncall, &work).await.status, 200);
    assert_eq!(reader.document(&one).await["status"]["overallPhase"], "Completed");
    assert_eq!(server.store.signals(), 1);
}

#[tokio::test]
async fn rights_end_where_the_namespaces_do() {
    let all = [Right::Send, Right::Read, Right::Work];
    let team = somebody("team", &all).with_tokens(&["teams"]).within(&["prod", "shop-*"]);
    let server = knowing([team, somebody("admin", &all).with_tokens(&["admins"])]).await;
    let [team, admin] = ["teams", "admins"].map(|token| server.client().bearer(token));
    let mixed = fire(&team, &["prod", "secret", "shop-1", "shop"]).await;
    assert_eq!(mixed.status, 201);
    let results = mixed.json()["results"].clone();
    let statuses: Vec<&Value> = results.as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["created", "rejected", "created", "rejected"]);
    assert_eq!(results[1]["message"], "`team` may not send signals in namespace `secret`");
    let node = Alert::new("NodeDown", "", "").label("node", "n1").label("pod", "").label("namespace", "");
    for (alerts, namespace) in [(vec![alert("secret")], "secret"), (vec![node], "default")] {
        let refused = team.fire(&alerts).await.unwrap();
        assert_eq!(refused.status, 403);
        let said = format!("`team` may not send signals in namespace `{namespace}`");
        assert!(refused.text().contains(&said), "{}", refused.text());
    }
    let taken = ["prod", "shop-1", "shop", "secret", ""].map(|namespace| server.store.signals_in(namespace));
    assert_eq!(taken, [1, 1, 0, 0, 0]);

    assert_eq!(fire(&admin, &["secret"]).await.status, 201);
    for (path, expected) in [
        ("/api/v1/requests?namespace=prod", 200),
        ("/api/v1/requests?namespace=shop-9", 200),
        ("/api/v1/requests?namespace=secret", 403),
        ("/api/v1/requests?namespace=..%2f", 403),
        ("/api/v1/requests?namespace=", 403),
        ("/api/v1/requests", 403),
        ("/api/v1/requests?watch=true", 403),
        ("/api/v1/storms", 403),
        ("/api/v1/requests/secret/rr-none", 403),
        ("/api/v1/requests/prod/rr-none", 404),
    ] {
        assert_eq!(status(&team, path).await, expected, "{path}");
        if !path.contains("watch") {
            assert!(matches!(status(&admin, path).await, 200 | 404), "{path}");
        }
    }
    let everything = team.get("/api/v1/requests").await.unwrap().text();
    assert!(everything.contains("`team` may not read requests in all namespaces; name one"), "{everything}");
    for request in admin.requests("").await {
        let namespace = request.metadata.namespace.unwrap();
        let path = format!("/api/v1/requests/{namespace}/{}/status", request.metadata.name.unwrap());
        let expected = if namespace == "secret" { 403 } else { 200 };
        assert_eq!(complete(&team, &path).await.status, expected, "{path}");
    }
}

#[tokio::test]
async fn a_token_is_replaced_without_a_gap_while_there_are_two() {
    let rotating = |tokens: &[&str]| identities([sender().with_tokens(tokens), oncall()]);
    let server = knowing([sender().with_tokens(&["old"])]).await;
    let statuses = async || {
        let [old, new] = ["old", "new"].map(|token| server.client().bearer(token));
        [fire(&old, &["prod"]).await.status.as_u16(), fire(&new, &["prod"]).await.status.as_u16()]
    };
    assert_eq!(statuses().await, [201, 401]);
    server.edge.set_identities(&rotating(&["old", "new"]));
    assert_eq!(statuses().await, [202, 202]);
    server.edge.set_identities(&rotating(&["new"]));
    assert_eq!(statuses().await, [401, 202], "a removed token is refused at the next request");
    assert_eq!(server.store.signals(), 4);
}

#[tokio::test]
async fn a_password_is_checked_once_and_the_check_is_forgotten_when_the_identities_change() {
    let server = knowing([oncall()]).await;
    let oncall_client = server.client().basic("oncall", "secret");
    let statuses = join_all((0..50).map(|_| status(&oncall_client, "/api/v1/requests"))).await;
    assert_eq!(statuses, [200; 50]);
    assert_eq!(status(&oncall_client, "/api/v1/requests").await, 200);
    assert_eq!(passwords_checked(&server).await, 1);
    assert_eq!(checks(&server, "basic", "allowed").await, 51);

    server.edge.set_identities(&identities([oncall()]));
    assert_eq!(status(&oncall_client, "/api/v1/requests").await, 200);
    assert_eq!(passwords_checked(&server).await, 1, "nothing has changed");

    server.edge.set_identities(&identities([oncall().with_password(OTHER)]));
    assert_eq!(status(&oncall_client, "/api/v1/requests").await, 401);
    assert_eq!(status(&server.client().basic("oncall", "other"), "/api/v1/requests").await, 200);
    server.edge.set_identities(&identities([sender()]));
    assert_eq!(status(&server.client().basic("oncall", "other"), "/api/v1/requests").await, 401);
}

#[tokio::test]
async fn a_user_who_does_not_exist_costs_the_same_as_a_wrong_password() {
    let server = knowing([oncall(), sender()]).await;
    for (user, password) in
        [("oncall", "wrong"), ("nobody", "wrong"), ("sender", "wrong"), ("nobody", "secret")]
    {
        let before = passwords_checked(&server).await;
        for _ in 0..3 {
            assert_eq!(
                status(&server.client().basic(user, password), "/api/v1/requests").await,
                401,
                "{user}"
            );
        }
        assert_eq!(passwords_checked(&server).await - before, 1, "{user}: once, and remembered for a moment");
    }
    assert_eq!(checks(&server, "basic", "denied").await, 12);
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_keeps_out_nobody_who_has_a_token_or_is_known() {
    // A second or so for each check.
    let slow = SECRET.replacen("$04$", "$13$", 1);
    let server = knowing([sender(), oncall(), somebody("slow", &[Right::Read]).with_password(&slow)]).await;
    let known = server.client().basic("oncall", "secret");
    assert_eq!(status(&known, "/api/v1/requests").await, 200);
    let flood = join_all((0..200).map(|n| {
        let client = server.client().basic("slow", &format!("invented-{n}"));
        async move { client.get("/api/v1/requests").await.unwrap().status.as_u16() }
    }));
    let meanwhile = async {
        eventually(SOON, async || match checks(&server, "basic", "unavailable").await {
            more if more >= 100 => Ok(()),
            few => Err(format!("{few} were told to come again")),
        })
        .await;
        let sent = fire(&server.client().bearer("senders"), &["prod"]).await.status.as_u16();
        (sent, status(&known, "/api/v1/requests").await)
    };
    tokio::select! {
        _ = flood => panic!("two hundred slow checks do not end so soon"),
        answers = meanwhile => assert_eq!(answers, (201, 200)),
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_credential_or_its_right_is_taken_away_and_not_before() {
    let reader = || somebody("reader", &[Right::Read]).with_tokens(&["readers"]);
    let everybody = || [reader(), oncall(), sender()];
    for (after, ended) in [
        (vec![reader(), oncall()], [false, false]),
        (vec![reader().with_tokens(&["readers", "next"]), oncall()], [false, false]),
        (vec![reader().with_tokens(&["next"]), oncall()], [true, false]),
        (vec![reader(), oncall().with_password(OTHER)], [false, true]),
        (vec![reader().within(&["prod"]), oncall()], [true, false]),
        (vec![sender()], [true, true]),
    ] {
        let server = knowing(everybody()).await;
        fire(&server.client().bearer("senders"), &["prod"]).await;
        let mut first = server.client().bearer("readers").watch().await;
        let mut second = server.client().basic("oncall", "secret").watch().await;
        for watch in [&mut first, &mut second] {
            assert!(watch.next(SOON).await.is_some());
        }
        server.edge.set_identities(&identities(after));
        for (watch, ended) in [(&mut first, ended[0]), (&mut second, ended[1])] {
            if ended {
                assert!(watch.has_ended(SOON).await);
            }
        }
        // Whoever is left hears of what comes.
        server.store.touch("PodCrashLooping");
        server.store.announce(ChangeKind::Modified, &["PodCrashLooping"]);
        for (watch, ended) in [(&mut first, ended[0]), (&mut second, ended[1])] {
            assert!(ended || watch.next(SOON).await.is_some());
        }
    }
}

#[tokio::test]
async fn a_token_of_the_file_is_not_shown_to_the_cluster_and_any_other_is_the_clusters_to_judge() {
    let api = FakeApi::with_alice(&["create remediationrequests in shop"]);
    let known = identities([sender().within(&["prod"]), oncall()]);
    let server = Server::guarded(
        "default",
        |_| {},
        |guard, metrics, clock| {
            guard.with_identities(&known).with_reviewer(reviewer(&api, |_| {})(metrics, clock))
        },
    )
    .await;
    let statuses = async |token: &str| {
        let client = server.client().bearer(token);
        [fire(&client, &["prod"]).await.status.as_u16(), fire(&client, &["shop"]).await.status.as_u16()]
    };
    assert_eq!(statuses("senders").await, [201, 403]);
    assert_eq!(status(&server.client().basic("oncall", "secret"), "/api/v1/requests").await, 200);
    assert_eq!(api.asked(), Vec::<String>::new());
    assert_eq!(statuses("alices").await, [403, 201]);
    assert_eq!(statuses("mallorys").await, [401, 401]);
    let expected = [
        "who is alices",
        "create remediationrequests in prod",
        "create remediationrequests in shop",
        "who is mallorys",
    ];
    assert_eq!(api.asked(), expected);
    assert_eq!(checks(&server, "static_bearer", "denied").await, 0);

    // Who was the cluster's is the file's from now on, and the other way round.
    server.edge.set_identities(&identities([sender().with_tokens(&["alices"]).within(&["prod"])]));
    assert_eq!(statuses("alices").await, [202, 403]);
    assert_eq!(statuses("senders").await, [401, 401]);
}

#[tokio::test]
async fn an_identity_is_limited_as_one_whatever_it_shows() {
    let both = sender().with_tokens(&["one", "two"]).with_password(SECRET);
    let server = knowing_with([both], |settings| {
        settings.rate.exempt.clear();
        settings.rate.authenticated = std::num::NonZeroU32::new(3);
    })
    .await;
    let client = server.client();
    let shown = [client.bearer("one"), client.bearer("two"), client.basic("sender", "secret")];
    for client in &shown {
        assert!(fire(client, &["prod"]).await.status.is_success());
    }
    for client in &shown {
        assert_eq!(client.post(SEND, "{}").await.unwrap().status, 429);
    }
}
