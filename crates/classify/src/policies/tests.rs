use std::cell::RefCell;
use std::fs;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;

use seawall_model::{Context, Severity};
use tempfile::TempDir;

use super::*;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// One file that holds these rules.
fn policies(rules: &str) -> Policies {
    let directory = directory(&[("policy.rego", &format!("package seawall\nimport rego.v1\n{rules}"))]);
    Policies::load(directory.path()).unwrap()
}

fn refused(rules: &str) -> PolicyError {
    let directory = directory(&[("policy.rego", &format!("package seawall\nimport rego.v1\n{rules}"))]);
    let error = Policies::load(directory.path()).unwrap_err();
    let name = error.file.strip_prefix(directory.path()).unwrap().to_owned();
    PolicyError { file: name, ..error }
}

/// An alert of a namespace, as the tables class it.
fn signal(namespace: &str) -> Signal {
    let mut signal = load::made_up();
    signal.identity.namespace = namespace.into();
    signal.environment = "production".into();
    by_tables(signal, Severity::Critical)
}

fn by_tables(mut signal: Signal, severity: Severity) -> Signal {
    signal.severity = severity;
    signal.priority = priority_of(severity, &signal.environment);
    signal.path = remediation_path_of(&signal.environment, signal.priority);
    signal
}

/// `environment priority path`, and what was counted.
fn refined(policies: &Policies, mut signal: Signal) -> (String, Vec<String>) {
    let counted = RefCell::new(Vec::new());
    policies.refine(&mut signal, |policy, outcome| counted.borrow_mut().push(format!("{policy} {outcome}")));
    let class = format!("{} {} {}", signal.environment, signal.priority.as_str(), signal.path.as_str());
    (class, counted.into_inner())
}

#[test]
fn each_of_the_three_is_replaced_by_what_its_policy_says() {
    let all = policies(
        "environment := \"canary\"\npriority := \"P3\" if input.severity == \"critical\"\npath := \"moderate\"",
    );
    let (class, counted) = refined(&all, signal("shop"));
    assert_eq!(class, "canary P3 moderate");
    assert_eq!(counted, ["environment ok", "priority ok", "path ok"]);
}

#[test]
fn what_no_policy_answers_follows_by_the_tables_from_what_one_does() {
    let environment = policies("environment := \"staging\"");
    assert_eq!(
        refined(&environment, signal("shop")),
        ("staging P1 moderate".into(), vec!["environment ok".into()])
    );
    let priority = policies("priority := \"P1\"");
    assert_eq!(refined(&priority, signal("shop")).0, "production P1 conservative");
    let path = policies("path := \"manual\"");
    assert_eq!(refined(&path, signal("shop")).0, "production P0 manual");
}

#[test]
fn each_is_asked_with_what_the_one_before_it_said() {
    let chained = policies(
        "environment := \"staging\"\n\
         priority := \"P3\" if {\n input.environment == \"staging\"\n input.priority == \"P1\"\n}\n\
         path := \"aggressive\" if {\n input.environment == \"staging\"\n input.priority == \"P3\"\n input.path == \"manual\"\n}",
    );
    assert_eq!(refined(&chained, signal("shop")).0, "staging P3 aggressive");
}

#[test]
fn a_policy_sees_the_whole_signal() {
    let mut alert = signal("shop");
    alert.identity.cluster = "eu".into();
    alert.detail.context =
        Arc::new(Context { common_labels: Bytes::from_static(b"{\"team\":\"x\"}"), ..Context::default() });
    let expected = [
        ("name", "PodCrashLooping"),
        ("namespace", "shop"),
        ("kind", "Pod"),
        ("resource", "web-1"),
        ("cluster", "eu"),
        ("severity", "critical"),
        ("type", "prometheus-alert"),
        ("source", "alertmanager"),
        ("environment", "production"),
        ("priority", "P0"),
        ("path", "aggressive"),
        ("labels.pod", "web-1"),
        ("labels.team", "x"),
        ("annotations.summary", "web-1 restarts again and again"),
    ];
    let conditions: String = expected.map(|(key, text)| format!(" input.{key} == \"{text}\"\n")).concat();
    let all = policies(&format!("path := \"manual\" if {{\n{conditions} input.resolved == false\n}}"));
    assert_eq!(refined(&all, alert).0, "production P0 manual");
}

#[test]
fn what_a_policy_must_not_say_leaves_the_tables_answer_and_is_counted() {
    let table = "production P0 aggressive";
    let long = format!("environment := \"{}\"", "x".repeat(64));
    for (rule, outcome) in [
        ("priority := \"p1\"", "priority invalid"),
        ("priority := 1", "priority invalid"),
        ("path := [\"manual\"]", "path invalid"),
        ("environment := \"\"", "environment invalid"),
        ("environment := \"a\\nb\"", "environment invalid"),
        (&long, "environment invalid"),
        ("environment := concat(\"\", [1])", "environment error"),
        ("path := \"manual\" if input.kind == \"Pod\"\npath := \"moderate\"", "path error"),
    ] {
        // The made-up alert is of another namespace, so loading does not notice.
        let policies = policies(&format!("{rule} if input.namespace == \"shop-1\""));
        let refined = |namespace| refined(&policies, signal(namespace));
        assert_eq!(refined("shop-1"), (table.into(), vec![outcome.into()]), "{rule}");
        let question = outcome.split(' ').next().unwrap();
        // The next alert is not harmed.
        let next = refined("shop-2").1;
        assert!(next == [format!("{question} undefined")] || next == [format!("{question} ok")], "{next:?}");
        assert_eq!(refined("shop-1").1, [outcome], "{rule}");
    }
}

#[test]
fn a_policy_that_does_not_end_is_stopped_and_then_left_alone() {
    let numbers = "numbers.range(1, 9000)";
    let endless = policies(&format!(
        "loop := count([1 | some a in {numbers}; some b in {numbers}; some c in {numbers}; a + b == c])\n\
         priority := \"P3\" if {{\n input.namespace == \"shop-1\"\n loop > 1\n}}\npath := \"manual\""
    ));
    let began = seawall_model::Stopwatch::start();
    for expected in ["timeout", "timeout", "timeout", "resting", "resting"] {
        let (class, counted) = refined(&endless, signal("shop-1"));
        assert_eq!(class, "production P0 manual", "the others are still asked");
        assert_eq!(counted, [format!("priority {expected}"), "path ok".to_owned()]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_range_that_would_fill_the_memory_is_undefined_and_others_are_as_usual() {
    let ranges = policies(
        "priority := \"P3\" if count(numbers.range(1, 1000000000000)) > 1\n\
         path := \"manual\" if {\n numbers.range(3, 1) == [3, 2, 1]\n numbers.range_step(0, 5, 2) == [0, 2, 4]\n}",
    );
    assert_eq!(refined(&ranges, signal("shop")).1, ["priority undefined", "path ok"]);
}

#[test]
fn functions_that_come_back_to_themselves_are_refused_before_they_fill_the_stack() {
    for rules in [
        "f(x) := f(x + 1)\npriority := f(1)",
        "f(x) := g(x + 1)\ng(x) := y if {\n  y := f(x)\n}\npriority := f(1)",
        "f(x) := 1 if x > 9\nelse := data.seawall.f(x)\npriority := \"P1\"",
    ] {
        let error = refused(rules);
        assert_eq!((error.file.to_str(), error.line), (Some("policy.rego"), 3), "{error}");
        assert!(error.message.starts_with("the function `f` may come back to itself"), "{error}");
    }
    let ordinary =
        policies("f(x) := g(x) # f(x)\ng(x) := count([1 | x == \"f(x)\"])\npriority := \"P1\" if f(1) == 0");
    assert_eq!(refined(&ordinary, signal("shop")).0, "production P1 conservative");
    let rules = refused("priority := path\npath := priority");
    assert!(rules.message.contains("recursion"), "{rules}");
}

#[test]
fn a_policy_that_does_not_compile_is_refused_with_its_place() {
    for (rules, line, said) in [
        ("priority := ", 3, "expecting"),
        ("priority := \"P1\" if {\n  x == 1\n}", 4, "x"),
        ("priority := nothing_like_it(1)", 3, "nothing_like_it"),
        ("priority := 5", 0, "`data.seawall.priority` gives 5, and has to give one of P0"),
        ("other := 5", 0, "no policy here answers anything"),
    ] {
        let error = refused(rules);
        assert!(error.message.contains(said), "{rules}: {error}");
        assert_eq!(error.line, line, "{rules}: {error}");
    }
    let empty = directory(&[("readme.md", "no policy")]);
    assert!(Policies::load(empty.path()).unwrap_err().message.contains(".rego"));
    let missing = Policies::load(&empty.path().join("missing")).unwrap_err();
    assert!(missing.message.starts_with("cannot be read"), "{missing}");
}

#[test]
fn policies_of_several_files_and_packages_work_together() {
    let directory = directory(&[
        (
            "a.rego",
            "package seawall\nimport rego.v1\nimport data.teams\npriority := teams.urgency[input.labels.pod]",
        ),
        ("b.rego", "package teams\nimport rego.v1\nurgency := {\"web-1\": \"P3\"}"),
        (".hidden.rego", "this is not Rego"),
    ]);
    let policies = Policies::load(directory.path()).unwrap();
    assert_eq!(refined(&policies, signal("shop")).0, "production P3 manual");
}

#[test]
fn many_threads_ask_at_once_and_each_gets_its_own_answer() {
    let policies = policies("environment := input.namespace");
    thread::scope(|scope| {
        for thread in 0..8 {
            let policies = &policies;
            scope.spawn(move || {
                for number in 0..50 {
                    let namespace = format!("shop-{thread}-{number}");
                    assert!(refined(policies, signal(&namespace)).0.starts_with(&format!("{namespace} ")));
                }
            });
        }
    });
    assert!(policies.engines.lock().idle.len() <= 8);
}
