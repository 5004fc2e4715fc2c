//! One write of one request, from what the store says to what it is told.

use std::sync::Arc;

use seawall_cluster::ApiError;
use seawall_model::{RequestRef, Stopwatch};
use seawall_store::{Placement, StateStore, StoreError};
use seawall_telemetry::SinkMetrics;

use super::pending::Job;
use crate::kubernetes::{Version, Writer, Written};
use crate::places::Places;
use crate::status::Status;

pub(crate) struct Worker {
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) places: Arc<Places>,
    pub(crate) status: Arc<Status>,
    pub(crate) metrics: SinkMetrics,
}

/// How a write ended.
pub(crate) enum Ended {
    /// There was nothing to write.
    Nothing,
    Done,
    /// The cluster does not have it.
    Failed(ApiError),
    /// The store could not say what to write, or take note of it.
    StateStore(StoreError),
}

impl Worker {
    /// Reads right before it writes, so that whatever happened until now is in it.
    pub(crate) async fn work(self: Arc<Self>, job: Job) -> Ended {
        match self.publish(&job).await {
            Ok(ended) => ended,
            // Over and forgotten, so there is nothing to publish any more.
            Err(StoreError::NotFound { .. }) => Ended::Nothing,
            Err(error) => Ended::StateStore(error),
        }
    }

    async fn publish(&self, job: &Job) -> Result<Ended, StoreError> {
        let watch = Stopwatch::start();
        let record = self.store.request(job.request.clone()).await?;
        if let Some(placement) = &record.placement {
            let version = Version::of(&record);
            let written = placement.sequence >= version.sequence;
            if placement.deleted || written && !self.writer.is_behind(placement, version).await {
                return Ok(Ended::Nothing);
            }
        }
        let written = match self.writer.write(&record, job.in_doubt).await {
            Ok(written) => written,
            Err(error) => return Ok(Ended::Failed(error)),
        };
        let placement = match written {
            Written::Created(placement) => {
                self.status.count(|stats| stats.created += 1);
                self.metrics.published("create", watch.elapsed().as_secs_f64());
                placement
            }
            Written::Updated(placement) => {
                self.status.count(|stats| stats.updated += 1);
                self.metrics.published("update", watch.elapsed().as_secs_f64());
                placement
            }
            Written::Unchanged(placement) => placement,
            Written::Deleted => {
                self.deleted(&job.request).await?;
                return Ok(Ended::Done);
            }
        };
        self.placed(&job.request, placement).await?;
        Ok(Ended::Done)
    }

    async fn placed(&self, request: &RequestRef, placement: Placement) -> Result<(), StoreError> {
        if let Some(place) = crate::kubernetes::place_of(&placement) {
            self.places.note(request, place);
        }
        self.store.placed(request.clone(), placement).await
    }

    /// Somebody deleted the object of a request.
    pub(crate) async fn deleted(&self, request: &RequestRef) -> Result<(), StoreError> {
        self.places.forget(request);
        if self.store.deleted(request.clone()).await? {
            tracing::info!(%request, "somebody deleted the request, so its incident is over");
            self.status.count(|stats| stats.deleted += 1);
        }
        Ok(())
    }
}
