//! The primaries of a URL, as a worker knows them. If a call fails because this knowledge is
//! outdated, the worker searches for the primaries again. With Sentinels it also does so every
//! second while there are calls. All calls of a worker share a search.

use std::cell::{Cell, RefCell};
use std::{ops::RangeInclusive, rc::Rc, time::Duration};

use redis::{Pipeline, Value};
use tokio::time::{Instant, sleep_until};

use super::server::{InBackground, Server, in_background};
use super::url::{Address, Layout};
use super::{
    call::CLUSTER_SLOTS, cluster, connector::Connector, failure::Result, outage,
    sentinel::Sentinels,
};

/// A primary, as a search found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    pub(crate) address: Address,
    /// The ranges of its slots; all slots if there is no Cluster.
    pub(crate) slots: Vec<RangeInclusive<u16>>,
    pub(crate) successors: Successors,
}

/// The replicas that could take over from a primary, by the word of the deciders: the Sentinels, or
/// a Cluster's other primaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Successors {
    /// Every replica that the deciders know; at least one.
    EveryReplica(Vec<Address>),
    /// Only these, perhaps none. So many deciders say so that the others cannot promote another
    /// replica.
    NoneBut(Vec<Address>),
    /// Unknown, because too few deciders answer.
    Unknown,
}

impl Primary {
    /// A primary that has all slots, and whose replicas are unknown.
    pub(crate) fn alone(address: &Address) -> Self {
        let slots = vec![0..=CLUSTER_SLOTS as u16 - 1];
        Self {
            address: address.clone(),
            slots,
            successors: Successors::Unknown,
        }
    }
}

/// The least time between the beginnings of two searches.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a server has to answer a question about the primaries.
const ASKED_FOR: Duration = Duration::from_millis(400);

pub(crate) struct Primaries {
    pub(crate) connector: Rc<Connector>,
    /// The primaries and the connections to them, ordered by address.
    pub(crate) table: RefCell<Vec<(Primary, Rc<Server>)>>,
    /// The last search, and when it began.
    search: RefCell<Option<(Instant, Search)>>,
    /// When the last successful search began.
    found: Cell<Option<Instant>>,
    pub(crate) sentinels: Option<Sentinels>,
}

type Search = InBackground<Result<()>>;

impl Primaries {
    /// No search was made yet. Only with `redis://` the primary is known already.
    pub(crate) fn new(connector: Connector) -> Rc<Self> {
        let sentinels = match &connector.url.layout {
            Layout::Sentinel { sentinels, master } => {
                Some(Sentinels::new(sentinels, master, &connector))
            }
            _ => None,
        };
        let (table, search, found) = Default::default();
        let primaries = Self {
            connector: Rc::new(connector),
            table,
            search,
            found,
            sentinels,
        };
        if let Layout::Single(address) = &primaries.connector.url.layout {
            primaries.put_in_use(vec![Primary::alone(address)], None);
        }
        Rc::new(primaries)
    }

    pub(crate) fn is_single(&self) -> bool {
        matches!(self.connector.url.layout, Layout::Single(_))
    }

    /// The servers that the URL names, for the log.
    pub(crate) fn name(&self) -> String {
        names(self.connector.url.named())
    }

    /// All known primaries, in the order of their addresses.
    pub(crate) fn all(&self) -> Vec<(Primary, Rc<Server>)> {
        self.table.borrow().clone()
    }

    /// The replicas that could take over from a primary. `None` if the server is no primary.
    pub(crate) fn successors_of(&self, address: &Address) -> Option<Successors> {
        self.known(address).map(|(primary, _)| primary.successors)
    }

    /// The server at an address: the known one, or a new one without a connection.
    pub(crate) fn server(&self, address: &Address) -> Rc<Server> {
        match self.known(address) {
            Some((_, server)) => server,
            None => Rc::new(Server::new(address.clone(), &self.connector)),
        }
    }

    fn known(&self, address: &Address) -> Option<(Primary, Rc<Server>)> {
        self.table
            .borrow()
            .iter()
            .find(|(primary, _)| primary.address == *address)
            .cloned()
    }

    /// The search that is in progress or began less than [`PAUSE`] ago, or else a new search.
    pub(crate) fn search(self: &Rc<Self>) -> Search {
        let mut last = self.search.borrow_mut();
        if let Some((began, search)) = &*last
            && (search.peek().is_none() || began.elapsed() < PAUSE)
        {
            return search.clone();
        }
        let primaries = Rc::clone(self);
        let began = Instant::now();
        let search = in_background(async move {
            if primaries.is_single() {
                return Ok(());
            }
            let found = primaries.find().await?;
            let before = primaries.all();
            let now = names(found.iter().map(|primary| &primary.address));
            if names(before.iter().map(|(primary, _)| &primary.address)) != now {
                tracing::info!(primaries = now, "which servers of Redis are primaries");
            }
            primaries.put_in_use(found, Some(began));
            outage::answered(&primaries.name());
            Ok(())
        });
        last.insert((began, search)).1.clone()
    }

    /// Waits for a search that began at `since` or later.
    pub(crate) async fn search_since(self: &Rc<Self>, since: Instant) -> Result<()> {
        loop {
            let outcome = self.search().await;
            match self.last_began() {
                Some(began) if began < since => sleep_until(began + PAUSE).await,
                _ => return outcome,
            }
        }
    }

    pub(crate) fn last_began(&self) -> Option<Instant> {
        self.search.borrow().as_ref().map(|(began, _)| *began)
    }

    /// Whether a search that began at `since` or later was successful.
    pub(crate) fn are_known_since(&self, since: Instant) -> bool {
        self.found.get().is_some_and(|found| found >= since)
    }

    /// Takes over the result of a search that began at `began`. Keeps the connections to servers
    /// that are still primaries, and drops the others.
    pub(crate) fn put_in_use(&self, found: Vec<Primary>, began: Option<Instant>) {
        self.found.set(began);
        let table: Vec<_> = found
            .into_iter()
            .map(|primary| {
                let server = self.server(&primary.address);
                (primary, server)
            })
            .collect();
        for (_, server) in &self.all() {
            let is_kept = table.iter().any(|(_, kept)| Rc::ptr_eq(kept, server));
            if !is_kept {
                outage::replaced(&server.name);
            }
        }
        self.table.replace(table);
    }

    pub(crate) async fn find(&self) -> Result<Vec<Primary>> {
        match &self.connector.url.layout {
            Layout::Single(address) => Ok(vec![Primary::alone(address)]),
            Layout::Cluster(seeds) => {
                let known = self.all().into_iter().map(|(_, server)| server);
                cluster::find(
                    known
                        .chain(seeds.iter().map(|seed| self.server(seed)))
                        .collect(),
                )
                .await
            }
            Layout::Sentinel { .. } => {
                let sentinels = self.sentinels.as_ref().expect("made with the layout");
                Ok(vec![sentinels.find(|address| self.server(address)).await?])
            }
        }
    }
}

/// Sends commands to a server and reads the answers with `read`, within 400 ms. The reason of a
/// failure names the server.
pub(crate) async fn ask<T>(
    server: &Server,
    asked: &Pipeline,
    read: impl FnOnce(Vec<Value>) -> Result<T>,
) -> Result<T> {
    let answers = server.answers(asked, Instant::now() + ASKED_FOR).await;
    answers
        .and_then(read)
        .map_err(|reason| reason.after(format_args!("Redis at {}: ", server.name)))
}

fn names<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> String {
    addresses
        .into_iter()
        .map(Address::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_leads_to_its_primary_whose_connection_is_kept() {
        let primaries = Primaries::new(Connector::plain("redis+cluster://a"));
        let address = |host: &str| Address {
            host: host.into(),
            port: 1,
        };
        let primary = |host, slots: &[_]| Primary {
            slots: slots.to_vec(),
            ..Primary::alone(&address(host))
        };
        primaries.put_in_use(
            vec![primary("a", &[0..=1, 4..=16383]), primary("b", &[2..=2])],
            None,
        );
        let of = |slot| {
            primaries
                .of(slot)
                .map(|server| server.name.clone())
                .unwrap_or_default()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 16383].map(of),
            ["a:1", "a:1", "b:1", "", "a:1", "a:1"]
        );
        let before = primaries.of(2).expect("b");
        primaries.put_in_use(
            vec![primary("a", &[0..=1]), primary("b", &[2..=16383])],
            None,
        );
        assert!(
            primaries
                .of(3)
                .is_some_and(|server| Rc::ptr_eq(&server, &before))
        );
    }
}
