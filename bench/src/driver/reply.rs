//! Just enough RESP to know where the answer to a script ends.

use anyhow::{Result, bail};

use super::Follow;

/// Longest line that is believed.
const LINE_LIMIT: usize = 16 * 1024;

/// Follows one answer at a time: a string is taken, an error ends the run with its text.
#[derive(Debug, Default)]
pub struct Reply {
    /// The beginning of a first line that came in pieces.
    line: Vec<u8>,
    /// Bytes of the string that are still to come, its line end included.
    left: usize,
}

/// What every answer that is no error counts as.
const TAKEN: u16 = 200;

impl Follow for Reply {
    fn feed(&mut self, bytes: &[u8]) -> Result<Option<u16>> {
        if self.left > 0 {
            return self.feed_string(bytes.len());
        }
        self.line.extend_from_slice(bytes);
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else {
            anyhow::ensure!(self.line.len() < LINE_LIMIT, "the first line of an answer does not end");
            return Ok(None);
        };
        let rest = self.line.len() - end - 1;
        let length = length_of(&self.line[..end])?;
        self.line.clear();
        match length {
            Some(length) => {
                self.left = length + 2;
                self.feed_string(rest)
            }
            None if rest == 0 => Ok(Some(TAKEN)),
            None => bail!("an answer is longer than it said"),
        }
    }
}

impl Reply {
    fn feed_string(&mut self, bytes: usize) -> Result<Option<u16>> {
        let Some(left) = self.left.checked_sub(bytes) else { bail!("an answer is longer than it said") };
        self.left = left;
        Ok((left == 0).then_some(TAKEN))
    }
}

/// The length of the string that follows; nothing when the line is the whole answer.
fn length_of(line: &[u8]) -> Result<Option<usize>> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    match text.split_at_checked(1) {
        Some(("$", digits)) => match digits.parse() {
            Ok(length) => Ok(Some(length)),
            Err(_) => bail!("`{text}` is no length"),
        },
        Some((":" | "+", _)) => Ok(None),
        _ => bail!("Redis answered {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_complete_with_its_last_byte_however_it_was_split() {
        let answer = b"$12\r\nhello\r\nworld\r\n";
        for split in 1..answer.len() {
            let mut reply = Reply::default();
            assert_eq!(reply.feed(&answer[..split]).unwrap(), None, "split at {split}");
            assert_eq!(reply.feed(&answer[split..]).unwrap(), Some(200), "split at {split}");
            assert_eq!(reply.feed(b":1\r\n").unwrap(), Some(200), "the next one after a split at {split}");
        }
    }

    #[test]
    fn an_error_is_told_with_its_text() {
        let error = Reply::default().feed(b"-SEAWALL STALE a later call\r\n").unwrap_err();
        assert!(error.to_string().contains("SEAWALL STALE"), "{error}");
    }
}
