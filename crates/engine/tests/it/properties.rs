//! Random histories: whatever happens, the engine decides as the naive model does, and the invariants hold.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestError, TestRunner};
use seawall_model::{DecisionKind, Field, Millis, Phase, Policy, Severity, StormRule};

use crate::harness::{Comparison, Machine};
use crate::history::{Alert, Step};

/// A few problems come up again and again, so that they repeat, flap and meet in storms.
fn alerts() -> impl Strategy<Value = Alert> {
    let resource = prop_oneof![2 => 0..3u8, 1 => 3..6u8];
    let cluster = prop_oneof![9 => Just(""), 1 => Just("east")];
    let namespace = prop_oneof![7 => Just("shop"), 2 => Just("pay"), 1 => Just("")];
    let name = prop_oneof![5 => Just("Crash"), 2 => Just("Slow"), 1 => Just("Disk")];
    let severity = select(vec![Severity::Info, Severity::Warning, Severity::Critical]);
    let node = select(vec![None, Some("n1"), Some("n2")]);
    let team = select(vec![None, Some("red")]);
    (cluster, namespace, name, resource, severity, node, team).prop_map(
        |(cluster, namespace, name, resource, severity, node, team)| Alert {
            cluster,
            namespace,
            name: name.to_owned(),
            resource: format!("{resource}"),
            severity,
            node,
            team,
        },
    )
}

/// Mostly short, so that things happen inside windows; sometimes long enough for something to end.
fn pauses() -> impl Strategy<Value = Millis> {
    prop_oneof![4 => 0..400i64, 4 => 400..4_000i64, 2 => 4_000..40_000i64]
}

fn steps() -> impl Strategy<Value = Step> {
    let phases =
        select(vec![Phase::Waiting, Phase::Studied, Phase::Acting, Phase::Finished, Phase::Finished]);
    prop_oneof![
        30 => alerts().prop_map(Step::Fire),
        4 => (alerts(), 1..8u8).prop_map(|(alert, more)| Step::Burst(alert, more)),
        12 => alerts().prop_map(Step::Resolve),
        4 => Just(Step::Redeliver),
        8 => (0..32usize, phases).prop_map(|(nth, phase)| Step::Report(nth, phase)),
        10 => pauses().prop_map(Step::Clock),
        2 => (1..8_000i64).prop_map(|by| Step::Clock(-by)),
        12 => pauses().prop_map(Step::Tick),
        1 => Just(Step::Reload),
        14 => Just(Step::Commit),
        3 => any::<bool>().prop_map(|lost| Step::Crash { lost }),
    ]
}

fn rules() -> impl Strategy<Value = Vec<StormRule>> {
    let rule = |name: &'static str, group_by: Vec<Field>, thresholds: std::ops::Range<u32>| {
        let lengths = (1_000..20_000i64, 1_000..20_000i64, 3_000..40_000i64);
        let holds =
            (select(vec![0, 500, 2_000]), select(vec![0, 0, 0, 300, 3_000]), select(vec![200, 1_000]));
        (thresholds, lengths, holds).prop_map(move |(threshold, (window, quiet, max_duration), holds)| {
            StormRule {
                name: name.into(),
                group_by: group_by.clone(),
                threshold,
                window,
                quiet,
                max_duration,
                hold: holds.0,
                hold_first: holds.1,
                flush: holds.2,
            }
        })
    };
    let all = (
        rule("namespace-rate", vec![Field::Namespace, Field::Alertname], 1..7),
        rule("namespace-flood", vec![Field::Namespace], 2..9),
        rule("node-cascade", vec![Field::Node], 1..7),
        rule("team-severity", vec![Field::Label("team".into()), Field::Severity], 2..6),
        any::<[bool; 5]>(),
    );
    all.prop_map(|(rate, flood, node, team, [with_rate, with_flood, with_node, with_team, node_first])| {
        let mut rules = Vec::new();
        rules.extend(with_rate.then_some(rate));
        rules.extend(with_flood.then_some(flood));
        rules.extend(with_team.then_some(team));
        if with_node {
            rules.insert(if node_first { 0 } else { rules.len() }, node);
        }
        rules
    })
}

/// Two sets of rules. A rule that is in both has one window: what a changed window means for what was counted before is
/// left to the engine.
fn policies() -> impl Strategy<Value = [Policy; 2]> {
    let common = (1_000..15_000i64, select(vec![200, 1_000]), select(vec![2, 250]));
    let own = || (select(vec![0, 500, 3_000, 10_000]), 0..30_000i64, rules());
    (common, own(), own()).prop_map(|((ttl, flush, sample), one, mut other)| {
        for rule in &mut other.2 {
            let same = one.2.iter().find(|same| same.name == rule.name);
            rule.window = same.map_or(rule.window, |same| same.window);
        }
        [one, other].map(|(cooldown, storm_memory, rules)| Policy {
            ttl,
            cooldown,
            rules,
            flush,
            sample,
            storm_memory,
            ..Policy::default()
        })
    })
}

/// Prints as one line per rule and per step.
#[derive(Clone)]
struct History {
    policies: [Policy; 2],
    budget: usize,
    steps: Vec<Step>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { ttl, flush, sample, .. } = self.policies[0];
        writeln!(f, "\nttl {ttl}, flush {flush}, sample {sample}, budget {}", self.budget)?;
        let is_reloaded = self.steps.iter().any(|step| matches!(step, Step::Reload));
        for policy in self.policies.iter().take(1 + usize::from(is_reloaded)) {
            writeln!(f, "cooldown {}, storm memory {}", policy.cooldown, policy.storm_memory)?;
            for rule in &policy.rules {
                let StormRule { name, threshold, window, quiet, max_duration, .. } = rule;
                let StormRule { hold, hold_first, flush, .. } = rule;
                write!(f, "  rule {name}: {threshold} in {window}, quiet {quiet}, at most {max_duration}, ")?;
                writeln!(f, "hold {hold}, first {hold_first}, flush {flush}")?;
            }
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step:?}"))
    }
}

fn histories() -> impl Strategy<Value = History> {
    let budgets = select(vec![usize::MAX, 1, 3]);
    (policies(), budgets, prop::collection::vec(steps(), 1..120))
        .prop_map(|(policies, budget, steps)| History { policies, budget, steps })
}

fn replay(history: &History) {
    let [policy, other] = history.policies.clone();
    let mut comparison = Comparison::new(policy, other, history.budget);
    for step in &history.steps {
        comparison.step(step);
    }
    comparison.commit();
    comparison.come_to_rest();
}

thread_local! {
    static IS_SEARCHING: Cell<bool> = const { Cell::new(false) };
}

/// What is wrong about this history, if anything.
fn complaint(history: &History) -> Option<String> {
    IS_SEARCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| replay(history)));
    IS_SEARCHING.set(false);
    let panic = result.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
}

/// Proptest removes steps first and simplifies them afterwards; then more of them can go.
fn without_needless_steps(mut history: History) -> History {
    let mut nth = 0;
    while nth < history.steps.len() {
        let mut shorter = history.clone();
        shorter.steps.remove(nth);
        if complaint(&shorter).is_some() {
            history = shorter;
            nth = 0;
        } else {
            nth += 1;
        }
    }
    history
}

/// The thousands of attempts to shrink a history would each print a panic.
fn keep_the_search_quiet() {
    let report = take_hook();
    set_hook(Box::new(move |panic| {
        if !IS_SEARCHING.get() {
            report(panic);
        }
    }));
}

/// `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let mut config =
        ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 3_000;
    }
    config
}

/// A machine after the history; nothing is held any more.
fn machine_after(policy: &Policy, steps: &[Step]) -> Machine {
    let mut machine = Machine::new(policy.clone());
    for step in steps {
        match step {
            Step::Fire(alert) => drop(machine.decide(&alert.firing())),
            Step::Burst(alert, more) => (0..=*more).for_each(|nth| {
                let resource = format!("{}-{nth}", alert.resource);
                let _ = machine.decide(&Alert { resource, ..alert.clone() }.firing());
            }),
            Step::Resolve(alert) => drop(machine.decide(&alert.resolved())),
            Step::Report(nth, phase) => {
                let _ = machine.commit();
                let requests = machine.requests();
                let reference = requests.keys().nth(nth % requests.len().max(1)).cloned();
                // Work that begins on an older request of a problem leaves two that are open, and either may go on.
                let reference = reference.filter(|reference| machine.engine.phase(reference).is_some());
                let _ = reference.map(|reference| machine.report(&reference, *phase));
            }
            Step::Clock(by) | Step::Tick(by) => {
                machine.now = machine.now + by.abs();
                machine.tick();
            }
            Step::Commit | Step::Reload | Step::Redeliver | Step::Crash { .. } => {}
        }
        let _ = machine.commit();
    }
    machine.now = machine.now + 5_000;
    machine.tick();
    let _ = machine.commit();
    machine
}

/// Of rules that tell their members apart by resource, everything is in the requests.
fn keeps_its_requests(history: &History) -> Result<(), TestCaseError> {
    let [mut policy, _] = history.policies.clone();
    policy.sample = 250;
    policy.cooldown = 0;
    policy.rules.retain(|rule| rule.group_by.contains(&Field::Alertname));
    let mut kept = machine_after(&policy, &history.steps);
    let mut lost = machine_after(&policy, &history.steps);
    lost.lose_state();
    let _ = lost.commit();
    for step in &history.steps {
        let (Step::Fire(alert) | Step::Burst(alert, _)) = step else { continue };
        let (one, other) = (kept.decide(&alert.firing()), lost.decide(&alert.firing()));
        // Each by itself: what is new counts in windows, which are not in the requests.
        kept.crash();
        lost.crash();
        if one.kind == DecisionKind::Duplicate {
            prop_assert_eq!(one.request, other.request, "{:?}", alert);
        }
    }
    Ok(())
}

#[test]
fn after_a_loss_what_was_open_counts_on_the_same_requests() {
    let outcome = TestRunner::new(config()).run(&histories(), |history| keeps_its_requests(&history));
    assert!(outcome.is_ok(), "{}", outcome.map_or_else(|error| error.to_string(), |()| String::new()));
}

#[test]
fn every_history_is_decided_as_the_naive_model_decides_it_and_the_invariants_hold() {
    keep_the_search_quiet();
    let outcome = TestRunner::new(config()).run(&histories(), |history| match complaint(&history) {
        Some(complaint) => Err(TestCaseError::fail(complaint)),
        None => Ok(()),
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(_, history)) => {
            let history = without_needless_steps(history);
            panic!("{}\n{history:?}", complaint(&history).unwrap_or_default());
        }
        Err(other) => panic!("{other}"),
    }
}
