//! The configuration in effect, for people and for programs.

use std::fmt::Write;

use serde_json::{Map, json};

use super::error::{KeyPath, Origin};
use super::load::Loaded;
use super::node::{Node, Value};
use super::units::{Period, Size};

impl Loaded {
    /// Everything that is in effect as YAML that can be used as a configuration file, each value with a comment that
    /// says where it comes from.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        yaml(&Node::of(&self.config), 0, &KeyPath::default(), &|path| Some(self.origin(path)), &mut text);
        text
    }

    /// Everything that is in effect as `config`, and `origins` by key for what is not a default.
    pub fn to_json(&self) -> serde_json::Value {
        let mut origins = Map::new();
        collect_origins(
            &Node::of(&self.config),
            &KeyPath::default(),
            &|path| self.origin(path),
            &mut origins,
        );
        json!({ "config": self.config, "origins": origins })
    }

    /// Where the value at `path` comes from.
    fn origin(&self, path: &KeyPath) -> Origin {
        let mut node = &self.given;
        let mut origin = Origin::Default;
        for (depth, _) in path.0.iter().enumerate() {
            let here = KeyPath(path.0[..=depth].to_vec());
            match self.given.origin_of(&here) {
                Some(found) => origin = found.clone(),
                None => return if matches!(node.value, Value::Map(_)) { Origin::Default } else { origin },
            }
            node = self.given.get(&here).unwrap_or(node);
        }
        origin
    }
}

/// YAML text of a value, with the comment that `comment` has for each value.
pub(crate) fn plain_yaml(node: &Node) -> String {
    let mut text = String::new();
    yaml(node, 0, &KeyPath::default(), &|_| None, &mut text);
    text
}

fn yaml(
    node: &Node,
    indent: usize,
    path: &KeyPath,
    origin: &dyn Fn(&KeyPath) -> Option<Origin>,
    text: &mut String,
) {
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let _ = write!(text, "{:indent$}{}:", "", scalar(&key.name));
                below(value, indent, &path.key(&key.name), origin, text);
            }
        }
        Value::List(items) => {
            for (position, item) in items.iter().enumerate() {
                if matches!(item.value, Value::Map(_)) {
                    let mut inner = String::new();
                    yaml(item, indent + 2, &path.index(position), origin, &mut inner);
                    let _ = write!(text, "{:indent$}- {}", "", inner.trim_start());
                } else {
                    let _ = write!(text, "{:indent$}-", "");
                    below(item, indent, &path.index(position), origin, text);
                }
            }
        }
        _ => {}
    }
}

/// What follows a key or a dash: on the same line when it fits there, else further in.
fn below(
    value: &Node,
    indent: usize,
    path: &KeyPath,
    origin: &dyn Fn(&KeyPath) -> Option<Origin>,
    text: &mut String,
) {
    match &value.value {
        Value::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            yaml(value, indent + 2, path, origin, text);
        }
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
            text.push('\n');
            yaml(value, indent + 2, path, origin, text);
        }
        _ => {
            let comment = origin(path).map(|origin| format!("  # {origin}")).unwrap_or_default();
            let _ = writeln!(text, " {}{comment}", inline(value));
        }
    }
}

/// A value on one line.
pub(crate) fn inline(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Loose(text) => text.clone(),
        Value::Text(text) => scalar(text),
        Value::List(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let pairs: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(&key.name), inline(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// Text as YAML: as it is where nobody can take it for anything else, else quoted as in JSON, which is YAML.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '/'))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | ".nan" | ".inf"
        );
    // Times and sizes with a unit begin with a digit and yet are numbers for nobody.
    let with_unit = Period::parse(text).is_ok() || text.parse::<f64>().is_err() && Size::parse(text).is_ok();
    if plain || with_unit { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn collect_origins(
    node: &Node,
    path: &KeyPath,
    origin: &dyn Fn(&KeyPath) -> Origin,
    origins: &mut Map<String, serde_json::Value>,
) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                collect_origins(value, &path.key(&key.name), origin, origins);
            }
        }
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
            for (position, item) in items.iter().enumerate() {
                collect_origins(item, &path.index(position), origin, origins);
            }
        }
        _ => {
            let origin = origin(path);
            if origin != Origin::Default {
                origins.insert(path.to_string(), origin.to_string().into());
            }
        }
    }
}
