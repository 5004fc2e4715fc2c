//! Policies in Rego that have the last word about environment, priority and path.
//!
//! They are asked on the path of every alert, so they are compiled once, asked on as many threads as there are alerts, and
//! stopped when they take too long. Whatever is wrong with one, the table's answer stands and it is counted.

mod input;
mod load;
mod recursion;
mod rest;

use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use compact_str::CompactString;
use parking_lot::Mutex;
use regorus::{Engine, LimitError, Value};
use seawall_engine::normalise::is_environment;
use seawall_model::{Priority, RemediationPath, Signal, priority_of, remediation_path_of};

use rest::Rest;

pub use load::{PolicyError, policy_files};

/// Where the rules are that are asked.
const PACKAGE: &str = "data.seawall";
/// For how long one evaluation may run. A thousand times what one takes, so that a busy machine stops none that is well.
const LIMIT: Duration = Duration::from_millis(50);
/// Steps of an evaluation between two looks at the clock.
const STEPS: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);
/// Engines that are kept for the next one who asks. More threads than this at once make their own.
const IDLE: usize = 64;

/// What a policy can decide, in this order: each is asked with what the one before it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Environment,
    Priority,
    Path,
}

impl Question {
    const ALL: [Self; 3] = [Self::Environment, Self::Priority, Self::Path];

    /// As metrics call it, and the last part of its rule.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Priority => "priority",
            Self::Path => "path",
        }
    }

    fn rule(self) -> String {
        format!("{PACKAGE}.{}", self.as_str())
    }

    /// What an answer has to be, as a part of a sentence.
    const fn expected(self) -> &'static str {
        match self {
            Self::Environment => "text of 1 to 63 bytes on one line",
            Self::Priority => "one of P0, P1, P2 and P3",
            Self::Path => "one of aggressive, moderate, conservative and manual",
        }
    }
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer<T> {
    Given(T),
    /// The policy says nothing about this signal.
    Undefined,
    /// Something that the field does not take.
    Invalid(String),
    Failed(String),
    TookTooLong,
    /// Not asked, because it took too long several times just now.
    Resting,
}

impl<T> Answer<T> {
    /// As metrics call it.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Given(_) => "ok",
            Self::Undefined => "undefined",
            Self::Invalid(_) => "invalid",
            Self::Failed(_) => "error",
            Self::TookTooLong => "timeout",
            Self::Resting => "resting",
        }
    }
}

/// The policies of one directory, compiled. A change makes new ones.
pub struct Policies {
    directory: PathBuf,
    /// By [`Question`]; nothing where no policy answers it.
    asked: [Option<Rest>; 3],
    engines: Mutex<Engines>,
}

/// An engine serves one signal at a time, so there are as many as threads have needed at once.
struct Engines {
    prepared: Engine,
    idle: Vec<Engine>,
}

impl Policies {
    /// Reads and compiles all `*.rego` of a directory, and asks them about a made-up alert.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(directory: &Path) -> Result<Self, PolicyError> {
        load::load(directory)
    }

    /// Asks everything that policies answer, and changes the signal accordingly. `count` is told of each question what came
    /// of it.
    pub fn refine(&self, signal: &mut Signal, count: impl Fn(&'static str, &'static str)) {
        let mut turn = Turn { policies: self, engine: self.take(), input: input::of(signal), count };
        if let Some(environment) = turn.ask(Question::Environment, environment) {
            signal.environment = environment;
            signal.priority = priority_of(signal.severity, &signal.environment);
            input::set_class(&mut turn.input, signal);
        }
        if let Some(priority) = turn.ask(Question::Priority, Priority::parse) {
            signal.priority = priority;
        }
        signal.path = remediation_path_of(&signal.environment, signal.priority);
        input::set_class(&mut turn.input, signal);
        if let Some(path) = turn.ask(Question::Path, RemediationPath::parse) {
            signal.path = path;
        }
        self.give_back(turn.engine);
    }

    fn take(&self) -> Engine {
        let mut engines = self.engines.lock();
        engines.idle.pop().unwrap_or_else(|| engines.prepared.clone())
    }

    fn give_back(&self, mut engine: Engine) {
        engine.set_input(Value::Undefined);
        let mut engines = self.engines.lock();
        if engines.idle.len() < IDLE {
            engines.idle.push(engine);
        }
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// One signal that policies are asked about.
struct Turn<'p, C> {
    policies: &'p Policies,
    engine: Engine,
    input: Value,
    count: C,
}

impl<C: Fn(&'static str, &'static str)> Turn<'_, C> {
    /// Nothing when the table's answer stands.
    fn ask<T>(&mut self, question: Question, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let rest = self.policies.asked[question as usize].as_ref()?;
        let answer = match rest.is_resting() {
            true => Answer::Resting,
            false => self.evaluate(question, read),
        };
        (self.count)(question.as_str(), answer.outcome());
        match answer {
            Answer::Given(value) => return Some(value),
            Answer::Undefined | Answer::Resting => {}
            Answer::TookTooLong => {
                rest.note_timeout();
                tracing::debug!(policy = question.as_str(), "a policy took longer than {LIMIT:?}");
            }
            Answer::Invalid(said) | Answer::Failed(said) => {
                tracing::debug!(policy = question.as_str(), said, "a policy gave no usable answer");
            }
        }
        None
    }

    fn evaluate<T>(&mut self, question: Question, read: impl FnOnce(&str) -> Option<T>) -> Answer<T> {
        let Self { engine, input, .. } = self;
        // An alert must not be lost over a fault in what reads policies.
        let answer = catch_unwind(AssertUnwindSafe(|| evaluate(engine, input, question, read)));
        answer.unwrap_or_else(|_| {
            *engine = self.policies.engines.lock().prepared.clone();
            Answer::Failed("the evaluation broke off".to_owned())
        })
    }
}

fn evaluate<T>(
    engine: &mut Engine,
    input: &Value,
    question: Question,
    read: impl FnOnce(&str) -> Option<T>,
) -> Answer<T> {
    engine.set_input(input.clone());
    match engine.eval_rule(question.rule()) {
        Ok(Value::Undefined) => Answer::Undefined,
        Ok(value) => match value.as_string().ok().and_then(|text| read(text)) {
            Some(usable) => Answer::Given(usable),
            None => Answer::Invalid(value.to_string()),
        },
        Err(error) if error.downcast_ref::<LimitError>().is_some() => Answer::TookTooLong,
        Err(error) => Answer::Failed(error.to_string()),
    }
}

fn environment(text: &str) -> Option<CompactString> {
    is_environment(text).then(|| text.into())
}

#[cfg(test)]
mod tests;
