//! What workers report in the status of an object, as the state store takes it. Pure.

use seawall_model::{Condition, RemediationRequestStatus};
use seawall_store::StatusPatch;
use serde_json::{Map, Value};

/// The fields that Seawall knows.
const FIELDS: [&str; 9] = [
    "overallPhase",
    "startTime",
    "completedAt",
    "remediationProcessingRef",
    "aiAnalysisRef",
    "workflowExecutionRef",
    "approvalNotificationSent",
    "message",
    "conditions",
];

/// The status as far as it can be understood: workers of other versions write more, and less carefully.
pub(crate) fn understood(status: Option<&Map<String, Value>>) -> RemediationRequestStatus {
    let mut fields = Map::new();
    for (name, value) in status.into_iter().flatten().filter(|(name, _)| FIELDS.contains(&name.as_str())) {
        let value = if name == "conditions" { conditions(value) } else { value.clone() };
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        if serde_json::from_value::<RemediationRequestStatus>(alone.into()).is_ok() {
            fields.insert(name.clone(), value);
        }
    }
    // Each field can be read, so all together can.
    serde_json::from_value(fields.into()).unwrap_or_default()
}

/// Those that can be read: one that cannot does not hide the others.
fn conditions(all: &Value) -> Value {
    let readable = |condition: &&Value| serde_json::from_value::<Condition>((*condition).clone()).is_ok();
    all.as_array().map_or(Value::Null, |all| all.iter().filter(readable).cloned().collect())
}

/// The patch that makes the status of a request equal to `status`, whatever it was.
pub(crate) fn patch(status: &RemediationRequestStatus) -> StatusPatch {
    let mut fields = match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for name in FIELDS {
        fields.entry(name).or_insert(Value::Null);
    }
    StatusPatch(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: &Value) -> RemediationRequestStatus {
        understood(status.as_object())
    }

    #[test]
    fn what_cannot_be_understood_does_not_hide_the_phase() {
        let status = of(&json!({
            "overallPhase": "Executing",
            "startTime": "soon",
            "ticket": {"id": 7},
            "approvalNotificationSent": "yes",
            "conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": 3},
                {"type": "Ready", "status": "Perhaps"},
            ],
        }));
        assert_eq!(status.overall_phase.as_deref(), Some("Executing"));
        assert_eq!((status.start_time, status.approval_notification_sent), (None, None));
        let conditions = status.conditions.unwrap();
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].observed_generation, Some(3));
    }

    #[test]
    fn a_field_that_is_gone_is_taken_away() {
        let patch = patch(&of(&json!({"overallPhase": "Completed"}))).0;
        assert_eq!(patch["overallPhase"], "Completed");
        assert_eq!(patch["message"], Value::Null);
        assert_eq!(patch.len(), FIELDS.len());
    }

    #[test]
    fn every_field_of_the_status_is_known() {
        use kube::CustomResourceExt;
        let definition = seawall_model::RemediationRequest::crd();
        let schema =
            definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let status = schema.properties.as_ref().unwrap()["status"].properties.as_ref().unwrap();
        let mut known = FIELDS.to_vec();
        known.sort_unstable();
        assert_eq!(status.keys().map(String::as_str).collect::<Vec<_>>(), known);
    }
}
