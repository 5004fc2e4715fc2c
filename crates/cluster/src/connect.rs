//! Where the API server is, and who we are to it.

use std::path::Path;
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

/// Where the kubelet puts the credentials of a pod.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// For how long a connection to the API server may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Why there is no client. Nothing was asked of the API server yet, so it is the configuration that is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the service account of this pod cannot be used")]
    ServiceAccount(#[from] InClusterError),
    #[error(
        "there is no service account here, and the kubeconfig cannot be used; set KUBECONFIG to one that can"
    )]
    Kubeconfig(#[from] KubeconfigError),
    #[error("no client can be made of the configuration for the Kubernetes API")]
    Client(#[from] kube::Error),
}

/// A cluster that Seawall works with.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// The namespace of the pod, or that of the kubeconfig's current context.
    pub namespace: String,
    /// Where the API server is, for people.
    pub server: String,
}

/// Whether this process runs in a pod with a service account.
pub fn is_inside() -> bool {
    std::env::var_os(SERVICE_HOST).is_some() && Path::new(SERVICE_ACCOUNT_TOKEN).exists()
}

impl Cluster {
    /// A client for the cluster of the service account when there is one, else of `KUBECONFIG` and its current context.
    /// Nothing is asked of the API server, which may be away.
    ///
    /// # Errors
    /// When what says how to reach it is missing or broken.
    pub async fn connect() -> Result<Self, ConnectError> {
        let mut config = match is_inside() {
            true => Config::incluster_env()?,
            false => Config::from_kubeconfig(&KubeConfigOptions::default()).await?,
        };
        // Every caller has a deadline and a way of its own to try again; beneath them, calls that were answered with an
        // error would be repeated for minutes.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_WITHIN);
        let namespace = config.default_namespace.clone();
        let server = config.cluster_url.to_string();
        Ok(Self { client: Client::try_from(config)?, namespace, server })
    }
}
