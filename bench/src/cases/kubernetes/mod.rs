//! Requests as resources of a real API server, and the same API server as the one who says who is asking.

pub mod auth;
pub mod create;
pub mod outage;
pub mod storm;
