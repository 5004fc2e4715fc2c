//! Looking at the configuration without starting anything.

use crate::args::{ConfigCommand, ConfigFormat, ServeOptions};
use crate::output::{print, print_json};

pub fn config(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check(options) => check(options),
        ConfigCommand::Show { serve, output } => {
            let loaded = serve.sources().load()?;
            match output {
                ConfigFormat::Yaml => print(&loaded.to_yaml()),
                ConfigFormat::Json => print_json(&loaded.to_json()),
            }
        }
        ConfigCommand::Schema => print_json(&seawall_server::config::schema()),
    }
}

fn check(options: ServeOptions) -> anyhow::Result<()> {
    let sources = options.sources();
    let loaded = sources.load()?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let checked = match &sources.file {
        Some(path) => path.display().to_string(),
        None => "no configuration file; the defaults".to_owned(),
    };
    print(&format!("{checked}: OK\n"))
}
