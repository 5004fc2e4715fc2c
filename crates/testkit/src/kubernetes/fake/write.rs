//! Writing: server-side apply, merge patches, updates and deletions.

use serde_json::{Map, Value, json};

use super::fields::{Fields, compare, merge, merge_patch, prune};
use super::metadata;
use super::state::{Key, Owner, State, Stored, now, system_metadata};
use super::status::Status;
use super::{API_VERSION, KIND};

/// The API server's own limit, on what it stores.
const LARGEST_OBJECT: usize = 1_536 * 1_024;

/// One write, and by whom.
pub(super) struct Writing {
    pub(super) key: Key,
    /// Only the status, or everything but the status.
    pub(super) is_status: bool,
    /// Whether unknown fields are refused; else they are dropped.
    pub(super) is_strict: bool,
    pub(super) manager: String,
    pub(super) content: Content,
}

pub(super) enum Content {
    Apply { config: Value, force: bool },
    Merge(Value),
    Replace(Value),
}

/// How a write ended: the object, and whether it is a new one.
pub(super) type Written = (Value, bool);

impl State {
    /// # Errors
    /// When the API server would refuse it.
    pub(super) fn write(&mut self, writing: &Writing) -> Result<Written, Status> {
        let live = self.objects.get(&writing.key).cloned();
        let asked = self.asked(writing, live.as_ref())?;
        self.check_identity(writing, &asked, live.as_ref())?;
        match (&writing.content, live) {
            (Content::Apply { config, force }, live) => self.apply(writing, config, *force, live),
            (_, None) => Err(Status::not_found(&writing.key.1)),
            (_, Some(live)) => self.update(writing, asked, live),
        }
    }

    /// What the writer says the object is to be, before anything is decided.
    fn asked(&self, writing: &Writing, live: Option<&Stored>) -> Result<Value, Status> {
        match &writing.content {
            Content::Apply { config, .. } => {
                if writing.manager.is_empty() {
                    let missing = ("fieldManager".to_owned(), "is required for apply patch".to_owned());
                    return Err(Status::invalid("", &[missing]));
                }
                if !config["metadata"]["managedFields"].is_null() {
                    return Err(Status::bad_request("metadata.managedFields must be nil"));
                }
                if let Some(wrong) = self.schema.misfit(config) {
                    let message = format!("failed to create typed patch object: {wrong}");
                    return Err(Status::new(500, "", message));
                }
                Ok(config.clone())
            }
            Content::Merge(patch) => {
                let mut asked = live.map_or(Value::Null, Stored::to_json);
                merge_patch(&mut asked, patch);
                Ok(asked)
            }
            Content::Replace(object) => {
                if live.is_some() && object["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty)
                {
                    let missing = "Invalid value: 0: must be specified for an update".to_owned();
                    return Err(Status::invalid(
                        &writing.key.1,
                        &[("metadata.resourceVersion".to_owned(), missing)],
                    ));
                }
                Ok(object.clone())
            }
        }
    }

    /// Whether it is about the object that is there, and about the version that is there.
    fn check_identity(&self, writing: &Writing, asked: &Value, live: Option<&Stored>) -> Result<(), Status> {
        let (namespace, name) = &writing.key;
        let is_patch = matches!(writing.content, Content::Merge(_));
        if live.is_none() && (is_patch || writing.is_status) {
            return Err(Status::not_found(name));
        }
        if asked["apiVersion"] != API_VERSION || asked["kind"] != KIND {
            return Err(Status::bad_request("the object is of another kind than the path"));
        }
        let said = &asked["metadata"];
        if let Some(other) = said.as_object().into_iter().flat_map(Map::keys).find(|name| !known(name)) {
            return Err(Status::bad_request(format!("the fake does not know metadata.{other}")));
        }
        if said["name"] != **name {
            return Err(Status::bad_request("the name of the object does not match the name on the URL"));
        }
        if !said["namespace"].is_null() && said["namespace"] != **namespace {
            return Err(Status::bad_request("the namespace of the object does not match the one on the URL"));
        }
        let uid = said["uid"].as_str().filter(|uid| !uid.is_empty());
        let version = said["resourceVersion"].as_str().filter(|version| !version.is_empty());
        match (live, uid) {
            (None, Some(uid)) => {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(Status::conflict(name, &why));
            }
            (Some(live), Some(uid)) if live.uid() != uid => {
                // An update names the object that it is for; a patch says what a field is to be.
                if !matches!(writing.content, Content::Replace(_)) {
                    let immutable = ("metadata.uid".to_owned(), "field is immutable".to_owned());
                    return Err(Status::invalid(name, &[immutable]));
                }
                let why = format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                    live.uid()
                );
                return Err(Status::conflict(name, &why));
            }
            _ => {}
        }
        match (live, version) {
            (Some(live), Some(version)) if version != live.version.to_string() => Err(Status::stale(name)),
            _ => Ok(()),
        }
    }

    fn apply(
        &mut self,
        writing: &Writing,
        config: &Value,
        force: bool,
        live: Option<Stored>,
    ) -> Result<Written, Status> {
        let is_new = live.is_none();
        if is_new {
            self.accepts(&writing.key.0, &writing.key.1)?;
        }
        let live = match live {
            Some(live) => live,
            None => {
                let object = system_metadata(&writing.key, &self.new_uid());
                Stored { object, owners: Vec::new(), version: 0 }
            }
        };
        let config = self.schema.keyed(&configured(config));
        let before = self.schema.keyed(&live.object);
        let mut object = merge(&before, &config);
        let mut mine = owner(writing, "Apply", Fields::of(&config));
        mine.fields = mine.fields.without(foreign_part(writing));
        let (used_to, mut others): (Vec<Owner>, Vec<Owner>) =
            live.owners.iter().cloned().partition(|owner| owner.is(&mine));
        if let Some(used_to) = used_to.first() {
            let owned = others.iter().fold(mine.fields.clone(), |owned, other| owned.union(&other.fields));
            prune(&mut object, &used_to.fields, &owned);
        }

        let comparison = compare(&before, &object);
        let changed = comparison.changed.without(foreign_part(writing));
        if !force {
            let conflicts = conflicts(&others, &changed);
            if !conflicts.is_empty() {
                return Err(Status::owned_by_others(&conflicts));
            }
        }
        let lost = changed.union(&comparison.removed);
        others.iter_mut().for_each(|other| other.fields = other.fields.difference(&lost));

        match used_to.into_iter().next() {
            // A moment that nothing came of is not worth a write.
            Some(used_to) if used_to.fields == mine.fields => mine.since = used_to.since,
            _ => {}
        }
        others.insert(0, mine);
        others.retain(|owner| !owner.fields.is_empty());
        let object = self.schema.unkeyed(&object);
        self.keep(writing, object, others, &live, is_new)
    }

    fn update(&mut self, writing: &Writing, mut asked: Value, live: Stored) -> Result<Written, Status> {
        if let Some(field) = self.schema.unknown_field(&asked).filter(|_| writing.is_strict) {
            let unknown = format!("strict decoding error: unknown field \"{field}\"");
            return Err(Status::invalid(&writing.key.1, &[("patch".to_owned(), unknown)]));
        }
        self.schema.drop_unknown_fields(&mut asked);
        let object = own_part(writing, asked, &live);
        let comparison = compare(&self.schema.keyed(&live.object), &self.schema.keyed(&object));
        let lost = comparison.changed.union(&comparison.removed);
        let mut owners = live.owners.clone();
        let mut mine = owner(writing, "Update", Fields::default());
        if let Some(before) = owners.iter().find(|owner| owner.is(&mine)) {
            mine.fields = before.fields.clone();
            mine.since = before.since.clone();
        }
        let fields = mine.fields.union(&comparison.changed).difference(&comparison.removed);
        if fields != mine.fields {
            mine.since = now();
        }
        mine.fields = fields;
        owners.retain(|owner| !owner.is(&mine));
        owners.iter_mut().for_each(|owner| owner.fields = owner.fields.difference(&lost));
        owners.push(mine);
        owners.retain(|owner| !owner.fields.is_empty());
        self.keep(writing, object, owners, &live, false)
    }

    /// The last step of every write: what is wrong is refused, and what changes nothing is not written.
    fn keep(
        &mut self,
        writing: &Writing,
        object: Value,
        owners: Vec<Owner>,
        live: &Stored,
        is_new: bool,
    ) -> Result<Written, Status> {
        let mut object = own_part(writing, object, live);
        if is_new {
            object.as_object_mut().into_iter().for_each(|fields| {
                fields.remove("status");
            });
        } else if object["spec"] != live.object["spec"] {
            object["metadata"]["generation"] =
                json!(live.object["metadata"]["generation"].as_u64().unwrap_or_default() + 1);
        }
        let mut faults = metadata::faults(&object["metadata"]);
        faults.extend(self.schema.faults(&object, (!is_new).then_some(&live.object)));
        if !faults.is_empty() {
            return Err(Status::invalid(&writing.key.1, &faults));
        }
        if object.to_string().len() > LARGEST_OBJECT {
            return Err(Status::new(500, "", "etcdserver: request is too large"));
        }
        if !is_new && object == live.object && owners == live.owners {
            return Ok((live.to_json(), false));
        }
        Ok((self.commit(&writing.key, object, owners, &writing.manager), is_new))
    }

    /// Deletes an object, if it is the one that is meant.
    ///
    /// # Errors
    /// When it is not there, or is another one.
    pub(super) fn delete(&mut self, key: &Key, options: &Value) -> Result<Value, Status> {
        let live = self.objects.get(key).ok_or_else(|| Status::not_found(&key.1))?;
        let meant = &options["preconditions"];
        let version = live.version.to_string();
        for (field, is) in [("uid", live.uid()), ("resourceVersion", &version)] {
            if let Some(wanted) = meant[field].as_str().filter(|wanted| *wanted != is) {
                let why =
                    format!("Precondition failed: {field} in precondition: {wanted}, in object meta: {is}");
                return Err(Status::conflict(&key.1, &why));
            }
        }
        let details =
            json!({ "name": key.1, "group": super::GROUP, "kind": super::PLURAL, "uid": live.uid() });
        self.remove(key, "");
        Ok(
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details }),
        )
    }
}

/// The fields of `metadata` that mean here what they mean on the API server. One with a meaning that is not here, such as
/// `finalizers`, must not seem to work.
fn known(name: &str) -> bool {
    let system = ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"];
    system.contains(&name) || ["name", "namespace", "labels", "annotations"].contains(&name)
}

fn owner(writing: &Writing, operation: &'static str, fields: Fields) -> Owner {
    let subresource = writing.is_status.then_some("status");
    Owner { manager: writing.manager.clone(), operation, subresource, since: now(), fields }
}

/// The part of an object that a path does not write.
const fn foreign_part(writing: &Writing) -> &'static str {
    if writing.is_status { "spec" } else { "status" }
}

/// What is applied, without what only the API server says.
fn configured(config: &Value) -> Value {
    let mut config = config.clone();
    let system = ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"];
    if let Some(metadata) = config["metadata"].as_object_mut() {
        system.iter().for_each(|name| {
            metadata.remove(*name);
        });
    }
    config
}

/// Takes from `object` what this path writes, and the rest from what is there.
fn own_part(writing: &Writing, object: Value, live: &Stored) -> Value {
    let mut result = live.object.clone();
    let mut object = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let fields = result.as_object_mut().expect("objects are objects");
    let written = if writing.is_status { "status" } else { "spec" };
    match object.remove(written) {
        Some(value) => fields.insert(written.to_owned(), value),
        None => fields.remove(written),
    };
    if !writing.is_status {
        for name in ["labels", "annotations"] {
            let said = object.get("metadata").and_then(|metadata| metadata.get(name));
            let metadata = fields["metadata"].as_object_mut().expect("metadata are an object");
            match said {
                Some(value) => metadata.insert(name.to_owned(), value.clone()),
                None => metadata.remove(name),
            };
        }
    }
    result
}

fn conflicts(others: &[Owner], changed: &Fields) -> Vec<(String, String)> {
    let of = |other: &Owner| {
        let names = other.fields.intersection(changed).names();
        let manager = format!("{:?}", other.manager);
        names.into_iter().map(move |name| (manager.clone(), name))
    };
    others.iter().flat_map(of).collect()
}
