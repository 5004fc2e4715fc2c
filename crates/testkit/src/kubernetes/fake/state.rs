//! What the cluster consists of: namespaces, objects, and everything that ever happened to them.

use std::collections::BTreeMap;

use seawall_model::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fields::Fields;
use super::schema::Schema;
use super::status::Status;
use super::{API_VERSION, KIND, Write};

/// Where an object is: its namespace and its name.
pub(super) type Key = (String, String);

/// Who owns fields, and by which way of writing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub(super) manager: String,
    /// `Apply` or `Update`; one name with both is two owners.
    pub(super) operation: &'static str,
    pub(super) subresource: Option<&'static str>,
    pub(super) since: String,
    pub(super) fields: Fields,
}

impl Owner {
    pub(super) fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": API_VERSION,
            "time": self.since,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_json(),
        });
        if let Some(subresource) = self.subresource {
            entry["subresource"] = json!(subresource);
        }
        entry
    }
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Without `managedFields` and `resourceVersion`.
    pub(super) object: Value,
    pub(super) owners: Vec<Owner>,
    pub(super) version: u64,
}

impl Stored {
    /// As it is answered.
    pub(super) fn to_json(&self) -> Value {
        let mut object = self.object.clone();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if !self.owners.is_empty() {
            object["metadata"]["managedFields"] = self.owners.iter().map(Owner::to_json).collect();
        }
        object
    }

    pub(super) fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }
}

/// What a watch is told of one change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    /// The object in its last state, for the news that it is gone.
    pub(super) last: Value,
}

#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) uid: String,
    /// Since when it is being deleted.
    pub(super) deleted: Option<String>,
}

pub(super) struct State {
    pub(super) schema: Schema,
    /// Of the last change in the whole cluster.
    pub(super) version: u64,
    /// What happened up to here can no longer be asked for.
    pub(super) compacted: u64,
    pub(super) namespaces: BTreeMap<String, Namespace>,
    pub(super) objects: BTreeMap<Key, Stored>,
    pub(super) changes: Vec<Change>,
    /// What is left of lists that are read in parts, by the token that asks for more.
    pub(super) lists: BTreeMap<String, (u64, Vec<Value>)>,
    pub(super) written: Vec<Write>,
    given: u64,
}

impl State {
    pub(super) fn new() -> Self {
        let mut state = Self {
            schema: Schema::checked_in(),
            version: 1,
            compacted: 0,
            namespaces: BTreeMap::new(),
            objects: BTreeMap::new(),
            changes: Vec::new(),
            lists: BTreeMap::new(),
            written: Vec::new(),
            given: 0,
        };
        ["default", "kube-system"].into_iter().for_each(|name| state.add_namespace(name));
        state
    }

    pub(super) fn new_uid(&mut self) -> String {
        self.given += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.given)
    }

    pub(super) fn add_namespace(&mut self, name: &str) {
        let uid = self.new_uid();
        self.version += 1;
        self.namespaces.insert(name.to_owned(), Namespace { uid, deleted: None });
    }

    pub(super) fn namespace(&self, name: &str) -> Result<Value, Status> {
        let namespace = self.namespaces.get(name).ok_or_else(|| Status::namespace_not_found(name))?;
        let labels = json!({ "kubernetes.io/metadata.name": name });
        let mut metadata =
            json!({ "name": name, "uid": namespace.uid, "resourceVersion": "1", "labels": labels });
        let phase = match &namespace.deleted {
            Some(since) => {
                metadata["deletionTimestamp"] = json!(since);
                "Terminating"
            }
            None => "Active",
        };
        Ok(
            json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": metadata, "status": { "phase": phase } }),
        )
    }

    /// Whether something new may come into a namespace.
    pub(super) fn accepts(&self, namespace: &str, name: &str) -> Result<(), Status> {
        match self.namespaces.get(namespace) {
            None => Err(Status::namespace_not_found(namespace)),
            Some(Namespace { deleted: Some(_), .. }) => Err(Status::namespace_terminating(name, namespace)),
            Some(_) => Ok(()),
        }
    }

    /// Keeps the new state of an object, tells the watches, and notes who wrote it.
    pub(super) fn commit(&mut self, key: &Key, object: Value, owners: Vec<Owner>, by: &str) -> Value {
        self.version += 1;
        let stored = Stored { object, owners, version: self.version };
        let after = stored.to_json();
        let before = self.objects.insert(key.clone(), stored).map(|before| before.to_json());
        self.note(key, before, Some(after.clone()), after.clone(), by);
        after
    }

    /// Takes an object away.
    pub(super) fn remove(&mut self, key: &Key, by: &str) {
        let Some(mut stored) = self.objects.remove(key) else { return };
        self.version += 1;
        let before = stored.to_json();
        stored.version = self.version;
        self.note(key, Some(before), None, stored.to_json(), by);
    }

    fn note(&mut self, key: &Key, before: Option<Value>, after: Option<Value>, last: Value, by: &str) {
        self.written.push(Write {
            at: Instant::now(),
            manager: by.to_owned(),
            namespace: key.0.clone(),
            name: key.1.clone(),
            is_create: before.is_none(),
            object: after.clone(),
        });
        self.changes.push(Change { version: self.version, before, after, last });
    }

    /// Forgets what happened so far: whoever wants to go on from there must start afresh.
    pub(super) fn compact(&mut self) {
        // Something happens after what a client may have seen last; else going on from there would be possible.
        self.version += 1;
        self.compacted = self.version;
        self.changes.clear();
        self.lists.clear();
    }
}

/// The parts that every object has and that nobody but the API server writes.
pub(super) fn system_metadata(key: &Key, uid: &str) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": key.1,
            "namespace": key.0,
            "uid": uid,
            "creationTimestamp": now(),
            "generation": 1,
        },
    })
}

/// To the second, as the API server writes it.
pub(super) fn now() -> String {
    let text = SystemClock.now().to_string();
    let seconds = text.split_once('.').map_or(&*text, |(seconds, _)| seconds);
    format!("{}Z", seconds.trim_end_matches('Z'))
}
