//! Configuration: from files, environment and options to settings that need no further questions.
//!
//! ```text
//! defaults < file < environment < options ──► Node (values with places) ──► Config (typed) ──► Settings (validated)
//! ```
//!
//! Unknown keys, values of the wrong kind and contradictions are errors that name the key and the place.

mod address;
mod de;
mod error;
mod identities;
mod keys;
mod load;
mod node;
mod reference;
mod secrets;
mod settings;
mod show;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod validate;

pub use error::{ConfigError, ConfigErrors, KeyPath, Origin, Step};
pub use identities::parse_identities;
pub use keys::schema;
pub use load::{Flags, Loaded, Sources};
pub use reference::reference;
pub use settings::{ClassifySettings, Settings, SinkSettings, StateSettings};
pub use tree::*;
pub use units::{Period, Size};
