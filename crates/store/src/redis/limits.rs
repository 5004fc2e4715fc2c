//! How often somebody may do something, counted for all replicas together.

use std::sync::Arc;
use std::time::Duration;

use super::RedisStore;
use super::link::LinkError;
use super::store::Core;
use crate::{SharedLimit, SharedLimits, StoreError, StoreFuture};

impl SharedLimits for RedisStore {
    fn take(&self, key: &str, limit: SharedLimit) -> StoreFuture<'_, Option<Duration>> {
        let (core, key) = (Arc::clone(self.core()), self.core().keys.limit(key));
        Box::pin(async move { core.take(&key, limit).await.map_err(StoreError::from) })
    }
}

impl Core {
    async fn take(&self, key: &str, limit: SharedLimit) -> Result<Option<Duration>, LinkError> {
        let between = (limit.window / limit.requests.get()).as_micros().max(1).to_string();
        let burst = limit.burst.to_string();
        // Nothing waits for replicas or a disk: a count that gets lost lets somebody send a little more.
        let args: [&[u8]; 2] = [between.as_bytes(), burst.as_bytes()];
        let wait: u64 = super::reader::typed(self.run(&self.scripts.limit, key, &args, false).await?)?;
        Ok((wait > 0).then(|| Duration::from_micros(wait)))
    }
}
