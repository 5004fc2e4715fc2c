//! What can be looked at: requests, storms, explanations; and the one thing a worker may write, a request's status.

mod explain;
mod requests;
mod status;
mod storms;
mod watch;

use std::sync::Arc;

use seawall_model::{RequestId, RequestRef};
use seawall_store::{StoreError, StoreFuture};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::edge::Edge;
use crate::problem::Problem;

pub(crate) use explain::{__path_explain, explain};
pub(crate) use requests::{__path_get_request, __path_list_requests, get_request, list_requests};
pub(crate) use status::{__path_patch_status, patch_status};
pub(crate) use storms::{__path_get_storm, __path_list_storms, get_storm, list_storms};

/// Where a list is, and how it goes on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMetadata {
    /// Everything up to this revision is contained; a watch can begin here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_version: Option<String>,
    /// The `continue` parameter of the next page; absent on the last one.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Asks the store and counts the call.
async fn read<T>(edge: &Arc<Edge>, call: StoreFuture<'_, T>) -> Result<T, Problem> {
    let began = Instant::now();
    let answer = call.await;
    edge.store_metrics.read.observe(began.elapsed().as_secs_f64());
    answer.map_err(|error: StoreError| {
        edge.note_store_error(&error);
        error.into()
    })
}

/// A name that no request can have is the name of no request.
fn reference(namespace: &str, name: &str) -> Result<RequestRef, Problem> {
    let id: RequestId = name
        .parse()
        .map_err(|_| Problem::not_found(format!("request `{namespace}/{name}` does not exist")))?;
    Ok(RequestRef { namespace: namespace.into(), id })
}
