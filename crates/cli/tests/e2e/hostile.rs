//! Input that nobody sends by accident. Whatever it is, it costs its sender, not the others.

use seawall_testkit::{Alert, Deadline, Raw, Seawall, request_head, webhook};

use crate::support::{SOON, fire, name_of, scene};

/// Short, so that slow senders are found out while somebody waits for the test.
const CONFIG: &str =
    "server: {limits: {bodyBytes: 2MiB, alertsPerBody: 1000}, timeouts: {header: 1s, body: 1s, idle: 1m}}";
/// What all of this may cost in memory: a few bodies at the limit.
const MOST_MEMORY: u64 = 64 << 20;
const PATH: &str = "/webhook/prometheus";

/// The server still works and has not grown by more than `allowed` bytes.
async fn assert_healthy_within(seawall: &Seawall, idle: u64, allowed: u64) {
    let client = seawall.client();
    assert_eq!(client.get("/healthz").await.expect("an answer").status, 200);
    assert_eq!(client.get("/readyz").await.expect("an answer").status, 200);
    let answer = fire(&client, &Alert::new("StillThere", "healthy", "web-0")).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    let grown = seawall.process().peak_memory().saturating_sub(idle);
    assert!(grown < allowed, "{} MiB more than before", grown >> 20);
}

async fn assert_healthy(seawall: &Seawall, idle: u64) {
    assert_healthy_within(seawall, idle, MOST_MEMORY).await;
}

#[tokio::test]
async fn bodies_that_are_not_what_they_say_are_refused_with_the_place() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let (client, idle) = (seawall.client(), seawall.process().memory());

    let good = String::from_utf8(webhook(&Alert::pods("PodCrashLooping", "prod", 1)).to_vec())
        .expect("JSON is text");
    let bodies: [(&str, Vec<u8>); 10] = [
        ("no JSON", b"{\"alerts\": [".to_vec()),
        ("another type", b"{\"alerts\": 5}".to_vec()),
        ("a list of numbers", b"{\"version\":\"4\",\"alerts\": [1,2,3]}".to_vec()),
        ("raw zero bytes", b"{\"alerts\": [\0\0\0]}".to_vec()),
        ("only zero bytes", vec![0; 4096]),
        ("nothing", Vec::new()),
        ("no UTF-8", b"{\"alerts\": [{\"labels\": {\"alertname\": \"\xff\xfe\"}}]}".to_vec()),
        ("brackets", vec![b'['; 1_000_000]),
        ("nested objects", [b"{\"alerts\":[{\"labels\":".to_vec(), b"{\"a\":".repeat(200_000)].concat()),
        ("something after the end", format!("{good} trailing").into_bytes()),
    ];
    for (what, body) in bodies {
        let answer = client.post(PATH, body).await.expect("an answer");
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
        assert_eq!(answer.json()["status"], 400, "{what}");
    }
    let answer = client.post(PATH, "{\n  \"alerts\": [\n    oops\n  ]\n}").await.expect("an answer");
    assert!(answer.text().contains("line 3"), "the position is told: {}", answer.text());
    assert_eq!(client.requests("").await.len(), 0);
    assert_healthy(&seawall, idle).await;
}

#[tokio::test]
async fn exaggerated_alerts_are_cut_or_refused_alone() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let (client, idle) = (seawall.client(), seawall.process().memory());

    let mut labels = Alert::new("ManyLabels", "prod", "web-0");
    for number in 0..20_000 {
        labels = labels.label(&format!("label_{number}"), "value");
    }
    let long = Alert::new("LongValue", "prod", "web-0").label("text", &"ä".repeat(400_000));
    let zero = Alert::new("Zero", "prod", "web\u{0}0");
    let number = webhook(&[Alert::new("Number", "prod", "web-0")]);
    let number = String::from_utf8(number.to_vec()).expect("JSON is text");
    let number =
        number.replace("\"truncatedAlerts\":0", &format!("\"truncatedAlerts\":{}", "9".repeat(5_000)));
    for body in [webhook(&[labels]), webhook(&[long]), webhook(&[zero]), number.into()] {
        let answer = client.post(PATH, body).await.expect("an answer");
        assert!(answer.status.is_success() || answer.status.is_client_error(), "{}", answer.text());
    }
    let good = Alert::new("Good", "shop", "web-0");
    let mixed = String::from_utf8(webhook(&[good]).to_vec()).expect("JSON is text");
    let mixed = mixed.replace("\"alerts\":[", "\"alerts\":[{\"labels\":{\"severity\":\"page\"}},");
    let answer = client.post(PATH, mixed).await.expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(
        (answer["results"][0]["status"].as_str(), answer["results"][0]["index"].as_u64()),
        (Some("rejected"), Some(0))
    );
    assert_eq!(answer["results"][1]["status"], "created");

    for request in client.requests("").await {
        let path = format!(
            "/api/v1/requests/{}/{}",
            request.metadata.namespace.as_deref().expect("a namespace"),
            name_of(&request)
        );
        let object = client.get(&path).await.expect("an answer").body;
        assert!(object.len() < 256 * 1024, "{} has {} bytes", request.spec.signal_name, object.len());
    }
    assert_healthy(&seawall, idle).await;
}

#[tokio::test]
async fn what_is_over_a_limit_is_answered_with_the_limit() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let (client, idle) = (seawall.client(), seawall.process().memory());

    let large = client.post(PATH, vec![b' '; (2 << 20) + 1]).await.expect("an answer");
    assert_eq!(
        (large.status.as_u16(), large.json()["limit"].as_u64()),
        (413, Some(2 << 20)),
        "{}",
        large.text()
    );
    let many = client.fire(&Alert::pods("PodCrashLooping", "prod", 1_001)).await.expect("an answer");
    assert_eq!((many.status.as_u16(), many.json()["limit"].as_u64()), (413, Some(1_000)), "{}", many.text());

    let mut headers = Raw::connect(seawall.address()).await;
    headers.send(request_head(PATH, &format!("x-large: {}\r\n", "a".repeat(70_000)))).await;
    assert!(headers.read_answer(SOON).await.starts_with("HTTP/1.1 431"));
    let mut headers = Raw::connect(seawall.address()).await;
    headers.send(request_head(PATH, &"x-one: of many\r\n".repeat(200))).await;
    assert!(headers.read_answer(SOON).await.starts_with("HTTP/1.1 431"));
    assert_eq!(client.requests("").await.len(), 0, "nothing of a body that is too large is taken");
    assert_healthy(&seawall, idle).await;
}

#[tokio::test]
async fn wrong_methods_paths_and_types_are_told_apart() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let body = webhook(&Alert::pods("PodCrashLooping", "prod", 1));

    let method = client.get(PATH).await.expect("an answer");
    assert_eq!((method.status.as_u16(), method.header("allow")), (405, Some("POST")));
    assert_eq!(client.post("/webhook/nothing", body.clone()).await.expect("an answer").status, 404);
    let kind = [("content-type", "text/xml")];
    assert_eq!(
        client.send(http::Method::POST, PATH, &kind, body.clone()).await.expect("an answer").status,
        415
    );
    let encoding = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(
        client.send(http::Method::POST, PATH, &encoding, body.clone()).await.expect("an answer").status,
        415
    );
    let id = [("x-request-id", "mine-1")];
    let answer = client.send(http::Method::POST, PATH, &id, body).await.expect("an answer");
    assert_eq!(answer.status, 201, "a missing content type is tolerated: {}", answer.text());
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(header), Some(value));
    }
    assert!(
        answer
            .header("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    assert_eq!(answer.header("strict-transport-security"), None, "there is no TLS here");
}

#[tokio::test]
async fn lengths_that_lie_end_the_connection_and_nothing_else() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let idle = seawall.process().memory();
    let body = String::from_utf8(webhook(&Alert::pods("PodCrashLooping", "prod", 1)).to_vec())
        .expect("JSON is text");

    // Fewer bytes than announced, then the end.
    let mut short = Raw::connect(seawall.address()).await;
    short.send(request_head(PATH, &format!("content-length: {}\r\n", body.len() + 100))).await;
    short.send(&body).await;
    short.finish().await;
    let answer = short.read_answer(SOON).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");

    // More bytes than announced: what is left over is no request.
    let mut long = Raw::connect(seawall.address()).await;
    long.send(request_head(PATH, "content-length: 10\r\n") + &body).await;
    let answer = long.read_all(SOON).await.0;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    for length in ["-5", "abc", "99999999999999999999999999", "5\r\ncontent-length: 6"] {
        let mut wrong = Raw::connect(seawall.address()).await;
        wrong.send(request_head(PATH, &format!("content-length: {length}\r\n")) + &body).await;
        let answer = wrong.read_all(SOON).await.0;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{length}: {answer}");
    }
    assert_eq!(seawall.client().requests("namespace=prod").await.len(), 0);
    assert_healthy(&seawall, idle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_too_slow_is_let_go() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let idle = seawall.process().memory();

    let mut silent = Raw::connect(seawall.address()).await;
    let mut header = Raw::connect(seawall.address()).await;
    header.send("POST /webhook/prometheus HTTP/1.1\r\nhost: sea").await;
    let mut body = Raw::connect(seawall.address()).await;
    body.send(request_head(PATH, "content-length: 100\r\n") + "{").await;
    let mut endless = Raw::connect(seawall.address()).await;
    endless.send(request_head(PATH, "transfer-encoding: chunked\r\n") + "1\r\n{\r\n").await;

    for slow in [&mut silent, &mut header, &mut body, &mut endless] {
        let (answer, closed) = slow.read_all(SOON).await;
        assert!(closed, "still open after {SOON:?}, having said: {answer}");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert_healthy(&seawall, idle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_chunks_without_an_end_is_cut_off_at_the_limit() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let idle = seawall.process().memory();

    let mut endless = Raw::connect(seawall.address()).await;
    endless.send(request_head(PATH, "transfer-encoding: chunked\r\n")).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let deadline = Deadline::after(SOON);
    while endless.send(&chunk).await {
        assert!(!deadline.is_over(), "it still listens after {SOON:?}");
    }
    let answer = endless.read_answer(SOON).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_healthy(&seawall, idle).await;
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;

    let mut raw = Raw::connect(seawall.address()).await;
    let mut ahead = String::new();
    for number in 0..20 {
        let body = webhook(&[Alert::new("PodCrashLooping", &format!("tenant-{number}"), "web-0")]);
        let close = if number == 19 { "connection: close\r\n" } else { "" };
        let head = format!("{close}x-request-id: number-{number}\r\ncontent-length: {}\r\n", body.len());
        ahead += &request_head(PATH, &head);
        ahead += std::str::from_utf8(&body).expect("JSON is text");
    }
    raw.send(ahead).await;
    let (answers, closed) = raw.read_all(SOON).await;
    assert!(closed, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 201").count(), 20, "{answers}");
    let places: Vec<_> =
        (0..20).map(|number| answers.find(&format!("\"number-{number}\"")).expect("an answer")).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(seawall.client().requests("").await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_served_now_is_asked_to_come_back_and_health_still_answers() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config("server: {limits: {concurrentRequests: 1}}").start().await;
    let client = seawall.client();

    let mut slow = Raw::connect(seawall.address()).await;
    let body = webhook(&Alert::pods("Slow", "prod", 1));
    let head = format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
    slow.send(request_head(PATH, &head)).await;
    let go_on = slow.read_answer(SOON).await;
    assert!(go_on.starts_with("HTTP/1.1 100"), "it has begun to read the slow body: {go_on}");
    let refused = fire(&client, &Alert::new("DiskFull", "prod", "db-0")).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.retry_after().is_some_and(|seconds| seconds >= 1));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(client.get(path).await.expect("an answer").status, 200, "{path}");
    }

    slow.send(&body).await;
    assert!(slow.read_answer(SOON).await.starts_with("HTTP/1.1 201"));
    assert!(fire(&client, &Alert::new("DiskFull", "prod", "db-0")).await.status.is_success());
}

/// Connections that do nothing, when this process may open as many.
const IDLE: usize = 10_000;
/// Bytes that one of them may cost.
const MOST_PER_CONNECTION: u64 = 24 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_keep_nobody_out() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let idle = seawall.process().memory();
    let count = IDLE.min(open_files().saturating_sub(1_000));
    assert!(count >= 20, "more open files are needed: `ulimit -n 20000`");
    println!("{count} connections");
    let allowed = MOST_MEMORY + count as u64 * MOST_PER_CONNECTION;
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Raw::connect(seawall.address()).await);
    }
    assert_healthy_within(&seawall, idle, allowed).await;
    // Gone without a word, in the middle of a request.
    for connection in connections.iter_mut().step_by(2) {
        connection.send("POST /webhook/prometheus HTTP/1.1\r\nhost").await;
    }
    assert_healthy_within(&seawall, idle, allowed).await;
    drop(connections);
    assert_healthy_within(&seawall, idle, allowed).await;
}

/// How many files, and so connections, a process may have open here.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("the limits can be read");
    let line =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("there is such a limit");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}
