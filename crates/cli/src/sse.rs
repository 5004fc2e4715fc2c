//! Reading server-sent events.

use bytes::Buf;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// A longer line comes from no Seawall: a request stays under 256 KiB.
const MAX_EVENT: usize = 4 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub kind: String,
    pub data: String,
    pub id: Option<String>,
}

/// The events of a body, as they arrive.
pub struct Events {
    body: Incoming,
    parser: Parser,
}

impl Events {
    pub fn new(body: Incoming) -> Self {
        Self { body, parser: Parser::default() }
    }

    /// The next event; nothing when the stream is over or broken.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.parser.next() {
                return Some(event);
            }
            let mut data = self.body.frame().await?.ok()?.into_data().unwrap_or_default();
            if self.parser.buffer.len() + data.len() > MAX_EVENT {
                return None;
            }
            self.parser.buffer.extend_from_slice(&data.copy_to_bytes(data.len()));
        }
    }
}

#[derive(Default)]
struct Parser {
    buffer: Vec<u8>,
    event: Event,
}

impl Parser {
    /// The next complete event of what is buffered.
    fn next(&mut self) -> Option<Event> {
        while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                // Comments keep a connection alive and are no events.
                if !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event.kind),
                "id" => self.event.id = Some(value.to_owned()),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_whatever_arrives() {
        let mut parser = Parser::default();
        parser.buffer.extend_from_slice(b": hello\n\nevent: ADDED\nid: 7\r\ndata: {\"a\":");
        assert_eq!(parser.next(), None);
        parser.buffer.extend_from_slice(b"1}\ndata:2\n\ndata: x\n\n");
        let first = Event { kind: "ADDED".into(), data: "{\"a\":1}\n2".into(), id: Some("7".into()) };
        assert_eq!(parser.next(), Some(first));
        assert_eq!(parser.next(), Some(Event { data: "x".into(), ..Event::default() }));
        assert_eq!(parser.next(), None);
    }
}
