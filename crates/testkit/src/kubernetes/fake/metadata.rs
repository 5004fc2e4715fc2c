//! What may be a name, a label and an annotation.

use serde_json::Value;

use super::schema::Faults;

/// Of all annotations of an object together, in bytes.
const ANNOTATIONS: usize = 256 * 1024;

/// Everything that is wrong with the metadata of an object.
pub(super) fn faults(metadata: &Value) -> Faults {
    let mut faults = Faults::new();
    let mut complain =
        |field: &str, wrong: &str| faults.push((format!("metadata.{field}"), wrong.to_owned()));
    if !metadata["name"].as_str().is_some_and(is_subdomain) {
        complain("name", "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters");
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        if !is_qualified(key) {
            complain("labels", &format!("{key:?} is no qualified name"));
        }
        if !value.as_str().is_some_and(|value| value.is_empty() || is_label(value)) {
            complain("labels", &format!("{value} is no valid label value"));
        }
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        if !is_qualified(&key.to_lowercase()) {
            complain("annotations", &format!("{key:?} is no qualified name"));
        }
        match value.as_str() {
            Some(value) => size += key.len() + value.len(),
            None => complain("annotations", "must be text"),
        }
    }
    if size > ANNOTATIONS {
        complain("annotations", "too long");
    }
    faults
}

/// One part of a name that machines have.
fn is_word(text: &str, longest: usize, inner: impl Fn(char) -> bool, outer: impl Fn(char) -> bool) -> bool {
    text.len() <= longest && text.chars().all(inner) && text.starts_with(&outer) && text.ends_with(outer)
}

fn is_subdomain(text: &str) -> bool {
    let lower = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let part = |part: &str| is_word(part, 253, |letter| lower(letter) || letter == '-', lower);
    text.len() <= 253 && text.split('.').all(part)
}

/// A label's value, or the last part of its key.
fn is_label(text: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    is_word(text, 63, inner, |letter| letter.is_ascii_alphanumeric())
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_label(name),
        None => is_label(key),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_labels_and_annotations_are_held_to_their_forms() {
        let good = json!({
            "name": "rr-1.a",
            "labels": { "app.kubernetes.io/name": "Seawall_1", "empty": "" },
            "annotations": { "Example.com/any": "any text: \n" },
        });
        assert_eq!(faults(&good), []);
        for (field, value) in [
            ("name", json!("Upper")),
            ("name", json!("ends-")),
            ("name", json!("n".repeat(254))),
            ("labels", json!({ "key": "a space" })),
            ("labels", json!({ "key": "v".repeat(64) })),
            ("labels", json!({ "a/b/c": "value" })),
            ("labels", json!({ "key": 1 })),
            ("annotations", json!({ "a space": "value" })),
            ("annotations", json!({ "key": "v".repeat(256 * 1024) })),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert_eq!(faults(&bad).len(), 1, "{field}: {bad:.200}");
        }
    }
}
