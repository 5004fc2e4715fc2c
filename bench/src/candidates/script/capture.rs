//! Overhearing one call of the script with `MONITOR`.

use std::time::Duration;

use anyhow::{Context, Result};
use redis::Value;

use crate::candidates::{Candidate, Lab};
use crate::cases::Traffic;
use crate::control;
use crate::driver::Exchange;
use crate::payload::{Dialect, Numbers};

/// The first of the alerts whose call is overheard: a number whose digits stand nowhere by chance. Its namespace, when a
/// hundred share one, has other digits than any of them.
pub const SAMPLE: u64 = 3_141_592_600;
/// Lines of `MONITOR` among which the call has to be: it is sent before the body is answered.
const LINES: usize = 1000;
/// Bytes of a fingerprint.
pub const FINGERPRINT: usize = 32;

/// What Seawall sent to have signals decided.
pub struct Call {
    pub script: Vec<u8>,
    pub key: Vec<u8>,
    pub arguments: Vec<Vec<u8>>,
}

/// Lets Seawall decide one body, and takes down what it sends to a Redis server that does not know the script yet.
pub fn overhear(lab: &Lab, traffic: Traffic, alerts: usize) -> Result<Call> {
    let running = lab.start(Candidate::SeawallOnRedis)?;
    let redis = running.redis.as_ref().context("no Redis to listen to")?;
    let mut connection = redis.connection()?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.send_packed_command(&redis::cmd("MONITOR").get_packed_command())?;
    connection.recv_response()?;
    let template = traffic.template(Dialect::Webhook, alerts);
    let mut request = template.buffer();
    template.fill(0, &mut request, &mut Numbers::fresh(SAMPLE));
    let answer = control::exchange(running.server.address, &request)?;
    anyhow::ensure!(answer.status / 100 == 2, "the body was answered {}: {}", answer.status, answer.text());
    // Seawall goes on talking to Redis, so silence alone does not tell that the call was missed.
    for _ in 0..LINES {
        let heard = connection.recv_response().context("Seawall was not heard to send the script")?;
        let Value::SimpleString(line) = heard else { continue };
        let Some(call) = words(&line).and_then(call_of) else { continue };
        if call.arguments.len() == 2 + alerts && call.arguments[1].len() == FINGERPRINT * alerts {
            return Ok(call);
        }
    }
    anyhow::bail!("Seawall sent the script in a way that is not understood here")
}

/// `EVAL script 2 key other argument…`, which also teaches the server the script. The other key never exists and is
/// only looked at by a cluster that moves a slot, so it is left out.
fn call_of(words: Vec<Vec<u8>>) -> Option<Call> {
    let mut words = words.into_iter();
    if words.next()? != b"EVAL" {
        return None;
    }
    let (script, keys, key, _) = (words.next()?, words.next()?, words.next()?, words.next()?);
    (keys == b"2").then(|| Call { script, key, arguments: words.collect() })
}

/// The words of a line of `MONITOR`: a time, who it was in brackets, then each word in quotes.
fn words(line: &str) -> Option<Vec<Vec<u8>>> {
    let (_, quoted) = line.split_once("] ")?;
    let mut bytes = quoted.bytes();
    let mut words = Vec::new();
    loop {
        match bytes.next() {
            None => return Some(words),
            Some(b' ') => {}
            Some(b'"') => words.push(word(&mut bytes)?),
            Some(_) => return None,
        }
    }
}

/// Up to the closing quote.
fn word(bytes: &mut impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    loop {
        let byte = match bytes.next()? {
            b'"' => return Some(word),
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 7,
                b'b' => 8,
                b'x' => hexadecimal(bytes.next()?)? << 4 | hexadecimal(bytes.next()?)?,
                other => other,
            },
            other => other,
        };
        word.push(byte);
    }
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_monitored_command_are_read_back() {
        let line =
            r#"1700000000.123456 [0 127.0.0.1:4711] "EVAL" "a\"b\\c\n" "2" "k" "{k}:never" "\x00\xffz" """#;
        let words = words(line).unwrap();
        assert_eq!(words[1], b"a\"b\\c\n");
        let call = call_of(words).unwrap();
        assert_eq!((call.key.as_slice(), call.arguments), (&b"k"[..], vec![b"\0\xffz".to_vec(), Vec::new()]));
    }

    #[test]
    fn a_command_of_a_script_is_none_of_a_client() {
        let line = r#"1700000000.123456 [0 lua] "get" "k""#;
        assert!(words(line).and_then(call_of).is_none());
    }
}
