//! Beginning and ending, in this process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use seawall_server::config::{Config, Settings};
use seawall_server::{ServeError, Server};
use seawall_testkit::{Alert, Client, free_port};

pub fn settings(data: &Path) -> Settings {
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".to_owned();
    config.state.embedded.path = data.to_owned();
    config.validated(false).unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_an_orderly_end() {
    let directory = tempfile::tempdir().unwrap();
    let running = Server::start(settings(directory.path())).await.unwrap();
    let client = Client::new(running.address());
    assert_eq!(client.get("/readyz").await.unwrap().status, 200);
    assert_eq!(client.fire(&[Alert::new("DiskFull", "prod", "db-0")]).await.unwrap().status, 201);
    let report = running.stop().await.unwrap();
    assert_eq!((report.aborted, report.unfinished), (0, 0));
    assert!(Client::new(client.address()).get("/readyz").await.is_err(), "nobody listens any more");

    let again = Server::start(settings(directory.path())).await.unwrap();
    let requests = Client::new(again.address()).requests("").await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].spec.signal_name, "DiskFull");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let refused = Server::start(Settings { listen: address, ..settings(&data) }).await;
    let Err(error @ ServeError::Listen { .. }) = refused else { panic!("it started") };
    assert_eq!(error.to_string(), format!("listen on {address}"));
    assert!(!error.is_usage());
    assert!(!data.exists());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(settings(directory.path())).await.unwrap();
    let second = Server::start(settings(directory.path())).await;
    assert!(matches!(second, Err(ServeError::Open { .. })));
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_listener_serves_metrics_and_health_and_takes_no_alerts() {
    let directory = tempfile::tempdir().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let running = Server::start(Settings { metrics_listen: Some(address), ..settings(directory.path()) })
        .await
        .unwrap();
    assert_eq!(running.metrics_address(), Some(address));
    let client = Client::new(address);
    assert_eq!(client.get("/readyz").await.unwrap().status, 200);
    assert!(client.get("/metrics").await.unwrap().text().contains("seawall_build_info"));
    assert_eq!(client.fire(&[Alert::new("DiskFull", "prod", "db-0")]).await.unwrap().status, 404);
    running.stop().await.unwrap();
    assert!(Client::new(client.address()).get("/readyz").await.is_err());
}
