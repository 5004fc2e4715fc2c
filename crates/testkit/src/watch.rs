//! A client of server-sent events.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use seawall_model::RemediationRequest;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One event as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub kind: String,
    pub data: String,
}

impl Event {
    pub fn request(&self) -> RemediationRequest {
        let value: serde_json::Value = serde_json::from_str(&self.data).expect("an event's data is JSON");
        // The object may be sent bare or in an envelope as Kubernetes has it.
        let object = value.get("object").cloned().unwrap_or(value);
        serde_json::from_value(object).unwrap_or_else(|error| panic!("{error} in: {}", self.data))
    }
}

/// An open stream of events.
#[derive(Debug)]
pub struct Watch {
    body: Incoming,
    received: Vec<u8>,
    _connection: JoinSet<()>,
}

impl Watch {
    /// `last` resumes after the event with that id.
    pub async fn open(address: SocketAddr, path: &str, last: Option<&str>) -> Self {
        Self::open_as(address, path, last, None).await
    }

    /// The same with a value for `Authorization`.
    pub(crate) async fn open_as(
        address: SocketAddr,
        path: &str,
        last: Option<&str>,
        authorization: Option<&str>,
    ) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let mut driver = JoinSet::new();
        driver.spawn(async {
            connection.await.ok();
        });
        let mut request =
            Request::get(path).header("host", address.to_string()).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a valid request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "GET {path}");
        Self { body: response.into_body(), received: Vec::new(), _connection: driver }
    }

    /// The next event; nothing when none comes `within` that time or the stream has ended. Comments are not events.
    pub async fn next(&mut self, within: Duration) -> Option<Event> {
        tokio::time::timeout(within, self.read()).await.ok()?
    }

    /// Whether the stream ends `within` that time. Events that come meanwhile are dropped.
    pub async fn has_ended(&mut self, within: Duration) -> bool {
        let drained = async { while self.read().await.is_some() {} };
        tokio::time::timeout(within, drained).await.is_ok()
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.received.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8(block).expect("events are UTF-8")) {
                    return Some(event);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            self.received.extend(frame.into_data().ok()?);
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event { id: String::new(), kind: String::new(), data: String::new() };
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut event.id),
            "event" => value.clone_into(&mut event.kind),
            "data" => event.data += value,
            _ => {}
        }
    }
    (!event.data.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_and_a_comment_is_not_one() {
        let event = parse("id: 7\nevent: ADDED\ndata: {\"a\":1}\n\n");
        let expected = Event { id: "7".into(), kind: "ADDED".into(), data: "{\"a\":1}".into() };
        assert_eq!(event, Some(expected));
        assert_eq!(parse(": keep-alive\n\n"), None);
    }
}
