//! Where requests are that could not be where they belong.

use std::collections::HashMap;

use parking_lot::Mutex;
use seawall_model::RequestRef;

/// Displaced requests that are remembered. Beyond it they are shown under the name they should have.
const REMEMBERED: usize = 65_536;

/// Only those that differ are kept.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<RequestRef, RequestRef>>);

impl Places {
    pub(crate) fn note(&self, request: &RequestRef, place: RequestRef) {
        let mut displaced = self.0.lock();
        if *request == place {
            displaced.remove(request);
        } else if displaced.len() < REMEMBERED || displaced.contains_key(request) {
            displaced.insert(request.clone(), place);
        }
    }

    pub(crate) fn forget(&self, request: &RequestRef) {
        self.0.lock().remove(request);
    }

    /// Where a request is, provided that it exists.
    pub(crate) fn locate(&self, request: &RequestRef) -> RequestRef {
        self.0.lock().get(request).unwrap_or(request).clone()
    }
}
