//! The sink over a store in memory, against a real API server.

mod fake;
mod faults;
mod scene;
mod watch;
mod write;
