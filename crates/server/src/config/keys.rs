//! The list of keys, taken from the schema: for environment variables and for the reference.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::node::Node;
use super::tree::{Config, Rule};

/// A key that holds a value rather than further keys of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyInfo {
    pub path: Vec<String>,
    /// What it takes, for people.
    pub kind: String,
    pub default: Node,
    pub description: String,
}

impl KeyInfo {
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }

    /// `SEAWALL_SERVER__METRICS_LISTEN` for `server.metricsListen`.
    pub fn variable(&self) -> String {
        let parts: Vec<String> = self.path.iter().map(|name| upper_snake(name)).collect();
        format!("SEAWALL_{}", parts.join("__"))
    }
}

fn upper_snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    let mut previous_is_lower = false;
    for c in camel.chars() {
        if c.is_ascii_uppercase() && previous_is_lower {
            snake.push('_');
        }
        previous_is_lower = !c.is_ascii_uppercase();
        snake.push(c.to_ascii_uppercase());
    }
    snake
}

/// The JSON Schema of the configuration file.
pub fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

/// The schema itself, or what it refers to.
pub(crate) fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    target.unwrap_or(schema)
}

/// Sections with their descriptions, in the order of the tree.
pub(crate) struct Keys {
    pub list: Vec<KeyInfo>,
    /// By dotted path, for those with a description.
    pub sections: BTreeMap<String, String>,
    /// Keys of one storm rule.
    pub rule: Vec<KeyInfo>,
}

/// All keys; the schema never changes while the program runs.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let root = schema();
        let mut keys = Keys { list: Vec::new(), sections: BTreeMap::new(), rule: Vec::new() };
        collect(
            &root,
            &root,
            &Node::of(&Config::default()),
            &mut Vec::new(),
            &mut keys.list,
            &mut keys.sections,
        );
        let rule = &root["$defs"]["Rule"];
        collect(
            &root,
            rule,
            &Node::of(&Rule::default()),
            &mut Vec::new(),
            &mut keys.rule,
            &mut BTreeMap::new(),
        );
        keys
    })
}

/// Goes through the defaults, which are in the order of the tree; the schema sorts its keys by name.
fn collect(
    root: &Value,
    schema: &Value,
    defaults: &Node,
    path: &mut Vec<String>,
    list: &mut Vec<KeyInfo>,
    sections: &mut BTreeMap<String, String>,
) {
    for (key, default) in defaults.entries() {
        path.push(key.name.clone());
        let property = &schema["properties"][&key.name];
        let target = resolved(root, property);
        let description = text(&property["description"], &target["description"]);
        if target["properties"].is_object() {
            sections.insert(path.join("."), description);
            collect(root, target, default, path, list, sections);
        } else {
            let kind = kind(root, property);
            list.push(KeyInfo { path: path.clone(), kind, default: default.clone(), description });
        }
        path.pop();
    }
}

fn text(first: &Value, second: &Value) -> String {
    first.as_str().or_else(|| second.as_str()).unwrap_or_default().replace('\n', " ")
}

fn kind(root: &Value, property: &Value) -> String {
    let property = alternatives(property).find(|schema| schema["type"] != "null").unwrap_or(property);
    let schema = resolved(root, property);
    if let Some(words) = variants(schema) {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    }
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        _ => Vec::new(),
    };
    match types.as_slice() {
        [_, _] if pattern.contains("MiB") => "size",
        ["string"] if pattern.contains("ms|") => "time",
        ["string"] => "text",
        ["integer"] => "number",
        ["boolean"] => "`true` or `false`",
        ["array"] if schema["items"]["$ref"] == "#/$defs/Rule" => "list of rules",
        ["array"] => "list of texts",
        ["object"] => "map",
        _ => "value",
    }
    .to_owned()
}

fn alternatives(property: &Value) -> impl Iterator<Item = &Value> {
    property["anyOf"].as_array().into_iter().flatten()
}

/// The words of an enumeration.
fn variants(schema: &Value) -> Option<Vec<&str>> {
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    let words: Vec<&str> =
        schema["oneOf"].as_array()?.iter().filter_map(|one| one["const"].as_str()).collect();
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_the_path_in_upper_snake_case() {
        for (path, variable) in [
            ("server.metricsListen", "SEAWALL_SERVER__METRICS_LISTEN"),
            ("server.timeouts.drainDelay", "SEAWALL_SERVER__TIMEOUTS__DRAIN_DELAY"),
            ("state.embedded.path", "SEAWALL_STATE__EMBEDDED__PATH"),
            ("storm.rules", "SEAWALL_STORM__RULES"),
        ] {
            let key = keys().list.iter().find(|key| key.dotted() == path);
            assert_eq!(key.map(KeyInfo::variable).as_deref(), Some(variable));
        }
        assert_eq!(upper_snake("clientCA"), "CLIENT_CA");
    }

    #[test]
    fn every_key_says_what_it_takes_and_what_it_is_for() {
        for key in keys().list.iter().chain(&keys().rule) {
            assert_ne!(key.kind, "value", "{}", key.dotted());
            assert!(!key.description.is_empty(), "{} has no description", key.dotted());
        }
    }
}
