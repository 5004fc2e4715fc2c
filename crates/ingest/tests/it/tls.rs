//! TLS: who gets in, who does not, and what keeps nobody waiting.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use seawall_ingest::{Edge, EdgeSettings, TlsError, TlsFiles};
use seawall_model::{Clock, ManualClock, Timestamp};
use seawall_testkit::{Alert, Authority, Client, Deadline, KeyPairFiles, Leaf, Samples, eventually};
use tempfile::TempDir;

use crate::fake::NOW;
use crate::server::{SOON, Server};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const SHORT: Duration = Duration::from_millis(200);
const DAY: i64 = 86_400_000;

/// Certificates in a folder of their own.
struct Office {
    folder: TempDir,
    authority: Authority,
    serving: KeyPairFiles,
}

impl Office {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let serving = authority.issue("serving", Leaf::serving("seawall"));
        Self { folder, authority, serving }
    }

    fn files(&self) -> TlsFiles {
        let KeyPairFiles { cert, key } = self.serving.clone();
        TlsFiles { cert, key, client_ca: None }
    }

    /// The same, and clients of this authority are known.
    fn knowing_clients(&self) -> TlsFiles {
        TlsFiles { client_ca: Some(self.authority.cert()), ..self.files() }
    }

    async fn server(&self) -> Server {
        Server::secure(self.files(), |_| {}).await
    }

    fn client(&self, server: &Server) -> Client {
        Client::secure(server.address, &self.authority.trusted(None))
    }

    fn another(&self) -> Authority {
        Authority::new(&self.folder.path().join("another"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn refusal(&self, files: TlsFiles) -> String {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
        let said = files.check(&clock).unwrap_err().to_string();
        said.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn not_after(edge: &Edge) -> f64 {
    Samples::parse(&edge.metrics().render()).sum("seawall_tls_certificate_not_after_seconds", &[])
}

#[tokio::test]
async fn alerts_are_taken_over_tls_and_answers_say_that_it_stays_so() {
    let office = Office::open();
    let server = office.server().await;
    let answer = office.client(&server).fire(&[Alert::new("A", "prod", "web-1")]).await.unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    let plain = Server::start().await.client().get("/healthz").await.unwrap();
    assert_eq!(plain.header("strict-transport-security"), None);
}

#[tokio::test]
async fn versions_1_2_and_1_3_are_spoken_and_older_ones_are_not() {
    let office = Office::open();
    let server = office.server().await;
    let ask = |version: &'static str| {
        let (address, authority) = (server.address, office.authority.cert());
        tokio::task::spawn_blocking(move || {
            Command::new("openssl")
                .args(["s_client", "-brief", "-cipher", "ALL:@SECLEVEL=0", version, "-CAfile"])
                .arg(authority)
                .args(["-connect", &address.to_string()])
                .stdin(std::process::Stdio::null())
                .output()
                .expect("openssl is needed to speak old versions: install the package `openssl`")
        })
    };
    for (version, spoken) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let said = ask(version).await.unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && text.contains(spoken), "{version}: {text}");
    }
    for version in ["-tls1_1", "-tls1"] {
        let said = ask(version).await.unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        // It is the server that refuses; openssl would speak it.
        assert!(!said.status.success() && text.contains("SSL alert number"), "{version}: {text}");
    }
}

#[tokio::test]
async fn a_client_that_wants_http_2_alone_is_told_in_the_handshake() {
    let office = Office::open();
    let server = office.server().await;
    for (offered, agreed) in [(vec!["h2", "http/1.1"], true), (vec!["h2"], false)] {
        let mut tls = (*office.authority.trusted(None)).clone();
        tls.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(server.raw().await.secure(&Arc::new(tls)).await.is_ok(), agreed, "{offered:?}");
    }
}

#[tokio::test]
async fn a_request_without_tls_is_400_and_the_connection_ends() {
    let office = Office::open();
    let server = office.server().await;
    let mut raw = server.raw().await;
    raw.send(HEALTH).await;
    let (answer, closed) = raw.read_all(SOON).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("speaks HTTPS"), "{answer}");
    assert!(answer.contains("connection: close\r\n") && closed, "{answer}");
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    for nonsense in ["\x16\x03\x01\0\x05hello and more", "\0\0\0\0\r\n\r\n", "SSH-2.0-x\r\n"] {
        let mut raw = server.raw().await;
        raw.send(nonsense).await;
        raw.finish().await;
        assert!(raw.read_all(SOON).await.1, "{nonsense:?}");
    }
    assert_eq!(office.client(&server).get("/healthz").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_an_end_is_closed_after_the_header_time() {
    let office = Office::open();
    let server = Server::secure(office.files(), |settings| settings.timeouts.header = SHORT).await;
    let began = Deadline::after(SOON);
    for start in ["", "\x16", "\x16\x03\x01\x01\0\x01"] {
        let mut raw = server.raw().await;
        raw.send(start).await;
        assert!(raw.read_all(SOON).await.1, "{start:?}");
    }
    assert!(began.elapsed() >= 3 * SHORT && !began.is_over());
    // And what comes after it has what is left of that time.
    let mut raw = server.raw().await.secure(&office.authority.trusted(None)).await.unwrap();
    assert_eq!(raw.read_all(SOON).await, (String::new(), true));
}

#[tokio::test]
async fn a_hundred_silent_clients_keep_nobody_waiting() {
    let office = Office::open();
    let server = office.server().await;
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut raw = server.raw().await;
        // Half of them have begun.
        raw.send(&b"\x16\x03\x01\x01\0\x01"[..number % 2 * 6]).await;
        silent.push(raw);
    }
    let began = Deadline::after(SOON);
    for number in 0..20 {
        let alert = Alert::new("A", "prod", format!("web-{number}"));
        assert_eq!(office.client(&server).fire(&[alert]).await.unwrap().status, 201);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn connections_over_tls_end_as_others_do() {
    let office = Office::open();
    let mut server = office.server().await;
    server.store.hold();
    let (client, alerts) = (office.client(&server), [Alert::new("A", "prod", "web-1")]);
    let silent = server.raw().await;
    let waiting = client.fire(&alerts);
    let ending = async {
        eventually(SOON, async || if server.store.batches() == 1 { Ok(()) } else { Err("not received") })
            .await;
        server.tell_to_end();
        eventually(SOON, async || match office.client(&server).get("/healthz").await {
            Err(_) => Ok(()),
            Ok(_) => Err("still listening"),
        })
        .await;
        server.store.release();
    };
    let (answer, ()) = tokio::join!(waiting, ending);
    let answer = answer.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (201, Some("close")));
    let report = server.ended().await;
    assert_eq!((report.aborted, report.unfinished), (0, 0));
    assert!(report.took < Duration::from_secs(5));
    drop(silent);
}

#[tokio::test]
async fn a_client_may_have_a_certificate_or_none_but_not_a_wrong_one() {
    let office = Office::open();
    let server = Server::secure(office.knowing_clients(), |_| {}).await;
    let good = office.authority.issue("good", Leaf::client("prometheus-0"));
    let expired = Leaf::client("late").until(NOW - DAY);
    let expired = office.authority.issue("expired", expired);
    let stranger = office.another().issue("stranger", Leaf::client("prometheus-0"));
    let serving = office.authority.issue("for-servers", Leaf::serving("prometheus-0"));
    for (name, identity, let_in) in [
        ("none", None, true),
        ("good", Some(&good), true),
        ("expired", Some(&expired), false),
        ("of another authority", Some(&stranger), false),
        ("for servers only", Some(&serving), false),
    ] {
        let client = Client::secure(server.address, &office.authority.trusted(identity));
        let answer = client.get("/healthz").await;
        assert_eq!(answer.is_ok_and(|answer| answer.status == 200), let_in, "{name}");
    }
}

#[tokio::test]
async fn a_refused_client_can_read_why() {
    let office = Office::open();
    let server = Server::secure(office.knowing_clients(), |_| {}).await;
    let stranger = office.another().issue("stranger", Leaf::client("prometheus-0"));
    let client = Client::secure(server.address, &office.authority.trusted(Some(&stranger)));
    let lost = format!("{:?}", client.fire(&[Alert::new("A", "prod", "web-1")]).await.unwrap_err());
    assert!(lost.contains("AlertReceived"), "{lost}");
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn without_authorities_nobody_is_asked_for_a_certificate() {
    let office = Office::open();
    let server = office.server().await;
    let stranger = office.another().issue("stranger", Leaf::client("prometheus-0"));
    let client = Client::secure(server.address, &office.authority.trusted(Some(&stranger)));
    assert_eq!(client.get("/healthz").await.unwrap().status, 200);
}

#[tokio::test]
async fn nothing_is_taken_on_a_connection_whose_certificate_has_ended() {
    let office = Office::open();
    let server = Server::secure(office.knowing_clients(), |_| {}).await;
    let identity = office.authority.issue("short", Leaf::client("prometheus-0").until(NOW + DAY));
    let tls = office.authority.trusted(Some(&identity));
    let mut raw = server.raw().await.secure(&tls).await.unwrap();
    raw.send(HEALTH).await;
    assert!(raw.read_answer(SOON).await.starts_with("HTTP/1.1 200 "));
    let mut alertmanager = server.raw().await.secure(&tls).await.unwrap();
    alertmanager.send(HEALTH).await;
    assert!(alertmanager.read_answer(SOON).await.starts_with("HTTP/1.1 200 "));

    server.clock.set(NOW + DAY + 1000);
    raw.send(HEALTH).await;
    let (answer, closed) = raw.read_all(SOON).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("certificate-ended"), "{answer}");
    assert!(answer.contains("connection: close\r\n") && closed, "{answer}");
    // Whoever gives up on a 401 comes again, on a connection with its next certificate.
    alertmanager.send(HEALTH.replace("host: x", "host: x\r\nuser-agent: Alertmanager/0.34")).await;
    let answer = alertmanager.read_all(SOON).await.0;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
    // Neither does another connection help, nor to take up the session of an old one.
    for tls in [tls, office.authority.trusted(Some(&identity))] {
        let answer = Client::secure(server.address, &tls).fire(&[Alert::new("A", "prod", "web-1")]).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 401));
    }
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate_and_so_does_a_stream_on_it() {
    let office = Office::open();
    let soon = |settings: &mut EdgeSettings| settings.timeouts.request = SHORT;
    let server = Server::secure(office.knowing_clients(), soon).await;
    let identity = office.authority.issue("short", Leaf::client("prometheus-0").until(NOW + 2000));
    let tls = office.authority.trusted(Some(&identity));
    let mut idle = server.raw().await.secure(&tls).await.unwrap();
    idle.send(HEALTH).await;
    assert!(idle.read_answer(SOON).await.starts_with("HTTP/1.1 200 "));
    let mut stream = server.raw().await.secure(&tls).await.unwrap();
    stream.send("GET /api/v1/requests?watch=true HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (idle, stream) = tokio::join!(idle.read_all(SOON), stream.read_all(SOON));
    assert_eq!(idle, (String::new(), true));
    assert!(stream.0.starts_with("HTTP/1.1 200 ") && stream.1, "{stream:?}");
    assert_eq!(server.end().await.aborted, 0, "that is what a drain cuts off");
}

#[tokio::test]
async fn new_files_are_for_new_connections_and_disturb_no_other() {
    let office = Office::open();
    let server = office.server().await;
    let tls = office.authority.trusted(None);
    let mut old = server.raw().await.secure(&tls).await.unwrap();
    let end = Timestamp::parse("2100-01-01T00:00:00Z").unwrap();
    office.authority.issue("serving", Leaf::serving("seawall").until(end));
    server.tls.as_ref().unwrap().reload().unwrap();
    let new = server.raw().await.secure(&tls).await.unwrap();
    assert_ne!(old.certificate(), new.certificate());
    old.send(HEALTH).await;
    assert!(old.read_answer(SOON).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(not_after(&server.edge), end.as_seconds() as f64);
}

#[tokio::test]
async fn a_session_with_other_authorities_is_not_resumed() {
    let office = Office::open();
    let server = Server::secure(office.knowing_clients(), |_| {}).await;
    let identity = office.authority.issue("client", Leaf::client("prometheus-0"));
    let tls = office.authority.trusted(Some(&identity));
    let client = || Client::secure(server.address, &tls);
    assert_eq!(client().get("/healthz").await.unwrap().status, 200);
    let another = office.another();
    std::fs::copy(another.cert(), office.authority.cert()).unwrap();
    server.tls.as_ref().unwrap().reload().unwrap();
    assert!(client().get("/healthz").await.is_err());
}

#[tokio::test]
async fn files_that_are_no_better_change_nothing() {
    let office = Office::open();
    let server = office.server().await;
    let tls = server.tls.clone().unwrap();
    let before = not_after(&server.edge);
    let KeyPairFiles { cert, key } = office.serving.clone();
    let (good_cert, good_key) = (std::fs::read(&cert).unwrap(), std::fs::read(&key).unwrap());

    office.authority.issue("serving", Leaf::serving("seawall").until(NOW - 1000));
    assert!(matches!(tls.reload(), Err(TlsError::Expired { .. })));
    office.authority.issue("serving", Leaf::serving("seawall").from(NOW + 1000));
    assert!(matches!(tls.reload(), Err(TlsError::NotYetValid { .. })));
    std::fs::write(&cert, &good_cert).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Mismatch { .. })));
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Unreadable { .. })));
    assert_eq!(not_after(&server.edge), before);
    assert_eq!(office.client(&server).get("/healthz").await.unwrap().status, 200);

    std::fs::write(&key, &good_key).unwrap();
    tls.reload().unwrap();
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let office = Office::open();
    let good = office.knowing_clients();
    let other = office.authority.issue("other", Leaf::serving("other"));
    let pem = std::fs::read_to_string(&good.cert).unwrap();
    let key = std::fs::read_to_string(&good.key).unwrap();
    let cut = office.write("cut.crt", &pem[..pem.len() / 2]);
    let garbled =
        office.write("garbled.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let words = office.write("words.txt", "certificates are elsewhere\n");
    let sealed = key.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE").replace("END P", "END ENCRYPTED P");
    let sealed = office.write("sealed.key", &sealed);
    let legacy =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n";
    let legacy = office.write("legacy.key", legacy);
    let foreign =
        office.write("foreign.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let with = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = good.clone();
        change(&mut files);
        office.refusal(files)
    };
    for (said, expected) in [
        (
            with(&|it| it.cert = office.folder.path().join("none.crt")),
            "none.crt cannot be read: No such file",
        ),
        (with(&|it| it.cert = words.clone()), "words.txt has no certificate in it"),
        (with(&|it| it.cert = good.key.clone()), "serving.key has no certificate in it"),
        (with(&|it| it.cert = cut.clone()), "cut.crt has a certificate in it that cannot be read"),
        (with(&|it| it.cert = garbled.clone()), "garbled.crt has a certificate in it that cannot be read"),
        (with(&|it| it.key = words.clone()), "words.txt has no private key in it"),
        (with(&|it| it.key = good.cert.clone()), "serving.crt has no private key in it"),
        (with(&|it| it.key = sealed.clone()), "the key in sealed.key is encrypted"),
        (with(&|it| it.key = legacy.clone()), "the key in legacy.key is encrypted"),
        (with(&|it| it.key = foreign.clone()), "the key in foreign.key cannot be used"),
        (
            with(&|it| it.key = other.key.clone()),
            "the key in other.key does not belong to the certificate in serving.crt",
        ),
        (with(&|it| it.client_ca = Some(words.clone())), "words.txt has no certificate in it"),
    ] {
        assert!(said.starts_with(expected), "{said}");
        assert!(!said.contains("AAAA"), "nothing of a key is repeated: {said}");
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_served_at_a_start_and_said_by_the_metric() {
    let office = Office::open();
    office.authority.issue("serving", Leaf::serving("seawall").until(NOW - 1000));
    let server = office.server().await;
    assert_eq!(not_after(&server.edge), (NOW - 1000).as_seconds() as f64);
    assert!(office.client(&server).get("/healthz").await.is_err(), "a client that looks refuses it");
    let plain = Server::start().await.edge.metrics().render();
    assert!(!plain.contains("\nseawall_tls_certificate_not_after_seconds"), "there is none without TLS");
}

#[tokio::test]
async fn a_large_body_and_a_large_answer_pass_through_tls() {
    let office = Office::open();
    let server = office.server().await;
    let client = office.client(&server);
    let answer = client.fire(&Alert::pods("A", "prod", 20_000)).await.unwrap();
    assert!(answer.status.is_success(), "{}", answer.text());
    assert_eq!(server.store.signals(), 20_000);
    assert!(client.get("/openapi.json").await.unwrap().body.len() > 10_000);
}
