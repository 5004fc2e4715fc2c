//! The alert rules. Few: each wants a person, and says what becomes of alerts meanwhile.

use super::{NOT_THE_SENDERS_FAULT, REFUSALS};
use crate::catalogue::{
    AUTH, BUILD, CONFIG_LAST_RELOAD_SUCCESSFUL, HTTP_REQUESTS, KUBERNETES_EVENTS_WATCHED, PUBLISH_ERRORS,
    PUBLISH_OLDEST_PENDING, RATE_LIMITED, SIGNALS_RECEIVED, SIGNALS_REJECTED, STATE_AVAILABLE, STATE_LOSSES,
    STATE_OUTAGES, STORMS_OPEN, TLS_CERTIFICATE_NOT_AFTER,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Alerts do not get through, or their requests do not come to exist: now.
    Critical,
    /// Something is wrong that gets worse, or somebody is not served: today.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One alert rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub alert: &'static str,
    pub expr: String,
    /// For how long it must hold.
    pub lasting: &'static str,
    pub severity: Severity,
    pub summary: &'static str,
    /// What it means and what becomes of alerts meanwhile.
    pub description: &'static str,
}

impl Rule {
    /// The heading in the runbook as a link.
    pub fn anchor(&self) -> String {
        self.alert.to_lowercase()
    }
}

/// What tells one Seawall from another. Replicas are seen together: instances and pods are left out on purpose, so that an
/// alert stays the same one while replicas come and go. `namespace` is not there outside of a cluster.
const OF: &str = "job, namespace";

/// Where signals are delivered.
const DELIVERIES: &str = "/webhook/.+|/api/v1/signals/.+|/api/v2/alerts";

pub fn rules() -> Vec<Rule> {
    [gateway(), state(), publishing(), senders(), operation()].concat()
}

fn gateway() -> Vec<Rule> {
    vec![
        Rule {
            alert: "SeawallDown",
            expr: format!("absent({BUILD})"),
            lasting: "5m",
            severity: Severity::Critical,
            summary: "No Seawall is scraped.",
            description: "None runs, or Prometheus does not reach any. If none runs, alerts wait at their senders: Alertmanager and \
                Prometheus try again, and drop what was resolved before it got through. Requests that exist stay as they are.",
        },
        Rule {
            alert: "SeawallDeliveriesFail",
            expr: format!(
                "sum by ({OF}) (rate({HTTP_REQUESTS}{{route=~\"{DELIVERIES}\",status=~\"5..\"}}[5m]))\n  \
                 / sum by ({OF}) (rate({HTTP_REQUESTS}{{route=~\"{DELIVERIES}\"}}[5m])) > 0.05"
            ),
            lasting: "5m",
            severity: Severity::Warning,
            summary: "{{ $value | humanizePercentage }} of the deliveries are answered 5xx.",
            description: "Senders are told to come again and do, so nothing is lost while they have patience, but alerts come late. \
                Either something that Seawall needs is away, which has an alert of its own, or more comes than it can take.",
        },
    ]
}

fn state() -> Vec<Rule> {
    vec![
        Rule {
            alert: "SeawallStateUnavailable",
            expr: format!("min by ({OF}, store) ({STATE_AVAILABLE}) == 0"),
            lasting: "1m",
            severity: Severity::Critical,
            summary: "The state store ({{ $labels.store }}) is away from at least one Seawall.",
            description: "Nothing can be made durable there, so alerts are answered 503 and stay with their senders, who try again. \
                No request is made or changed by alerts. It goes on by itself as soon as the store is back.",
        },
        Rule {
            alert: "SeawallStateFlaps",
            expr: format!("max by ({OF}, store) (increase({STATE_OUTAGES}[1h])) > 3"),
            lasting: "1m",
            severity: Severity::Warning,
            summary: "The state store ({{ $labels.store }}) went away {{ $value | humanize }} times in an hour.",
            description: "Each time alerts are answered 503 for a while and senders try again: nothing is lost, but alerts come late, \
                and an outage that does not end is likely.",
        },
        Rule {
            alert: "SeawallStateLost",
            expr: format!("max by ({OF}, store) (increase({STATE_LOSSES}[1h])) > 0"),
            lasting: "0s",
            severity: Severity::Critical,
            summary: "The state store ({{ $labels.store }}) was found empty.",
            description: "Somebody emptied it, or it came back without its data. Where requests are resources of a cluster, what is open \
                was read back from them. Where they lived in the store they are gone, and alerts that still fire get new requests.",
        },
    ]
}

fn publishing() -> Vec<Rule> {
    let classes = REFUSALS.join("|");
    vec![
        Rule {
            alert: "SeawallRequestsDelayed",
            expr: format!("max by ({OF}) ({PUBLISH_OLDEST_PENDING}) > 60"),
            lasting: "2m",
            severity: Severity::Critical,
            summary: "A request has been waiting for {{ $value | humanizeDuration }} to be published.",
            description: "Alerts are taken, decided and answered 202 as ever, and nothing is lost, but whoever works on requests does not \
                see the new ones and not the news of old ones. Everything follows when the sink takes writes again.",
        },
        Rule {
            alert: "SeawallRequestsRefused",
            expr: format!(
                "sum by ({OF}, sink, class) (increase({PUBLISH_ERRORS}{{class=~\"{classes}\"}}[3m])) > 0"
            ),
            lasting: "5m",
            severity: Severity::Critical,
            summary: "The sink refuses requests: {{ $labels.class }}.",
            description: "Waiting does not cure it. Alerts are taken and their requests are tried again and again, but those that are \
                refused do not come to exist until somebody changes rights, quota, definition or policy.",
        },
    ]
}

fn senders() -> Vec<Rule> {
    let not_theirs = NOT_THE_SENDERS_FAULT.join("|");
    vec![
        Rule {
            alert: "SeawallAuthenticationUnavailable",
            expr: format!("sum by ({OF}, method) (rate({AUTH}{{outcome=\"unavailable\"}}[5m])) > 0"),
            lasting: "5m",
            severity: Severity::Critical,
            summary: "Who is asking cannot be checked ({{ $labels.method }}).",
            description: "Senders whose answer is not remembered are answered 503 and try again; nobody is let in unasked. Those who \
                were checked a moment ago go on until that is over.",
        },
        Rule {
            alert: "SeawallSignalsRejected",
            expr: format!(
                "(sum by ({OF}, source) (increase({SIGNALS_REJECTED}{{reason!~\"{not_theirs}\"}}[15m])) > 10)\n  \
                 > 0.1 * sum by ({OF}, source) (increase({SIGNALS_RECEIVED}[15m]))"
            ),
            lasting: "15m",
            severity: Severity::Warning,
            summary: "{{ $value | humanize }} signals of {{ $labels.source }} were rejected in 15 minutes.",
            description: "More than a tenth of what comes is malformed, too large or not allowed. Senders do not send it again: these \
                alerts get no request.",
        },
        Rule {
            alert: "SeawallSendersLimited",
            expr: format!("sum by ({OF}, scope) (rate({RATE_LIMITED}[5m])) > 0"),
            lasting: "10m",
            severity: Severity::Warning,
            summary: "A sender has been sending more than it may for 10 minutes (by {{ $labels.scope }}).",
            description: "What is too much is answered 429, or 503 to senders that would give up. Alerts of that sender come late or, \
                where it does not try again, not at all. Others are not affected.",
        },
        Rule {
            alert: "SeawallNoSignals",
            expr: format!(
                "sum by ({OF}) (increase({SIGNALS_RECEIVED}[1h])) == 0\n  \
                 and sum by ({OF}) (increase({SIGNALS_RECEIVED}[1d] offset 1h)) > 0"
            ),
            lasting: "10m",
            severity: Severity::Warning,
            summary: "Nothing was received for an hour, although there was something the day before.",
            description: "Either nothing is wrong anywhere, or alerts do not reach Seawall any more. An alert that always fires \
                (Watchdog) and is routed to Seawall makes this rule certain.",
        },
    ]
}

fn operation() -> Vec<Rule> {
    vec![
        Rule {
            alert: "SeawallConfigReloadFailed",
            expr: format!("min by ({OF}) ({CONFIG_LAST_RELOAD_SUCCESSFUL}) == 0"),
            lasting: "5m",
            severity: Severity::Warning,
            summary: "A changed configuration or policy was refused.",
            description: "What was in effect stays in effect, and alerts are decided by it. A restart would fail.",
        },
        Rule {
            alert: "SeawallCertificateExpires",
            expr: format!("min by ({OF}) ({TLS_CERTIFICATE_NOT_AFTER}) - time() < 7 * 86400"),
            lasting: "10m",
            severity: Severity::Warning,
            summary: "The certificate that is served ends in less than seven days.",
            description: "Nothing is lost yet. When it has ended, senders that verify it deliver nothing; what they repeat until there \
                is a new one is taken then.",
        },
        Rule {
            alert: "SeawallEventsNotWatched",
            expr: format!("max by ({OF}) ({KUBERNETES_EVENTS_WATCHED}) == 0"),
            lasting: "5m",
            severity: Severity::Warning,
            summary: "No replica watches Kubernetes events.",
            description: "Warnings of the cluster become no signals for now. What the API server still has is taken later, usually that of \
                the last hour. Alerts that are sent are not affected.",
        },
        Rule {
            alert: "SeawallStormOpen",
            expr: format!("max by ({OF}, rule) ({STORMS_OPEN}) > 0"),
            lasting: "0s",
            severity: Severity::Info,
            summary: "Storms of the rule {{ $labels.rule }} are open: {{ $value }}.",
            description: "Many alerts have one cause and are one request each storm. Nothing is wrong with Seawall; something larger is \
                wrong with what it watches.",
        },
    ]
}
