//! The answers of an API server that are no objects.

use std::time::Duration;

use serde_json::{Value, json};

use super::{GROUP, PLURAL};

/// A refusal as the API server words it. What callers may branch on is the code, the reason and the details.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) details: Value,
    pub(super) retry_after: Option<Duration>,
}

impl Status {
    pub(super) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            details: Value::Null,
            retry_after: None,
        }
    }

    fn about(mut self, name: &str, causes: &[Value]) -> Self {
        self.details = json!({ "name": name, "group": GROUP, "kind": PLURAL });
        if !causes.is_empty() {
            self.details["causes"] = causes.into();
        }
        self
    }

    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self.details = json!({ "retryAfterSeconds": after.as_secs() });
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn not_found(name: &str) -> Self {
        Self::new(404, "NotFound", format!("{PLURAL}.{GROUP} \"{name}\" not found")).about(name, &[])
    }

    /// A path that nothing is behind.
    pub(super) fn no_such_path() -> Self {
        let mut status = Self::new(404, "NotFound", "the server could not find the requested resource");
        status.details = json!({});
        status
    }

    pub(super) fn namespace_not_found(name: &str) -> Self {
        let mut status = Self::new(404, "NotFound", format!("namespaces \"{name}\" not found"));
        status.details = json!({ "name": name, "kind": "namespaces" });
        status
    }

    pub(super) fn namespace_terminating(name: &str, namespace: &str) -> Self {
        let message = format!(
            "{PLURAL}.{GROUP} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it \
             is being terminated"
        );
        let cause = json!({
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        });
        Self::new(403, "Forbidden", message).about(name, &[cause])
    }

    pub(super) fn conflict(name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {PLURAL}.{GROUP} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(name, &[])
    }

    /// Somebody else has read and written in between.
    pub(super) fn stale(name: &str) -> Self {
        Self::conflict(
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// Fields that other managers own, as (manager, field).
    pub(super) fn owned_by_others(conflicts: &[(String, String)]) -> Self {
        let count = conflicts.len();
        let plural = if count == 1 { "" } else { "s" };
        let message = format!("Apply failed with {count} conflict{plural}: {conflicts:?}");
        let cause = |(manager, field): &(String, String)| json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": field });
        let causes: Vec<Value> = conflicts.iter().map(cause).collect();
        let mut status = Self::new(409, "Conflict", message);
        status.details = json!({ "causes": causes });
        status
    }

    /// Fields that the resource's definition does not allow, as (field, what is wrong).
    pub(super) fn invalid(name: &str, faults: &[(String, String)]) -> Self {
        let listed: Vec<String> = faults.iter().map(|(field, wrong)| format!("{field}: {wrong}")).collect();
        let message = format!("RemediationRequest.{GROUP} \"{name}\" is invalid: {}", listed.join(", "));
        let cause = |(field, wrong): &(String, String)| json!({ "reason": "FieldValueInvalid", "message": wrong, "field": field });
        let causes: Vec<Value> = faults.iter().map(cause).collect();
        let mut status = Self::new(422, "Invalid", message).about(name, &causes);
        status.details["kind"] = json!("RemediationRequest");
        status
    }

    /// What was asked for is no longer remembered.
    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// The version that was asked for has not happened yet.
    pub(super) fn from_the_future(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut status = Self::new(504, "Timeout", message);
        let cause = json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
        status.details = json!({ "causes": [cause], "retryAfterSeconds": 1 });
        status
    }

    pub(super) fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
