//! Keeping what addresses log in with away from everything that is shown.

use std::borrow::Cow;

/// What is shown instead.
const HIDDEN: &str = "***";

/// `text` without the user and password of the addresses in it: `redis://app:pass@host` becomes `redis://***@host`.
///
/// Takes away rather too much than too little, because a password may contain anything: everything from the first
/// `://` to the last `@`.
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    const MARK: &str = "://";
    let Some(begin) = text.find(MARK).map(|at| at + MARK.len()) else { return Cow::Borrowed(text) };
    match text[begin..].rfind('@') {
        Some(length) => Cow::Owned(format!("{}{HIDDEN}{}", &text[..begin], &text[begin + length..])),
        None => Cow::Borrowed(text),
    }
}

/// One address for a log or a message about the server: what is before the host is left out.
pub(crate) fn place(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_without_who_logs_in() {
        assert_eq!(place("redis://app:p@ss@host:1/2"), "redis://host:1/2");
        assert_eq!(place("rediss://host"), "rediss://host");
    }

    #[test]
    fn who_an_address_logs_in_as_is_not_shown() {
        for (text, shown) in [
            ("redis://app:pass@host:1/2", "redis://***@host:1/2"),
            ("rediss://:p@ss://w/o:r?d@host", "rediss://***@host"),
            ("a: `redis://x@a,redis://y@b` is wrong", "a: `redis://***@b` is wrong"),
            ("redis://host:1 and nobody@host", "redis://***@host"),
            ("redis://host:1", "redis://host:1"),
            ("user@host", "user@host"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
