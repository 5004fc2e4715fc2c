//! Logs: events with fields, for a person or for a program.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    #[default]
    Auto,
    Json,
    Pretty,
}

impl FromStr for LogFormat {
    type Err = LoggingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            other => Err(LoggingError::Format(other.to_owned())),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("log format `{0}` is not `auto`, `json` or `pretty`")]
    Format(String),
    #[error("parse log level")]
    Filter(#[from] ParseError),
    #[error("install the logger: {0}")]
    Install(#[from] TryInitError),
}

/// A plain level is meant for Seawall itself; of the libraries beneath it only warnings are of use to an operator.
fn directives(filter: &str) -> String {
    match filter.parse::<tracing::Level>() {
        Ok(level) if level > tracing::Level::WARN => {
            let ours = CRATES.map(|name| format!("{name}={filter}")).join(",");
            format!("warn,{ours}")
        }
        _ => filter.to_owned(),
    }
}

const CRATES: [&str; 6] =
    ["seawall", "seawall_engine", "seawall_ingest", "seawall_server", "seawall_store", "seawall_telemetry"];

/// Sends the events of this process to standard error. `filter` is a level (`info`), which is Seawall's own, or a
/// list of directives (`info,seawall_store=debug`). To be called once.
pub fn init_logging(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder().parse(directives(filter))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Pretty => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init()?;
    } else {
        builder.with_ansi(terminal).with_target(false).finish().try_init()?;
    }
    Ok(())
}
