//! Making credentials.

use anyhow::Context;
use seawall_server::{CredentialDigest, new_token};
use serde_json::json;

use crate::args::{AuthCommand, Format};
use crate::output::{print, print_json};

pub fn auth(command: AuthCommand) -> anyhow::Result<()> {
    match command {
        AuthCommand::Token { output } => token(output),
    }
}

/// Two lines that are YAML: the first is for whoever shows it, the second for the identities file.
fn token(output: Format) -> anyhow::Result<()> {
    let token = new_token().context("get random numbers of the system")?;
    let hash = token.parse::<CredentialDigest>()?;
    match output {
        Format::Table => print(&format!("token: {token}\nhash: {hash}\n")),
        Format::Json => print_json(&json!({ "token": token, "hash": hash.to_string() })),
    }
}
