//! What asking the sample policies costs per alert, beside what normalising it costs anyway:
//! `cargo run -p seawall-classify --example policy_cost`. The figures in `docs/classification.md` are from here.

use std::borrow::Cow;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use seawall_classify::{Classifier, Known, Policies};
use seawall_engine::normalise::{Alert, Normaliser, NormaliserConfig};
use seawall_model::{Context, Payload, Policy, Stopwatch, Timestamp};
use seawall_telemetry::Metrics;

const ALERTS: u32 = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/policies");
    let began = Stopwatch::start();
    let policies = Arc::new(Policies::load(&samples)?);
    println!("load: {:?}", began.elapsed());
    let tables = || Normaliser::new(&NormaliserConfig::default(), &Policy::default());
    let (known, metrics) = (Arc::new(Known::default()), Arc::new(Metrics::new()));
    let asking = tables().asking(Arc::new(Classifier::new(known, Some(policies), metrics)));
    for threads in [1, 2, 4] {
        for (name, normaliser) in [("tables", &tables()), ("policies", &asking)] {
            let began = Stopwatch::start();
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..ALERTS).for_each(|_| normalise(normaliser)));
                }
            });
            let each = began.elapsed() / ALERTS;
            println!("{threads} threads, {name}: {each:?} for an alert on each");
        }
    }
    Ok(())
}

/// An alert as the common chart sends it: twelve labels, four annotations.
fn normalise(normaliser: &Normaliser) {
    const PAYLOAD: &str = include_str!("alert.json");
    let labels = [
        ("alertname", "KubePodCrashLooping"),
        ("namespace", "prod"),
        ("pod", "web-1"),
        ("severity", "critical"),
    ];
    let labels = labels.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
    let alert = Alert { status: "firing", labels: &labels, starts_at: "2026-11-01T09:00:00Z", ends_at: "" };
    let payload = Payload::from(Bytes::from_static(PAYLOAD.as_bytes()));
    let context = Arc::new(Context::default());
    let received = Timestamp::from_millis(1_800_000_000_000);
    let signal = normaliser.alert(&alert, payload, &context, "alertmanager", received);
    assert!(black_box(signal).is_ok(), "an alert with a name is a signal");
}
