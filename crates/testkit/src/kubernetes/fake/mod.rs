//! A fake of the part of the API server that Seawall writes its requests to, with things that go wrong on demand.
//!
//! It speaks plain HTTP on loopback, knows RemediationRequests by their checked-in definition and namespaces by name, and
//! asks nobody who they are. In nothing else may it be more lenient than the real one: one suite of tests runs against
//! both and keeps it so.
//!
//! ```text
//! request ─► serve ─► Plan (does it go wrong?) ─► State::{write, list} ─► answer
//!                                                    │ every change
//!                                                    ├─► watches
//!                                                    └─► Write: what, when, by whom
//! ```

mod faults;
mod feed;
mod fields;
mod history;
mod metadata;
mod read;
mod schema;
mod serve;
mod state;
mod status;
mod write;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::{Client, Config};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use faults::{Fault, Moment, Verb};
pub use history::{History, Write};

use crate::ports::loopback;
use faults::Plan;
use state::State;

const GROUP: &str = "remediation.kubernaut.io";
const API_VERSION: &str = "remediation.kubernaut.io/v1alpha1";
const KIND: &str = "RemediationRequest";
const PLURAL: &str = "remediationrequests";

/// A running fake. It ends, and every connection with it, when it is dropped.
pub struct FakeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

/// What connections and the test share.
struct Shared {
    state: Mutex<State>,
    plan: Mutex<Plan>,
    /// Wakes the watches.
    signal: watch::Sender<Signal>,
}

/// What a watch has to look for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Signal {
    changes: u64,
    bookmarks: u64,
    cuts: u64,
}

impl FakeApi {
    /// With the namespaces `default` and `kube-system` and nothing in them.
    pub async fn start() -> Self {
        let listener =
            TcpListener::bind(loopback(0)).await.expect("a port of the loopback interface is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            plan: Mutex::default(),
            signal: watch::Sender::new(Signal::default()),
        });
        let mut server = JoinSet::new();
        server.spawn(serve::accept(listener, Arc::clone(&shared)));
        Self { address, shared, _server: server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client that repeats nothing by itself.
    pub fn client(&self) -> Client {
        let mut config = Config::new(self.url().parse().expect("an address makes a URL"));
        config.default_retry = false;
        Client::try_from(config).expect("a client can be made")
    }

    /// Writes the file that leads here, for the real binary.
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "fake", "cluster": { "server": self.url() } }],
            "users": [{ "name": "fake", "user": {} }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
            "current-context": "fake",
        });
        let path = directory.join("fake.kubeconfig");
        std::fs::write(&path, kubeconfig.to_string())
            .expect("a file in the temporary directory can be written");
        path
    }

    pub fn add_namespace(&self, name: &str) {
        self.shared.state.lock().add_namespace(name);
    }

    /// Lets nothing new in; what is there stays until `remove_namespace`.
    pub fn terminate_namespace(&self, name: &str) {
        let mut state = self.shared.state.lock();
        let namespace = state.namespaces.get_mut(name).expect("a namespace that is there");
        namespace.deleted = Some(state::now());
    }

    /// Takes away a namespace and everything in it.
    pub fn remove_namespace(&self, name: &str) {
        self.change(|state| {
            let keys: Vec<_> =
                state.objects.keys().filter(|(namespace, _)| namespace == name).cloned().collect();
            keys.iter().for_each(|key| state.remove(key, ""));
            state.namespaces.remove(name);
        });
    }

    /// The object as it is now, if it is there.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Value> {
        let state = self.shared.state.lock();
        state.objects.get(&(namespace.to_owned(), name.to_owned())).map(state::Stored::to_json)
    }

    /// Deletes an object as a person would, and says whether it was there.
    pub fn delete(&self, namespace: &str, name: &str) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        self.change(|state| state.delete(&key, &Value::Null).is_ok())
    }

    /// Lets the request go wrong that comes after `pass` others of these verbs.
    pub fn inject(&self, verbs: &[Verb], pass: usize, fault: Fault) {
        self.shared.plan.lock().add(verbs, pass, false, fault);
    }

    /// Lets every request of these verbs go wrong from now on.
    pub fn inject_always(&self, verbs: &[Verb], fault: Fault) {
        self.shared.plan.lock().add(verbs, 0, true, fault);
    }

    /// Lets nothing go wrong any more. What hangs goes on hanging.
    pub fn heal(&self) {
        self.shared.plan.lock().clear();
    }

    /// Cuts every watch, in the middle of its answer.
    pub fn drop_watches(&self) {
        self.shared.signal.send_modify(|signal| signal.cuts += 1);
    }

    /// Cuts every watch and forgets what happened so far: going on from there is answered with 410.
    pub fn watch_gap(&self) {
        self.shared.state.lock().compact();
        self.drop_watches();
    }

    /// Tells every watch that wants to know where it has got to.
    pub fn bookmark(&self) {
        self.shared.signal.send_modify(|signal| signal.bookmarks += 1);
    }

    /// Requests of a verb so far, with those that went wrong.
    pub fn count(&self, verb: Verb) -> u64 {
        self.shared.plan.lock().count(verb)
    }

    /// Every change so far, in order.
    pub fn history(&self) -> History {
        History::new(self.shared.state.lock().written.clone())
    }

    fn change<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(with)
    }
}

impl Shared {
    /// Changes something, and tells the watches.
    fn change<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let result = with(&mut self.state.lock());
        self.signal.send_modify(|signal| signal.changes += 1);
        result
    }
}
