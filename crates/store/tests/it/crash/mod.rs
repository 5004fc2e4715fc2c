//! The data directory of the embedded store when things go wrong: power loss, damage, a second process, a full disk.

mod damage;
mod full_disk;
mod journal;
mod lock;
mod power_loss;

use std::path::Path;
use std::sync::Arc;

use seawall_model::{ManualClock, Policy};
use seawall_store::{EmbeddedStore, Page, RequestFilter, RequestRecord, StateStore, StoreError};

use crate::embedded::open;
use crate::support::START;

fn opened(path: &Path) -> Result<Arc<EmbeddedStore>, StoreError> {
    open(path, &Policy::default(), &ManualClock::at(START))
}

/// Why a directory is not taken.
fn refusal(path: &Path) -> String {
    match opened(path) {
        Err(StoreError::Refused { reason }) => reason,
        Err(error) => panic!("{} is not refused but {error:?}", path.display()),
        Ok(_) => panic!("{} is opened as if nothing had happened", path.display()),
    }
}

async fn requests(store: &EmbeddedStore) -> Vec<RequestRecord> {
    let page = Page { limit: 100_000, after: None };
    store.requests(RequestFilter::default(), page).await.expect("requests can be listed").items
}

/// Requests without the numbers that every start raises.
async fn content(store: &EmbeddedStore) -> Vec<RequestRecord> {
    let mut requests = requests(store).await;
    for request in &mut requests {
        (request.state.epoch, request.state.sequence) = (0, 0);
    }
    requests
}
