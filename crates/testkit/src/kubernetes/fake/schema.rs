//! What the checked-in definition allows, as far as it uses what a definition can say.
//!
//! A keyword that is not known here fails the test that starts the fake: one that is passed over would make the fake
//! more lenient than the API server.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const DEFINITION: &str = include_str!("../../../../../docs/crd/remediationrequests.yaml");

/// Keywords that allow nothing and forbid nothing here.
const SILENT: [&str; 3] = ["description", "title", "default"];

const OTHER_TYPE: &str = "must be of type ";
const ALIKE: &str = "has items that cannot be told apart";

/// The shape of a RemediationRequest.
pub(super) struct Schema {
    definition: Value,
    root: Value,
}

/// (field, what is wrong with it)
pub(super) type Faults = Vec<(String, String)>;

impl Schema {
    pub(super) fn checked_in() -> Self {
        let definition: Value =
            serde_json::from_str(DEFINITION).expect("the definition is checked in as JSON");
        let root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        known_keywords(&root, "");
        Self { definition, root }
    }

    /// The CustomResourceDefinition itself.
    pub(super) const fn definition(&self) -> &Value {
        &self.definition
    }

    /// Paths of the fields that a watch can select by, such as `spec.signalFingerprint`.
    pub(super) fn selectable(&self, field: &str) -> bool {
        let fields = self.definition["spec"]["versions"][0]["selectableFields"].as_array();
        fields.is_some_and(|fields| {
            fields.iter().any(|known| {
                known["jsonPath"].as_str().and_then(|path| path.strip_prefix('.')) == Some(field)
            })
        })
    }

    /// The first field that the definition does not have.
    pub(super) fn unknown_field(&self, object: &Value) -> Option<String> {
        let top = ["apiVersion", "kind", "metadata"];
        let fields = object.as_object()?.iter().filter(|(name, _)| !top.contains(&name.as_str()));
        fields.into_iter().find_map(|(name, value)| match self.root["properties"].get(name) {
            Some(schema) => unknown_below(schema, value, &format!(".{name}")),
            None => Some(format!(".{name}")),
        })
    }

    /// What an apply cannot even be merged with: a field that the definition does not have, a value of another type, or
    /// items that cannot be told apart.
    pub(super) fn misfit(&self, object: &Value) -> Option<String> {
        let unknown =
            self.unknown_field(object).map(|field| format!("{field}: field not declared in schema"));
        let is_misfit = |(_, wrong): &(String, String)| wrong.starts_with(OTHER_TYPE) || wrong == ALIKE;
        let faults = self.faults(object, None).into_iter().find(is_misfit);
        unknown.or_else(|| faults.map(|(field, wrong)| format!(".{field}: {wrong}")))
    }

    /// Takes out the fields that the definition does not have, as the API server does for everything but an apply.
    pub(super) fn drop_unknown_fields(&self, object: &mut Value) {
        let top = ["apiVersion", "kind", "metadata"];
        let Some(fields) = object.as_object_mut() else { return };
        fields.retain(|name, _| top.contains(&name.as_str()) || self.root["properties"].get(name).is_some());
        for (name, value) in fields.iter_mut().filter(|(name, _)| !top.contains(&name.as_str())) {
            drop_below(&self.root["properties"][name], value);
        }
    }

    /// With the lists whose items have keys as objects by these keys, so that everything that can be owned has a path.
    pub(super) fn keyed(&self, object: &Value) -> Value {
        keyed(&self.root, object)
    }

    /// With the objects of `keyed` as the lists that they are.
    pub(super) fn unkeyed(&self, object: &Value) -> Value {
        unkeyed(&self.root, object)
    }

    /// Everything that is wrong with an object, or with the way it was changed.
    pub(super) fn faults(&self, object: &Value, old: Option<&Value>) -> Faults {
        let mut faults = Faults::new();
        let without_top = Map::from_iter(
            object
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        check(&self.root, &Value::Object(without_top), old, "", &mut faults);
        faults
    }
}

fn known_keywords(schema: &Value, path: &str) {
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match keyword.as_str() {
            "properties" => value
                .as_object()
                .into_iter()
                .flatten()
                .for_each(|(name, inner)| known_keywords(inner, &format!("{path}.{name}"))),
            "items" | "additionalProperties" => known_keywords(value, &format!("{path}[*]")),
            "x-kubernetes-validations" => value.as_array().into_iter().flatten().for_each(|rule| {
                let text = rule["rule"].as_str().unwrap_or_default();
                assert!(unchanged(text).is_some(), "the fake does not know the rule {text:?} of {path}");
            }),
            "pattern" => {
                assert!(value == "^[a-f0-9]{64}$", "the fake does not know the pattern {value} of {path}")
            }
            "format" => assert!(
                ["date-time", "uint64", "uint32", "int64", "int32"]
                    .contains(&value.as_str().unwrap_or_default()),
                "the fake does not know the format {value} of {path}"
            ),
            "x-kubernetes-list-type" => assert!(
                value == "map" || value == "atomic",
                "the fake does not know the list type {value} of {path}"
            ),
            "x-kubernetes-list-map-keys"
            | "type"
            | "nullable"
            | "required"
            | "enum"
            | "minimum"
            | "maximum"
            | "minLength"
            | "maxLength"
            | "minItems"
            | "maxItems"
            | "minProperties"
            | "maxProperties" => {}
            silent if SILENT.contains(&silent) => {}
            other => panic!("the fake does not know the keyword {other:?} of {path}"),
        }
    }
}

/// The fields that a rule such as `self.kind == oldSelf.kind && self == oldSelf` keeps as they are.
fn unchanged(rule: &str) -> Option<Vec<Vec<String>>> {
    let kept = |term: &str| {
        let (new, old) = term.split_once("==")?;
        let path = new.trim().strip_prefix("self")?;
        let is_path = path.is_empty() || path.starts_with('.');
        let is_plain = path.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.');
        let is_same = old.trim().strip_prefix("oldSelf") == Some(path);
        (is_path && is_plain && is_same)
            .then(|| path.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    };
    rule.split("&&").map(kept).collect()
}

fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema["properties"].get(name).or_else(|| schema.get("additionalProperties"))
}

/// How the items of a list are told apart, if they are.
fn item_keys(schema: &Value) -> Option<Vec<&str>> {
    let keys = schema.get("x-kubernetes-list-map-keys")?.as_array()?;
    Some(keys.iter().filter_map(Value::as_str).collect())
}

/// The name of an item in paths, as the API server writes it.
fn item_name(keys: &[&str], item: &Value) -> Option<String> {
    let named = keys.iter().map(|key| Some(((*key).to_owned(), item.get(key)?.clone())));
    Some(format!("k:{}", Value::Object(named.collect::<Option<Map<_, _>>>()?)))
}

fn keyed(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let below = |(name, inner): (&String, &Value)| {
                let inner =
                    property(schema, name).map_or_else(|| inner.clone(), |schema| keyed(schema, inner));
                (name.clone(), inner)
            };
            Value::Object(fields.iter().map(below).collect())
        }
        Value::Array(items) => item_keys(schema)
            .and_then(|keys| {
                let item = |item| Some((item_name(&keys, item)?, keyed(&schema["items"], item)));
                let named = items.iter().map(item).collect::<Option<Map<_, _>>>()?;
                // Two of one name are refused later, as what they are.
                (named.len() == items.len()).then_some(Value::Object(named))
            })
            .unwrap_or_else(|| value.clone()),
        _ => value.clone(),
    }
}

fn unkeyed(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(fields) if schema["type"] == "array" => {
            Value::Array(fields.values().map(|item| unkeyed(&schema["items"], item)).collect())
        }
        Value::Object(fields) => {
            let below = |(name, inner): (&String, &Value)| {
                let inner =
                    property(schema, name).map_or_else(|| inner.clone(), |schema| unkeyed(schema, inner));
                (name.clone(), inner)
            };
            Value::Object(fields.iter().map(below).collect())
        }
        _ => value.clone(),
    }
}

fn unknown_below(schema: &Value, value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, inner)| {
            let path = format!("{path}.{name}");
            match property(schema, name) {
                Some(schema) => unknown_below(schema, inner, &path),
                None => Some(path),
            }
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| unknown_below(&schema["items"], item, &format!("{path}[{index}]"))),
        _ => None,
    }
}

fn drop_below(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| property(schema, name).is_some());
            for (name, inner) in fields.iter_mut() {
                property(schema, name).into_iter().for_each(|schema| drop_below(schema, inner));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| drop_below(&schema["items"], item)),
        _ => {}
    }
}

fn check(schema: &Value, value: &Value, old: Option<&Value>, path: &str, faults: &mut Faults) {
    let named = || path.trim_start_matches('.').to_owned();
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if value.is_null() {
        faults.push((named(), "must not be null".to_owned()));
        return;
    }
    let kind = schema["type"].as_str().unwrap_or_default();
    let fits = match value {
        Value::Object(_) => kind == "object",
        Value::Array(_) => kind == "array",
        Value::String(_) => kind == "string",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => kind == "number" || (kind == "integer" && !number.is_f64()),
        Value::Null => false,
    };
    if !fits {
        faults.push((named(), format!("{OTHER_TYPE}{kind}")));
        return;
    }
    if let Some(wrong) = out_of_bounds(schema, value) {
        faults.push((named(), wrong));
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        if let Some(schema) = property(schema, name) {
            check(schema, inner, old.and_then(|old| old.get(name)), &format!("{path}.{name}"), faults);
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        // Items of a list that is owned as a whole are not matched with what they were.
        check(&schema["items"], item, None, &format!("{path}[{index}]"), faults);
    }
    if let (Some(keys), Some(items)) = (item_keys(schema), value.as_array()) {
        let names: BTreeSet<_> = items.iter().map(|item| item_name(&keys, item)).collect();
        if names.len() < items.len() || names.contains(&None) {
            faults.push((named(), ALIKE.to_owned()));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            faults.push((
                format!("{path}.{name}").trim_start_matches('.').to_owned(),
                "Required value".to_owned(),
            ));
        }
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let fields = unchanged(rule["rule"].as_str().unwrap_or_default()).unwrap_or_default();
        let at = |root, path: &[String]| {
            path.iter().try_fold::<_, _, Option<&Value>>(root, |at, name| at.get(name))
        };
        // Without an old value, a rule about changes has nothing to say.
        if old.is_some_and(|old| fields.iter().any(|path| at(old, path) != at(value, path))) {
            faults.push((named(), rule["message"].as_str().unwrap_or("failed rule").to_owned()));
        }
    }
}

fn out_of_bounds(schema: &Value, value: &Value) -> Option<String> {
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return Some(format!("Unsupported value: {value}"));
    }
    let (size, least, most) = match value {
        Value::String(text) => (text.chars().count(), "minLength", "maxLength"),
        Value::Array(items) => (items.len(), "minItems", "maxItems"),
        Value::Object(fields) => (fields.len(), "minProperties", "maxProperties"),
        Value::Number(number) => {
            let number = number.as_f64()?;
            let limit = |keyword: &str| schema[keyword].as_f64();
            let outside = limit("minimum").is_some_and(|least| number < least)
                || limit("maximum").is_some_and(|most| number > most);
            return outside.then(|| format!("{number} is outside its limits"));
        }
        _ => return None,
    };
    let limit = |keyword: &str| schema[keyword].as_u64();
    if limit(least).is_some_and(|least| (size as u64) < least) {
        return Some("Too short".to_owned());
    }
    if limit(most).is_some_and(|most| size as u64 > most) {
        return Some("Too long".to_owned());
    }
    let text = value.as_str()?;
    if schema["format"] == "date-time" && !is_date_time(text) {
        return Some("must be a date-time".to_owned());
    }
    let is_fingerprint =
        text.len() == 64 && text.chars().all(|letter| matches!(letter, '0'..='9' | 'a'..='f'));
    (schema["pattern"].is_string() && !is_fingerprint).then(|| "does not match its pattern".to_owned())
}

/// `2026-11-28T15:31:00.123Z`, in the form of the pattern by which the API server knows a moment.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    let digits = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.chars().zip(shape.chars()).all(|(letter, wanted)| match wanted {
                '0' => letter.is_ascii_digit(),
                wanted => letter == wanted,
            })
    };
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let zone_fits = matches!(zone, "Z" | "z") || zone.get(1..).is_some_and(|zone| digits(zone, "00:00"));
    digits(date, "0000-00-00")
        && digits(seconds, "00:00:00")
        && !fraction.is_empty()
        && fraction.chars().all(|letter| letter.is_ascii_digit())
        && zone_fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_about_what_stays_is_understood_and_another_is_not() {
        assert_eq!(unchanged("self == oldSelf"), Some(vec![vec![]]));
        assert_eq!(
            unchanged("self.kind == oldSelf.kind && self.target.name == oldSelf.target.name"),
            Some(vec![vec!["kind".to_owned()], vec!["target".to_owned(), "name".to_owned()]])
        );
        for other in
            ["self.kind == oldSelf.name", "self != oldSelf", "size(self) < 3", "selfish == oldSelfish"]
        {
            assert_eq!(unchanged(other), None, "{other}");
        }
    }

    #[test]
    fn items_with_keys_have_names_of_their_own() {
        let schema = json!({
            "type": "object",
            "properties": {
                "conditions": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": { "type": "object", "properties": { "type": { "type": "string" } } },
                },
                "names": { "type": "array", "items": { "type": "string" } },
            },
        });
        known_keywords(&schema, "");
        let object = json!({ "conditions": [{ "type": "Ready", "status": "True" }], "names": ["a"] });
        let named = json!({ "k:{\"type\":\"Ready\"}": { "type": "Ready", "status": "True" } });
        assert_eq!(keyed(&schema, &object), json!({ "conditions": named, "names": ["a"] }));
        assert_eq!(unkeyed(&schema, &keyed(&schema, &object)), object);

        let twice = json!({ "conditions": [{ "type": "Ready" }, { "type": "Ready" }] });
        assert_eq!(keyed(&schema, &twice), twice);
        let mut faults = Faults::new();
        check(&schema, &twice, None, "", &mut faults);
        assert_eq!(faults, [("conditions".to_owned(), ALIKE.to_owned())]);
    }

    #[test]
    fn moments_are_told_from_other_texts() {
        for moment in ["2026-11-28T15:31:00Z", "2026-11-28T15:31:00.123456Z", "2026-11-28T15:31:00+01:00"] {
            assert!(is_date_time(moment), "{moment}");
        }
        for other in
            ["2026-11-28", "2026-11-28T15:31:00", "2026-11-28T15:31Z", "2026-11-28T15:31:00.Z", "soon"]
        {
            assert!(!is_date_time(other), "{other}");
        }
    }
}
