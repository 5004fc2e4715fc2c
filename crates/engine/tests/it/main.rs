//! The engine against a naive restatement of its rules, and against the acceptance scenarios.

mod naive;
mod view;
