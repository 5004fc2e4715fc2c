//! A real control plane of Kubernetes on loopback, without nodes, and a fake of its API that fails on demand.
//!
//! ```text
//! ControlPlane ── etcd ◄── kube-apiserver ◄── kubectl, kube::Client, Seawall
//!                              ▲
//!                              └─ on demand: kube-controller-manager, kube-scheduler
//! FakeApi ─────── RemediationRequests and namespaces, faults, and a history of what was written
//! ```

mod fake;
mod kubectl;
mod plane;
mod programs;

pub use fake::{FakeApi, Fault, History, Moment, Verb, Write};
pub use kubectl::ServiceAccount;
pub use plane::{ControlPlane, ControlPlaneBuilder};
pub use programs::apiserver_version;
