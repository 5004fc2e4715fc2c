//! Running the server.

use std::io::IsTerminal;

use seawall_server::{Running, run, termination};

use crate::args::ServeOptions;

pub async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let sources = options.sources();
    let loaded = sources.load()?;
    seawall_telemetry::init_logging(loaded.settings.log_format, loaded.settings.log_filter)?;
    Ok(run(sources, loaded, greet, termination()?).await?)
}

/// Shows a person at a terminal what to do next; programs have the log.
fn greet(running: &Running) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let address = running.address();
    eprintln!(
        "\nSend an alert:\n\
         \x20 curl http://{address}/webhook/prometheus -H 'content-type: application/json' \\\n\
         \x20   -d '{{\"version\":\"4\",\"alerts\":[{{\"status\":\"firing\",\"labels\":{{\"alertname\":\"DiskFull\",\"namespace\":\"prod\",\"pod\":\"db-0\"}}}}]}}'\n\
         See the request: seawall requests --server http://{address}\n\
         Alertmanager: webhook_configs url http://{address}/webhook/prometheus\n"
    );
}
