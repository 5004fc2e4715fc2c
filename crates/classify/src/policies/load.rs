//! From a directory to policies that work, or a sentence that says what is wrong and where.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use parking_lot::Mutex;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use seawall_model::{
    Context, Detail, Fingerprint, Identity, Payload, Priority, RemediationPath, Severity, Signal, SignalType,
    Timestamp,
};

use super::recursion;
use super::rest::Rest;
use super::{Answer, Engines, LIMIT, PACKAGE, Policies, Question, STEPS, evaluate, input};

/// For how long a policy may think about the made-up alert. Long, because a machine that is just starting is busy, and
/// nobody waits for an answer yet.
const TRIAL_LIMIT: Duration = Duration::from_secs(1);
/// The most numbers that `numbers.range` gives. It is how loops are written, and the engine makes room for all of them
/// before it looks at the clock.
const MAX_RANGE: i64 = 10_000;

/// Why policies cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PolicyError {
    /// The file, or the directory when it is not about one file.
    pub file: PathBuf,
    /// Both count from 1; 0 when the place is not known.
    pub line: u64,
    pub column: u64,
    /// A sentence without a full stop.
    pub message: String,
}

impl PolicyError {
    fn about(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }

    /// The engine draws the place: `--> file:line:column`, the line with a mark under it, `error: what`.
    fn drawn(directory: &Path, drawing: &str) -> Self {
        let place =
            drawing.split_once("--> ").map_or("", |(_, rest)| rest.lines().next().unwrap_or_default());
        let said = drawing.split_once("error: ").map_or(drawing, |(_, said)| said);
        let message = said.lines().next().unwrap_or_default().trim().trim_end_matches(':');
        let mut parts = place.rsplitn(3, ':');
        let mut number = || parts.next().and_then(|number| number.trim().parse().ok());
        match (number(), number(), parts.next()) {
            (Some(column), Some(line), Some(file)) => {
                Self { file: file.into(), line, column, message: message.to_owned() }
            }
            _ => Self::about(directory, message),
        }
    }
}

/// The policies of a directory, in order. Names that begin with a dot are not ours: mounted ConfigMaps have some.
///
/// # Errors
/// When the directory cannot be listed.
pub fn policy_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "rego") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn load(directory: &Path) -> Result<Policies, PolicyError> {
    let files = policy_files(directory)
        .map_err(|error| PolicyError::about(directory, format!("cannot be read: {error}")))?;
    if files.is_empty() {
        return Err(PolicyError::about(directory, "holds no policies; their names end in `.rego`"));
    }
    let mut engine = Engine::new();
    let drawn = |error: &dyn std::fmt::Display| PolicyError::drawn(directory, &error.to_string());
    bound_ranges(&mut engine).map_err(|error| PolicyError::about(directory, error))?;
    let mut answered = [false; 3];
    for file in &files {
        let text = fs::read_to_string(file)
            .map_err(|error| PolicyError::about(file, format!("cannot be read: {error}")))?;
        let name = file.display().to_string();
        let package = engine.add_policy(name.clone(), text).map_err(|error| drawn(&error))?;
        for question in Question::ALL.into_iter().filter(|_| package == PACKAGE) {
            let declared = engine.has_declared_rule_rooted_at(&name, question.as_str());
            answered[question as usize] |= declared.map_err(|error| drawn(&error))?;
        }
    }
    if answered == [false; 3] {
        let message = "no policy here answers anything; `package seawall` is to have a rule `environment`, `priority` or \
                       `path`";
        return Err(PolicyError::about(directory, message));
    }
    recursion::refuse(&mut engine)?;
    engine.set_execution_timer_config(limited_to(TRIAL_LIMIT));
    for question in Question::ALL.into_iter().filter(|question| answered[*question as usize]) {
        try_out(&mut engine, question).map_err(|drawing| PolicyError::drawn(directory, &drawing))?;
    }
    engine.set_execution_timer_config(limited_to(LIMIT));
    Ok(Policies {
        directory: directory.to_owned(),
        asked: answered.map(|answered| answered.then(Rest::default)),
        engines: Mutex::new(Engines { prepared: engine, idle: Vec::new() }),
    })
}

const fn limited_to(limit: Duration) -> ExecutionTimerConfig {
    ExecutionTimerConfig { limit, check_interval: STEPS }
}

/// Takes the place of the built-in functions that make loops; what is beyond the bound is undefined.
fn bound_ranges(engine: &mut Engine) -> Result<(), String> {
    let range = |params: Vec<Value>| Ok(range(&params).unwrap_or(Value::Undefined));
    let functions = [("numbers.range", 2), ("numbers.range_step", 3)];
    functions.into_iter().try_for_each(|(name, parameters)| {
        let added = engine.add_extension(name.to_owned(), parameters, Box::new(range));
        added.map_err(|error| format!("cannot be used: {error}"))
    })
}

/// From the first number to the second, both included, in steps of the third; downwards when the second is smaller.
fn range(params: &[Value]) -> Option<Value> {
    let number = |at: usize| params.get(at)?.as_i64().ok();
    let (from, to) = (number(0)?, number(1)?);
    let step = if params.len() > 2 { number(2)? } else { 1 };
    let length = to.checked_sub(from)?;
    if step < 1 || length.checked_abs()? / step >= MAX_RANGE {
        return None;
    }
    let numbers = (0..=length.abs() / step).map(|n| Value::from(from + n * step * length.signum()));
    Some(Value::from(numbers.collect::<Vec<_>>()))
}

/// Asks one question about the made-up alert, which also compiles what is needed for it. The error is the engine's drawing,
/// or a sentence.
fn try_out(engine: &mut Engine, question: Question) -> Result<(), String> {
    let text = |text: &str| match question {
        Question::Environment => super::environment(text).map(drop),
        Question::Priority => Priority::parse(text).map(drop),
        Question::Path => RemediationPath::parse(text).map(drop),
    };
    let rule = question.rule();
    match evaluate(engine, &input::of(&made_up()), question, text) {
        Answer::Given(()) | Answer::Undefined => Ok(()),
        Answer::Invalid(said) => {
            Err(format!("`{rule}` gives {said}, and has to give {}", question.expected()))
        }
        Answer::Failed(drawing) => Err(drawing),
        Answer::TookTooLong | Answer::Resting => {
            Err(format!("`{rule}` takes longer than {TRIAL_LIMIT:?} for a single alert"))
        }
    }
}

/// An ordinary alert of a workload.
pub(super) fn made_up() -> Signal {
    let payload = r#"{"labels":{"alertname":"PodCrashLooping","namespace":"shop","pod":"web-1","severity":"warning"},
        "annotations":{"summary":"web-1 restarts again and again"}}"#;
    let identity = ["PodCrashLooping", "shop", "Pod", "web-1"];
    let [name, namespace, kind, resource] = identity.map(Into::into);
    Signal {
        fingerprint: Fingerprint::of(None, identity, std::iter::empty()),
        identity: Identity { cluster: "".into(), namespace, name, kind, resource },
        api_version: None,
        severity: Severity::Warning,
        environment: "unknown".into(),
        priority: Priority::P2,
        path: RemediationPath::Conservative,
        resolved: false,
        firing_time: Timestamp::from_millis(0),
        grouping: Vec::new(),
        detail: Detail {
            signal_type: SignalType::PrometheusAlert,
            source: "alertmanager".into(),
            payload: Payload::from(Bytes::from_static(payload.as_bytes())),
            context: Context::default().into(),
        },
    }
}
