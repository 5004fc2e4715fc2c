//! The sink over a store in memory, against a real API server.

mod definition;
mod fake;
mod faults;
mod scene;
mod watch;
mod write;
