//! Reading a body while it arrives, and keeping the parts of its text that are asked for.

use std::cell::RefCell;
use std::io::{self, Read};

use super::scanner::{Excess, Scanner};
use super::{BodyError, MAX_TEXT};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// A reader over a body that checks what passes (UTF-8, nesting) and can record it. A parser reads it by reference, so
/// that whoever drives the parser can start and stop the recording.
pub(super) struct Tape<R>(RefCell<State<R>>);

struct State<R> {
    body: R,
    chunk: Vec<u8>,
    /// What of the chunk is checked text; behind it is at most the beginning of a character.
    end: usize,
    filled: usize,
    position: usize,
    /// Bytes of the body before this chunk.
    passed: usize,
    scanner: Scanner,
    is_blank: bool,
    /// Where in this chunk the recording begins.
    recording: Option<usize>,
    /// What was recorded in earlier chunks, at most [`MAX_TEXT`] and one byte, and how long it really was.
    record: Vec<u8>,
    recorded: usize,
    fault: Option<BodyError>,
}

/// Where a recording begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// With the next byte that is read.
    Next,
    /// With the last byte that was read: a parser has to look at the first byte of an element to know that there is one.
    Last,
}

impl<R: Read> Tape<R> {
    pub(super) fn new(body: R) -> Self {
        Self(RefCell::new(State {
            body,
            chunk: vec![0; CHUNK],
            end: 0,
            filled: 0,
            position: 0,
            passed: 0,
            scanner: Scanner::default(),
            is_blank: true,
            recording: None,
            record: Vec::new(),
            recorded: 0,
            fault: None,
        }))
    }

    pub(super) fn record(&self, from: From) {
        let mut state = self.0.borrow_mut();
        state.record.clear();
        state.recorded = 0;
        state.recording = Some(state.position - usize::from(from == From::Last && state.position > 0));
    }

    /// Ends the recording and passes on its text and how long it is; of one over [`MAX_TEXT`] the beginning.
    pub(super) fn recorded<T>(&self, then: impl FnOnce(&[u8], usize) -> T) -> T {
        let mut state = self.0.borrow_mut();
        let position = state.position;
        let start = state.recording.take().unwrap_or(position);
        if state.recorded == 0 {
            // Mostly it lies within one chunk and need not be copied.
            let text = &state.chunk[start..position];
            return then(&text[..text.len().min(MAX_TEXT + 1)], text.len());
        }
        state.keep(start, position);
        then(&state.record, state.recorded)
    }

    /// Why reading failed, rather than what the parser made of it.
    pub(super) fn fault(&self, error: serde_json::Error) -> BodyError {
        let mut state = self.0.borrow_mut();
        match state.fault.take() {
            Some(fault) => fault,
            None if state.is_blank && error.is_eof() => BodyError::Empty,
            None => error.into(),
        }
    }
}

impl<R: Read> State<R> {
    fn keep(&mut self, start: usize, end: usize) {
        self.recorded += end - start;
        let room = (MAX_TEXT + 1).saturating_sub(self.record.len());
        self.record.extend_from_slice(&self.chunk[start..end.min(start + room)]);
    }

    /// Reads on until there is checked text to pass on; false at the end of the body.
    fn refill(&mut self) -> io::Result<bool> {
        if let Some(start) = self.recording {
            self.keep(start, self.end);
            self.recording = Some(0);
        }
        self.passed += self.end;
        self.chunk.copy_within(self.end..self.filled, 0);
        self.filled -= self.end;
        (self.position, self.end) = (0, 0);
        while self.end == 0 {
            let count = match self.body.read(&mut self.chunk[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            self.filled += count;
            match std::str::from_utf8(&self.chunk[..self.filled]) {
                Ok(text) => self.end = text.len(),
                Err(error) if error.error_len().is_none() && count > 0 => self.end = error.valid_up_to(),
                Err(error) => {
                    let offset = self.passed + error.valid_up_to();
                    return Err(self.fail(BodyError::NotUtf8 { offset }));
                }
            }
            if count == 0 {
                return Ok(false);
            }
        }
        self.check()?;
        Ok(true)
    }

    fn check(&mut self) -> io::Result<()> {
        const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
        if self.passed == 0 && self.chunk[..self.end].starts_with(BYTE_ORDER_MARK) {
            self.position = BYTE_ORDER_MARK.len();
        }
        let text = &self.chunk[self.position..self.end];
        self.is_blank &= text.trim_ascii_start().is_empty();
        match self.scanner.scan(text) {
            Ok(()) => Ok(()),
            Err(Excess::Depth) => Err(self.fail(BodyError::TooDeep)),
            Err(Excess::Name) => {
                Err(self.fail(BodyError::TooLarge { what: "the name of a field", limit: Scanner::MAX_NAME }))
            }
        }
    }

    fn fail(&mut self, fault: BodyError) -> io::Error {
        self.fault = Some(fault);
        io::ErrorKind::InvalidData.into()
    }
}

impl<R: Read> Read for &Tape<R> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        while state.position == state.end {
            if !state.refill()? {
                return Ok(0);
            }
        }
        // The parser asks for one byte at a time; anything more general costs more than the rest of the parsing.
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        *first = state.chunk[state.position];
        state.position += 1;
        Ok(1)
    }
}
