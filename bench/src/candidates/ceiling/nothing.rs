//! A store for an edge that never asks one.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::{Decision, Fingerprint, Policy, RequestRef, Signal};
use seawall_store::{
    Change, Explanation, Failure, Health, Page, RequestFilter, RequestPage, RequestRecord, StateStore, Stats,
    StatusPatch, StoreError, StoreFuture, StormDetail, StormPage,
};
use tokio::sync::broadcast;

pub struct NoStore;

fn refuse<T: Send + 'static>() -> StoreFuture<'static, T> {
    Box::pin(async {
        let reason = "the ceiling only parses".to_owned();
        Err(StoreError::Unavailable { class: Failure::Closed, reason, retry_after: Duration::from_secs(1) })
    })
}

impl StateStore for NoStore {
    fn kind(&self) -> &'static str {
        "none"
    }

    fn decide(&self, _: Vec<Signal>) -> StoreFuture<'_, Vec<Decision>> {
        refuse()
    }

    fn requests(&self, _: RequestFilter, _: Page) -> StoreFuture<'_, RequestPage> {
        refuse()
    }

    fn request(&self, _: RequestRef) -> StoreFuture<'_, RequestRecord> {
        refuse()
    }

    fn patch_status(&self, _: RequestRef, _: StatusPatch) -> StoreFuture<'_, RequestRecord> {
        refuse()
    }

    fn storms(&self, _: Page) -> StoreFuture<'_, StormPage> {
        refuse()
    }

    fn storm(&self, _: String, _: Page) -> StoreFuture<'_, StormDetail> {
        refuse()
    }

    fn explain(&self, _: Fingerprint) -> StoreFuture<'_, Explanation> {
        refuse()
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        broadcast::channel(1).1
    }

    fn unpublished(&self) -> Option<tokio::sync::mpsc::Receiver<RequestRef>> {
        None
    }

    fn placed(&self, _: RequestRef, _: seawall_store::Placement) -> StoreFuture<'_, ()> {
        refuse()
    }

    fn placements(&self) -> broadcast::Receiver<RequestRef> {
        broadcast::Sender::new(1).subscribe()
    }

    fn deleted(&self, _: RequestRef) -> StoreFuture<'_, bool> {
        refuse()
    }

    fn incomplete(&self) -> tokio::sync::watch::Receiver<bool> {
        tokio::sync::watch::channel(false).1
    }

    fn adopt(&self, _: Vec<RequestRecord>) -> StoreFuture<'_, ()> {
        refuse()
    }

    fn health(&self) -> Health {
        Health { available: true, reason: None }
    }

    fn stats(&self) -> Arc<Stats> {
        Arc::default()
    }

    fn set_policy(&self, _: Arc<Policy>) {}

    fn close(&self) -> StoreFuture<'_, ()> {
        refuse()
    }
}
