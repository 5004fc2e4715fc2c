//! What each command does.

mod auth;
mod config;
mod demo;
mod doctor;
mod explain;
mod requests;
mod serve;
mod storms;

use clap::CommandFactory;

use crate::args::Cli;
use crate::output::print;

pub use auth::auth;
pub use config::config;
pub use demo::demo;
pub use doctor::doctor;
pub use explain::explain;
pub use requests::requests;
pub use serve::serve;
pub use storms::storms;

pub fn crd() -> anyhow::Result<()> {
    print(&seawall_model::crd_yaml()?)
}

pub fn version() -> anyhow::Result<()> {
    print(concat!("seawall ", env!("CARGO_PKG_VERSION"), "\n"))
}

pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "seawall", &mut script);
    print(&String::from_utf8(script)?)
}
