//! Looks at the installed definition of the resource once the API server can be reached.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::GetParams;
use kube::core::request::Request;
use kube::{CustomResourceExt, Resource};
use seawall_cluster::{ApiError, ApiFailure};
use seawall_model::{
    Deduplication, Fingerprint, Priority, RemediationPath, RemediationRequest, RemediationRequestSpec,
    RequestId, RequestRef, Severity, TargetResource, TargetType, Timestamp,
};
use tokio_util::sync::CancellationToken;

use super::api::Objects;
use super::schema::missing_fields;
use super::write::Writer;
use crate::status::Status;

const INSTALL: &str = "install it with `seawall crd | kubectl apply -f -`";
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_secs(1))
    .with_max_delay(Duration::from_secs(30))
    .without_max_times()
    .with_jitter();

/// Says what is wrong with the definition, until nothing is; then makes the server ready for the first object, because the
/// first one of a new definition takes seconds.
pub(crate) async fn check_definition(writer: Arc<Writer>, status: Arc<Status>, stop: CancellationToken) {
    let mut said = None;
    for wait in RETRY.build() {
        let problem = problem(&writer).await;
        status.set_definition(problem.clone());
        match &problem {
            None => break,
            Some(problem) if said.as_ref() != Some(problem) => tracing::error!("{problem}"),
            Some(_) => {}
        }
        said = problem;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
    if said.is_some() {
        tracing::info!("the definition of RemediationRequest knows every field that Seawall writes");
    }
    let place =
        RequestRef { namespace: writer.fallback().clone(), id: RequestId { prefix: 0, generation: 1 } };
    let tried = async { writer.objects().apply(&place, &writer.written(&sample(&place))?, true).await };
    if let Err(error) = tried.await {
        tracing::warn!(%error, namespace = %place.namespace, "a request that was made for a trial was refused");
    }
}

/// What is wrong, as a sentence; nothing when all is well.
async fn problem(writer: &Writer) -> Option<String> {
    match installed(writer.objects()).await {
        Ok(installed) => {
            let missing = missing_fields(&RemediationRequest::crd(), &installed);
            writer.leave_out(missing.clone());
            (!missing.is_empty()).then(|| {
                format!(
                    "the installed definition of RemediationRequest does not know {}, so requests are written without; \
                     {INSTALL}",
                    missing.join(", ")
                )
            })
        }
        Err(error) if matches!(error.class, ApiFailure::NotFound | ApiFailure::KindMissing) => {
            Some(format!("the definition of RemediationRequest is not installed; {INSTALL}"))
        }
        Err(error) => Some(format!("the definition of RemediationRequest could not be read: {error}")),
    }
}

pub(super) async fn installed(objects: &Objects) -> Result<CustomResourceDefinition, ApiError> {
    let request = Request::new(CustomResourceDefinition::url_path(&(), None))
        .get(RemediationRequest::crd_name(), &GetParams::default());
    Ok(objects.call("get", request?).await?.1)
}

/// As little as the definition allows.
fn sample(place: &RequestRef) -> RemediationRequest {
    let at = Timestamp::from_millis(0);
    RemediationRequest {
        metadata: ObjectMeta {
            name: Some(place.id.to_string()),
            namespace: Some(place.namespace.to_string()),
            ..ObjectMeta::default()
        },
        spec: RemediationRequestSpec {
            signal_fingerprint: Fingerprint::of(None, ["trial"; 4], []).to_string(),
            signal_name: "trial".to_owned(),
            severity: Severity::Info,
            environment: "unknown".to_owned(),
            priority: Priority::P3,
            remediation_path: RemediationPath::Manual,
            signal_type: "prometheus-alert".to_owned(),
            signal_source: "seawall".to_owned(),
            target_type: TargetType::Kubernetes,
            target_resource: TargetResource {
                kind: "Pod".to_owned(),
                name: "trial".to_owned(),
                namespace: None,
                api_version: None,
            },
            cluster_id: None,
            firing_time: at,
            received_time: at,
            deduplication: Deduplication {
                is_duplicate: false,
                first_seen: at,
                last_seen: at,
                occurrence_count: 1,
                previous_remediation_request_ref: None,
            },
            is_storm: false,
            storm_type: None,
            storm_window: None,
            storm_alert_count: None,
            affected_resources: Vec::new(),
            storm_aggregation: None,
            superseded_by: None,
            related_requests: Vec::new(),
            resolved_at: None,
            signal_labels: Default::default(),
            signal_annotations: Default::default(),
            provider_data: None,
            original_payload: None,
            timeout_config: None,
        },
        status: None,
    }
}
