//! Why a body is refused as a whole.

use std::io;

use serde_json::error::Category;

use super::{MAX_DEPTH, alert::without_position};

/// A sentence for whoever sends it. Everything but [`BodyError::TooMany`] and [`BodyError::TooLarge`] says that the
/// body is not the declared format.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is empty")]
    Empty,
    #[error("the body is not UTF-8 text at byte {offset}")]
    NotUtf8 { offset: usize },
    #[error("the body is not valid JSON at line {line}, column {column}: {problem}")]
    Syntax { line: usize, column: usize, problem: String },
    #[error("the body is not the declared format (line {line}, column {column}): {problem}")]
    Format { line: usize, column: usize, problem: String },
    #[error("the body is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the body holds {received} alerts and {limit} are taken: send them in several bodies")]
    TooMany { limit: usize, received: usize },
    #[error("{what} is longer than {limit} bytes")]
    TooLarge { what: &'static str, limit: usize },
    #[error("could not read the body")]
    Read(#[source] io::Error),
}

impl BodyError {
    pub(super) fn format(problem: impl Into<String>) -> Self {
        Self::Format { line: 1, column: 1, problem: problem.into() }
    }
}

impl From<serde_json::Error> for BodyError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Io => Self::Read(error.into()),
            Category::Syntax | Category::Eof => {
                Self::Syntax { line, column, problem: without_position(&error) }
            }
            Category::Data => Self::Format { line, column, problem: without_position(&error) },
        }
    }
}
