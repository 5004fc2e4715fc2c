//! The store itself.

use std::sync::Arc;

use seawall_model::{Clock, Policy};

use super::RedisOptions;
use crate::StoreError;

pub struct RedisStore {}

impl RedisStore {
    /// Connects and looks at what is there.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the server cannot promise what was asked of it.
    pub async fn open(
        _options: RedisOptions,
        _policy: Arc<Policy>,
        _clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        Err(StoreError::Refused { reason: "not there yet".to_owned() })
    }
}
