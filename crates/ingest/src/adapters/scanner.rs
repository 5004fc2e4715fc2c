//! How deep a JSON text is nested, without reading it.

use super::MAX_DEPTH;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Depth,
    Name,
}

/// Follows a JSON text piece by piece. For texts that are not JSON it says anything, but never too little: the depth
/// that a parser reaches before it notices is never larger than the one seen here.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether a string that begins now is the value of a field.
    after_colon: bool,
    name: usize,
}

impl Scanner {
    /// A name of a field that is longer is no name; the parser would hold it whole.
    pub(super) const MAX_NAME: usize = 64 * 1024;

    pub(super) fn at_depth(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    pub(super) fn scan(&mut self, text: &[u8]) -> Result<(), Excess> {
        for &byte in text {
            if self.in_string {
                self.string(byte)?;
                continue;
            }
            match byte {
                b'"' => (self.in_string, self.name) = (true, 0),
                b'{' | b'[' => {
                    self.depth += 1;
                    self.after_colon = false;
                    if self.depth > MAX_DEPTH {
                        return Err(Excess::Depth);
                    }
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b':' => self.after_colon = true,
                b',' => self.after_colon = false,
                _ => {}
            }
        }
        Ok(())
    }

    fn string(&mut self, byte: u8) -> Result<(), Excess> {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
        }
        self.name += 1;
        // Deeper down names are skipped over, or part of a text that is bounded itself.
        let is_read = self.depth <= 1 && !self.after_colon;
        if is_read && self.name > Self::MAX_NAME { Err(Excess::Name) } else { Ok(()) }
    }
}

/// Whether a whole JSON value that stands at `depth` stays within the limit.
pub(super) fn is_deep(text: &str, depth: usize) -> bool {
    // Nearly always, and much faster than following the text.
    if openings(text.as_bytes()) + depth <= MAX_DEPTH {
        return false;
    }
    Scanner::at_depth(depth).scan(text.as_bytes()) == Err(Excess::Depth)
}

/// How many brackets open in `text`, those inside of texts included.
fn openings(text: &[u8]) -> usize {
    // Sums that fit into a byte are what makes the compiler compare many bytes at once.
    let pieces = text.chunks(128).map(|piece| {
        // `[` and `{` differ in this bit only, and no other byte becomes `{` by it.
        piece.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>()
    });
    pieces.map(usize::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_inside_texts_do_not_count() {
        let text = format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(500), "{".repeat(500));
        assert!(!is_deep(&text, 1));
        assert!(!is_deep(&"[]".repeat(500), 1));
    }

    #[test]
    fn opening_brackets_are_counted() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(openings(&all), 2);
        assert_eq!(openings(&[b'{'; 1000]), 1000);
    }

    #[test]
    fn the_limit_counts_from_the_beginning_of_the_body() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(!is_deep(&nested(MAX_DEPTH - 2), 2) && is_deep(&nested(MAX_DEPTH - 1), 2));
        let body = nested(MAX_DEPTH + 1);
        let mut scanner = Scanner::default();
        assert!(body.as_bytes().chunks(7).any(|piece| scanner.scan(piece) == Err(Excess::Depth)));
    }

    #[test]
    fn endless_names_are_noticed_and_long_values_are_not() {
        let long = "x".repeat(Scanner::MAX_NAME + 1);
        let scan = |text: String| Scanner::default().scan(text.as_bytes());
        assert_eq!(scan(format!(r#"{{"{long}":1}}"#)), Err(Excess::Name));
        assert_eq!(scan(format!(r#"{{"a":"{long}","b":{{"{long}":"{long}"}}}}"#)), Ok(()));
        assert_eq!(scan(format!(r#"{{"a":1,"{long}":1}}"#)), Err(Excess::Name));
    }
}
