//! Handing requests that are to be published to whoever publishes them on this replica. The state remembers them; what does
//! not fit is named again later.

use compact_str::CompactString;
use parking_lot::Mutex;
use seawall_model::RequestRef;
use tokio::sync::mpsc;

use super::link::LinkError;
use super::wire::parse_ref;
use crate::TOLD;

pub(super) struct Unpublished {
    publisher: mpsc::Sender<RequestRef>,
    /// Until somebody takes it.
    receiver: Mutex<Option<mpsc::Receiver<RequestRef>>>,
}

impl Default for Unpublished {
    fn default() -> Self {
        let (publisher, receiver) = mpsc::channel(TOLD);
        Self { publisher, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Unpublished {
    pub fn take(&self) -> Option<mpsc::Receiver<RequestRef>> {
        self.receiver.lock().take()
    }

    /// How many requests may be named now.
    pub fn room(&self) -> usize {
        self.publisher.capacity()
    }

    pub fn tell(&self, told: &[CompactString]) -> Result<(), LinkError> {
        for name in told {
            // Several partitions may have been served at the same time: the rest comes again.
            if self.publisher.try_send(parse_ref(name)?).is_err() {
                break;
            }
        }
        Ok(())
    }
}
