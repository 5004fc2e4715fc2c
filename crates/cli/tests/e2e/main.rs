//! The real `seawall`, started as a process and used over HTTP, signals and its command line, the way people use it.
//!
//! What is asserted on is the requests that exist afterwards; answers alone prove nothing.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a step that fails here is a test that fails")]

mod alertmanager;
mod audit;
mod authentication;
mod books;
mod classification;
mod commands;
mod configuration;
mod damage;
mod definition;
mod deploy;
mod doctor;
mod events;
mod examples;
mod full_disk;
mod hostile;
mod identities;
mod kubernetes;
mod large_bodies;
mod large_storms;
mod load;
mod losses;
mod metrics;
mod monitoring;
mod pages;
mod prometheus;
mod redis;
mod repeats;
mod scale;
mod shutdown;
mod signals;
mod storm_lives;
mod storms;
mod support;
mod tls;
