//! etcd, the API server and what watches it, as processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use serde_json::json;

use super::ServiceAccount;
use super::programs::{etcd, program};
use crate::ports::loopback;
use crate::{Authority, Leaf, Process, Scene, eventually, free_port};

/// Generous: it takes a second on a machine that does nothing else.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The user who may do everything, and the name of the files that prove it.
const ADMIN: &str = "admin";

/// How a control plane is to be started.
#[derive(Clone, Debug)]
pub struct ControlPlaneBuilder {
    name: String,
    home: PathBuf,
    port: u16,
    etcd_port: u16,
    controllers: bool,
    args: Vec<String>,
}

impl ControlPlaneBuilder {
    fn new(directory: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            home: directory.join(name),
            port: free_port(),
            etcd_port: free_port(),
            controllers: false,
            args: Vec::new(),
        }
    }

    /// With a controller manager, which makes pods of Deployments and empties deleted namespaces, and with a scheduler,
    /// which finds no node for any pod and reports it as an event.
    pub const fn controllers(mut self) -> Self {
        self.controllers = true;
        self
    }

    /// One more argument of the API server, such as `--event-ttl=1m`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> ControlPlane {
        let authority = Authority::new(&self.pki());
        authority.issue("apiserver", Leaf::serving("apiserver"));
        authority.issue(ADMIN, Leaf::client(ADMIN).group("system:masters"));
        authority.signing_key("accounts");
        let folder = self.pki();
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let admin = json!({ "client-certificate": file("admin.crt"), "client-key": file("admin.key") });
        self.write_kubeconfig(ADMIN, &admin);

        let etcd = self.spawn_etcd();
        let apiserver = self.spawn_apiserver();
        let client = self.client(ADMIN).await;
        let mut plane = ControlPlane { recipe: self, client, controllers: Vec::new(), apiserver, etcd };
        plane.ready().await;
        plane.controllers = plane.recipe.spawn_controllers();
        plane
    }

    fn pki(&self) -> PathBuf {
        self.home.join("pki")
    }

    fn url(&self) -> String {
        format!("https://{}", loopback(self.port))
    }

    fn spawn(&self, program: &str, command: &mut Command, package: Option<&str>) -> Process {
        let name = format!("{} of {}", program, self.name);
        Process::spawn(&name, command, &self.home.join(format!("{program}.log")), package)
    }

    fn spawn_etcd(&self) -> Process {
        let url = format!("http://{}", loopback(self.etcd_port));
        let mut command = Command::new(etcd());
        command
            .arg("--data-dir")
            .arg(self.home.join("etcd"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            // Nobody joins, so nobody needs to know the port.
            .args(["--listen-peer-urls", "http://127.0.0.1:0", "--logger", "zap", "--log-level", "warn"])
            .arg("--unsafe-no-fsync");
        self.spawn("etcd", &mut command, Some("etcd-server"))
    }

    fn spawn_apiserver(&self) -> Process {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.pki().join(name).display());
        let mut command = Command::new(program("kube-apiserver"));
        command
            .arg(format!("--etcd-servers=http://{}", loopback(self.etcd_port)))
            .arg(format!("--secure-port={}", self.port))
            .arg(format!("--cert-dir={}", self.pki().display()))
            .arg(file("tls-cert-file", "apiserver.crt"))
            .arg(file("tls-private-key-file", "apiserver.key"))
            .arg(file("client-ca-file", "ca.crt"))
            .arg(file("service-account-key-file", "accounts.pub"))
            .arg(file("service-account-signing-key-file", "accounts.key"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .args(["--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC"])
            .args(["--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none"])
            .args(&self.args);
        self.spawn("kube-apiserver", &mut command, None)
    }

    fn spawn_controllers(&self) -> Vec<Process> {
        let controllers = "--controllers=deployment,replicaset,serviceaccount,namespace,garbagecollector";
        let programs: &[(&str, &[&str])] = match self.controllers {
            true => &[("kube-controller-manager", &[controllers]), ("kube-scheduler", &[])],
            false => &[],
        };
        let spawn = |&(name, args): &(&str, &[&str])| {
            let mut command = Command::new(program(name));
            command
                .arg(format!("--kubeconfig={}", self.kubeconfig(ADMIN).display()))
                .args(["--leader-elect=false", "--secure-port=0"])
                // As large clusters set them: with the defaults the pods of a test come at 20 a second.
                .args(["--kube-api-qps=200", "--kube-api-burst=400"])
                .args(args);
            self.spawn(name, &mut command, None)
        };
        programs.iter().map(spawn).collect()
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        self.home.join(format!("{user}.kubeconfig"))
    }

    fn write_kubeconfig(&self, user: &str, credentials: &serde_json::Value) -> PathBuf {
        let cluster = json!({ "server": self.url(), "certificate-authority": self.pki().join("ca.crt") });
        // JSON is YAML.
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": user, "user": credentials }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": user } }],
            "current-context": "test",
        });
        let path = self.kubeconfig(user);
        std::fs::write(&path, kubeconfig.to_string())
            .expect("a file in the temporary directory can be written");
        path
    }

    async fn client(&self, user: &str) -> Client {
        self.client_with(&self.kubeconfig(user)).await
    }

    async fn client_with(&self, kubeconfig: &Path) -> Client {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig that was just written");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a kubeconfig with everything in it");
        // A test wants to see what was answered the first time.
        config.default_retry = false;
        Client::try_from(config).expect("a client can be made")
    }
}

/// A running control plane without nodes, killed when it is dropped.
pub struct ControlPlane {
    recipe: ControlPlaneBuilder,
    client: Client,
    // Those who ask are killed before those who are asked.
    controllers: Vec<Process>,
    apiserver: Process,
    etcd: Process,
}

impl ControlPlane {
    /// etcd and an API server for a scene.
    pub async fn start(scene: &Scene) -> Self {
        Self::start_in(scene.path(), "kubernetes").await
    }

    /// For tests without a scene, or with several control planes. Its directory is `name` in `directory`.
    pub async fn start_in(directory: &Path, name: &str) -> Self {
        Self::builder(directory, name).start().await
    }

    pub fn builder(directory: &Path, name: &str) -> ControlPlaneBuilder {
        ControlPlaneBuilder::new(directory, name)
    }

    /// Where the API server is, also while it is not running.
    pub fn url(&self) -> String {
        self.recipe.url()
    }

    /// The file with the certificate that the API server's is signed by.
    pub fn ca(&self) -> PathBuf {
        self.recipe.pki().join("ca.crt")
    }

    /// The file that makes its reader the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.recipe.kubeconfig(ADMIN)
    }

    /// The administrator's client. It belongs to the runtime of the test that started the control plane, and repeats
    /// nothing by itself.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The client of a service account.
    pub async fn client_of(&self, account: &ServiceAccount) -> Client {
        self.recipe.client_with(&self.kubeconfig_of(account)).await
    }

    pub(super) fn home(&self) -> &Path {
        &self.recipe.home
    }

    pub(super) fn write_kubeconfig(&self, user: &str, credentials: &serde_json::Value) -> PathBuf {
        self.recipe.write_kubeconfig(user, credentials)
    }

    pub fn apiserver(&self) -> &Process {
        &self.apiserver
    }

    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// `kill -9`, and it is gone when this returns.
    pub fn kill_apiserver(&mut self) {
        self.apiserver.kill9();
    }

    /// Freezes the API server: connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.apiserver.signal("STOP");
    }

    /// Lets a paused API server go on.
    pub fn resume(&self) {
        self.apiserver.signal("CONT");
    }

    /// Starts the API server on the same port and the same data, after killing it if it still runs; waits until it is
    /// ready.
    pub async fn restart_apiserver(&mut self) {
        self.apiserver.kill9();
        self.apiserver = self.recipe.spawn_apiserver();
        self.ready().await;
    }

    /// Makes the database forget how things were before, as it does by itself after some minutes. Who watches goes on; who
    /// begins again from an older version is told that it is gone.
    pub async fn forget_history(&self) {
        let etcd = crate::Client::new(loopback(self.recipe.etcd_port));
        let ask = async |path: &str, body: serde_json::Value| {
            let answer = etcd.post(path, body.to_string()).await.expect("etcd answers");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()
        };
        // Keys and values are base64. Nothing of the API server's is there.
        let put = ask("/v3/kv/put", json!({ "key": "Zm9yZ2V0", "value": "" })).await;
        ask("/v3/kv/compaction", json!({ "revision": put["header"]["revision"], "physical": true })).await;
    }

    async fn ready(&mut self) {
        let processes = Mutex::new([&mut self.etcd, &mut self.apiserver]);
        let client = &self.client;
        eventually(READY_WITHIN, || {
            for process in processes.lock().iter_mut() {
                let ended = process.ended();
                assert!(ended.is_none(), "{ended:?} before it was ready: {}", process.output());
            }
            async move {
                ask(client, "/readyz").await?;
                // Made by the API server itself a moment after it says that it is ready.
                ask(client, "/api/v1/namespaces/default").await
            }
        })
        .await;
    }
}

async fn ask(client: &Client, path: &str) -> Result<(), String> {
    let request = http::Request::get(path).body(Vec::new()).expect("a path that can be asked for");
    let answer = client.request_text(request).await;
    answer.map(drop).map_err(|error| format!("{path}: {error}"))
}
