//! The text of one alert.

use seawall_engine::normalise::{Alert, Rejection};
use seawall_model::cut;
use serde::Deserialize;

use super::MAX_TEXT;
use super::text::{CheckedPairs, Pairs, Text};

/// One alert as it is written; the formats differ only around it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AlertText<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    labels: Pairs<'a>,
    /// Checked although nobody reads them here, so that what was accepted can be shown later.
    #[serde(rename = "annotations")]
    _annotations: CheckedPairs,
    #[serde(borrow)]
    starts_at: Text<'a>,
    #[serde(borrow)]
    ends_at: Text<'a>,
    #[serde(borrow, rename = "generatorURL")]
    _generator_url: Text<'a>,
}

impl<'a> AlertText<'a> {
    /// Reads one JSON value, of which nothing but its being valid JSON is known.
    pub(super) fn read(raw: &'a str) -> Result<Self, Rejection> {
        if raw.len() > MAX_TEXT {
            return Err(Rejection::TooLarge { bytes: raw.len(), limit: MAX_TEXT });
        }
        if !raw.starts_with('{') {
            return Err(Rejection::Malformed { problem: "an alert is an object".into() });
        }
        serde_json::from_str(raw).map_err(|error| explain::<Self>(raw, &error))
    }

    pub(super) fn alert(&self) -> Alert<'_> {
        Alert {
            status: &self.status.0,
            labels: &self.labels.0,
            starts_at: &self.starts_at.0,
            ends_at: &self.ends_at.0,
        }
    }
}

/// Bytes of a problem that are repeated to the sender; the parser's sentences may hold the sender's own text.
const MAX_PROBLEM: usize = 200;

/// What is wrong with a value, and where inside of it. Reads it again, which only ever happens to bad ones.
pub(super) fn explain<'a, T: Deserialize<'a>>(raw: &'a str, error: &serde_json::Error) -> Rejection {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let problem = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => {
            let path = error.path().to_string();
            let problem = without_position(error.inner());
            if path == "." { problem } else { format!("`{}`: {problem}", cut(&path, MAX_PROBLEM)) }
        }
        Ok(_) => without_position(error),
    };
    Rejection::Malformed { problem: cut(&problem, MAX_PROBLEM * 2).into() }
}

/// The parser's sentence; positions are said in words of their own where they mean something to the sender.
pub(super) fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let sentence = text.rsplit_once(" at line ").map_or(text.as_str(), |(sentence, _)| sentence);
    cut(sentence, MAX_PROBLEM).to_owned()
}
