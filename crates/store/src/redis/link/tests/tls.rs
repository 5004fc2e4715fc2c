//! TLS, and what is said when it cannot be.

use std::path::{Path, PathBuf};
use std::process::Command;

use seawall_testkit::free_port;

use super::*;
use crate::redis::link::Heard;

/// A certificate that vouches for itself, for `localhost` and 127.0.0.1.
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn make(directory: &Path, name: &str) -> Self {
        let (certificate, key) =
            (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()
            .expect("openssl is needed to make a certificate: install the package `openssl`");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { certificate, key }
    }
}

async fn server(directory: &Path, certificate: &Certificate) -> (RedisServer, u16) {
    let port = free_port();
    let server = RedisServer::builder(directory, "redis")
        .arg("tls-port", &port.to_string())
        .arg("tls-cert-file", &certificate.certificate.display().to_string())
        .arg("tls-key-file", &certificate.key.display().to_string())
        .arg("tls-ca-cert-file", &certificate.certificate.display().to_string())
        .arg("tls-auth-clients", "no")
        .start()
        .await;
    (server, port)
}

fn options(url: &str, trusts: Option<&Certificate>) -> RedisOptions {
    RedisOptions {
        tls_ca: trusts.map(|certificate| certificate.certificate.clone()),
        ..RedisOptions::standalone(url)
    }
}

#[tokio::test]
async fn a_server_whose_certificate_is_trusted_is_spoken_to_in_tls() {
    let directory = directory();
    let certificate = Certificate::make(directory.path(), "server");
    let (server, port) = server(directory.path(), &certificate).await;
    for host in ["localhost", "127.0.0.1"] {
        let linked =
            Linked::open(options(&format!("rediss://{host}:{port}"), Some(&certificate))).await.unwrap();
        linked.count().await.unwrap();
        let mut heard = linked.links.subscribe("seawall:1:changes".to_owned());
        assert_eq!(heard.recv().await, Some(Heard::Gap));
        linked.links.pipe(&command(&["PUBLISH", "seawall:1:changes", "one"]), KEY).await.unwrap();
        assert_eq!(heard.recv().await, Some(Heard::Message(b"one".to_vec())));
        linked.close().await;
    }
    assert_eq!(server.ask::<i64>(&["GET", KEY]), 2);
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_refused() {
    let directory = directory();
    let certificate = Certificate::make(directory.path(), "server");
    let other = Certificate::make(directory.path(), "other");
    let (server, port) = server(directory.path(), &certificate).await;
    for trusts in [None, Some(&other)] {
        let reason = refusal(options(&format!("rediss://localhost:{port}"), trusts)).await;
        assert!(reason.contains("tlsCA") && reason.contains("certificate"), "{reason}");
    }
    let mut plain = options(&format!("rediss://localhost:{}", server.port()), Some(&certificate));
    plain.timeout = Duration::from_millis(100);
    assert_eq!(unavailable(plain).await, Failure::Timeout);
}

#[tokio::test]
async fn an_authority_may_be_changed_while_we_run() {
    let directory = directory();
    let certificate = Certificate::make(directory.path(), "server");
    let next = Certificate::make(directory.path(), "next");
    let (server, port) = server(directory.path(), &certificate).await;
    let linked =
        Linked::open(options(&format!("rediss://localhost:{port}"), Some(&certificate))).await.unwrap();
    linked.count().await.unwrap();
    // The file that is trusted changes together with the server's certificate.
    let mut admin = server.connection();
    let set = |name: &str, path: &Path| {
        ["CONFIG".to_owned(), "SET".to_owned(), name.to_owned(), path.display().to_string()]
    };
    let both: Vec<String> = set("tls-cert-file", &next.certificate)
        .into_iter()
        .chain(set("tls-key-file", &next.key).into_iter().skip(2))
        .collect();
    redis::cmd("CONFIG").arg(&both[1..]).exec(&mut admin).unwrap();
    std::fs::copy(&next.certificate, &certificate.certificate).unwrap();
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut admin).unwrap();
    linked.recovered().await;
    linked.close().await;
}
