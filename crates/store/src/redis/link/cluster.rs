//! Who of a cluster has which slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use redis::{Pipeline, ServerError, Value};
use tokio::time::timeout;

use super::address::{Address, Server};
use super::dial::{Dialer, Peer};
use super::error::{LinkError, Scope};
use super::node::Node;
use super::slot::SLOTS;
use crate::Failure;

/// The nodes of a cluster that have slots, and the connections to them.
pub(super) struct Cluster {
    dialer: Arc<Dialer>,
    lanes: usize,
    seeds: Vec<Address>,
    map: RwLock<Arc<Map>>,
    /// Masters as the map has them, and those that a redirection has named since.
    nodes: Mutex<BTreeMap<Address, Arc<Node>>>,
    /// Held while somebody asks for the map.
    asking: tokio::sync::Mutex<()>,
    /// Counts attempts, so that not always the same node is asked: it may be cut off from the others.
    turn: AtomicUsize,
}

/// Who had which slots when it was asked.
pub(super) struct Map {
    /// By slot, the place in `masters`.
    owners: Vec<Option<u16>>,
    pub(super) masters: Vec<Arc<Node>>,
    replicas: Vec<Address>,
}

impl Map {
    fn empty() -> Self {
        Self { owners: vec![None; usize::from(SLOTS)], masters: Vec::new(), replicas: Vec::new() }
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Arc<Node>> {
        let place = self.owners.get(usize::from(slot)).copied().flatten()?;
        self.masters.get(usize::from(place))
    }
}

/// What a node answers that does not have a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// The slot is there now.
    Moved(Address),
    /// The slot is on its way; this key is there already.
    Ask(Address),
    /// The slot is on its way, and the keys of this command are in both places.
    TryAgain,
}

impl Redirect {
    /// `from` is the node that answered: it may leave its own host out.
    pub(super) fn of(error: &ServerError, from: &Address) -> Option<Self> {
        let to = || {
            let mut address = Address::parse(error.details()?.split(' ').nth(1)?)?;
            if address.host.is_empty() || address.host == "?" {
                address.host.clone_from(&from.host);
            }
            Some(address)
        };
        match error.code() {
            "MOVED" => to().map(Self::Moved),
            "ASK" => to().map(Self::Ask),
            "TRYAGAIN" => Some(Self::TryAgain),
            _ => None,
        }
    }
}

impl Cluster {
    pub(super) fn new(dialer: &Arc<Dialer>, servers: &[Server], lanes: usize) -> Self {
        Self {
            dialer: Arc::clone(dialer),
            lanes,
            seeds: servers.iter().map(|server| server.address.clone()).collect(),
            map: RwLock::new(Arc::new(Map::empty())),
            nodes: Mutex::new(BTreeMap::new()),
            asking: tokio::sync::Mutex::new(()),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read())
    }

    /// The node at an address, known or not.
    pub(super) fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(address.clone()).or_insert_with(|| {
            let dialer = Arc::clone(&self.dialer);
            Arc::new(Node::new(dialer, Peer::Server, address.clone(), self.lanes))
        });
        Arc::clone(node)
    }

    /// Gets a map newer than `seen`; many callers at once ask once.
    pub(super) async fn refresh(&self, seen: &Arc<Map>) -> Result<(), LinkError> {
        let _alone = self.asking.lock().await;
        if !Arc::ptr_eq(seen, &self.map.read()) {
            return Ok(());
        }
        let mut failure = LinkError::protocol("there is no node to ask for the slots");
        for address in self.candidates() {
            match self.ask(&address).await {
                Ok(ranges) => {
                    self.draw(&ranges);
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Whether somebody asks for a new map already.
    pub(super) fn is_asking(&self) -> bool {
        self.asking.try_lock().is_err()
    }

    /// Whom to ask: nodes that work, the configured ones, and only then those that are down.
    fn candidates(&self) -> Vec<Address> {
        let map = self.map();
        let address = |node: &Arc<Node>| node.address();
        let (down, up): (Vec<_>, Vec<_>) = map.masters.iter().partition(|node| node.is_down());
        let down: BTreeSet<Address> = down.into_iter().map(address).collect();
        let others =
            map.replicas.iter().chain(&self.seeds).filter(|address| !down.contains(address)).cloned();
        let mut candidates: Vec<Address> =
            up.into_iter().map(address).chain(others).collect::<BTreeSet<_>>().into_iter().collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if !candidates.is_empty() {
            let by = turn % candidates.len();
            candidates.rotate_left(by);
        }
        candidates.extend(down);
        candidates
    }

    async fn ask(&self, address: &Address) -> Result<Vec<Range>, LinkError> {
        // A node that does not answer must not cost the time of all others.
        let within = self.dialer.timeout() / 3;
        let asked = async {
            let connection = self.dialer.connect(Peer::Server, address).await?;
            let mut question = Pipeline::new();
            question.cmd("CLUSTER").arg("SLOTS");
            let answers = connection.send(&question).await?;
            let ranges = match answers.first() {
                Some(Value::Array(ranges)) => ranges,
                Some(Value::ServerError(error)) => {
                    return Err(no_cluster(LinkError::answered(error), address));
                }
                _ => return Err(LinkError::protocol("CLUSTER SLOTS without slots").at(address)),
            };
            Ok(ranges.iter().filter_map(|range| Range::of(range, address)).collect())
        };
        timeout(within, Box::pin(asked)).await.unwrap_or_else(|_| Err(LinkError::late(within).at(address)))
    }

    fn draw(&self, ranges: &[Range]) {
        let mut map = Map::empty();
        let mut places: BTreeMap<Address, u16> = BTreeMap::new();
        for range in ranges {
            let place = *places.entry(range.master.clone()).or_insert_with(|| {
                map.masters.push(self.node(&range.master));
                u16::try_from(map.masters.len() - 1).unwrap_or_default()
            });
            for slot in range.first..=range.last {
                if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
                    *owner = Some(place);
                }
            }
            map.replicas.extend(range.replicas.iter().cloned());
        }
        // A node that lost its slots may come back as another one's replica; nothing of it is kept.
        self.nodes.lock().retain(|address, _| places.contains_key(address));
        *self.map.write() = Arc::new(map);
    }

    /// Where to listen for messages: they reach every node. Another one at every attempt.
    pub(super) fn listening_address(&self, attempt: usize) -> Address {
        let mut candidates = self.candidates();
        candidates.sort();
        let by = attempt.checked_rem(candidates.len()).unwrap_or_default();
        candidates.into_iter().nth(by).unwrap_or(Address { host: String::new(), port: 0 })
    }

    /// Whether an address is one of the cluster's.
    pub(super) fn has(&self, address: &Address) -> bool {
        let map = self.map();
        map.replicas.contains(address) || map.masters.iter().any(|node| node.address() == *address)
    }
}

/// One line of `CLUSTER SLOTS`.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    master: Address,
    replicas: Vec<Address>,
}

impl Range {
    /// `asked` is the node that answered, which may not know its own host.
    fn of(value: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let [first, last, nodes @ ..] = parts.as_slice() else { return None };
        let number = |value: &Value| match value {
            Value::Int(number) => u16::try_from(*number).ok(),
            _ => None,
        };
        let address = |value: &Value| {
            let Value::Array(parts) = value else { return None };
            let host = match parts.first()? {
                Value::BulkString(host) => std::str::from_utf8(host).ok()?,
                _ => "",
            };
            // `?` is a host name that is not known yet.
            let host = if matches!(host, "" | "?") { asked.host.as_str() } else { host };
            Some(Address { host: host.to_owned(), port: number(parts.get(1)?)? })
        };
        let mut nodes = nodes.iter().filter_map(address);
        Some(Self {
            first: number(first)?,
            last: number(last)?,
            master: nodes.next()?,
            replicas: nodes.collect(),
        })
    }
}

/// A server that has never heard of clusters, or was not told to be part of one, will not be one by waiting.
fn no_cluster(error: LinkError, address: &Address) -> LinkError {
    let error = match error.class {
        Failure::Protocol => LinkError::new(
            Failure::Denied,
            Scope::Connection,
            format!("is no node of a cluster ({}); state.redis.mode is cluster", error.reason),
        ),
        _ => error,
    };
    error.at(address)
}

/// Nobody has the slot.
pub(super) fn unserved(slot: u16) -> LinkError {
    LinkError::new(Failure::ClusterDown, Scope::Server, format!("no node of the cluster serves slot {slot}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn redirect(line: &str) -> Option<Redirect> {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = value else { panic!("{value:?}") };
        Redirect::of(&error, &at("here:1"))
    }

    #[test]
    fn a_redirection_names_a_node_with_or_without_its_host() {
        assert_eq!(redirect("MOVED 3999 127.0.0.1:6381"), Some(Redirect::Moved(at("127.0.0.1:6381"))));
        assert_eq!(redirect("MOVED 3999 :6381"), Some(Redirect::Moved(at("here:6381"))));
        assert_eq!(redirect("ASK 3999 there:6381"), Some(Redirect::Ask(at("there:6381"))));
        assert_eq!(redirect("TRYAGAIN Multiple keys request"), Some(Redirect::TryAgain));
        assert_eq!(redirect("CLUSTERDOWN The cluster is down"), None);
    }

    #[test]
    fn a_line_of_slots_names_the_master_first() {
        let text = b"*4\r\n:0\r\n:5460\r\n*3\r\n$0\r\n\r\n:7000\r\n$1\r\na\r\n*3\r\n$4\r\nb.io\r\n:7003\r\n$1\r\nb\r\n";
        let range = Range::of(&redis::parse_redis_value(text).unwrap(), &at("here:1")).unwrap();
        assert_eq!((range.first, range.last), (0, 5460));
        assert_eq!((range.master, range.replicas), (at("here:7000"), vec![at("b.io:7003")]));
        assert_eq!(Range::of(&Value::Nil, &at("here:1")), None);
    }
}
