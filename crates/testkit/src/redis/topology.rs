//! What a node of a cluster knows about all of them.

/// A line of `CLUSTER NODES`.
#[derive(Debug)]
pub(super) struct Member {
    pub id: String,
    pub port: u16,
    pub flags: Vec<String>,
    pub connected: bool,
    /// First and last slot of each range.
    pub slots: Vec<(u16, u16)>,
}

impl Member {
    pub fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }

    pub fn serves(&self, slot: u16) -> bool {
        self.slots.iter().any(|&(first, last)| (first..=last).contains(&slot))
    }
}

pub(super) fn members(answer: &str) -> Vec<Member> {
    answer.lines().map(|line| member(line).unwrap_or_else(|| panic!("CLUSTER NODES said {line:?}"))).collect()
}

fn member(line: &str) -> Option<Member> {
    // <id> <ip:port@cport[,hostname]> <flags> <primary> <ping-sent> <pong-recv> <config-epoch> <link-state> <slot> …
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, address, flags, _primary, _ping, _pong, _epoch, link, slots @ ..] = words.as_slice() else {
        return None;
    };
    let port = address.split('@').next()?.rsplit(':').next()?.parse().ok()?;
    Some(Member {
        id: (*id).to_owned(),
        port,
        flags: flags.split(',').map(str::to_owned).collect(),
        connected: *link == "connected",
        // What stands in brackets is a slot on its way, which still belongs where it was.
        slots: slots
            .iter()
            .filter(|slot| !slot.starts_with('['))
            .map(|slot| range(slot))
            .collect::<Option<_>>()?,
    })
}

fn range(words: &str) -> Option<(u16, u16)> {
    let (first, last) = words.split_once('-').unwrap_or((words, words));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_tells_who_serves_which_slots() {
        let answer = "\
            07c37df 127.0.0.1:30004@31004,hostname4 slave e7d1eec 0 1426238317239 4 disconnected\n\
            e7d1eec 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 6000 [93-<-07c37df]\n";
        let members = members(answer);
        let [replica, primary] = members.as_slice() else { panic!("{members:?}") };
        assert_eq!((&*replica.id, replica.port), ("07c37df", 30_004));
        assert!(replica.is("slave") && !replica.connected && replica.slots.is_empty());
        assert!(primary.is("master") && primary.connected);
        assert_eq!(primary.slots, [(0, 5460), (6000, 6000)]);
        assert!(primary.serves(6000) && !primary.serves(5461));
    }
}
