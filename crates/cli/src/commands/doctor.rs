//! Asking whether the state store is fit for what is asked of it.

use anyhow::bail;
use seawall_server::config::Settings;
use seawall_server::doctor::{Finding, Level, examine};
use serde_json::json;

use crate::args::{DoctorOptions, Format};
use crate::output::{print, print_json};
use crate::table::shown;

pub async fn doctor(options: DoctorOptions) -> anyhow::Result<()> {
    let output = options.output;
    let settings = options.sources().load()?.settings;
    let findings = examine(&settings).await;
    match output {
        Format::Table => print(&table(&settings, &findings))?,
        Format::Json => print_json(&document(&settings, &findings))?,
    }
    let bad = findings.iter().filter(|finding| is_bad(finding)).count();
    match bad {
        0 => Ok(()),
        1 => bail!("one finding needs to be acted on"),
        _ => bail!("{bad} findings need to be acted on"),
    }
}

const fn is_bad(finding: &Finding) -> bool {
    matches!(finding.level, Level::Unsafe | Level::Failed)
}

const fn mark(level: Level) -> &'static str {
    match level {
        Level::Fine => "ok",
        Level::Warning => "warning",
        Level::Unsafe => "unsafe",
        Level::Failed => "failed",
    }
}

fn table(settings: &Settings, findings: &[Finding]) -> String {
    let mut text = format!("State store: {}\n", settings.state);
    for Finding { level, what, advice } in findings {
        // What is found may be in the words of a server.
        let what = shown(what);
        let advice = advice.as_deref().map(|advice| format!("; {}", shown(advice))).unwrap_or_default();
        text += &format!("{:<9}{what}{advice}\n", mark(*level));
    }
    text
}

fn document(settings: &Settings, findings: &[Finding]) -> serde_json::Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|Finding { level, what, advice }| json!({ "level": mark(*level), "what": what, "advice": advice }))
        .collect();
    json!({ "store": settings.state.to_string(), "findings": findings })
}

#[cfg(test)]
mod tests {
    use seawall_server::config::Config;

    use super::*;

    fn finding(level: Level, what: &str, advice: Option<&str>) -> Finding {
        Finding { level, what: what.to_owned(), advice: advice.map(str::to_owned) }
    }

    #[test]
    fn every_finding_is_one_line_with_a_mark_and_advice() {
        let settings = Config::default().validated(false).unwrap();
        let findings = [
            finding(Level::Fine, "Redis 7.0.15", None),
            finding(Level::Unsafe, "maxmemory-policy is `allkeys-lru`", Some("set it to `noeviction`")),
            finding(Level::Warning, "a\nb", None),
        ];
        assert_eq!(
            table(&settings, &findings),
            "State store: the data directory ./seawall-data\n\
             ok       Redis 7.0.15\n\
             unsafe   maxmemory-policy is `allkeys-lru`; set it to `noeviction`\n\
             warning  a\\nb\n"
        );
        let document = document(&settings, &findings);
        assert_eq!(document["store"], "the data directory ./seawall-data");
        assert_eq!(
            document["findings"][1],
            json!({
                "level": "unsafe",
                "what": "maxmemory-policy is `allkeys-lru`",
                "advice": "set it to `noeviction`"
            })
        );
        assert_eq!(findings.iter().filter(|finding| is_bad(finding)).count(), 1);
    }
}
