//! Just enough HTTP/1.1 to know the status of an answer and where it ends.

use anyhow::{Context, Result, bail};

use super::Follow;

/// Longest head of an answer that is believed.
const HEAD_LIMIT: usize = 16 * 1024;

/// Follows one answer at a time over any split into reads.
#[derive(Debug, Default)]
pub struct Response {
    /// The beginning of a head that came in pieces.
    head: Vec<u8>,
    /// Of the answer whose head is complete.
    status: u16,
    body_left: usize,
}

impl Follow for Response {
    fn feed(&mut self, bytes: &[u8]) -> Result<Option<u16>> {
        if self.body_left > 0 {
            return self.feed_body(bytes.len());
        }
        if self.head.is_empty()
            && let Some(end) = head_end(bytes)
        {
            return self.take_head(&bytes[..end], bytes.len() - end);
        }
        self.head.extend_from_slice(bytes);
        let Some(end) = head_end(&self.head) else {
            anyhow::ensure!(self.head.len() < HEAD_LIMIT, "the head of an answer does not end");
            return Ok(None);
        };
        let head = std::mem::take(&mut self.head);
        self.take_head(&head[..end], head.len() - end)
    }
}

impl Response {
    fn take_head(&mut self, head: &[u8], body: usize) -> Result<Option<u16>> {
        let text = std::str::from_utf8(head).context("the head of an answer is no text")?;
        self.status = text
            .get(9..12)
            .and_then(|digits| digits.parse().ok())
            .with_context(|| format!("no status in `{}`", text.lines().next().unwrap_or_default()))?;
        let length = text.lines().find_map(content_length).context("an answer without Content-Length")?;
        if length == 0 && body == 0 {
            return Ok(Some(self.status));
        }
        self.body_left = length;
        self.feed_body(body)
    }

    fn feed_body(&mut self, bytes: usize) -> Result<Option<u16>> {
        let Some(left) = self.body_left.checked_sub(bytes) else { bail!("an answer is longer than it said") };
        self.body_left = left;
        Ok((left == 0).then_some(self.status))
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    // A head has few line ends; jumping from one to the next is cheaper than comparing four bytes everywhere.
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == b'\n') {
        let end = from + at + 1;
        if bytes[..end].ends_with(b"\r\n\r\n") {
            return Some(end);
        }
        from = end;
    }
    None
}

fn content_length(line: &str) -> Option<usize> {
    let (name, value) = line.split_once(':')?;
    if !name.eq_ignore_ascii_case("content-length") {
        return None;
    }
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-type: x\r\ncontent-length: 5\r\n\r\nhello";

    #[test]
    fn an_answer_in_one_piece_is_complete() {
        assert_eq!(Response::default().feed(ANSWER).unwrap(), Some(202));
    }

    #[test]
    fn an_answer_is_complete_with_its_last_byte_however_it_was_split() {
        for split in 1..ANSWER.len() {
            let mut response = Response::default();
            assert_eq!(response.feed(&ANSWER[..split]).unwrap(), None, "split at {split}");
            assert_eq!(response.feed(&ANSWER[split..]).unwrap(), Some(202), "split at {split}");
        }
    }

    #[test]
    fn an_answer_without_a_body_is_complete_with_its_head() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(Response::default().feed(answer).unwrap(), Some(200));
    }

    #[test]
    fn an_answer_longer_than_it_said_is_an_error() {
        assert!(Response::default().feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab").is_err());
    }
}
