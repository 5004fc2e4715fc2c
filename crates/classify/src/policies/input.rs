//! What a policy sees of a signal: `docs/classification.md` describes it.

use std::collections::BTreeMap;

use regorus::Value;
use seawall_model::Signal;

/// All of it. The class is what is known so far.
pub(super) fn of(signal: &Signal) -> Value {
    let (labels, annotations, _) = signal.detail.expand();
    let identity = &signal.identity;
    let texts = [
        ("name", identity.name.as_str()),
        ("namespace", &identity.namespace),
        ("kind", &identity.kind),
        ("resource", &identity.resource),
        ("cluster", &identity.cluster),
        ("severity", signal.severity.as_str()),
        ("type", signal.detail.signal_type.as_str()),
        ("source", &signal.detail.source),
        ("environment", &signal.environment),
        ("priority", signal.priority.as_str()),
        ("path", signal.path.as_str()),
    ];
    let mut input: BTreeMap<Value, Value> =
        texts.into_iter().map(|(key, text)| (Value::from(key), Value::from(text))).collect();
    input.insert("resolved".into(), signal.resolved.into());
    input.insert("labels".into(), pairs(labels));
    input.insert("annotations".into(), pairs(annotations));
    Value::from(input)
}

/// Tells the next policy what the one before it said.
pub(super) fn set_class(input: &mut Value, signal: &Signal) {
    let Ok(object) = input.as_object_mut() else { return };
    object.insert("environment".into(), signal.environment.as_str().into());
    object.insert("priority".into(), signal.priority.as_str().into());
    object.insert("path".into(), signal.path.as_str().into());
}

fn pairs(pairs: BTreeMap<String, String>) -> Value {
    let pairs = pairs.into_iter().map(|(name, value)| (Value::from(name), Value::from(value)));
    Value::from(pairs.collect::<BTreeMap<_, _>>())
}
