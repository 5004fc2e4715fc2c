//! Reading: one object, lists in parts, and what a watch is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::state::{Change, State};
use super::status::Status;
use super::{API_VERSION, KIND};

/// Which objects a list or a watch is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    namespace: Option<String>,
    /// Paths to texts, and what these must be.
    wanted: Vec<(Vec<String>, String)>,
}

impl Selection {
    /// # Errors
    /// When a selector is one that the API server, or this fake of it, does not know.
    pub(super) fn new(
        state: &State,
        namespace: Option<&str>,
        query: &BTreeMap<String, String>,
    ) -> Result<Self, Status> {
        let mut wanted = Vec::new();
        for (key, value) in terms(query.get("labelSelector"))? {
            wanted.push((vec!["metadata".to_owned(), "labels".to_owned(), key], value));
        }
        for (field, value) in terms(query.get("fieldSelector"))? {
            if !["metadata.name", "metadata.namespace"].contains(&&*field) && !state.schema.selectable(&field)
            {
                return Err(Status::bad_request(format!("field label not supported: {field}")));
            }
            wanted.push((field.split('.').map(str::to_owned).collect(), value));
        }
        Ok(Self { namespace: namespace.map(str::to_owned), wanted })
    }

    fn takes(&self, object: &Value) -> bool {
        let is_there = |namespace: &String| object["metadata"]["namespace"] == **namespace;
        self.namespace.as_ref().is_none_or(is_there)
            && self.wanted.iter().all(|(path, value)| {
                let found = path.iter().try_fold(object, |at, name| at.get(name));
                found.and_then(Value::as_str) == Some(value)
            })
    }

    /// What a watch over this selection is told of a change.
    pub(super) fn event(&self, change: &Change) -> Option<Value> {
        let was = change.before.as_ref().is_some_and(|object| self.takes(object));
        match change.after.as_ref().filter(|object| self.takes(object)) {
            Some(object) if was => Some(event("MODIFIED", object)),
            Some(object) => Some(event("ADDED", object)),
            None if was => Some(event("DELETED", &change.last)),
            None => None,
        }
    }
}

pub(super) fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}

/// Where a watch has got to.
fn bookmark(version: u64) -> Value {
    let metadata = json!({ "resourceVersion": version.to_string() });
    event("BOOKMARK", &json!({ "kind": KIND, "apiVersion": API_VERSION, "metadata": metadata }))
}

fn terms(selector: Option<&String>) -> Result<Vec<(String, String)>, Status> {
    let parts = selector.into_iter().flat_map(|text| text.split(',')).filter(|part| !part.is_empty());
    let term = |part: &str| {
        let (key, value) = part.split_once('=').filter(|(key, _)| !key.ends_with('!'))?;
        let value = value.strip_prefix('=').unwrap_or(value);
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    parts
        .map(|part| {
            term(part)
                .ok_or_else(|| Status::bad_request(format!("the fake does not know the selector {part}")))
        })
        .collect()
}

pub(super) fn number(query: &BTreeMap<String, String>, name: &str) -> Result<Option<u64>, Status> {
    let given = query.get(name).filter(|text| !text.is_empty());
    given
        .map(|text| text.parse().map_err(|_| Status::bad_request(format!("{name} is no number: {text}"))))
        .transpose()
}

impl State {
    /// # Errors
    /// When what is asked for is over or has not been yet.
    pub(super) fn list(
        &mut self,
        selection: &Selection,
        query: &BTreeMap<String, String>,
    ) -> Result<Value, Status> {
        let limit = number(query, "limit")?.filter(|limit| *limit > 0);
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        // What is there now is not older than anything; other ways to match would need the past.
        if query.get("resourceVersionMatch").is_some_and(|how| how != "NotOlderThan") {
            return Err(Status::bad_request("the fake does not know this resourceVersionMatch"));
        }
        let (version, mut items) = match query.get("continue").filter(|token| !token.is_empty()) {
            Some(token) => {
                // Parts come from the state at the first part, until that is forgotten.
                let rest = self.lists.get(token).cloned();
                rest.ok_or_else(|| {
                    Status::new(
                        410,
                        "Expired",
                        "The provided continue parameter is too old to display a consistent list",
                    )
                })?
            }
            None => {
                let asked = number(query, "resourceVersion")?.unwrap_or_default();
                if asked > self.version {
                    return Err(Status::from_the_future(asked, self.version));
                }
                (self.version, self.selected(selection))
            }
        };
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if items.len() > limit {
            let rest = items.split_off(limit);
            metadata["remainingItemCount"] = json!(rest.len());
            let token = self.new_uid();
            metadata["continue"] = json!(token);
            self.lists.insert(token, (version, rest));
        }
        Ok(
            json!({ "kind": format!("{KIND}List"), "apiVersion": API_VERSION, "metadata": metadata, "items": items }),
        )
    }

    pub(super) fn selected(&self, selection: &Selection) -> Vec<Value> {
        let all = self.objects.values().map(super::state::Stored::to_json);
        all.filter(|object| selection.takes(object)).collect()
    }
}

/// One watch: what it is still to be told.
pub(super) struct Watching {
    selection: Selection,
    wants_bookmarks: bool,
    version: u64,
}

impl Watching {
    /// The watch and what it is told first.
    ///
    /// # Errors
    /// When the API server would not begin it.
    pub(super) fn begin(
        state: &State,
        selection: Selection,
        query: &BTreeMap<String, String>,
    ) -> Result<(Self, Vec<Value>), Status> {
        let asked = number(query, "resourceVersion")?.unwrap_or_default();
        let is_set = |name: &str| query.get(name).is_some_and(|value| value == "true" || value == "1");
        let wants_bookmarks = is_set("allowWatchBookmarks");
        if asked > state.version {
            return Err(Status::from_the_future(asked, state.version));
        }
        // Nor does the API server on an etcd as old as that of many a distribution.
        if query.contains_key("sendInitialEvents") {
            return Err(Status::bad_request("the fake does not know sendInitialEvents"));
        }
        if asked > 0 {
            let first = match asked < state.compacted {
                true => vec![event("ERROR", &Status::expired(asked, state.compacted).to_json())],
                false => Vec::new(),
            };
            return Ok((Self { selection, wants_bookmarks, version: asked }, first));
        }
        let first = state.selected(&selection).iter().map(|object| event("ADDED", object)).collect();
        Ok((Self { selection, wants_bookmarks, version: state.version }, first))
    }

    /// Everything that it has not been told yet.
    pub(super) fn news(&mut self, state: &State) -> Vec<Value> {
        let first = state.changes.partition_point(|change| change.version <= self.version);
        let news = state.changes[first..].iter().filter_map(|change| self.selection.event(change)).collect();
        self.version = self.version.max(state.changes.last().map_or(0, |change| change.version));
        news
    }

    /// Where it has got to, if it wants to know.
    pub(super) fn bookmark(&self) -> Option<Value> {
        self.wants_bookmarks.then(|| bookmark(self.version))
    }
}
