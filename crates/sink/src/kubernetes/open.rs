//! Reads the open requests back from the cluster, for a state store that has lost them.
//!
//! ```text
//! pages ─► finished, deleted? ─► read_request ─► records
//!   └─ 410: from the start          └─ unreadable: said, left out
//! ```

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use kube::api::ListParams;
use seawall_cluster::{ApiError, ApiFailure};
use seawall_model::{
    Phase, ReadRequestError, RecoveredRequest, RemediationRequest, RemediationRequestSpec,
    RemediationRequestStatus, read_request,
};
use seawall_store::{Placement, RequestRecord};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::api::Objects;
use super::definition::installed;
use super::object::SELECTOR;
use super::report::understood;

/// Objects in one answer. With the largest possible alerts it has some twenty megabytes.
const PAGE: u32 = 500;
/// How often a list is begun before it is given up. The server forgets a list that was begun five minutes ago, so one that
/// is begun again was slow, and not unlucky.
const MAX_STARTS: usize = 3;

#[derive(Deserialize)]
struct Page {
    metadata: ListMeta,
    items: Vec<Box<RawValue>>,
}

/// What decides whether the rest is looked at.
#[derive(Deserialize)]
struct Head {
    metadata: ObjectMeta,
    /// Whatever workers wrote.
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
struct Body {
    spec: RemediationRequestSpec,
}

/// Why an object with our label is left out.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("the resource is not what the definition says: {0}")]
    Form(#[from] serde_json::Error),
    #[error(transparent)]
    Content(#[from] ReadRequestError),
}

/// All requests whose phase is not a final one and that nobody deletes, superseded ones too, in no order.
///
/// Fails as long as they cannot be read; that there are none is never a guess. What exists and is no request that Seawall can
/// read is reported and left out.
pub(crate) async fn open_requests(objects: &Objects) -> Result<Vec<RequestRecord>, ApiError> {
    let mut expired = None;
    for _ in 0..MAX_STARTS {
        match pages(objects).await {
            Err(error) if error.class == ApiFailure::Expired => expired = Some(error),
            Err(error) if error.class == ApiFailure::KindMissing && is_not_installed(objects).await => {
                return Ok(Vec::new());
            }
            ended => return ended,
        }
    }
    Err(expired.unwrap_or_else(|| ApiError::new(ApiFailure::Expired, "the list expired while it was read")))
}

async fn pages(objects: &Objects) -> Result<Vec<RequestRecord>, ApiError> {
    let mut records = Vec::new();
    let mut params = ListParams::default().labels(SELECTOR).limit(PAGE);
    loop {
        let Page { metadata, items } = objects.list(&params).await?;
        records.extend(items.iter().filter_map(|item| open_request(item)));
        match metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(records),
        }
    }
}

/// Without the definition there are no requests. A server that has just started may not know a kind that is defined, so the
/// definition itself is asked for.
async fn is_not_installed(objects: &Objects) -> bool {
    installed(objects).await.is_err_and(|error| error.class == ApiFailure::NotFound)
}

/// The request that an object shows, if it is an open one.
fn open_request(item: &RawValue) -> Option<RequestRecord> {
    let (metadata, read) = match serde_json::from_str::<Head>(item.get()) {
        Ok(Head { metadata, status }) => (metadata.clone(), read(metadata, &status, item)),
        Err(error) => (ObjectMeta::default(), Err(error.into())),
    };
    let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
    let found = match read {
        Ok(found) => found?,
        Err(error) => {
            tracing::error!(
                resource = %format_args!("{namespace}/{name}"),
                %error,
                "a resource with Seawall's label cannot be read as a request and is left out"
            );
            return None;
        }
    };
    let placement = Placement {
        namespace: namespace.into(),
        name: name.into(),
        uid: metadata.uid.unwrap_or_default().into(),
        sequence: found.state.sequence,
        deleted: false,
    };
    Some(RequestRecord {
        doc: found.doc,
        state: found.state,
        status: found.status,
        placement: Some(placement),
    })
}

/// Nothing of one that is finished, or that somebody deletes.
fn read(
    metadata: ObjectMeta,
    status: &Value,
    item: &RawValue,
) -> Result<Option<RecoveredRequest>, Unreadable> {
    let status = understood(status.as_object());
    let phase = status.overall_phase.as_deref().unwrap_or_default();
    if metadata.deletion_timestamp.is_some() || Phase::parse(phase) == Phase::Finished {
        return Ok(None);
    }
    let Body { spec } = serde_json::from_str(item.get())?;
    let status = (status != RemediationRequestStatus::default()).then_some(status);
    Ok(Some(read_request(&RemediationRequest { metadata, spec, status })?))
}
