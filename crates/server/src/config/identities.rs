//! The identities file: who there is, how they are known, and what they may do.
//!
//! Read by hand rather than by a derived reader, whose errors repeat what they do not understand: here that may be a token.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use seawall_ingest::{
    CredentialDigest, CredentialError, Grants, Identities, IdentityEntry, NamespacePattern, PasswordHash,
    Right,
};

use super::de::listed;
use super::error::{ConfigError, ConfigErrors, KeyPath, Origin, did_you_mean};
use super::load::read_text;
use super::node::{Node, Value, file_origin};

const KEYS: [&str; 6] = ["name", "bearer", "basic", "certificate", "namespaces", "verbs"];
const VERBS: [(&str, Right); 3] = [("send", Right::Send), ("read", Right::Read), ("work", Right::Work)];

/// Two while one replaces the other, and some room for mistakes.
const MAX_TOKENS: usize = 4;

/// As long as the longest names in a cluster.
const MAX_NAME: usize = 253;

/// Reads and validates the file.
pub(super) fn read_identities(path: &Path) -> Result<Identities, ConfigErrors> {
    parse_identities(&read_text(path)?, &path.display().to_string())
}

/// Reads and validates the text of a file that is called `file`. Errors do not repeat tokens or hashes.
pub fn parse_identities(text: &str, file: &str) -> Result<Identities, ConfigErrors> {
    let node = Node::from_yaml(text, &file_origin(file))?;
    let mut reader = Reader::default();
    let entries = match &node.value {
        Value::List(items) if !items.is_empty() => {
            items.iter().enumerate().filter_map(|(at, item)| reader.entry(item, at)).collect()
        }
        other => {
            let message = match other {
                // A file without anything in it is read as an empty map.
                Value::Map(keys) if !keys.is_empty() => "a list of identities is expected at the top",
                Value::Loose(_) | Value::Text(_) => "a list of identities is expected at the top",
                _ => "names nobody, so nobody would be let in",
            };
            let origin = Origin::File { name: file.into(), line: 0, column: 0 };
            reader.fail(&origin, &KeyPath::default(), message);
            Vec::new()
        }
    };
    if reader.errors.is_empty() { Ok(Identities(entries)) } else { Err(ConfigErrors(reader.errors)) }
}

/// What is wrong so far, and what was read, to find what is there twice.
#[derive(Default)]
struct Reader {
    errors: Vec<ConfigError>,
    names: HashSet<String>,
    /// Whose they are.
    tokens: HashMap<CredentialDigest, String>,
    certificates: HashMap<String, String>,
}

/// One key of somebody, and where it is.
struct Given<'a> {
    node: &'a Node,
    path: KeyPath,
}

impl Reader {
    fn fail(&mut self, origin: &Origin, path: &KeyPath, message: impl Into<String>) {
        self.errors.push(ConfigError { origin: origin.clone(), path: path.clone(), message: message.into() });
    }

    /// Nothing when it is no identity at all; what is wrong is noted in any case.
    fn entry(&mut self, node: &Node, at: usize) -> Option<IdentityEntry> {
        let path = KeyPath::default().index(at);
        let Value::Map(entries) = &node.value else {
            self.fail(
                &node.origin,
                &path,
                "a map of keys is expected: `name`, how they are known, and what they may do",
            );
            return None;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !KEYS.contains(&key.name.as_str())) {
            let message = match did_you_mean(&key.name, KEYS) {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => format!("unknown key; there {}", listed(&KEYS)),
            };
            self.fail(&key.origin, &path.key(&key.name), message);
        }
        // A key without a value counts as left out, as everywhere.
        let given = |name: &str| {
            let (_, node) =
                entries.iter().find(|(key, node)| key.name == name && node.value != Value::Null)?;
            Some(Given { node, path: path.key(name) })
        };
        let name = self.name(node, &path, given("name"))?;
        let tokens = given("bearer").map(|given| self.tokens(&given, &name)).unwrap_or_default();
        let password = given("basic").and_then(|given| self.password(&given, &name));
        let certificate = given("certificate").and_then(|given| self.certificate(&given, &name));
        if !["bearer", "basic", "certificate"].into_iter().any(|key| given(key).is_some()) {
            let message =
                format!("nothing says how `{name}` is known; there are `bearer`, `basic` and `certificate`");
            self.fail(&node.origin, &path, message);
        }
        let namespaces = given("namespaces").map(|given| self.namespaces(&given));
        let grants = Grants {
            rights: given("verbs").map_or_else(|| vec![Right::Send], |given| self.verbs(&given)),
            namespaces: namespaces.filter(|all| !all.iter().any(NamespacePattern::is_everything)),
        };
        Some(IdentityEntry { name: name.into(), tokens, password, certificate, grants })
    }

    fn name(&mut self, node: &Node, path: &KeyPath, given: Option<Given<'_>>) -> Option<String> {
        let Some(given) = given else {
            self.fail(&node.origin, path, "the key `name` is missing");
            return None;
        };
        let name = self.text(given.node, &given.path, "a name")?;
        if name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            self.fail(
                &given.node.origin,
                &given.path,
                format!("a name has 1 to {MAX_NAME} bytes, on one line"),
            );
            return None;
        }
        if !self.names.insert(name.to_owned()) {
            self.fail(&given.node.origin, &given.path, format!("somebody else is called `{name}` too"));
        }
        Some(name.to_owned())
    }

    fn tokens(&mut self, given: &Given<'_>, name: &str) -> Vec<CredentialDigest> {
        let mut digests = Vec::new();
        let items =
            self.list(given, "a list of tokens or their hashes", "there is no token; leave the key out");
        if items.len() > MAX_TOKENS {
            let message = format!("there are {} tokens; at most {MAX_TOKENS}", items.len());
            self.fail(&given.node.origin, &given.path, message);
        }
        for (at, item) in items.iter().enumerate() {
            let path = given.path.index(at);
            let Some(text) = self.text(item, &path, "a token or its hash") else { continue };
            match text.parse::<CredentialDigest>() {
                Ok(digest) => match self.tokens.insert(digest, name.to_owned()) {
                    None => digests.push(digest),
                    Some(other) if other == name => self.fail(&item.origin, &path, "is listed twice"),
                    Some(other) => self.fail(&item.origin, &path, format!("is a token of `{other}` too")),
                },
                Err(error) => self.fail(&item.origin, &path, error.to_string()),
            }
        }
        digests
    }

    fn password(&mut self, given: &Given<'_>, name: &str) -> Option<PasswordHash> {
        if name.contains(':') {
            let message = format!("`{name}` cannot be a user name, because it has a colon");
            self.fail(&given.node.origin, &given.path, message);
        }
        let text = self.text(given.node, &given.path, "a bcrypt or argon2id hash")?;
        match text.parse() {
            Ok(hash) => Some(hash),
            Err(error) => {
                self.fail(&given.node.origin, &given.path, CredentialError::to_string(&error));
                None
            }
        }
    }

    fn certificate(&mut self, given: &Given<'_>, name: &str) -> Option<String> {
        let text = self.text(given.node, &given.path, "a name in a certificate")?;
        if text.trim().is_empty() {
            self.fail(&given.node.origin, &given.path, "a name in a certificate is expected, not empty text");
        } else if let Some(other) = self.certificates.insert(text.to_owned(), name.to_owned()) {
            self.fail(&given.node.origin, &given.path, format!("`{text}` stands for `{other}` already"));
        }
        Some(text.to_owned())
    }

    fn namespaces(&mut self, given: &Given<'_>) -> Vec<NamespacePattern> {
        let mut patterns = Vec::new();
        let items = self.list(
            given,
            "a list of namespaces",
            "there is no namespace; leave the key out for all of them",
        );
        for (at, item) in items.iter().enumerate() {
            let path = given.path.index(at);
            let Some(text) = self.text(item, &path, "a namespace") else { continue };
            match text.parse() {
                Ok(pattern) => patterns.push(pattern),
                Err(()) => {
                    let message = format!(
                        "no namespace is called `{text}`; names have lower-case letters, digits and `-`, and `*` \
                         stands for any of them"
                    );
                    self.fail(&item.origin, &path, message);
                }
            }
        }
        patterns
    }

    fn verbs(&mut self, given: &Given<'_>) -> Vec<Right> {
        let mut rights = Vec::new();
        let items = self.list(given, "a list of verbs", "there is no verb; leave the key out for `send`");
        for (at, item) in items.iter().enumerate() {
            let path = given.path.index(at);
            let Some(text) = self.text(item, &path, "a verb") else { continue };
            match VERBS.iter().find(|(verb, _)| *verb == text) {
                Some((_, right)) if rights.contains(right) => {
                    self.fail(&item.origin, &path, format!("`{text}` is listed twice"));
                }
                Some((_, right)) => rights.push(*right),
                None => {
                    let verbs = VERBS.map(|(verb, _)| verb);
                    let message = match did_you_mean(text, verbs) {
                        Some(near) => format!("`{text}` is not known; did you mean `{near}`?"),
                        None => format!("`{text}` is not known; there {}", listed(&verbs)),
                    };
                    self.fail(&item.origin, &path, message);
                }
            }
        }
        rights
    }

    fn text<'a>(&mut self, node: &'a Node, path: &KeyPath, expected: &str) -> Option<&'a str> {
        match &node.value {
            Value::Text(text) | Value::Loose(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.fail(&node.origin, path, format!("{expected} is expected, as text"));
                None
            }
        }
    }

    fn list<'a>(&mut self, given: &Given<'a>, expected: &str, empty: &str) -> &'a [Node] {
        match &given.node.value {
            Value::List(items) => {
                if items.is_empty() {
                    self.fail(&given.node.origin, &given.path, empty);
                }
                items
            }
            _ => {
                self.fail(&given.node.origin, &given.path, format!("{expected} is expected"));
                &[]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -nbB -C 4 oncall secret`
    const BCRYPT: &str = "$2y$04$3Cr90.UFIA9tndY9f1CgvuUtf8sGUZIUk5iVQG81Ya406eV.gcQ5a";

    fn read(text: &str) -> Identities {
        parse_identities(text, "identities.yaml").unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn message(text: &str) -> String {
        parse_identities(text, "identities.yaml").err().map(|errors| errors.to_string()).unwrap_or_default()
    }

    fn digest(text: &str) -> CredentialDigest {
        text.parse().unwrap()
    }

    #[test]
    fn a_file_says_who_there_is_how_they_are_known_and_what_they_may() {
        let sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let Identities(read) = read(&format!(
            "- name: alertmanager-eu\n  bearer: [\"sha256:{sha}\", sha256:{}, plain]\n  namespaces: [prod, \"shop-*\"]\n\
             \x20 verbs: [send]\n\
             - name: oncall\n  basic: \"{BCRYPT}\"\n  verbs: [read, work]\n  namespaces:\n\
             - {{name: 007, certificate: prometheus-0.monitoring, namespaces: [\"*\", a]}}\n",
            "0".repeat(64)
        ));
        let [eu, oncall, other] = read.as_slice() else { panic!("{} of them", read.len()) };
        assert_eq!(eu.name, "alertmanager-eu");
        assert!(eu.tokens[0] == digest("test") && eu.tokens[2] == digest("plain"), "the hash or the token");
        assert_eq!(eu.grants.rights, [Right::Send]);
        let namespaces = ["prod", "shop-*"].map(|name| name.parse().unwrap());
        assert_eq!(eu.grants.namespaces.as_deref(), Some(&namespaces[..]));
        assert!(oncall.password == Some(BCRYPT.parse().unwrap()) && oncall.tokens.is_empty());
        assert_eq!(oncall.grants, Grants { rights: vec![Right::Read, Right::Work], namespaces: None });
        assert_eq!(
            (other.name.as_str(), other.certificate.as_deref()),
            ("007", Some("prometheus-0.monitoring"))
        );
        assert_eq!(other.grants, Grants { rights: vec![Right::Send], namespaces: None });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let at = |place: &str, said: &str| format!("identities.yaml:{place}: {said}");
        for (text, expected) in [
            (
                "- name: a\n  bearer: [t]\n  verb: [send]",
                at("3:3", "[0].verb: unknown key; did you mean `verbs`?"),
            ),
            (
                "- name: a\n  bearer: [t]\n  colour: red",
                at(
                    "3:3",
                    "[0].colour: unknown key; there are `name`, `bearer`, `basic`, `certificate`, `namespaces` and \
                     `verbs`",
                ),
            ),
            ("- bearer: [t]", at("1:3", "[0]: the key `name` is missing")),
            ("- name:\n  bearer: [t]", at("1:3", "[0]: the key `name` is missing")),
            ("- name: ' '\n  bearer: [t]", at("1:9", "[0].name: a name has 1 to 253 bytes, on one line")),
            ("- name: [a]\n  bearer: [t]", at("1:9", "[0].name: a name is expected, as text")),
            (
                "- {name: a, bearer: [t]}\n- {name: a, bearer: [u]}",
                at("2:10", "[1].name: somebody else is called `a` too"),
            ),
            (
                "- name: a",
                at(
                    "1:3",
                    "[0]: nothing says how `a` is known; there are `bearer`, `basic` and `certificate`",
                ),
            ),
            (
                "- name: a\n  bearer:\n  verbs: [send]",
                at(
                    "1:3",
                    "[0]: nothing says how `a` is known; there are `bearer`, `basic` and `certificate`",
                ),
            ),
            ("- {name: a, bearer: []}", at("1:21", "[0].bearer: there is no token; leave the key out")),
            ("- {name: a, bearer: [a, b, c, d, e]}", at("1:21", "[0].bearer: there are 5 tokens; at most 4")),
            ("- {name: a, bearer: [t, t]}", at("1:25", "[0].bearer[1]: is listed twice")),
            (
                "- {name: a, bearer: [t]}\n- {name: b, bearer: [u, t]}",
                at("2:25", "[1].bearer[1]: is a token of `a` too"),
            ),
            (
                "- {name: a, bearer: ['sha256:abc']}",
                at("1:22", "[0].bearer[0]: `sha256:` is followed by the 64 hexadecimal digits of the hash"),
            ),
            (
                "- {name: 'a:b', basic: HASH}",
                at("1:24", "[0].basic: `a:b` cannot be a user name, because it has a colon"),
            ),
            (
                "- {name: a, certificate: ''}",
                at("1:26", "[0].certificate: a name in a certificate is expected, not empty text"),
            ),
            (
                "- {name: a, certificate: x}\n- {name: b, certificate: x}",
                at("2:26", "[1].certificate: `x` stands for `a` already"),
            ),
            (
                "- {name: a, bearer: [t], namespaces: [prod, Prod]}",
                at(
                    "1:45",
                    "[0].namespaces[1]: no namespace is called `Prod`; names have lower-case letters, digits and \
                     `-`, and `*` stands for any of them",
                ),
            ),
            (
                "- {name: a, bearer: [t], namespaces: []}",
                at("1:38", "[0].namespaces: there is no namespace; leave the key out for all of them"),
            ),
            (
                "- {name: a, bearer: [t], namespaces: prod}",
                at("1:38", "[0].namespaces: a list of namespaces is expected"),
            ),
            (
                "- {name: a, bearer: [t], verbs: [sned]}",
                at("1:34", "[0].verbs[0]: `sned` is not known; did you mean `send`?"),
            ),
            (
                "- {name: a, bearer: [t], verbs: [administer]}",
                at("1:34", "[0].verbs[0]: `administer` is not known; there are `send`, `read` and `work`"),
            ),
            (
                "- {name: a, bearer: [t], verbs: [read, read]}",
                at("1:40", "[0].verbs[1]: `read` is listed twice"),
            ),
            (
                "- {name: a, bearer: [t], verbs: []}",
                at("1:33", "[0].verbs: there is no verb; leave the key out for `send`"),
            ),
        ] {
            assert_eq!(message(&text.replace("HASH", BCRYPT)), expected, "{text}");
        }
    }

    #[test]
    fn a_file_that_names_nobody_is_wrong_as_a_whole() {
        for empty in ["", "# nobody\n", "---\n", "null", "[]", "{}"] {
            assert_eq!(
                message(empty),
                "identities.yaml: names nobody, so nobody would be let in",
                "{empty:?}"
            );
        }
        for other in ["name: a\nbearer: [t]\n", "text", "7"] {
            assert_eq!(
                message(other),
                "identities.yaml: a list of identities is expected at the top",
                "{other}"
            );
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let said = message("- {name: a, verbs: [x], bearer: ['?']}\n- {name: a, basic: b}\n- text\n");
        let paths = ["[0].bearer[0]: ", "[0].verbs[0]: ", "[1].name: ", "[1].basic: ", "[2]: "];
        assert_eq!(said.lines().count(), paths.len(), "{said}");
        for (line, path) in said.lines().zip(paths) {
            assert!(line.contains(path), "{line} for {path}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_what_may_be_secret() {
        for text in [
            "- hunter2",
            "hunter2",
            "- {name: a, bearer: hunter2}",
            "- {name: a, bearer: ['hunter2 hunter2']}",
            "- {name: a, bearer: ['sha256:hunter2']}",
            "- {name: a, bearer: [[hunter2]]}",
            "- {name: a, bearer: [{hunter2: hunter2}]}",
            "- {name: a, basic: hunter2}",
            "- {name: a, basic: '$2y$hunter2'}",
            "- {name: a, basic: '$argon2id$hunter2'}",
            "- {name: a, basic: [hunter2]}",
            "- {name: a, bearer: [hunter2, hunter2]}",
            "- {name: a, bearer: [hunter2], tokn: hunter2}",
            "- {name: a, bearer: [\"hunter2]}",
            "- {name: a, bearer: [hunter2}",
            "- name: a\n  bearer: hunter2: hunter2\n",
            "- name: a\n\tbearer: [hunter2]\n",
        ] {
            let said = message(text);
            assert!(!said.is_empty() && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
