//! Answers to `INFO`, above all what a primary says of its replicas: `INFO replication`.

use super::primaries::Address;

/// A member of an answer to `INFO`.
pub fn member<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// In seconds. A replica reports each second, and at once to whoever asks by WAIT.
const LIVE_LAG: i64 = 1;

/// A primary's own word, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replication {
    /// Differs for each primary, also behind the same name.
    id: String,
    /// How far the primary's own data have come.
    offset: u64,
    /// Those that have all the data. One that is still copying confirms nothing.
    replicas: Vec<Replica>,
    /// How many are still copying the data.
    pub(crate) copying: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Replica {
    address: Address,
    /// How far it has confirmed.
    offset: u64,
    /// Seconds since it last reported; -1 where Redis compares two clocks of its own when a second begins.
    lag: i64,
}

impl Replication {
    /// `None` if it says nothing of a replication, as a stand-in for Redis may.
    pub(crate) fn parse(info: &str) -> Option<Self> {
        let id = member(info, "master_replid")?.to_owned();
        let offset = member(info, "master_repl_offset")?.parse().ok()?;
        let (online, copying) = info.lines().filter_map(replica).partition::<Vec<_>, _>(|(is_online, _)| *is_online);
        let replicas = online.into_iter().map(|(_, replica)| replica).collect();
        Some(Self { id, offset, replicas, copying: copying.len() })
    }

    /// The addresses of the replicas that have all the data.
    pub(crate) fn online(&self) -> impl Iterator<Item = &Address> {
        self.replicas.iter().map(|replica| &replica.address)
    }

    /// Without those that are silent: Redis calls them online for another minute.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Address> {
        self.replicas.iter().filter(|replica| replica.lag <= LIVE_LAG).map(|replica| &replica.address)
    }

    /// The replicas that had by now all that the same primary had written `before`. None of another primary.
    pub(crate) fn confirmed<'a>(&'a self, before: &Self) -> impl Iterator<Item = &'a Address> {
        let (is_same, written) = (self.id == before.id, before.offset);
        self.replicas.iter().filter(move |replica| is_same && replica.offset >= written).map(|replica| &replica.address)
    }

    pub(crate) fn is_of_same_primary(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Whether it is online, and what else `slave0:ip=10.0.0.1,port=6379,state=online,offset=14,lag=0` says.
fn replica(line: &str) -> Option<(bool, Replica)> {
    let (name, members) = line.strip_prefix("slave")?.split_once(':')?;
    let member = |name| members.split(',').find_map(|member| member.trim().strip_prefix(name));
    name.parse::<u32>().ok()?;
    let replica = Replica {
        address: Address { host: member("ip=")?.to_owned(), port: member("port=")?.parse().ok()? },
        offset: member("offset=")?.parse().ok()?,
        lag: member("lag=")?.parse().ok()?,
    };
    Some((member("state=") == Some("online"), replica))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "role:master\r\nconnected_slaves:4\r\n\
                        slave0:ip=10.0.0.1,port=1,state=online,offset=14,lag=0\r\n\
                        slave1:ip=10.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n\
                        slave2:ip=10.0.0.1,port=3,state=online,offset=13,lag=-1,type=replica\r\n\
                        slave3:ip=10.0.0.1,port=4,state=online,offset=9,lag=2\r\n\
                        master_replid:abc\r\nmaster_repl_offset:13\r\nslave_read_repl_offset:14\r\n";

    fn ports<'a>(found: impl Iterator<Item = &'a Address>) -> Vec<u16> {
        found.map(|address| address.port).collect()
    }

    #[test]
    fn a_replica_confirms_if_it_is_online_and_as_far_as_its_primary_was() {
        let said = Replication::parse(INFO).expect("readable");
        assert_eq!((ports(said.online()), said.copying), (vec![1, 3, 4], 1));
        assert_eq!(ports(said.live()), [1, 3]);
        assert_eq!(ports(said.confirmed(&said)), [1, 3]);
        let other = Replication { id: "another".into(), ..said.clone() };
        assert_eq!(ports(said.confirmed(&other)), [0; 0], "what another primary wrote is not here");
        assert_eq!(Replication::parse("# Replication\r\nrole:master\r\n"), None);
    }
}
