//! Free ports of the loopback interface.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use parking_lot::Mutex;

use crate::Random;

/// Below the range from which the kernel takes the ports of outgoing connections: a server that was killed must find
/// its port still free after a thousand clients have knocked on it.
const RANGE: std::ops::Range<u64> = 10_000..32_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that nobody listens on and that this test program has not been given before.
pub fn free_port() -> u16 {
    let mut random = Random::new();
    let mut given = GIVEN.lock();
    let given = given.get_or_insert_default();
    for _ in 0..1_000 {
        let port = u16::try_from(random.between(RANGE)).expect("the range is one of ports");
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port in {RANGE:?}");
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
