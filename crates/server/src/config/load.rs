//! Where configuration comes from, and in which order it wins.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_model::{Clock, SystemClock};

use super::de;
use super::error::{ConfigError, ConfigErrors, KeyPath, Origin, did_you_mean};
use super::keys::{KeyInfo, keys};
use super::node::{Node, Value, file_origin};
use super::settings::Settings;
use super::tree::Config;
use super::validate::{URLS, key_of, validate};

/// The file that is read when nobody names one and it exists.
const DEFAULT_FILE: &str = "seawall.yaml";

/// The variable that names the file.
const FILE_VARIABLE: &str = "SEAWALL_CONFIG";

const PREFIX: &str = "SEAWALL_";

/// A configuration file is written by people; a larger one is a mistake.
const MAX_FILE_BYTES: usize = 4 << 20;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub listen: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub allow_anonymous: bool,
}

/// Everything configuration is made of, so that it can be made again.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The file, when there is one.
    pub file: Option<PathBuf>,
    pub env: Vec<(String, String)>,
    pub flags: Flags,
}

/// Values of variables may have passwords in them.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("env", &names)
            .field("flags", &self.flags)
            .finish()
    }
}

/// A configuration that was read, is valid and knows where it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub settings: Settings,
    /// What is allowed but surprising, one sentence each.
    pub warnings: Vec<String>,
    pub(crate) given: Node,
}

impl Sources {
    /// The sources of this process: its environment, and the named file, else the one of `SEAWALL_CONFIG`, else
    /// `./seawall.yaml` when it exists.
    pub fn of_process(file: Option<PathBuf>, flags: Flags) -> Self {
        let env: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        let named = env.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
        let file = file
            .or_else(|| named.map(|(_, value)| PathBuf::from(value)))
            .or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        Self { file, env, flags }
    }

    /// Reads and validates, with the files that the configuration names.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let (config, given) = self.read()?;
        let loaded = self.validated(config, given)?;
        if let Some(files) = &loaded.settings.tls {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            files.check(&clock).map_err(|error| {
                let path = KeyPath::from(key_of(files, error.path()));
                ConfigError { origin: loaded.given.nearest_origin(&path), path, message: error.to_string() }
            })?;
        }
        Ok(loaded)
    }

    /// Reads without validating: what is said, and where.
    pub(crate) fn read(&self) -> Result<(Config, Node), ConfigErrors> {
        let mut given = match &self.file {
            Some(path) => read_file(path)?,
            None => Node::empty(),
        };
        for layer in self.environment()? {
            given = given.overlaid(layer);
        }
        for layer in self.options() {
            given = given.overlaid(layer);
        }
        Ok((de::read(&given)?, given))
    }

    pub(crate) fn validated(&self, config: Config, given: Node) -> Result<Loaded, ConfigErrors> {
        let (settings, warnings) = validate(&config, &given, self.flags.allow_anonymous)?;
        Ok(Loaded { config, settings, warnings, given })
    }

    fn environment(&self) -> Result<Vec<Node>, ConfigErrors> {
        let mut layers = Vec::new();
        let mut errors = Vec::new();
        for (name, value) in &self.env {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            // A cluster sets `SEAWALL_PORT` and the like for a service called seawall: not ours.
            if !rest.contains("__") || value.is_empty() {
                continue;
            }
            let layer = match keys().list.iter().find(|key| key.variable() == *name) {
                Some(key) => variable_layer(key, name, value),
                None => Err(unknown_variable(name)),
            };
            match layer {
                Ok(layer) => layers.push(layer),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(layers) } else { Err(ConfigErrors(errors)) }
    }

    fn options(&self) -> Vec<Node> {
        let option = |path: &[&str], name: &'static str, value: &str| {
            let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
            Node::at(&path, Node { origin: Origin::Flag(name), value: Value::Loose(value.to_owned()) })
        };
        let listen = self.flags.listen.as_deref();
        let data_dir = self.flags.data_dir.as_deref().map(Path::to_string_lossy);
        [
            listen.map(|address| option(&["server", "listen"], "--listen", address)),
            data_dir.map(|path| option(&["state", "embedded", "path"], "--data-dir", &path)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Config {
    /// Reads a configuration file's text, without validating what it says.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigErrors> {
        Ok(de::read(&Node::from_yaml(text, &file_origin("configuration"))?)?)
    }

    /// All keys, in the order of the tree.
    pub fn all_keys() -> Vec<String> {
        keys().list.iter().map(KeyInfo::dotted).collect()
    }

    /// The keys whose values differ, in the order of the tree. A changed list is one key.
    pub fn keys_that_differ(&self, other: &Self) -> Vec<String> {
        // What is shown of the addresses is the same when only a password differs.
        let addresses = self.state.redis.urls != other.state.redis.urls;
        let (this, other) = (Node::of(self), Node::of(other));
        let paths = keys().list.iter().map(|key| (key, KeyPath::from(key.dotted().as_str())));
        paths
            .filter(|(_, path)| this.get(path) != other.get(path) || addresses && *path == URLS.into())
            .map(|(key, _)| key.dotted())
            .collect()
    }

    /// Validates it as if it had been read from a file.
    pub fn validated(&self, allow_anonymous: bool) -> Result<Settings, ConfigErrors> {
        validate(self, &Node::empty(), allow_anonymous).map(|(settings, _)| settings)
    }
}

fn read_file(path: &Path) -> Result<Node, ConfigError> {
    let node = Node::from_yaml(&read_text(path)?, &file_origin(&path.display().to_string()))?;
    match node.value {
        Value::Map(_) => Ok(node),
        Value::Null => Ok(Node::empty()),
        _ => Err(fault_of(path, "a map of keys is expected at the top".to_owned())),
    }
}

/// The text of a file that people write.
pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let bytes = std::fs::read(path).map_err(|error| fault_of(path, format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(fault_of(path, format!("is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| fault_of(path, "is not UTF-8 text".to_owned()))
}

/// What is wrong with a file as a whole.
fn fault_of(path: &Path, message: String) -> ConfigError {
    let name = path.display().to_string().into();
    ConfigError { origin: Origin::File { name, line: 0, column: 0 }, path: KeyPath::default(), message }
}

fn variable_layer(key: &KeyInfo, name: &str, value: &str) -> Result<Node, ConfigError> {
    let origin = Origin::Env(name.into());
    // Lists of rules and maps are written as YAML on one line; everything else is taken as it is.
    let node = if value.trim_start().starts_with(['[', '{']) {
        Node::from_yaml(value, &|_| origin.clone())
            .map_err(|error| ConfigError { path: KeyPath::from(key.dotted().as_str()), ..error })?
    } else {
        Node { origin, value: Value::Loose(value.to_owned()) }
    };
    Ok(Node::at(&key.path, node))
}

fn unknown_variable(name: &str) -> ConfigError {
    let variables: Vec<String> = keys().list.iter().map(KeyInfo::variable).collect();
    let message = match did_you_mean(name, variables.iter().map(String::as_str)) {
        Some(near) => format!("matches no key; did you mean `{near}`?"),
        None => "matches no key of this version".to_owned(),
    };
    ConfigError { origin: Origin::Env(name.into()), path: KeyPath::default(), message }
}
