//! The identities file says who is let in and what they may do.

use http::Method;
use seawall_testkit::{
    Alert, Alertmanager, AlertmanagerOptions, Client, Samples, Scene, Seawall, eventually,
};
use serde_json::Value;

use crate::support::{Ended, SOON, fire, name_of, requests_in, run, samples, scene};

/// `htpasswd -nbB -C 5 alertmanager-us opensesame`
const OPENSESAME: &str = "$2y$05$qefcGjFNdcrxoZeQupZsOuXzyZZV7UbYLxLY7grwb437eSGO51OQa";
/// `printf '%s' hunter2 | argon2 saltsaltsalt -id -t 1 -k 1024 -p 1 -e`
const HUNTER2: &str =
    "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0$FYtO9e6X68c3u2VdjBDP1W+rHIM7vXirv8stRX5mH0E";

/// The file with these entries, beside the configuration.
fn identities(scene: &Scene, entries: &[String]) {
    // In one step, as editors and mounted volumes do.
    let next = scene.file("identities.next", &entries.concat());
    std::fs::rename(&next, next.with_file_name("identities.yaml")).unwrap();
}

fn sender(tokens: &[&str]) -> String {
    format!("- name: alertmanager-eu\n  bearer: {tokens:?}\n  namespaces: [prod, \"shop-*\"]\n")
}

fn others() -> String {
    format!(
        "- name: alertmanager-us\n  basic: \"{OPENSESAME}\"\n\
         - name: oncall\n  basic: \"{HUNTER2}\"\n  verbs: [read, work]\n"
    )
}

/// What `seawall auth token` prints: the token and its hash.
async fn new_token(scene: &Scene) -> (String, String) {
    let made = run(scene, &["auth", "token", "--output", "json"], &[]).await;
    assert_eq!(made.code, Some(0), "{}", made.said);
    let made: Value = serde_json::from_str(&made.said).unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("token"), text("hash"))
}

async fn start(scene: &Scene) -> Seawall {
    scene
        .seawall("seawall")
        .config("auth: {identitiesFile: identities.yaml}\ntelemetry: {logLevel: trace}\n")
        .start()
        .await
}

fn alert(namespace: &str) -> Alert {
    Alert::new("PodCrashLooping", namespace, "web-1")
}

async fn reloads(client: &Client, outcome: &str) -> u64 {
    let samples: Samples = samples(client).await;
    samples.sum("seawall_config_reloads_total", &[&format!("outcome=\"{outcome}\"")]) as u64
}

async fn reloaded(client: &Client, outcome: &str, count: u64) {
    eventually(SOON, || async {
        match reloads(client, outcome).await {
            enough if enough >= count => Ok(()),
            few => Err(format!("{few} reloads: {outcome}")),
        }
    })
    .await;
}

#[tokio::test]
async fn alertmanagers_with_a_token_and_with_a_password_deliver_and_one_with_a_wrong_token_does_not() {
    let scene = scene().await;
    let (token, hash) = new_token(&scene).await;
    assert!(token.starts_with("seawall_") && hash.starts_with("sha256:"), "{token} {hash}");
    identities(&scene, &[sender(&[&hash]), others()]);
    let seawall = start(&scene).await;
    let webhook = seawall.url("/webhook/prometheus");
    let oncall = seawall.client().basic("oncall", "hunter2");

    let with =
        |http_config: String| AlertmanagerOptions { http_config: Some(http_config), ..Default::default() };
    let file = |name: &str, secret: &str| scene.file(name, secret).display().to_string();
    let right = format!("{{authorization: {{credentials_file: {}}}}}", file("token", &token));
    let wrong = format!("{{authorization: {{credentials_file: {}}}}}", file("wrong", "seawall_wrong"));
    let basic = format!(
        "{{basic_auth: {{username: alertmanager-us, password_file: {}}}}}",
        file("password", "opensesame")
    );
    let unknown = Alertmanager::start(&scene, "unknown", &webhook, &with(wrong)).await;
    unknown.post(&[alert("lost")]).await;
    let eu = Alertmanager::start(&scene, "eu", &webhook, &with(right)).await;
    eu.post(&[alert("prod"), alert("secret")]).await;
    let us = Alertmanager::start(&scene, "us", &webhook, &with(basic)).await;
    us.post(&[alert("staging")]).await;
    for namespace in ["prod", "staging"] {
        requests_in(&oncall, namespace, 1).await;
    }
    eventually(SOON, || async {
        let counted = samples(&seawall.client()).await;
        let refused = |method: &str| counted.sum("seawall_auth_total", &[method, "outcome=\"denied\""]);
        let (token, right) = (refused("method=\"static_bearer\""), refused("method=\"static_access\""));
        if token >= 1.0 && right >= 1.0 { Ok(()) } else { Err(format!("{token} and {right} were refused")) }
    })
    .await;
    let mut stored: Vec<_> =
        oncall.requests("").await.into_iter().map(|request| request.metadata.namespace.unwrap()).collect();
    stored.sort();
    assert_eq!(stored, ["prod", "staging"], "and nothing of all that was refused");

    let request = requests_in(&oncall, "prod", 1).await.remove(0);
    assert_eq!(oncall.set_phase("prod", name_of(&request), "Processing").await.status, 200);
    let sender = seawall.client().bearer(&token);
    assert_eq!(sender.set_phase("prod", name_of(&request), "Failed").await.status, 403);
    assert_eq!(sender.get("/api/v1/requests").await.unwrap().status, 403);
    assert_eq!(oncall.requests("phase=Processing").await.len(), 1);

    let log = seawall.process().output();
    assert!(log.contains("alertmanager-us"), "the log says who, at this level");
    for secret in [token.as_str(), "opensesame", "hunter2", "seawall_wrong", &hash[7..], OPENSESAME, HUNTER2]
    {
        assert!(!log.contains(secret), "`{secret}` is in the log");
    }
}

#[tokio::test]
async fn a_token_is_replaced_while_the_server_runs_and_a_broken_file_changes_nothing() {
    let scene = scene().await;
    let ((old, old_hash), (new, new_hash)) = (new_token(&scene).await, new_token(&scene).await);
    identities(&scene, &[sender(&[&old_hash]), others()]);
    let seawall = start(&scene).await;
    let client = seawall.client();
    let statuses = async || {
        let old = fire(&client.bearer(&old), &alert("prod")).await.status.as_u16();
        [old, fire(&client.bearer(&new), &alert("prod")).await.status.as_u16()]
    };
    assert_eq!(statuses().await, [201, 401]);
    identities(&scene, &[sender(&[&old_hash, &new_hash]), others()]);
    reloaded(&client, "success", 1).await;
    assert_eq!(statuses().await, [202, 202], "noticed without being told");

    let broken: [(&[String], &str); 3] = [
        (
            &[sender(&[&new_hash]), "  verbs: [sned]\n".to_owned()],
            "`sned` is not known; did you mean `send`?",
        ),
        (&[], "names nobody"),
        (&[sender(&["sha256:short"])], "followed by the 64 hexadecimal digits"),
    ];
    for (failures, (entries, reason)) in (1..).zip(broken) {
        identities(&scene, entries);
        reloaded(&client, "failure", failures).await;
        assert_eq!(statuses().await, [202, 202], "what was in effect stays");
        eventually(SOON, || async {
            let said = seawall.process().output();
            if said.contains(reason) { Ok(()) } else { Err(format!("{reason} is not said")) }
        })
        .await;
    }

    identities(&scene, &[sender(&[&new_hash]), others()]);
    seawall.process().signal("HUP");
    reloaded(&client, "success", 2).await;
    assert_eq!(statuses().await, [401, 202]);
}

#[tokio::test]
async fn an_address_that_others_reach_needs_somebody_who_is_known_or_the_word_of_the_operator() {
    let scene = scene().await;
    let (token, hash) = new_token(&scene).await;
    let anywhere = ["serve", "--listen", "0.0.0.0:0"];
    let refused = |ended: &Ended, said: &str| {
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains(said), "{}", ended.said);
    };
    refused(&run(&scene, &anywhere, &[]).await, "nobody is asked who they are; set `auth.identitiesFile`");
    let named = [("SEAWALL_AUTH__IDENTITIES_FILE", "identities.yaml")];
    refused(&run(&scene, &anywhere, &named).await, "identities.yaml: cannot be read");
    scene.file("identities.yaml", "");
    refused(&run(&scene, &anywhere, &named).await, "identities.yaml: names nobody");
    scene.file("identities.yaml", "- {name: a, bearer: [t], verbs: [sned]}\n");
    refused(&run(&scene, &anywhere, &named).await, "identities.yaml:1:34: [0].verbs[0]: `sned` is not known");
    assert!(!scene.path().join("seawall-data").exists(), "nothing was begun");

    identities(&scene, &[sender(&[&hash])]);
    let checked = run(&scene, &["config", "check"], &named).await;
    assert_eq!(checked.code, Some(0), "{}", checked.said);
    let seawall = scene
        .seawall("seawall")
        .config("server: {metricsListen: '0.0.0.0:0'}")
        .env(named[0].0, named[0].1)
        .start()
        .await;
    assert_eq!(fire(&seawall.client(), &alert("prod")).await.status, 401);
    assert_eq!(fire(&seawall.client().bearer(&token), &alert("prod")).await.status, 201);
    let open = scene
        .seawall("open")
        .config("server: {metricsListen: '0.0.0.0:0'}")
        .arg("--allow-anonymous")
        .start()
        .await;
    assert_eq!(fire(&open.client(), &alert("prod")).await.status, 201);
}

#[tokio::test]
async fn the_commands_show_a_token_of_the_file() {
    let scene = scene().await;
    let made = run(&scene, &["auth", "token"], &[]).await;
    let value = |key: &str| {
        let line = made.said.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("no {key} in {}", made.said)).to_owned()
    };
    let worker = format!("- {{name: worker, bearer: [\"{}\"], verbs: [send, read, work]}}\n", value("hash"));
    identities(&scene, &[worker]);
    let seawall = start(&scene).await;
    let client = seawall.client().bearer(&value("token"));
    fire(&client, &alert("prod")).await;
    let request = requests_in(&client, "prod", 1).await.remove(0);
    let (url, file) = (seawall.url(""), scene.file("token", &value("token")).display().to_string());
    let listed = run(&scene, &["requests", "list", "--server", &url, "--token-file", &file], &[]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.said);
    assert!(listed.said.contains("PodCrashLooping"), "{}", listed.said);
    let name = format!("prod/{}", name_of(&request));
    let done = run(
        &scene,
        &["requests", "set-phase", &name, "Completed", "--server", &url],
        &[("SEAWALL_TOKEN_FILE", &file)],
    )
    .await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let explained = run(&scene, &["explain", &name, "--server", &url, "--token-file", &file], &[]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.said);
    let without = run(&scene, &["storms", "list", "--server", &url], &[]).await;
    assert!(without.code == Some(1) && without.said.contains("a bearer token is needed"), "{}", without.said);
    let unknown = client.send(Method::GET, "/api/v1/nothing", &[], "").await.unwrap();
    assert_eq!(unknown.status, 404);
}
