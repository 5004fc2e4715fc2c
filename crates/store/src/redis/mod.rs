//! The store for many replicas: state lives in Redis or Valkey, and a script there decides.

mod link;
mod options;
mod store;

pub use options::{Credentials, RedisDurability, RedisMode, RedisOptions};
pub use store::RedisStore;
