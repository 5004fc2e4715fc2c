//! A real control plane of Kubernetes on loopback, without nodes.
//!
//! ```text
//! ControlPlane ── etcd ◄── kube-apiserver ◄── kubectl, kube::Client, Seawall
//!                              ▲
//!                              └─ on demand: kube-controller-manager, kube-scheduler
//! ```

mod certificates;
mod kubectl;
mod plane;
mod programs;

pub use kubectl::ServiceAccount;
pub use plane::{ControlPlane, ControlPlaneBuilder};
