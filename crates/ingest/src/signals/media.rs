//! What a body says about itself.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::problem::Problem;

/// Accepts JSON (a missing content type is taken for it) that is not encoded.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Problem::media_type("bodies are taken as they are, without a content encoding"));
    }
    match headers.get(CONTENT_TYPE) {
        None => Ok(()),
        Some(kind) if kind.to_str().is_ok_and(is_json) => Ok(()),
        Some(_) => Err(Problem::media_type("the body must be `application/json`")),
    }
}

/// `application/json`, `text/json` and what is derived from JSON (`…+json`), whatever the parameters.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let derived = subtype.len() > 5 && subtype.as_bytes()[subtype.len() - 5..].eq_ignore_ascii_case(b"+json");
    let plain = subtype.eq_ignore_ascii_case("json");
    let kind = kind.eq_ignore_ascii_case("application") || (plain && kind.eq_ignore_ascii_case("text"));
    kind && (plain || derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_json() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/json",
            "application/merge-patch+json",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "json",
            "application/jsonp",
            "text/a+json",
            "",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
