//! Who owns which field: sets of paths, and what server-side apply does with them.
//!
//! A path is a sequence of names. Lists are owned as a whole; those whose items have keys come here as objects, in the form
//! that `Schema::keyed` gives them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

type Path = Vec<String>;

/// Paths of leaves: scalars, lists, and objects without anything in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(BTreeSet<Path>);

/// What everybody says about an object and nobody owns.
const NOBODYS: [&[&str]; 9] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

impl Fields {
    /// Every field of an object that somebody can own.
    pub(super) fn of(object: &Value) -> Self {
        let mut found = BTreeSet::new();
        collect(object, &mut Vec::new(), &mut found);
        found.retain(|path| {
            !NOBODYS.contains(&path.iter().map(String::as_str).collect::<Vec<_>>().as_slice())
        });
        Self(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without what is below a field of the top.
    pub(super) fn without(mut self, top: &str) -> Self {
        self.0.retain(|path| path[0] != top);
        self
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// As they are named in the causes of a conflict: `.spec.severity`, `.status.conditions[type="Ready"].status`.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|path| path.iter().map(|name| step(name)).collect()).collect()
    }

    fn covers(&self, path: &[String]) -> bool {
        self.0.range(path.to_vec()..).next().is_some_and(|next| next.starts_with(path))
    }

    /// As it is written in `managedFields`.
    pub(super) fn to_json(&self) -> Value {
        let mut root = Map::new();
        for path in &self.0 {
            let mut at = &mut root;
            for name in path {
                let key = if name.starts_with("k:") { name.clone() } else { format!("f:{name}") };
                let inner = at.entry(key).or_insert_with(|| Value::Object(Map::new()));
                at = inner.as_object_mut().expect("only objects are put here");
            }
        }
        Value::Object(root)
    }
}

/// One step of a path: into a field, or to the item with these keys.
fn step(name: &str) -> String {
    let keys: Option<Map<String, Value>> =
        name.strip_prefix("k:").and_then(|keys| serde_json::from_str(keys).ok());
    match keys {
        Some(keys) => {
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        None => format!(".{name}"),
    }
}

fn collect(value: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (name, inner) in fields {
                path.push(name.clone());
                collect(inner, path, found);
                path.pop();
            }
        }
        None if path.is_empty() => {}
        None => {
            found.insert(path.clone());
        }
    }
}

/// What is different between two states of an object.
pub(super) struct Comparison {
    /// Has another value, or has one now.
    pub(super) changed: Fields,
    pub(super) removed: Fields,
}

pub(super) fn compare(old: &Value, new: &Value) -> Comparison {
    let (had, has) = (Fields::of(old), Fields::of(new));
    let differs = |path: &&Path| look(old, path) != look(new, path);
    Comparison {
        changed: Fields(has.0.iter().filter(differs).cloned().collect()),
        removed: had.difference(&has),
    }
}

fn look<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |at, name| at.get(name))
}

/// Puts what is applied over what there is.
pub(super) fn merge(live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            let mut merged = live.clone();
            for (name, value) in applied {
                let below = live.get(name).map_or_else(|| value.clone(), |live| merge(live, value));
                merged.insert(name.clone(), below);
            }
            Value::Object(merged)
        }
        _ => applied.clone(),
    }
}

/// Takes out what somebody used to apply and nobody owns any more, with the objects that this leaves empty.
pub(super) fn prune(object: &mut Value, used_to: &Fields, owned: &Fields) {
    for path in used_to.0.iter().filter(|path| !owned.covers(path)) {
        remove(object, path, owned);
    }
}

fn remove(object: &mut Value, path: &[String], owned: &Fields) {
    for length in (1..=path.len()).rev() {
        let (name, parent) = (&path[length - 1], &path[..length - 1]);
        let parent = parent.iter().try_fold(&mut *object, |at, name| at.get_mut(name));
        let Some(fields) = parent.and_then(Value::as_object_mut) else { continue };
        let is_leaf = length == path.len();
        let is_left_empty = || fields.get(name).and_then(Value::as_object).is_some_and(Map::is_empty);
        if is_leaf || (is_left_empty() && !owned.covers(&path[..length])) {
            fields.remove(name);
        }
    }
}

/// RFC 7386.
pub(super) fn merge_patch(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let fields = target.as_object_mut().expect("it was just made one");
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge_patch(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
