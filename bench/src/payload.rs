//! Request bytes, rendered once; only the numbers that make one problem different from the next are patched in.

use seawall_model::Timestamp;

use crate::driver::{Exchange, Response};

/// Digits of a number inside a payload. Fixed, so that every rendering has the same length and `Content-Length`.
pub const DIGITS: usize = 10;
const POD: &str = "##########";
const NAMESPACE: &str = "@@@@@@@@@@";
const NAME: &str = "%%%%%%%%%%";

/// The format of a body and the route that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// What Alertmanager sends to a receiver.
    Webhook,
    /// What Prometheus sends to an Alertmanager; both products take the same bytes.
    Alerts,
}

impl Dialect {
    pub const fn path(self) -> &'static str {
        match self {
            Self::Webhook => "/webhook/prometheus",
            Self::Alerts => "/api/v2/alerts",
        }
    }
}

/// How alerts with different numbers relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// A namespace each: no storm rule ever counts two of them together.
    Apart,
    /// Pods of one namespace: from the tenth on they are one storm.
    Together,
    /// [`GROUP`] pods of each namespace, a storm each.
    Groups,
    /// 40 to a namespace with 8 pods to an alert's name: as many as no storm rule of the default counts together.
    Crowd,
}

/// Alerts of one namespace in [`Spread::Groups`], and in a body of them.
pub const GROUP: u64 = 100;

impl Spread {
    /// How many alerts in a row share their namespace; nothing when all do.
    pub const fn share_namespace(self) -> Option<u64> {
        match self {
            Self::Apart => Some(1),
            Self::Together => None,
            Self::Groups => Some(GROUP),
            Self::Crowd => Some(40),
        }
    }

    /// How many alerts in a row share their name; nothing when all do.
    const fn share_name(self) -> Option<u64> {
        match self {
            Self::Crowd => Some(8),
            Self::Apart | Self::Together | Self::Groups => None,
        }
    }
}

/// The namespace that all alerts are in with [`Spread::Together`].
pub const STORM_NAMESPACE: &str = "prod-storm";

/// A namespace of the other spreads.
pub fn namespace(number: u64) -> String {
    format!("prod-{number:0DIGITS$}")
}

/// A place in a payload for the number of an alert.
#[derive(Clone, Copy, Debug)]
struct Slot {
    at: usize,
    /// So many alerts in a row have the same there.
    shared_by: u64,
}

/// Request bytes for a body of a fixed number of alerts.
pub struct Template {
    bytes: Vec<u8>,
    /// Where the first alert's numbers stand; those of alert `i` stand `i * stride` further.
    slots: Vec<Slot>,
    stride: usize,
    pub alerts: usize,
    body_at: usize,
}

impl Template {
    pub fn new(dialect: Dialect, spread: Spread, alerts: usize, now: Timestamp) -> Self {
        let alert = render_alert(dialect, spread, now);
        let (opening, closing) = envelope(dialect);
        let body_length = opening.len() + alerts * (alert.len() + 1) - 1 + closing.len();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Alertmanager/0.34.0\r\n\
             Content-Type: application/json\r\nContent-Length: {body_length}\r\n\r\n",
            dialect.path(),
        );
        let body_at = head.len();
        let first_alert = body_at + opening.len();
        let slots = slots_of(&alert, spread).map(|slot| Slot { at: first_alert + slot.at, ..slot }).collect();
        let mut bytes = Vec::with_capacity(body_at + body_length);
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(opening.as_bytes());
        for index in 0..alerts {
            if index > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(alert.as_bytes());
        }
        bytes.extend_from_slice(closing.as_bytes());
        Self { bytes, slots, stride: alert.len() + 1, alerts, body_at }
    }

    /// The same, sent by whoever has this token.
    pub fn authorized(mut self, token: &str) -> Self {
        let header = format!("Authorization: Bearer {token}\r\n");
        // Before the empty line that ends the head.
        let at = self.body_at - 2;
        self.bytes.splice(at..at, header.bytes());
        self.slots.iter_mut().for_each(|slot| slot.at += header.len());
        self.body_at += header.len();
        self
    }

    pub fn body_bytes(&self) -> usize {
        self.bytes.len() - self.body_at
    }
}

impl Exchange for Template {
    type Answer = Response;

    fn buffer(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// Makes `buffer` the request whose alerts carry the next numbers.
    fn fill(&self, _: usize, buffer: &mut [u8], numbers: &mut Numbers) {
        for index in 0..self.alerts {
            let number = numbers.take();
            let own = decimal(number);
            for slot in &self.slots {
                let at = slot.at + index * self.stride;
                let digits = if slot.shared_by == 1 { own } else { decimal(number / slot.shared_by) };
                buffer[at..at + DIGITS].copy_from_slice(&digits);
            }
        }
    }
}

/// Which problems a run talks about.
#[derive(Clone, Debug)]
pub struct Numbers {
    next: u64,
    first: u64,
    /// Nothing: every number once. Otherwise the numbers `first..end` again and again.
    end: Option<u64>,
    taken: u64,
}

impl Numbers {
    pub const fn fresh(first: u64) -> Self {
        Self { next: first, first, end: None, taken: 0 }
    }

    pub const fn cycle(population: u64) -> Self {
        Self { next: 0, first: 0, end: Some(population), taken: 0 }
    }

    /// How many numbers were taken so far.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    pub fn take(&mut self) -> u64 {
        self.taken += 1;
        let number = self.next;
        self.next = if Some(number + 1) == self.end { self.first } else { number + 1 };
        number
    }
}

pub fn decimal(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
    digits
}

fn slots_of(alert: &str, spread: Spread) -> impl Iterator<Item = Slot> {
    let shared = |marker, by: Option<u64>| {
        let places = alert.match_indices(marker).map(|(at, _)| at);
        places.filter_map(move |at| Some(Slot { at, shared_by: by? }))
    };
    shared(POD, Some(1))
        .chain(shared(NAMESPACE, spread.share_namespace()))
        .chain(shared(NAME, spread.share_name()))
}

/// An alert of the common Kubernetes chart: about 910 bytes as a webhook carries it, twelve labels,
/// three annotations, an escape.
fn render_alert(dialect: Dialect, spread: Spread, now: Timestamp) -> String {
    let namespace = match spread.share_namespace() {
        Some(_) => format!("prod-{NAMESPACE}"),
        None => STORM_NAMESPACE.to_owned(),
    };
    // Of the same length as the name it stands for.
    let name = match spread.share_name() {
        Some(_) => format!("CrashLoop{NAME}"),
        None => "KubePodCrashLooping".to_owned(),
    };
    let pod = format!("checkout-{POD}");
    let common = format!(
        r#""labels":{{"alertname":"{name}","container":"app","endpoint":"http-metrics","instance":"10.42.7.19:8080","job":"kube-state-metrics","namespace":"{namespace}","pod":"{pod}","prometheus":"monitoring/kube-prometheus-stack-prometheus","reason":"CrashLoopBackOff","service":"kube-state-metrics","severity":"critical","uid":"4f9d1c62-7a0e-4c55-9d1f-2b8e6a0c7d31"}},"annotations":{{"description":"Pod {namespace}/{pod} (app) is in waiting state (reason: \"CrashLoopBackOff\").","runbook_url":"https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping","summary":"Pod is crash looping."}},"startsAt":"{starts}","generatorURL":"http://prometheus:9090/graph?g0.expr=max_over_time%28kube_pod_container_status_waiting_reason%5B5m%5D%29+%3E%3D+1&g0.tab=1""#,
        starts = now - 60_000,
    );
    match dialect {
        Dialect::Webhook => format!(
            r#"{{"status":"firing",{common},"endsAt":"0001-01-01T00:00:00Z","fingerprint":"8d2b7e0f6a41c953"}}"#
        ),
        // Prometheus sends the time until which it vouches for the alert.
        Dialect::Alerts => format!(r#"{{{common},"endsAt":"{ends}"}}"#, ends = now + 3_600_000),
    }
}

fn envelope(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Webhook => (
            r#"{"receiver":"seawall","status":"firing","alerts":["#,
            r#"],"groupLabels":{"alertname":"KubePodCrashLooping"},"commonLabels":{"alertname":"KubePodCrashLooping","severity":"critical"},"commonAnnotations":{"summary":"Pod is crash looping."},"externalURL":"http://alertmanager:9093","version":"4","groupKey":"{}:{alertname=\"KubePodCrashLooping\"}","truncatedAlerts":0}"#,
        ),
        Dialect::Alerts => ("[", "]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(dialect: Dialect, spread: Spread, alerts: usize, first: u64) -> serde_json::Value {
        let template = Template::new(dialect, spread, alerts, Timestamp::from_millis(1_800_000_000_000));
        let mut buffer = template.buffer();
        template.fill(0, &mut buffer, &mut Numbers::fresh(first));
        serde_json::from_slice(&buffer[template.body_at..]).unwrap()
    }

    #[test]
    fn every_alert_of_a_body_carries_its_own_number() {
        let body = body(Dialect::Webhook, Spread::Apart, 3, 41);
        let pods: Vec<_> =
            (0..3).map(|index| body["alerts"][index]["labels"]["pod"].as_str().unwrap()).collect();
        assert_eq!(pods, ["checkout-0000000041", "checkout-0000000042", "checkout-0000000043"]);
        assert_eq!(body["alerts"][2]["labels"]["namespace"], "prod-0000000043");
    }

    #[test]
    fn namespaces_can_be_made_before_alerts_are_about_them() {
        let labels = |spread, number: u64| body(Dialect::Alerts, spread, 1, number)[0]["labels"].clone();
        assert_eq!(labels(Spread::Apart, 41)["namespace"], namespace(41));
        assert_eq!(labels(Spread::Crowd, 81)["namespace"], namespace(2));
        assert_eq!(labels(Spread::Together, 41)["namespace"], STORM_NAMESPACE);
    }

    #[test]
    fn members_of_a_storm_share_their_namespace() {
        let body = body(Dialect::Alerts, Spread::Together, 2, 7);
        assert_eq!(body[0]["labels"]["namespace"], body[1]["labels"]["namespace"]);
        assert_ne!(body[0]["labels"]["pod"], body[1]["labels"]["pod"]);
    }

    #[test]
    fn of_a_crowd_too_few_are_alike_for_a_storm() {
        let body = body(Dialect::Alerts, Spread::Crowd, 41, 0);
        let alike = |label: &str, other: usize| body[0]["labels"][label] == body[other]["labels"][label];
        assert!(alike("alertname", 7) && !alike("alertname", 8));
        assert!(alike("namespace", 39) && !alike("namespace", 40));
    }

    #[test]
    fn the_stated_length_is_the_length_of_the_body() {
        for (dialect, alerts) in [(Dialect::Webhook, 1), (Dialect::Alerts, 100)] {
            let template = Template::new(dialect, Spread::Apart, alerts, Timestamp::from_millis(0));
            let stated = format!("Content-Length: {}\r\n", template.body_bytes());
            assert!(String::from_utf8_lossy(&template.bytes).contains(&stated));
        }
    }

    #[test]
    fn whoever_has_a_token_sends_the_same_body() {
        let template = || Template::new(Dialect::Webhook, Spread::Apart, 2, Timestamp::from_millis(0));
        let sent = |template: &Template| {
            let mut buffer = template.buffer();
            template.fill(0, &mut buffer, &mut Numbers::fresh(7));
            String::from_utf8(buffer).unwrap()
        };
        let (anonymous, authorized) = (sent(&template()), sent(&template().authorized("abc.def")));
        let (head, body) = authorized.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("\r\nAuthorization: Bearer abc.def"), "{head}");
        assert_eq!(anonymous.split_once("\r\n\r\n").unwrap().1, body);
    }

    #[test]
    fn a_population_is_repeated_in_order() {
        let mut numbers = Numbers::cycle(3);
        let taken: Vec<_> = (0..5).map(|_| numbers.take()).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1]);
    }
}
