//! Query parameters: known names, valid values, or a sentence that names the one that is wrong.

use std::borrow::Cow;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use seawall_store::Page;

use crate::problem::Problem;

/// Items of a page when nothing is said.
const DEFAULT_LIMIT: usize = 500;
/// Items of a page at most: an item may have 256 KiB.
const MAX_LIMIT: usize = 5000;

/// The parameters of one request, each of which must be taken.
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::bad_parameter("", "cannot be read"))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_parameter(name, "is given twice"));
            }
        }
        Ok(Self(pairs))
    }
}

impl Parameters {
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(crate) fn take<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.take_text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::bad_parameter(name, format_args!("must be {expected}")))
    }

    pub(crate) fn take_page(&mut self) -> Result<Page, Problem> {
        let expected = format!("a number from 1 to {MAX_LIMIT}");
        let limit = self.take("limit", &expected)?.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::bad_parameter("limit", format_args!("must be {expected}")));
        }
        Ok(Page { limit, after: self.take_text("continue").filter(|token| !token.is_empty()) })
    }

    /// Whatever has not been taken is not known.
    pub(crate) fn finish(self, known: &str) -> Result<(), Problem> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let detail: Cow<'_, str> = if known.is_empty() {
                    "is not known".into()
                } else {
                    format!("is not known; there are {known}").into()
                };
                Err(Problem::bad_parameter(&name, detail))
            }
        }
    }
}
