//! Whether a body was sent a moment ago: what somebody recorded and sends again later is not taken.
//!
//! It says nothing about who sends, and a sender that may send at all can put any time into its header; with
//! authentication it keeps a body that was overheard from being replayed for ever.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use seawall_model::Timestamp;

use crate::problem::Problem;

static X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

/// How far the time that a sender gives may be from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Older bodies are refused.
    pub max_age: Duration,
    /// Bodies from further ahead are refused.
    pub max_skew: Duration,
}

/// The clocks of senders run as they do, and Alertmanager repeats for a while what was not taken.
impl Default for Freshness {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(5 * 60), max_skew: Duration::from_secs(2 * 60) }
    }
}

impl Freshness {
    /// Refuses a body without a time in `X-Timestamp`, or with one that is too far from `now`.
    pub(crate) fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Problem> {
        self.judge(headers, now).map_err(|detail| {
            Problem::new(StatusCode::BAD_REQUEST, "not-fresh", "Not sent a moment ago", detail)
        })
    }

    fn judge(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Cow<'static, str>> {
        let mut given = headers.get_all(&X_TIMESTAMP).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err("exactly one header `X-Timestamp` is needed: Unix seconds or an RFC 3339 time".into());
        };
        let Some(sent) = value.to_str().ok().and_then(parse) else {
            return Err("`X-Timestamp` is neither Unix seconds nor an RFC 3339 time".into());
        };
        let age = i128::from(now.as_millis()) - i128::from(sent.as_millis());
        let (seconds, max_age, max_skew) =
            (age.abs() / 1000, self.max_age.as_secs_f64(), self.max_skew.as_secs_f64());
        if age > as_millis(self.max_age) {
            return Err(format!("`X-Timestamp` is {seconds} s old, and at most {max_age} s are taken").into());
        }
        if -age > as_millis(self.max_skew) {
            let said = format!(
                "`X-Timestamp` is {seconds} s ahead, and at most {max_skew} s are taken; set the sender's clock"
            );
            return Err(said.into());
        }
        Ok(())
    }
}

fn as_millis(limit: Duration) -> i128 {
    i128::try_from(limit.as_millis()).unwrap_or(i128::MAX)
}

/// Whole seconds since 1970, or an RFC 3339 time.
fn parse(text: &str) -> Option<Timestamp> {
    match text.parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1000).map(Timestamp::from_millis),
        Err(_) => Timestamp::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_793_530_800;

    /// What is said about a body with this header at `NOW`.
    fn said(header: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(X_TIMESTAMP.clone(), header.parse().unwrap())]);
        let verdict = Freshness::default().judge(&headers, Timestamp::from_millis(NOW * 1000));
        verdict.err().map(Cow::into_owned)
    }

    #[test]
    fn times_within_the_limits_are_taken_and_the_limits_belong_to_them() {
        for seconds in [0, -1, -300, 1, 120] {
            assert_eq!(said(&(NOW + seconds).to_string()), None, "{seconds}");
        }
        let exact = Timestamp::from_millis((NOW - 300) * 1000).to_string();
        assert_eq!(said(&exact), None, "{exact}");
        assert_eq!(said("2026-11-01T12:00:00+01:00"), None);
    }

    #[test]
    fn old_and_future_times_are_refused_with_the_distance() {
        let old = "`X-Timestamp` is 301 s old, and at most 300 s are taken";
        assert_eq!(said(&(NOW - 301).to_string()).as_deref(), Some(old));
        let ahead = "`X-Timestamp` is 121 s ahead, and at most 120 s are taken; set the sender's clock";
        assert_eq!(said(&(NOW + 121).to_string()).as_deref(), Some(ahead));
        // Milliseconds taken for seconds, and the smallest number there is.
        assert!(said(&(NOW * 1000).to_string()).unwrap().contains("ahead"));
        assert!(said("-1").unwrap().contains("old"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let nothing = "`X-Timestamp` is neither Unix seconds nor an RFC 3339 time";
        for text in [
            "",
            " ",
            "yesterday",
            "1793530800.5",
            "0x6AE6",
            "99999999999999999999",
            "9223372036854775807",
            "NaN",
        ] {
            assert_eq!(said(text).as_deref(), Some(nothing), "{text:?}");
        }
    }

    #[test]
    fn no_header_and_two_headers_are_refused() {
        let check =
            |headers: &HeaderMap| Freshness::default().judge(headers, Timestamp::from_millis(NOW * 1000));
        let mut headers = HeaderMap::new();
        assert!(check(&headers).unwrap_err().contains("exactly one"));
        headers.append(&X_TIMESTAMP, NOW.into());
        assert!(check(&headers).is_ok());
        headers.append(&X_TIMESTAMP, NOW.into());
        assert!(check(&headers).unwrap_err().contains("exactly one"));
    }
}
