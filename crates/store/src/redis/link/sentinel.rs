//! Which server is the primary, as Sentinels know it.

use redis::{Pipeline, Value};

use super::dial::Connection;
use super::error::{LinkError, Scope};
use crate::Failure;

/// Asks a server whether it is a primary.
pub(super) async fn check_primary(connection: &Connection) -> Result<(), LinkError> {
    let mut role = Pipeline::new();
    role.cmd("ROLE");
    let answer = connection.ask(&role).await.map_err(|mut error| {
        error.ambiguous = false;
        error
    })?;
    match answer.first() {
        Some(Value::Array(parts)) if matches!(parts.first(), Some(Value::BulkString(role)) if role == b"master") => {
            Ok(())
        }
        _ => Err(LinkError::new(Failure::ReadOnly, Scope::Connection, "is not the primary")
            .at(&connection.address)),
    }
}
