//! What the writer can be asked.

use std::time::Duration;

use seawall_model::{Decision, Fingerprint, RequestRef, RequestState, Signal};
use tokio::sync::oneshot;

use crate::{
    Explanation, Failure, Page, Placement, RequestRecord, StatusPatch, StoreError, StormDetail, StormPage,
};

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Job {
    Decide {
        signals: Vec<Signal>,
        reply: Reply<Vec<Decision>>,
    },
    PatchStatus {
        reference: RequestRef,
        patch: StatusPatch,
        reply: Reply<()>,
    },
    Placed {
        reference: RequestRef,
        placement: Placement,
        reply: Reply<()>,
    },
    Deleted {
        reference: RequestRef,
        reply: Reply<bool>,
    },
    Adopt {
        open: Vec<RequestRecord>,
        reply: Reply<()>,
    },
    /// The states of those of these requests that are in memory, and up to which commit that is true.
    States {
        references: Vec<RequestRef>,
        reply: Reply<(Vec<Option<RequestState>>, u64)>,
    },
    Explain {
        fingerprint: Fingerprint,
        reply: Reply<Option<Explanation>>,
    },
    Storms {
        page: Page,
        reply: Reply<StormPage>,
    },
    Storm {
        id: String,
        members: Page,
        reply: Reply<StormDetail>,
    },
    Close {
        reply: Reply<()>,
    },
}

impl Job {
    /// Answers a call that cannot be served now. A caller that has gone away does not mind.
    pub(super) fn refuse(self, reason: &str, retry_after: Duration) {
        let error = StoreError::Unavailable { class: Failure::Disk, reason: reason.to_owned(), retry_after };
        match self {
            Self::Decide { reply, .. } => drop(reply.send(Err(error))),
            Self::PatchStatus { reply, .. } | Self::Adopt { reply, .. } => drop(reply.send(Err(error))),
            Self::Placed { reply, .. } => drop(reply.send(Err(error))),
            Self::Deleted { reply, .. } => drop(reply.send(Err(error))),
            Self::States { reply, .. } => drop(reply.send(Err(error))),
            Self::Explain { reply, .. } => drop(reply.send(Err(error))),
            Self::Storms { reply, .. } => drop(reply.send(Err(error))),
            Self::Storm { reply, .. } => drop(reply.send(Err(error))),
            Self::Close { reply } => drop(reply.send(Ok(()))),
        }
    }
}
