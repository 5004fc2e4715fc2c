//! A cluster: masters that share the slots, and, if asked for, one replica each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::FromRedisValue;

use super::topology::{Member, members};
use super::{Engine, RedisServer};
use crate::{Scene, eventually, free_port};

const MASTERS: u16 = 3;

/// Slots of every cluster.
const SLOTS: u16 = 16_384;

/// Generous: nodes gossip once a second, and a failover waits for a vote.
const AGREED_WITHIN: Duration = Duration::from_secs(60);

/// Keys in one step of a migration.
const BATCH: usize = 100;

/// How a cluster is to be started.
#[derive(Clone, Debug)]
pub struct RedisClusterBuilder {
    name: String,
    directory: PathBuf,
    engine: Engine,
    replicas: bool,
    settings: Vec<(String, String)>,
}

impl RedisClusterBuilder {
    pub const fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Gives every master one replica. Replicas are the nodes behind the masters, in the same order.
    pub const fn replicas(mut self) -> Self {
        self.replicas = true;
        self
    }

    /// Lets the others go on when the slots of one node are not served.
    pub fn without_full_coverage(self) -> Self {
        self.arg("cluster-require-full-coverage", "no")
    }

    /// A setting of every node, such as `("cluster-node-timeout", "5000")`.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the nodes, makes them a cluster, and waits until all of them agree on it.
    pub async fn start(self) -> RedisCluster {
        let count = if self.replicas { 2 * MASTERS } else { MASTERS };
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for number in 0..count {
            // Chosen and not left to the server, which would take its port plus 10000: that may be taken.
            let bus = free_port().to_string();
            nodes.push(self.node(number, &bus).await);
            buses.push(bus);
        }
        let cluster = RedisCluster { nodes };
        cluster.meet(&buses);
        cluster.agreed().await;
        if self.replicas {
            cluster.replicate().await;
        }
        cluster
    }

    async fn node(&self, number: u16, bus: &str) -> RedisServer {
        let mut node = RedisServer::builder(&self.directory, &format!("{}-{number}", self.name))
            .engine(self.engine)
            .arg("cluster-enabled", "yes")
            .arg("cluster-port", bus)
            // Long enough not to vote over a busy machine, short enough to wait for.
            .arg("cluster-node-timeout", "2000")
            .arg("repl-diskless-sync-delay", "0");
        for (name, value) in &self.settings {
            node = node.arg(name, value);
        }
        node.start().await
    }
}

/// A running cluster, killed when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Three masters without replicas that keep nothing.
    pub async fn start(scene: &Scene, name: &str) -> Self {
        Self::start_in(scene.path(), name).await
    }

    /// The same for tests without a scene. The nodes' directories are `name-0` and so on in `directory`.
    pub async fn start_in(directory: &Path, name: &str) -> Self {
        Self::builder(directory, name).start().await
    }

    pub fn builder(directory: &Path, name: &str) -> RedisClusterBuilder {
        RedisClusterBuilder {
            name: name.to_owned(),
            directory: directory.to_owned(),
            engine: Engine::default(),
            replicas: false,
            settings: Vec::new(),
        }
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Masters of the start first, then their replicas.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// `kill -9` of one node.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].kill9();
    }

    /// Starts a node again, on the same port, and waits until the cluster is whole. Unless the cluster was told to
    /// persist, the node comes back empty.
    pub async fn restart_node(&mut self, node: usize) {
        self.nodes[node].restart().await;
        self.agreed().await;
    }

    /// Waits until the other node of a pair of master and replica has taken over for the dead one, and says which it is.
    pub async fn failed_over(&self, dead: usize) -> usize {
        let heir = (dead + usize::from(MASTERS)) % self.nodes.len();
        let port_of = |node: usize| self.nodes[node].port();
        eventually(AGREED_WITHIN, || async {
            let living = self.living();
            self.served(&living)?;
            for (seer, members) in living.iter().zip(self.views(&living)?) {
                let slots = |node| {
                    members.iter().find(|member| member.port == port_of(node)).map(|member| &member.slots)
                };
                if slots(heir).is_none_or(Vec::is_empty) || !slots(dead).is_none_or(Vec::is_empty) {
                    return Err(format!("to node {seer}, node {heir} has not taken over for node {dead}"));
                }
            }
            Ok(heir)
        })
        .await
    }

    /// Which slot a key lies in.
    pub fn slot_of(&self, key: &str) -> u16 {
        self.ask_any(&["CLUSTER", "KEYSLOT", key])
    }

    /// The node that serves a slot, as the others have it.
    pub fn node_of_slot(&self, slot: u16) -> usize {
        let members = members(&self.ask_any::<String>(&["CLUSTER", "NODES"]));
        let owner = members.iter().find(|member| member.serves(slot));
        self.with_port(owner.unwrap_or_else(|| panic!("nobody serves slot {slot}")).port)
    }

    /// Moves a slot with its keys to another master while it is in use, and waits until all nodes know. Says how many
    /// keys were moved.
    pub async fn migrate_slot(&self, slot: u16, to: usize) -> usize {
        self.begin_migration(slot, to);
        self.finish_migration(slot, to).await
    }

    /// Declares a slot to be on its way and moves nothing: from now on the node that has it answers `ASK` for keys
    /// that are not there, and `TRYAGAIN` for commands of which only some keys are.
    pub fn begin_migration(&self, slot: u16, to: usize) {
        let from = self.node_of_slot(slot);
        assert_ne!(from, to, "slot {slot} is there already");
        let number = slot.to_string();
        self.nodes[to].ask::<()>(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &self.id(from)]);
        self.nodes[from].ask::<()>(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &self.id(to)]);
    }

    /// The keys of a slot that are still where it comes from.
    pub fn keys_of_slot(&self, slot: u16) -> Vec<String> {
        self.keys_at(slot, self.node_of_slot(slot), usize::from(u16::MAX))
    }

    /// Moves only these keys of a slot that is on its way: from now on some are here and some there.
    pub fn migrate_keys(&self, slot: u16, to: usize, keys: &[String]) -> usize {
        self.move_some(keys, self.node_of_slot(slot), to)
    }

    /// Moves the keys of a slot that is on its way, and hands the slot over.
    pub async fn finish_migration(&self, slot: u16, to: usize) -> usize {
        let from = self.node_of_slot(slot);
        let moved = self.move_keys(slot, from, to);
        let number = slot.to_string();
        let owner = self.id(to);
        // The receiver first: were the giver first, and the receiver dead, nobody would have the slot.
        for node in [to, from] {
            self.nodes[node].ask::<()>(&["CLUSTER", "SETSLOT", &number, "NODE", &owner]);
        }
        self.agreed().await;
        moved
    }

    fn move_keys(&self, slot: u16, from: usize, to: usize) -> usize {
        let mut moved = 0;
        loop {
            let keys = self.keys_at(slot, from, BATCH);
            if keys.is_empty() {
                return moved;
            }
            moved += self.move_some(&keys, from, to);
        }
    }

    fn keys_at(&self, slot: u16, node: usize, most: usize) -> Vec<String> {
        self.nodes[node].ask(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()])
    }

    fn move_some(&self, keys: &[String], from: usize, to: usize) -> usize {
        let port = self.nodes[to].port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        // NOKEY when all of them have expired in between.
        if self.nodes[from].ask::<String>(&words) == "OK" { keys.len() } else { 0 }
    }

    /// Makes strangers a cluster.
    fn meet(&self, buses: &[String]) {
        let masters = &self.nodes[..usize::from(MASTERS)];
        for (number, master) in (0..).zip(masters) {
            let first = number * SLOTS / MASTERS;
            let last = (number + 1) * SLOTS / MASTERS - 1;
            master.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        for (number, node) in self.nodes.iter().enumerate() {
            // Epochs of their own from the start, or the first conflict would be about nothing.
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        for (node, bus) in self.nodes.iter().zip(buses).skip(1) {
            self.nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), bus]);
        }
    }

    async fn replicate(&self) {
        let masters = usize::from(MASTERS);
        for node in masters..self.nodes.len() {
            self.nodes[node].ask::<()>(&["CLUSTER", "REPLICATE", &self.id(node - masters)]);
        }
        for node in &self.nodes[masters..] {
            eventually(AGREED_WITHIN, || async {
                match &*node.info::<String>("replication", "master_link_status") {
                    "up" => Ok(()),
                    other => Err(format!("the link of {} is {other}", node.url())),
                }
            })
            .await;
        }
        self.agreed().await;
    }

    /// Waits until every living node sees every living node, and all say the same of who has which slots.
    async fn agreed(&self) {
        eventually(AGREED_WITHIN, || async {
            let living = self.living();
            let views = self.views(&living)?;
            self.served(&living)?;
            for (&seer, members) in living.iter().zip(&views) {
                for &seen in &living {
                    let port = self.nodes[seen].port();
                    let there = members.iter().find(|member| member.port == port);
                    let whole = |member: &Member| {
                        member.connected
                            && !["handshake", "noaddr", "fail", "fail?"].iter().any(|flag| member.is(flag))
                    };
                    if !there.is_some_and(whole) {
                        return Err(format!("node {seer} sees node {seen} as {there:?}"));
                    }
                }
            }
            let owners = views.iter().map(|members| owners(members));
            let mut owners = owners.collect::<Vec<_>>();
            owners.dedup();
            if owners.len() == 1 { Ok(()) } else { Err(format!("they do not agree: {owners:?}")) }
        })
        .await;
    }

    fn living(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].try_connection().is_ok()).collect()
    }

    /// What each of these nodes knows about all.
    fn views(&self, nodes: &[usize]) -> Result<Vec<Vec<Member>>, String> {
        let view = |&node: &usize| match self.nodes[node].try_ask::<String>(&["CLUSTER", "NODES"]) {
            Ok(answer) => Ok(members(&answer)),
            Err(error) => Err(format!("node {node} does not answer: {error}")),
        };
        nodes.iter().map(view).collect()
    }

    fn served(&self, nodes: &[usize]) -> Result<(), String> {
        for &node in nodes {
            let info: String =
                self.nodes[node].try_ask(&["CLUSTER", "INFO"]).map_err(|error| error.to_string())?;
            if !info.contains("cluster_state:ok") {
                return Err(format!("node {node} does not serve: {info}"));
            }
        }
        Ok(())
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].ask(&["CLUSTER", "MYID"])
    }

    fn with_port(&self, port: u16) -> usize {
        let node = self.nodes.iter().position(|node| node.port() == port);
        node.unwrap_or_else(|| panic!("port {port} is none of this cluster"))
    }

    fn ask_any<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let answer = self.nodes.iter().find_map(|node| node.try_ask(words).ok());
        answer.unwrap_or_else(|| panic!("no node answers {words:?}"))
    }
}

/// Who has which slots, in an order that is the same for all.
fn owners(members: &[Member]) -> Vec<(u16, u16, String)> {
    let mut owners: Vec<_> = members
        .iter()
        .flat_map(|member| member.slots.iter().map(|&(first, last)| (first, last, member.id.clone())))
        .collect();
    owners.sort_unstable();
    owners
}
