//! What is applied, and what is read of an object. Pure.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use seawall_model::{RemediationRequest, RequestRef, build_request, label_safe, mark};
use seawall_store::RequestRecord;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Whom the fields belong to that Seawall writes.
pub(crate) const MANAGER: &str = "seawall";
/// Selects what Seawall wrote.
pub(crate) const SELECTOR: &str = "app.kubernetes.io/managed-by=seawall";

/// Which of two writers of a request is the later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

impl Version {
    pub(crate) const fn of(record: &RequestRecord) -> Self {
        Self { epoch: record.state.epoch, sequence: record.state.sequence }
    }
}

/// An object as it was seen last. A write that names both is refused when the object is another one or was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) version: Version,
}

impl Known {
    /// Whether this was seen of the same object before `other`. The API server counts resource versions up.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        let number = |known: &Self| known.resource_version.parse::<u128>();
        self.uid == other.uid && matches!((number(self), number(other)), (Ok(one), Ok(two)) if one < two)
    }
}

/// The part of an object that Seawall looks at; the rest is not kept.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Seen {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SeenSpec,
    /// Whatever workers wrote, which need not be what the definition says.
    #[serde(default)]
    pub(crate) status: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeenSpec {
    #[serde(default)]
    signal_fingerprint: String,
}

impl Seen {
    /// Where the object is; nothing for one with a name that Seawall does not give.
    pub(crate) fn place(&self) -> Option<RequestRef> {
        let id = self.metadata.name.as_deref()?.parse().ok()?;
        Some(RequestRef { namespace: self.metadata.namespace.as_deref()?.into(), id })
    }

    /// The request that the object shows.
    pub(crate) fn request(&self) -> Option<RequestRef> {
        let Some(text) = self.annotation(mark::REQUEST) else { return self.place() };
        let (namespace, name) = text.split_once('/')?;
        Some(RequestRef { namespace: namespace.into(), id: name.parse().ok()? })
    }

    pub(crate) fn known(&self) -> Known {
        Known {
            uid: self.metadata.uid.clone().unwrap_or_default(),
            resource_version: self.metadata.resource_version.clone().unwrap_or_default(),
            version: self.version(),
        }
    }

    /// Without annotations it is older than anything Seawall writes.
    fn version(&self) -> Version {
        let number = |name| self.annotation(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        Version { epoch: number(mark::EPOCH), sequence: number(mark::SEQUENCE) }
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

impl Resource for Seen {
    type DynamicType = ();
    type Scope = <RemediationRequest as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        RemediationRequest::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        RemediationRequest::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        RemediationRequest::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        RemediationRequest::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What an object means for the write of a request under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is about another problem.
    Other,
    /// Another writer was here with something newer.
    Newer,
    /// It has been written.
    Same,
    Older,
}

pub(crate) fn judge(seen: &Seen, record: &RequestRecord) -> Verdict {
    use std::cmp::Ordering;
    if seen.spec.signal_fingerprint.as_bytes() != record.doc.fingerprint.hex() {
        return Verdict::Other;
    }
    match seen.version().cmp(&Version::of(record)) {
        Ordering::Greater => Verdict::Newer,
        Ordering::Equal => Verdict::Same,
        Ordering::Less => Verdict::Older,
    }
}

/// The object that shows a request at `place`: without what belongs to the server and to workers, so that it can be
/// applied.
pub(crate) fn object(
    record: &RequestRecord,
    place: &RequestRef,
    known: Option<&Known>,
) -> RemediationRequest {
    let mut object = build_request(&record.doc, &record.state, None);
    let metadata = &mut object.metadata;
    metadata.creation_timestamp = None;
    metadata.resource_version = known.map(|known| known.resource_version.clone());
    metadata.uid = known.map(|known| known.uid.clone());
    if *place != record.doc.reference {
        metadata.namespace = Some(place.namespace.to_string());
        metadata.name = Some(place.id.to_string());
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(mark::REQUEST.to_owned(), record.doc.reference.to_string());
    }
    if place.namespace != record.doc.identity.namespace {
        let origin = label_safe(&record.doc.identity.namespace);
        metadata.labels.get_or_insert_default().insert(mark::ORIGIN.to_owned(), origin);
    }
    object
}
