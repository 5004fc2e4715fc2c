//! Request bytes, rendered once; only the numbers that make one problem different from the next are patched in.

use seawall_model::Timestamp;

/// Digits of a number inside a payload. Fixed, so that every rendering has the same length and `Content-Length`.
const DIGITS: usize = 10;
const POD: &str = "##########";
const NAMESPACE: &str = "@@@@@@@@@@";

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
}

/// Request bytes for a body of a fixed number of alerts.
pub struct Template {
    bytes: Vec<u8>,
    /// Where the first alert's numbers stand; those of alert `i` stand `i * stride` further.
    slots: Vec<usize>,
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
        let slots = slots_of(&alert).map(|slot| first_alert + slot).collect();
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

    /// A copy to patch and send again and again.
    pub fn buffer(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// Makes `buffer` the request whose alerts carry the next numbers.
    pub fn fill(&self, buffer: &mut [u8], numbers: &mut Numbers) {
        for index in 0..self.alerts {
            let digits = decimal(numbers.take());
            for slot in &self.slots {
                let at = slot + index * self.stride;
                buffer[at..at + DIGITS].copy_from_slice(&digits);
            }
        }
    }

    pub fn body_bytes(&self) -> usize {
        self.bytes.len() - self.body_at
    }
}

/// Which problems a run talks about.
#[derive(Clone, Debug)]
pub struct Numbers {
    next: u64,
    first: u64,
    /// Nothing: every number once. Otherwise the numbers `first..end` again and again.
    end: Option<u64>,
}

impl Numbers {
    pub const fn fresh(first: u64) -> Self {
        Self { next: first, first, end: None }
    }

    pub const fn cycle(population: u64) -> Self {
        Self { next: 0, first: 0, end: Some(population) }
    }

    fn take(&mut self) -> u64 {
        let number = self.next;
        self.next = if Some(number + 1) == self.end { self.first } else { number + 1 };
        number
    }
}

fn decimal(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
    digits
}

fn slots_of(alert: &str) -> impl Iterator<Item = usize> {
    let of = |marker| alert.match_indices(marker).map(|(at, _)| at);
    of(POD).chain(of(NAMESPACE))
}

/// An alert of the common Kubernetes chart: about 910 bytes as a webhook carries it, twelve labels,
/// three annotations, an escape.
fn render_alert(dialect: Dialect, spread: Spread, now: Timestamp) -> String {
    let namespace = match spread {
        Spread::Apart => format!("prod-{NAMESPACE}"),
        Spread::Together => "prod-storm".to_owned(),
    };
    let pod = format!("checkout-{POD}");
    let common = format!(
        r#""labels":{{"alertname":"KubePodCrashLooping","container":"app","endpoint":"http-metrics","instance":"10.42.7.19:8080","job":"kube-state-metrics","namespace":"{namespace}","pod":"{pod}","prometheus":"monitoring/kube-prometheus-stack-prometheus","reason":"CrashLoopBackOff","service":"kube-state-metrics","severity":"critical","uid":"4f9d1c62-7a0e-4c55-9d1f-2b8e6a0c7d31"}},"annotations":{{"description":"Pod {namespace}/{pod} (app) is in waiting state (reason: \"CrashLoopBackOff\").","runbook_url":"https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping","summary":"Pod is crash looping."}},"startsAt":"{starts}","generatorURL":"http://prometheus:9090/graph?g0.expr=max_over_time%28kube_pod_container_status_waiting_reason%5B5m%5D%29+%3E%3D+1&g0.tab=1""#,
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
        template.fill(&mut buffer, &mut Numbers::fresh(first));
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
    fn members_of_a_storm_share_their_namespace() {
        let body = body(Dialect::Alerts, Spread::Together, 2, 7);
        assert_eq!(body[0]["labels"]["namespace"], body[1]["labels"]["namespace"]);
        assert_ne!(body[0]["labels"]["pod"], body[1]["labels"]["pod"]);
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
    fn a_population_is_repeated_in_order() {
        let mut numbers = Numbers::cycle(3);
        let taken: Vec<_> = (0..5).map(|_| numbers.take()).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1]);
    }
}
