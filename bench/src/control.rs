//! A small blocking HTTP client for everything that is not measured by the driver: preparing, asking, watching.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longer than any answer may take that a case waits for.
const TIMEOUT: Duration = Duration::from_secs(120);

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Gets `path`, on a connection of its own.
pub fn get(target: SocketAddr, path: &str) -> Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    exchange(target, request.as_bytes())
}

/// Gets `path` and reads its JSON; anything but 200 is an error.
pub fn get_json(target: SocketAddr, path: &str) -> Result<serde_json::Value> {
    let answer = get(target, path)?;
    if answer.status != 200 {
        bail!("GET {path} answered {}: {}", answer.status, answer.text());
    }
    serde_json::from_slice(&answer.body).with_context(|| format!("GET {path} did not answer with JSON"))
}

/// Sends a whole rendered request and reads its answer.
pub fn exchange(target: SocketAddr, request: &[u8]) -> Result<Answer> {
    let mut stream = connect(target)?;
    stream.write_all(request).context("cannot send a request")?;
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)?;
    let mut body = Vec::new();
    match head.length {
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).context("an answer ends too early")?;
        }
        None if head.chunked => while read_chunk(&mut reader, &mut body)? {},
        None => {
            reader.read_to_end(&mut body).context("cannot read an answer")?;
        }
    }
    Ok(Answer { status: head.status, body })
}

/// Opens a stream of server-sent events and gives `event` the name of each, until it says stop or the stream ends.
pub fn watch(target: SocketAddr, path: &str, mut event: impl FnMut(&str, &str) -> bool) -> Result<()> {
    let mut stream = connect(target)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)?;
    anyhow::ensure!(head.status == 200 && head.chunked, "GET {path} answered {} and no stream", head.status);
    let mut text = Vec::new();
    while read_chunk(&mut reader, &mut text)? {
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block);
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            if !event(field("event:").trim(), field("data:").trim()) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn connect(target: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
}

impl Head {
    fn read(reader: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).context("cannot read an answer")?;
        let status = line.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.with_context(|| format!("no status in `{}`", line.trim_end()))?;
        let mut head = Self { status, length: None, chunked: false };
        loop {
            line.clear();
            reader.read_line(&mut line).context("cannot read the head of an answer")?;
            let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(head) };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.trim().parse().ok(),
                "transfer-encoding" => head.chunked = value.trim().eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
    }
}

/// Appends the next chunk to `body`; false after the last one.
fn read_chunk(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<bool> {
    let mut line = String::new();
    reader.read_line(&mut line).context("cannot read the length of a chunk")?;
    let digits = line.trim_end().split(';').next().unwrap_or_default();
    let length =
        usize::from_str_radix(digits, 16).with_context(|| format!("`{digits}` is no chunk length"))?;
    let end = body.len();
    body.resize(end + length, 0);
    reader.read_exact(&mut body[end..]).context("a chunk ends too early")?;
    reader.read_line(&mut line).context("a chunk does not end")?;
    Ok(length > 0)
}

/// The sum of all samples of a metric family in the Prometheus text format whose labels contain `having`.
pub fn metric(text: &str, family: &str, having: &str) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        (name == family && labels.contains(having)).then(|| value.parse::<f64>().ok())?
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_family_are_added_up_by_their_labels() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\"} 4\nab 9\n";
        assert_eq!(metric(text, "a", ""), 7.0);
        assert_eq!(metric(text, "a", "x=\"2\""), 4.0);
        assert_eq!(metric(text, "ab", ""), 9.0);
    }

    #[test]
    fn chunks_are_joined() {
        let mut reader = BufReader::new(&b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"[..]);
        let mut body = Vec::new();
        while read_chunk(&mut reader, &mut body).unwrap() {}
        assert_eq!(body, b"abcde");
    }
}
