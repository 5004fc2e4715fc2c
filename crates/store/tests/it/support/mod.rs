//! What the tests are told in: alerts, a scene with a store and a clock, and waiting for a condition.

mod alert;
mod scene;
mod wait;

use std::sync::Arc;

use seawall_model::{ManualClock, Policy};
use seawall_store::StateStore;

pub use alert::{Alert, pods};
pub use scene::{MINUTE, SECOND, START, Scene, counted, of_kind, storm_of};
pub use wait::eventually;

/// A store that the suite can drive: it is started, it crashes, and everything else goes through [`StateStore`].
pub trait StoreUnderTest: Sized {
    /// An empty store that takes its time from the clock.
    async fn start(policy: Policy, clock: ManualClock) -> Self;

    fn store(&self) -> Arc<dyn StateStore>;

    /// The process dies without warning, while nothing is being written, and another one takes over.
    async fn crash_and_restart(&mut self, policy: &Policy);

    /// The process ends in order, and another one takes over.
    async fn restart(&mut self, policy: &Policy);

    /// Everything that was made durable is gone, and the store begins anew.
    async fn lose(&mut self, policy: &Policy);

    /// The next answer that a server gives to the store gets lost on the way. Nothing for a store without a server.
    async fn lose_answer(&self) {}

    /// Returns when everything that is due at the clock's time has been done.
    async fn settle(&self);
}
