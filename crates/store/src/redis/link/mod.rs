//! The connections to the server.
