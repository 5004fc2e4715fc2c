//! Texts as the API server takes them.
//!
//! What is applied reaches the API server as JSON, and it reads it as YAML. Measured with 1.34: it refuses an object with
//! DEL, a C1 control or a noncharacter in it, takes NEL, LS and PS for ends of lines that it folds, and refuses a key of
//! 1022 characters or more. One such alert would never get its request, so requests show no such text, whichever the
//! sink. `originalPayload` has the alert as it was.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::cut;

/// Bytes of a name in a map: the longest key of a label in Kubernetes, with its prefix.
const MAX_NAME: usize = 317;

/// The text with the same number of characters, all of which the API server keeps.
pub(super) fn kept(text: &str) -> Cow<'_, str> {
    // What JSON escapes is safe: YAML knows the escapes too.
    if text.bytes().all(|byte| byte < 0x7f) || text.chars().all(|letter| replacement(letter).is_none()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|letter| replacement(letter).unwrap_or(letter)).collect())
}

/// As [`kept`], no longer than a name in a map may be. An escape takes six places, so control characters have none here.
fn kept_name(name: &str) -> String {
    let plain = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    cut(&kept(name).chars().map(plain).collect::<String>(), MAX_NAME).to_owned()
}

/// As [`kept`], of every name and every value.
pub(super) fn kept_pairs(pairs: BTreeMap<String, String>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (kept_name(&name), kept(&value).into_owned())).collect()
}

const fn replacement(letter: char) -> Option<char> {
    match letter {
        '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => Some(char::REPLACEMENT_CHARACTER),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_api_server_would_refuse_or_change_is_replaced() {
        for text in ["", "web-1", "tab\tand\nbreak\u{0}\u{1b}", "ü 名 😀 \u{a0}\u{feff}\u{fffd}"] {
            assert!(matches!(kept(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
        assert_eq!(
            kept("a\u{7f}b\u{80}c\u{9f}d\u{fffe}e\u{ffff}f"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f"
        );
        assert_eq!(kept("one\u{85}two\u{2028}three\u{2029}"), "one\ntwo\nthree\n");
    }

    #[test]
    fn no_name_in_a_map_is_longer_than_a_key_may_be_even_when_it_is_escaped() {
        for letter in ["k", "ü", "\u{1}", "\"", "\u{2028}", "\u{7f}"] {
            let name = kept_name(&letter.repeat(3000));
            let json = serde_json::to_string(&name).unwrap();
            assert!(json.chars().count() < 1022 && !name.is_empty(), "{letter:?}: {json}");
        }
        assert_eq!(kept_name("app.kubernetes.io/name"), "app.kubernetes.io/name");
    }
}
