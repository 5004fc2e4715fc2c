//! What can happen, one readable line each.

use std::fmt;

use compact_str::format_compact;
use proptest::prelude::*;
use proptest::sample::select;
use seawall_model::{Field, Millis, Policy, Severity, StormRule};

use crate::support::Alert;

/// An alert before it is put into the namespaces of its history.
#[derive(Clone)]
pub struct Sketch {
    /// Empty for a node.
    namespace: &'static str,
    name: &'static str,
    resource: u8,
    severity: Severity,
    node: Option<&'static str>,
    cluster: Option<&'static str>,
    pub resolved: bool,
}

impl Sketch {
    /// The alert in the history with this number. Everything that tells groups apart carries the number.
    pub fn alert(&self, history: u64) -> Alert {
        let namespace = match self.namespace {
            "" => "".into(),
            namespace => format_compact!("{namespace}-{history}"),
        };
        let alert = Alert::new(&namespace, self.name, &format_compact!("web-{}", self.resource));
        let alert = alert.with_severity(self.severity).in_cluster(&match self.cluster {
            None => format_compact!("c-{history}"),
            Some(cluster) => format_compact!("{cluster}-{history}"),
        });
        match self.node {
            None => alert,
            Some(node) => alert.with(Field::Node, &format_compact!("{node}-{history}")),
        }
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, resource, severity, node, cluster, resolved } = self;
        let verb = if *resolved { "resolve" } else { "fire" };
        write!(f, "{verb} {namespace}/{name}/{resource} {}", severity.as_str())?;
        node.map_or(Ok(()), |node| write!(f, " node={node}"))?;
        cluster.map_or(Ok(()), |cluster| write!(f, " cluster={cluster}"))
    }
}

#[derive(Clone)]
pub enum Step {
    /// One batch: one commit.
    Deliver(Vec<Sketch>),
    /// The same alert from several resources, each in a batch of its own.
    Burst(Sketch, u8),
    /// A worker reports about the n-th request of this history that is in the sink.
    Report(usize, &'static str),
    /// Somebody deletes the n-th request of this history where it was published.
    Delete(usize),
    /// The clock is turned, also back, and everything due is done.
    Clock(Millis),
    /// The next answer on its way to the store gets lost.
    LoseAnswer,
    Restart,
    Crash,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(sketches) => write!(f, "{sketches:?}"),
            Self::Burst(sketch, more) => write!(f, "{sketch:?} and {more} more"),
            Self::Report(nth, phase) => write!(f, "report `{phase}` for request {nth}"),
            Self::Delete(nth) => write!(f, "delete request {nth}"),
            Self::Clock(by) => write!(f, "clock {by:+} ms"),
            Self::LoseAnswer => write!(f, "the next answer is lost"),
            Self::Restart => write!(f, "restart"),
            Self::Crash => write!(f, "crash"),
        }
    }
}

#[derive(Clone)]
pub struct History {
    pub policy: Policy,
    pub steps: Vec<Step>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { ttl, cooldown, flush, sample, storm_memory, .. } = self.policy;
        writeln!(
            f,
            "\nttl {ttl}, cooldown {cooldown}, flush {flush}, sample {sample}, memory {storm_memory}"
        )?;
        for rule in &self.policy.rules {
            let StormRule { name, threshold, window, quiet, max_duration, hold, hold_first, .. } = rule;
            write!(f, "rule {name}: {threshold} in {window}, quiet {quiet}, at most {max_duration}, ")?;
            writeln!(f, "hold {hold}, first {hold_first}")?;
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step:?}"))
    }
}

fn sketches() -> impl Strategy<Value = Sketch> {
    let namespace = prop_oneof![7 => Just("shop"), 2 => Just("pay"), 1 => Just("")];
    let name = prop_oneof![5 => Just("Crash"), 2 => Just("Slow"), 1 => Just("Disk")];
    let severity = select(vec![Severity::Info, Severity::Warning, Severity::Critical]);
    let node = select(vec![None, Some("n1"), Some("n2")]);
    let cluster = prop_oneof![9 => Just(None), 1 => Just(Some("east"))];
    (namespace, name, 0..6u8, severity, node, cluster, prop::bool::weighted(0.15)).prop_map(
        |(namespace, name, resource, severity, node, cluster, resolved)| Sketch {
            namespace,
            name,
            resource,
            severity,
            node,
            cluster,
            resolved,
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let phases = select(vec!["", "Pending", "Processing", "Executing", "Verifying", "Completed", "Failed"]);
    let pauses = prop_oneof![4 => 1..400i64, 4 => 400..4_000i64, 2 => 4_000..40_000i64, 1 => -8_000..0i64];
    prop_oneof![
        80 => prop::collection::vec(sketches(), 1..4).prop_map(Step::Deliver),
        12 => (sketches(), 1..7u8).prop_map(|(sketch, more)| Step::Burst(sketch, more)),
        20 => (0..32usize, phases).prop_map(|(nth, phase)| Step::Report(nth, phase)),
        5 => (0..32usize).prop_map(Step::Delete),
        48 => pauses.prop_map(Step::Clock),
        // These cost as much as a hundred other steps.
        1 => Just(Step::LoseAnswer),
        1 => prop_oneof![2 => Just(Step::Restart), 1 => Just(Step::Crash)],
    ]
}

fn rules() -> impl Strategy<Value = Vec<StormRule>> {
    let rule = |name: &'static str, group_by: Vec<Field>, thresholds: std::ops::Range<u32>| {
        let lengths = (1_000..20_000i64, 1_000..20_000i64, 3_000..40_000i64);
        let holds = (select(vec![0, 0, 500, 2_000]), select(vec![0, 0, 0, 300, 3_000]));
        (thresholds, lengths, holds, select(vec![200, 1_000])).prop_map(
            move |(threshold, (window, quiet, max_duration), (hold, hold_first), flush)| StormRule {
                name: name.into(),
                group_by: group_by.clone(),
                threshold,
                window,
                quiet,
                max_duration,
                hold,
                hold_first,
                flush,
            },
        )
    };
    let all = (
        rule("namespace-rate", vec![Field::Namespace, Field::Alertname], 1..7),
        rule("namespace-flood", vec![Field::Namespace], 2..9),
        rule("node-cascade", vec![Field::Node], 1..7),
        any::<[bool; 4]>(),
    );
    all.prop_map(|(rate, flood, node, [with_rate, with_flood, with_node, node_first])| {
        let mut rules = Vec::new();
        rules.extend(with_rate.then_some(rate));
        rules.extend(with_flood.then_some(flood));
        if with_node {
            rules.insert(if node_first { 0 } else { rules.len() }, node);
        }
        rules
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let lengths = (1_000..15_000i64, select(vec![0, 500, 3_000, 10_000]), 0..30_000i64);
    (lengths, rules(), select(vec![200, 1_000]), select(vec![2, 250])).prop_map(
        |((ttl, cooldown, storm_memory), rules, flush, sample)| Policy {
            ttl,
            cooldown,
            rules,
            flush,
            sample,
            storm_memory,
            ..Policy::default()
        },
    )
}

pub fn histories() -> impl Strategy<Value = History> {
    (policies(), prop::collection::vec(steps(), 1..40)).prop_map(|(policy, steps)| History { policy, steps })
}
