//! The scripts, joined from their files: Redis has no modules.

use super::link::Script;

pub(super) struct Scripts {
    /// Decides a batch.
    pub decide: Script,
    /// Does what is due.
    pub tick: Script,
    /// Takes over what a worker reports.
    pub report: Script,
    /// Takes over what exists outside.
    pub adopt: Script,
    /// Notes where a request was published.
    pub placed: Script,
    /// Reads requests.
    pub requests: Script,
    /// Counts.
    pub summary: Script,
    /// Notes that there is a partition.
    pub register: Script,
    /// Takes one from a limit.
    pub limit: Script,
}

const STATE: &str = include_str!("scripts/state.lua");
const STORM: &str = include_str!("scripts/storm.lua");
const TRIP: &str = include_str!("scripts/trip.lua");
const OPEN: &str = include_str!("scripts/open.lua");

impl Scripts {
    pub fn new() -> Self {
        let joined = |parts: &[&str]| Script::new(parts.concat());
        Self {
            decide: joined(&[STATE, STORM, TRIP, OPEN, include_str!("scripts/decide.lua")]),
            tick: joined(&[STATE, STORM, include_str!("scripts/tick.lua")]),
            report: joined(&[STATE, STORM, include_str!("scripts/report.lua")]),
            adopt: joined(&[STATE, STORM, include_str!("scripts/adopt.lua")]),
            placed: joined(&[STATE, include_str!("scripts/placed.lua")]),
            requests: joined(&[include_str!("scripts/requests.lua")]),
            summary: joined(&[include_str!("scripts/summary.lua")]),
            limit: joined(&[include_str!("scripts/limit.lua")]),
            register: joined(&[include_str!("scripts/register.lua")]),
        }
    }
}
