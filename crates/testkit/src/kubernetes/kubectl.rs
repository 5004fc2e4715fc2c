//! What tests do with a cluster the way people do: with `kubectl`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::ControlPlane;
use super::programs::program;

/// The resource's definition as it is checked in.
const DEFINITION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/crd/remediationrequests.yaml");

/// Longer than any test.
const LOGIN_SECONDS: u64 = 3_600;

/// Somebody in the cluster who is not the administrator.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    pub namespace: String,
    pub name: String,
}

impl ServiceAccount {
    /// What the API server calls it, in reviews and in bindings.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl ControlPlane {
    /// Runs `kubectl` as the administrator and returns what it printed; fails the test with what it complained about.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).unwrap_or_else(|complaint| panic!("kubectl {args:?}: {complaint}"))
    }

    /// Runs `kubectl` as the administrator and returns what it printed or what it complained about.
    pub fn try_kubectl(&self, args: &[&str]) -> Result<String, String> {
        self.kubectl_as(&self.kubeconfig(), args, "")
    }

    /// Runs `kubectl` as whoever the kubeconfig is for, with `input` on its standard input.
    pub fn kubectl_as(&self, kubeconfig: &Path, args: &[&str], input: &str) -> Result<String, String> {
        let mut kubectl = Command::new(program("kubectl"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(args)
            .env("KUBECACHEDIR", self.home().join("kubectl"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        let mut stdin = kubectl.stdin.take().expect("its input is a pipe");
        // One that complains about its arguments does not read to the end.
        stdin.write_all(input.as_bytes()).ok();
        drop(stdin);
        let output = kubectl.wait_with_output().expect("kubectl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// Creates or changes everything in the text, which is YAML or JSON.
    pub fn apply(&self, manifests: &str) -> String {
        self.kubectl_as(&self.kubeconfig(), &["apply", "-f", "-"], manifests)
            .unwrap_or_else(|complaint| panic!("kubectl apply: {complaint}\n{manifests}"))
    }

    /// Creates the namespace unless it is there.
    pub fn namespace(&self, name: &str) {
        self.apply(
            &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string(),
        );
    }

    /// Creates a service account unless it is there, and its namespace too.
    pub fn service_account(&self, namespace: &str, name: &str) -> ServiceAccount {
        self.namespace(namespace);
        let metadata = json!({ "namespace": namespace, "name": name });
        self.apply(
            &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }).to_string(),
        );
        ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// A token of a service account, for the API server or for somebody else. It must be asked for at least 600 seconds.
    pub fn token(&self, namespace: &str, name: &str, audience: Option<&str>, seconds: u64) -> String {
        let duration = format!("--duration={seconds}s");
        let audience = audience.map(|audience| format!("--audience={audience}"));
        let mut args = vec!["create", "token", name, "--namespace", namespace, &duration];
        args.extend(audience.as_deref());
        self.kubectl(&args).trim().to_owned()
    }

    /// The file that makes its reader this service account.
    pub fn kubeconfig_of(&self, account: &ServiceAccount) -> PathBuf {
        let token = self.token(&account.namespace, &account.name, None, LOGIN_SECONDS);
        let user = format!("{}-{}", account.namespace, account.name);
        self.write_kubeconfig(&user, &json!({ "token": token }))
    }

    /// Teaches the API server what a RemediationRequest is, and waits until it has learned it.
    pub fn install_crd(&self) {
        self.kubectl(&["apply", "--server-side", "-f", DEFINITION]);
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", DEFINITION]);
    }
}
