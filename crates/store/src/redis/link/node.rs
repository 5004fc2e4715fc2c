//! One server and the connections to it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Pipeline, Value};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::dial::{Connection, Dialer, Peer};
use super::error::LinkError;
use super::group::Group;

/// Until when a call has to be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// How long that was from the start of the call, for messages.
    within: Duration,
}

impl Deadline {
    pub(super) fn within(within: Duration) -> Self {
        Self { at: Instant::now() + within, within }
    }

    pub(super) fn late(self) -> LinkError {
        LinkError::late(self.within)
    }

    /// Less than a quarter of the time is left.
    pub(super) fn is_near(self) -> bool {
        Instant::now() + self.within / 4 >= self.at
    }
}

/// One server, or the one that is primary now, with a few connections.
pub(crate) struct Node {
    pub(super) dialer: Arc<Dialer>,
    peer: Peer,
    address: Mutex<Address>,
    lanes: Lanes,
    /// Why calls fail at once. Set when one has failed in a way that others would, cleared by the probe alone.
    down: Mutex<Option<LinkError>>,
    /// Ask whether it is the primary: Sentinels may name a server that is not any more.
    primary_only: bool,
}

/// At least one.
struct Lanes {
    first: Lane,
    others: Vec<Lane>,
}

/// A place for one multiplexed connection. Calls of one partition always take the same, so they stay in order.
#[derive(Default)]
struct Lane {
    current: Mutex<Option<Connection>>,
    /// Held while connecting, so that many calls wait for one connection instead of making many.
    connecting: tokio::sync::Mutex<()>,
    /// Calls that wait to be confirmed.
    group: Group,
}

impl Node {
    pub(super) fn new(dialer: Arc<Dialer>, peer: Peer, address: Address, lanes: usize) -> Self {
        let others = (1..lanes).map(|_| Lane::default()).collect();
        let lanes = Lanes { first: Lane::default(), others };
        Self {
            dialer,
            peer,
            address: Mutex::new(address),
            lanes,
            down: Mutex::new(None),
            primary_only: false,
        }
    }

    /// Its connections are good only as long as they lead to a primary.
    pub(super) fn primary_only(self) -> Self {
        Self { primary_only: true, ..self }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.lock().clone()
    }

    /// From now on it is there; connections to where it was are not used any more. Says whether that is news.
    pub(super) fn move_to(&self, address: Address) -> bool {
        let mut current = self.address.lock();
        let is_news = *current != address;
        *current = address;
        is_news
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.lock().is_some()
    }

    pub(super) fn set_down(&self, error: &LinkError) {
        self.down.lock().get_or_insert_with(|| error.clone().unsent());
    }

    /// The probe got through. Connections of before may hang although the server answers others.
    pub(super) fn set_up(&self) {
        for lane in std::iter::once(&self.lanes.first).chain(&self.lanes.others) {
            lane.current.lock().take();
        }
        self.down.lock().take();
    }

    /// Sends the commands over the connection that `slot` belongs to; errors of the server are among the answers.
    pub(super) async fn exchange(
        &self,
        slot: u16,
        pipeline: &Pipeline,
        deadline: Deadline,
    ) -> Result<Vec<Value>, LinkError> {
        let lane = self.lane(slot);
        let connection = timeout_at(deadline.at, self.connection(lane))
            .await
            .unwrap_or_else(|_| Err(deadline.late().at(&self.address())))?;
        let answers = timeout_at(deadline.at, connection.send(pipeline))
            .await
            .unwrap_or_else(|_| Err(deadline.late().at(&connection.address).sent()));
        let is_broken = match &answers {
            Ok(values) => values.iter().any(|value| match value {
                Value::ServerError(error) => LinkError::answered(error).breaks_connection(),
                _ => false,
            }),
            Err(error) => error.breaks_connection(),
        };
        if is_broken {
            lane.give_up(&connection);
        }
        answers
    }

    /// The calls of these keys that wait to be confirmed.
    pub(super) fn group(&self, slot: u16) -> &Group {
        &self.lane(slot).group
    }

    fn lane(&self, slot: u16) -> &Lane {
        match usize::from(slot) % (self.lanes.others.len() + 1) {
            0 => &self.lanes.first,
            number => self.lanes.others.get(number - 1).unwrap_or(&self.lanes.first),
        }
    }

    async fn connection(&self, lane: &Lane) -> Result<Connection, LinkError> {
        self.refuse_when_down()?;
        if let Some(connection) = self.usable(lane) {
            return Ok(connection);
        }
        let _alone = lane.connecting.lock().await;
        // Whoever held the lock may have connected, or found out that it cannot be done.
        self.refuse_when_down()?;
        if let Some(connection) = self.usable(lane) {
            return Ok(connection);
        }
        let connection = self.dial().await?;
        lane.current.lock().replace(connection.clone());
        Ok(connection)
    }

    /// A new connection, which belongs to the caller alone.
    pub(super) async fn dial(&self) -> Result<Connection, LinkError> {
        let address = self.address();
        let connection = self.dialer.connect(self.peer, &address).await?;
        if self.primary_only {
            let within = self.dialer.timeout();
            let role = tokio::time::timeout(within, super::sentinel::check_primary(&connection)).await;
            let role = role.unwrap_or_else(|_| Err(LinkError::late(within).at(&address)));
            role.map_err(LinkError::unsent)?;
        }
        Ok(connection)
    }

    fn refuse_when_down(&self) -> Result<(), LinkError> {
        self.down.lock().clone().map_or(Ok(()), Err)
    }

    fn usable(&self, lane: &Lane) -> Option<Connection> {
        let current = lane.current.lock().clone()?;
        (current.is_open() && current.address == *self.address.lock()).then_some(current)
    }
}

impl Lane {
    /// The next call makes a new connection. Calls that are still on the old one keep it until they are over.
    fn give_up(&self, connection: &Connection) {
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|current| current.is_same(connection)) {
            current.take();
        }
    }
}
