//! The command `seawall`.
//!
//! `serve` and `demo` run the server in this process, by the one composition root. Everything else is a client that
//! speaks HTTP to a server, looks at a state store from outside, or works on configuration alone. What a command prints is for people as a table and for
//! programs as JSON; errors are one sentence on standard error. It must never reach into the state of a server other
//! than through its interface.
//!
//! ```text
//! arguments ─► serve, demo ─► seawall_server ─► until a signal
//!           ├► requests, storms, explain ─► HTTP ─► table or JSON
//!           ├► doctor ─► seawall_server::doctor ─► what is unsafe about the state store
//!           └► config, auth, crd, version, completions ─► text
//! ```

mod args;
mod client;
mod commands;
mod output;
mod sse;
mod table;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong usage or configuration; the same number clap uses.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seawall: {error:#}");
            let usage =
                error.downcast_ref::<seawall_server::ServeError>().is_some_and(|error| error.is_usage())
                    || error.is::<seawall_server::config::ConfigErrors>();
            ExitCode::from(if usage { USAGE } else { 1 })
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(options) => runtime(true)?.block_on(commands::serve(options)),
        Command::Demo => runtime(true)?.block_on(commands::demo()),
        Command::Requests(options) => runtime(false)?.block_on(commands::requests(options)),
        Command::Storms(options) => runtime(false)?.block_on(commands::storms(options)),
        Command::Explain(options) => runtime(false)?.block_on(commands::explain(options)),
        Command::Config(command) => commands::config(command),
        Command::Auth(command) => commands::auth(command),
        Command::Doctor(options) => runtime(false)?.block_on(commands::doctor(options)),
        Command::Crd => commands::crd(),
        Command::Version => commands::version(),
        Command::Completions { shell } => commands::completions(shell),
    }
}

/// One thread is enough to ask one question.
fn runtime(serves: bool) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = match serves {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    Ok(builder.enable_all().build()?)
}
