//! TLS as operators have it: certificates that are renewed, a real Alertmanager, the command line.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use seawall_testkit::{
    Alert, Alertmanager, AlertmanagerOptions, Authority, Client, KeyPairFiles, Leaf, Raw, Scene, Seawall,
    eventually,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{SOON, fire, requests_in, run, samples, scene, scene_alone};

/// Alertmanager waits before it sends.
const PATIENCE: Duration = Duration::from_secs(90);
const SWAPS: usize = 20;

fn office(scene: &Scene) -> (Authority, KeyPairFiles) {
    let authority = Authority::new(&scene.folder("pki"));
    let serving = authority.issue("serving", Leaf::serving("seawall"));
    (authority, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_under_load_without_one_failed_request() {
    let scene = scene_alone().await;
    let (authority, serving) = office(&scene);
    let seawall = scene.seawall("seawall").tls(&serving, &authority).start().await;
    let (address, tls) = (seawall.address(), authority.trusted(None));
    let over = Arc::<AtomicBool>::default();
    let sent = Arc::<AtomicUsize>::default();
    let mut senders = JoinSet::new();
    for sender in 0..4 {
        let (over, sent, tls) = (over.clone(), sent.clone(), tls.clone());
        senders.spawn(async move {
            let kept = Client::secure(address, &tls);
            while !over.load(Ordering::Relaxed) {
                // Half of them keep their connection, half make a new one each time.
                let client = if sender % 2 == 0 { kept.clone() } else { Client::secure(address, &tls) };
                let number = sent.fetch_add(1, Ordering::Relaxed);
                let answer =
                    fire(&client, &Alert::new("Load", "prod", format!("web-{}", number % 100))).await;
                assert!(answer.status.is_success(), "{}", answer.text());
            }
        });
    }
    let mut shown = Raw::connect(address).await.secure(&tls).await.unwrap().certificate();
    for swap in 0..SWAPS {
        let next = authority.issue("next", Leaf::serving(&format!("seawall-{swap}")));
        // Not at once: between the two the pair does not fit, and the one before is served.
        std::fs::rename(&next.cert, &serving.cert).unwrap();
        std::fs::rename(&next.key, &serving.key).unwrap();
        seawall.process().signal("HUP");
        shown = eventually(SOON, || async {
            let now = Raw::connect(address).await.secure(&tls).await.unwrap().certificate();
            if now == shown { Err("the old certificate is served") } else { Ok(now) }
        })
        .await;
    }
    over.store(true, Ordering::Relaxed);
    senders.join_all().await;
    assert!(sent.load(Ordering::Relaxed) > SWAPS, "{sent:?}");
    assert!(!seawall.process().output().contains("panicked"));
}

/// Verifies the certificates of its clients against the authority that its own is of.
async fn asking_for_certificates(scene: &Scene, config: &str) -> (Authority, Seawall) {
    let (authority, serving) = office(scene);
    let seawall = scene
        .seawall("seawall")
        .config(config)
        .tls(&serving, &authority)
        .env("SEAWALL_SERVER__TLS__CLIENT_CA", &authority.cert().to_string_lossy());
    (authority, seawall.start().await)
}

/// Knows this authority and shows this certificate.
fn with_certificate(authority: &Authority, identity: &KeyPairFiles) -> AlertmanagerOptions {
    let KeyPairFiles { cert, key } = identity;
    let tls = json!({ "ca_file": authority.cert(), "cert_file": cert, "key_file": key });
    AlertmanagerOptions { http_config: Some(json!({ "tls_config": tls }).to_string()), ..Default::default() }
}

#[tokio::test]
async fn a_real_alertmanager_delivers_over_tls_and_says_who_it_is() {
    let scene = scene().await;
    let (authority, seawall) = asking_for_certificates(&scene, "").await;
    let identity = authority.issue("alertmanager", Leaf::client("alertmanager.monitoring"));
    let options = with_certificate(&authority, &identity);
    let webhook = seawall.url("/webhook/prometheus");
    assert!(webhook.starts_with("https://"));
    let alertmanager = Alertmanager::start(&scene, "alertmanager", &webhook, &options).await;
    alertmanager.post(&Alert::pods("PodCrashLooping", "prod", 15)).await;
    let client = seawall.client();
    eventually(PATIENCE, || async {
        match client.requests("").await.as_slice() {
            [request] if request.spec.storm_alert_count == Some(15) => Ok(()),
            requests => Err(format!("{} requests", requests.len())),
        }
    })
    .await;
    assert_eq!(alertmanager.deliveries().await.1, 0, "none failed");
}

#[tokio::test]
async fn an_alertmanager_of_somebody_else_delivers_nothing() {
    let scene = scene().await;
    let (authority, seawall) = asking_for_certificates(&scene, "").await;
    let stranger = Authority::new(&scene.folder("elsewhere")).issue("client", Leaf::client("alertmanager"));
    let options = with_certificate(&authority, &stranger);
    let webhook = seawall.url("/webhook/prometheus");
    let alertmanager = Alertmanager::start(&scene, "alertmanager", &webhook, &options).await;
    alertmanager.post(&[Alert::new("DiskFull", "prod", "db-0")]).await;
    eventually(PATIENCE, || async {
        if alertmanager.deliveries().await.1 > 0 { Ok(()) } else { Err("it has not tried") }
    })
    .await;
    assert_eq!(seawall.client().requests("").await.len(), 0);
}

#[tokio::test]
async fn the_commands_speak_tls_with_whom_they_trust() {
    let scene = scene().await;
    let (authority, serving) = office(&scene);
    let seawall = scene.seawall("seawall").tls(&serving, &authority).start().await;
    fire(&seawall.client(), &Alert::new("DiskFull", "prod", "db-0")).await;
    requests_in(&seawall.client(), "prod", 1).await;
    let url = seawall.url("");
    let ask = async |env: &[(&str, &str)]| run(&scene, &["requests", "list", "--server", &url], env).await;
    let trusted = ask(&[("SEAWALL_CA_FILE", &authority.cert().to_string_lossy())]).await;
    assert_eq!(trusted.code, Some(0), "{}", trusted.said);
    assert!(trusted.said.contains("DiskFull"), "{}", trusted.said);
    let unknown = ask(&[]).await;
    assert_eq!(unknown.code, Some(1), "{}", unknown.said);
    assert!(
        unknown.said.contains("is not accepted") && unknown.said.contains("--ca-file"),
        "{}",
        unknown.said
    );
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_refuses_to_start_and_leaves_nothing_behind() {
    let scene = scene().await;
    let (authority, serving) = office(&scene);
    let other = authority.issue("other", Leaf::serving("other"));
    let config = |cert: &Path, key: &Path| {
        let (cert, key) = (cert.display(), key.display());
        scene.file("seawall.yaml", &format!("server:\n  tls:\n    cert: {cert}\n    key: {key}\n"))
    };
    config(&serving.cert, &other.key);
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["config", "check"]] {
        let refused = run(&scene, args, &[]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.said);
        let said = "seawall.yaml:4:10: server.tls.key: the key in ";
        assert!(refused.said.contains(said), "{}", refused.said);
        assert!(refused.said.contains("does not belong to the certificate in "), "{}", refused.said);
    }
    assert!(!scene.path().join("seawall-data").exists());
    config(&serving.cert, &serving.key);
    assert_eq!(run(&scene, &["config", "check"], &[]).await.code, Some(0));
}

#[tokio::test]
async fn metrics_on_a_listener_of_their_own_are_plain_and_tell_until_when_the_certificate_is_valid() {
    let scene = scene().await;
    let (authority, serving) = office(&scene);
    let metrics = format!("127.0.0.1:{}", seawall_testkit::free_port());
    let seawall = scene
        .seawall("seawall")
        .tls(&serving, &authority)
        .env("SEAWALL_SERVER__METRICS_LISTEN", &metrics)
        .start()
        .await;
    let plain = Client::new(metrics.parse().unwrap());
    for client in [plain, seawall.client()] {
        let until = samples(&client).await.sum("seawall_tls_certificate_not_after_seconds", &[]);
        // What the certificates of tests are made with: the year 4096.
        assert_eq!(until, 67_090_118_400.0);
    }
}

#[tokio::test]
async fn a_certificate_says_who_sends_and_what_they_may_send_about() {
    let scene = scene().await;
    scene.file(
        "identities.yaml",
        "- {name: eu, certificate: alertmanager-eu.monitoring, namespaces: [prod]}\n\
         - {name: reader, certificate: reader.monitoring, verbs: [read]}\n",
    );
    let (authority, seawall) =
        asking_for_certificates(&scene, "auth: {identitiesFile: identities.yaml}").await;
    let webhook = seawall.url("/webhook/prometheus");
    let known = authority.issue("eu", Leaf::client("alertmanager-eu.monitoring"));
    let other = authority.issue("other", Leaf::client("alertmanager-us.monitoring"));
    let reader = authority.issue("reader", Leaf::client("reader.monitoring"));

    let unknown =
        Alertmanager::start(&scene, "unknown", &webhook, &with_certificate(&authority, &other)).await;
    unknown.post(&[Alert::new("DiskFull", "prod", "lost")]).await;
    let sender = Alertmanager::start(&scene, "eu", &webhook, &with_certificate(&authority, &known)).await;
    sender.post(&[Alert::new("DiskFull", "prod", "db-0"), Alert::new("DiskFull", "secret", "db-0")]).await;
    let reader = Client::secure(seawall.address(), &authority.trusted(Some(&reader)));
    requests_in(&reader, "prod", 1).await;
    eventually(PATIENCE, || async {
        let failed = (unknown.deliveries().await.1, sender.deliveries().await.1);
        if failed.0 > 0 && failed.1 > 0 { Ok(()) } else { Err(format!("{failed:?}")) }
    })
    .await;
    let requests = reader.requests("").await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].spec.target_resource.name, "db-0");
    // Whoever may read may not send, and without a certificate nobody may do anything.
    assert_eq!(fire(&reader, &Alert::new("DiskFull", "prod", "db-1")).await.status, 403);
    assert_eq!(seawall.client().get("/api/v1/requests").await.expect("an answer").status, 401);
}
