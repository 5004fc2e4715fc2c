//! The reference of all keys, generated from the schema and its comments.

use std::fmt::Write;

use super::keys::{KeyInfo, keys};
use super::node::Value;
use super::show::inline;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the source: UPDATE_GOLDEN=1 cargo test -p seawall-server writes this file. -->

Seawall needs no configuration. What is to be different is written in YAML:

```yaml
dedup:
  ttl: 10m
storm:
  rules:
    - name: namespace-rate
      groupBy: [namespace, alertname]
      threshold: 20
```

The file is the one of `--config`, else the one that `SEAWALL_CONFIG` names, else `./seawall.yaml` when it exists.
Every key has an environment variable, too. Options win over variables, variables over the file, the file over the
defaults. [`examples/seawall.yaml`](../examples/seawall.yaml) has every section,
[`examples/redis.yaml`](../examples/redis.yaml) is for many replicas; [`config.schema.json`](config.schema.json) is for
editors.

| command | what it does |
|---|---|
| `seawall config check` | reads and validates; says what is wrong and where, and warns of what is surprising |
| `seawall config show` | what is in effect, and where each value comes from |
| `seawall config schema` | the JSON Schema |

- Times are whole numbers with units: `250ms`, `5m`, `1h30m`, `7d`. Sizes are `64MiB` or a number of bytes.
- A key without a value, or with `null`, takes its default. An empty environment variable counts as not set.
- Lists in variables are written `a,b` or, as maps and rules, as YAML on one line: `[{name: a, groupBy: [node]}]`.
- Variables with `__` that match no key are errors; those without are not ours and are ignored.
- An unknown key is an error that names the place and the key it may have been meant to be.

## Reload

On `SIGHUP`, and within a few seconds of a change of the file, of `auth.identitiesFile` or of a policy in `classify.policyDir`, all of it
is read again. Identities count from the next request on. `dedup`, `storm`, `classify` and `sink.store.retention` apply from the next alert on, all at once, except for
the keys that say otherwise. Everything else needs a restart, and the log says which changed keys wait for one. A file or
policy with a mistake changes nothing: what was in effect stays, the log
says what is wrong, and `seawall_config_reloads_total{outcome=\"failure\"}` counts it.

The files of `server.tls` are read again on the same occasions, apart from all that: [security.md](security.md#renewal).

With the Redis store, what is open lies with its namespace as long as every storm rule groups by `namespace`, and with
its whole cluster otherwise. A reload that adds the first rule without `namespace`, or removes the last one, would move
it and is refused as a whole: restart with the new rules and another `state.redis.keyPrefix`.

## Exit codes

`0` fine; `2` wrong usage or configuration; `1` the rest, for example a data directory that cannot be written or a port
in use.
";

/// The reference as Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut section = String::new();
    for key in &keys().list {
        let parent = key.path[..key.path.len() - 1].join(".");
        if parent != section {
            section = parent;
            heading(&section, &mut text);
        }
        row(key, &mut text);
    }
    text.push_str("\n## Keys of a storm rule\n\n");
    text.push_str(TABLE);
    for key in &keys().rule {
        row(key, &mut text);
    }
    text.push_str(DEFAULT_RULES);
    text.push_str("\n```yaml\n");
    if let Some(rules) = keys().list.iter().find(|key| key.dotted() == "storm.rules") {
        text.push_str(&super::show::plain_yaml(&rules.default));
    }
    text.push_str("```\n");
    text
}

const TABLE: &str = "| key | takes | default | meaning |\n|---|---|---|---|\n";

const DEFAULT_RULES: &str = "\nThe default rules, written out:\n";

fn heading(section: &str, text: &mut String) {
    let _ = write!(text, "\n## `{section}`\n\n");
    if let Some(description) = keys().sections.get(section).filter(|description| !description.is_empty()) {
        let _ = write!(text, "{description}\n\n");
    }
    text.push_str(TABLE);
}

fn row(key: &KeyInfo, text: &mut String) {
    let default = match &key.default.value {
        Value::Null => "none".to_owned(),
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
            "see below".to_owned()
        }
        Value::Text(text) if text.is_empty() => "required".to_owned(),
        Value::List(items) if items.is_empty() && key.path == ["groupBy"] => "required".to_owned(),
        Value::List(items) if items.is_empty() => "none".to_owned(),
        Value::Map(entries) if entries.is_empty() => "none".to_owned(),
        Value::List(items) => {
            items.iter().map(|item| format!("`{}`", inline(item))).collect::<Vec<_>>().join(", ")
        }
        _ => format!("`{}`", inline(&key.default).trim_matches('"')),
    };
    let _ = writeln!(text, "| `{}` | {} | {default} | {} |", key.dotted(), key.kind, key.description);
}
