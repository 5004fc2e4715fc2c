//! The engine against a naive restatement of its rules, and against the acceptance scenarios.

mod dedup;
mod harness;
mod history;
mod ledger;
mod members;
mod naive;
mod properties;
mod scene;
mod storms;
mod view;
