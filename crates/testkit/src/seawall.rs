//! The real `seawall` as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_rustls::rustls::ClientConfig;

use crate::ports::loopback;
use crate::redis::{RedisCluster, RedisServer, Sentinels};
use crate::{Authority, Client, KeyPairFiles, Process, Scene, eventually, free_port};

/// Generous: a loaded machine, a build without optimisation, a log to replay.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Says which store it is, when it is not the embedded one.
const STATE_KIND: &str = "SEAWALL_STATE__KIND";

/// How a Seawall is to be started.
#[derive(Clone, Debug)]
pub struct SeawallBuilder {
    name: String,
    binary: PathBuf,
    home: PathBuf,
    data: PathBuf,
    config: Option<PathBuf>,
    listen: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// What its clients speak TLS with, when it does.
    tls: Option<Arc<ClientConfig>>,
}

impl SeawallBuilder {
    pub(crate) fn new(scene: &Scene, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            binary: scene.binary().to_owned(),
            home: scene.path().to_owned(),
            data: scene.path().join(format!("{name}-data")),
            config: None,
            listen: loopback(free_port()).to_string(),
            args: Vec::new(),
            env: Vec::new(),
            tls: None,
        }
    }

    /// The configuration file's text.
    pub fn config(mut self, yaml: &str) -> Self {
        let path = self.home.join(format!("{}.yaml", self.name));
        std::fs::write(&path, yaml).expect("a file in the temporary directory can be written");
        self.config = Some(path);
        self
    }

    pub fn data_dir(mut self, data: impl Into<PathBuf>) -> Self {
        self.data = data.into();
        self
    }

    /// Lets the operating system choose the port; the start line tells which.
    pub fn any_port(mut self) -> Self {
        self.listen = loopback(0).to_string();
        self
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps its state in Redis: an option of `state.redis`, such as `("publishLease", "2s")`. Lists are written with
    /// commas.
    pub fn redis_option(self, name: &str, value: &str) -> Self {
        let upper = |letter: char| match letter {
            'A'..='Z' => format!("_{letter}"),
            _ => letter.to_ascii_uppercase().to_string(),
        };
        let name: String = name.chars().map(upper).collect();
        self.env(STATE_KIND, "redis").env(&format!("SEAWALL_STATE__REDIS__{name}"), value)
    }

    /// Keeps its state in one server.
    pub fn redis(self, server: &RedisServer) -> Self {
        self.redis_option("urls", &server.url())
    }

    /// Keeps its state in the server that these Sentinels name.
    pub fn sentinels(self, sentinels: &Sentinels) -> Self {
        self.redis_option("urls", &sentinels.urls().join(","))
            .redis_option("mode", "sentinel")
            .redis_option("sentinelMaster", sentinels.master_name())
    }

    /// Keeps its state in a cluster.
    pub fn redis_cluster(self, cluster: &RedisCluster) -> Self {
        self.redis_option("urls", &cluster.urls().join(",")).redis_option("mode", "cluster")
    }

    /// Reaches the Kubernetes API as this file says.
    pub fn kubeconfig(self, kubeconfig: impl AsRef<Path>) -> Self {
        self.env("KUBECONFIG", &kubeconfig.as_ref().to_string_lossy())
    }

    /// Speaks TLS with these files, and is asked by clients that trust this authority.
    pub fn tls(self, files: &KeyPairFiles, authority: &Authority) -> Self {
        let tls = Some(authority.trusted(None));
        let named = self
            .env("SEAWALL_SERVER__TLS__CERT", &files.cert.to_string_lossy())
            .env("SEAWALL_SERVER__TLS__KEY", &files.key.to_string_lossy());
        Self { tls, ..named }
    }

    fn log(&self) -> PathBuf {
        self.home.join(format!("{}.log", self.name))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--listen").arg(&self.listen);
        // With another store it would be warned of.
        if !self.env.iter().any(|(name, _)| name == STATE_KIND) {
            command.arg("--data-dir").arg(&self.data);
        }
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        // Neither a configuration file nor a variable of whoever runs the tests is part of a test.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEAWALL_"))
        {
            command.env_remove(name);
        }
        // Nor is the cluster that they happen to work with.
        command.env_remove("KUBECONFIG");
        command.args(&self.args).envs(self.env.iter().cloned()).current_dir(&self.home);
        command
    }

    /// Where it was told to listen.
    pub fn address(&self) -> SocketAddr {
        self.listen.parse().expect("an address of the loopback interface")
    }

    /// Starts the process and does not wait for anything.
    pub fn spawn(&self) -> Process {
        Process::spawn(&self.name, &mut self.command(), &self.log(), None)
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Seawall {
        self.try_start()
            .await
            .unwrap_or_else(|refusal| panic!("seawall ended with {refusal:?} before it was ready"))
    }

    /// Starts it and waits until it is ready, or has ended by itself instead.
    pub async fn try_start(mut self) -> Result<Seawall, Refusal> {
        let process = self.spawn();
        let address = self.found_address(&process).await;
        // A second life listens where the first one did.
        self.listen = address.to_string();
        let client = match &self.tls {
            Some(tls) => Client::secure(address, tls),
            None => Client::new(address),
        };
        let mut seawall = Seawall { recipe: self, process, client };
        seawall.try_ready().await?;
        Ok(seawall)
    }

    async fn found_address(&self, process: &Process) -> SocketAddr {
        let asked = self.address();
        if asked.port() != 0 {
            return asked;
        }
        eventually(READY_WITHIN, || async {
            address_in(&process.output()).ok_or("it does not say where it listens")
        })
        .await
    }
}

/// The address in the line that says where it listens, whatever the format of the line.
fn address_in(output: &str) -> Option<SocketAddr> {
    output.match_indices("127.0.0.1:").find_map(|(at, host)| {
        let digits: String = output[at + host.len()..].chars().take_while(char::is_ascii_digit).collect();
        let port: u16 = digits.parse().ok()?;
        (port != 0).then(|| loopback(port))
    })
}

/// It ended instead of becoming ready.
#[derive(Debug)]
pub struct Refusal {
    pub code: Option<i32>,
    /// Everything it has written.
    pub said: String,
}

/// A running `seawall serve`, killed when it is dropped.
#[derive(Debug)]
pub struct Seawall {
    recipe: SeawallBuilder,
    process: Process,
    client: Client,
}

impl Seawall {
    /// A client with connections of its own; clones share them.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn data_dir(&self) -> &Path {
        &self.recipe.data
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.recipe.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address())
    }

    /// Waits until `/readyz` answers 200; fails at once when the process has ended instead.
    pub async fn ready(&mut self) {
        if let Err(refusal) = self.try_ready().await {
            panic!("seawall ended with {refusal:?} before it was ready");
        }
    }

    async fn try_ready(&mut self) -> Result<(), Refusal> {
        let client = self.client.clone();
        let process = Mutex::new(&mut self.process);
        eventually(READY_WITHIN, || {
            let ended = process.lock().ended();
            let client = client.clone();
            async move {
                if let Some(code) = ended {
                    return Ok(Err(code));
                }
                match client.get("/readyz").await {
                    Ok(answer) if answer.status == 200 => Ok(Ok(())),
                    Ok(answer) => Err(format!("/readyz answers {}: {}", answer.status, answer.text())),
                    Err(lost) => Err(lost.to_string()),
                }
            }
        })
        .await
        .map_err(|status| Refusal { code: status.code(), said: self.process.output() })
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again on the same data and the same address, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.process = self.recipe.spawn();
        self.ready().await;
    }

    /// Starts it again and does not wait for anything.
    pub fn respawn(&mut self) {
        self.process = self.recipe.spawn();
    }

    /// Asks it to end, as an init system does.
    pub fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Waits until it has ended by itself.
    pub async fn exited(&mut self, within: Duration) -> ExitStatus {
        self.process.exited(within).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_a_line_for_people_and_in_one_for_machines() {
        let expected = Some(loopback(4711));
        assert_eq!(address_in("seawall listens on http://127.0.0.1:4711, data in ./x"), expected);
        assert_eq!(
            address_in(r#"{"level":"INFO","asked":"127.0.0.1:0","listen":"127.0.0.1:4711"}"#),
            expected
        );
        assert_eq!(address_in("starting"), None);
    }
}
