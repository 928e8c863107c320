//! What a worker knows of the primaries of one URL. If a call fails because this knowledge is outdated, the worker searches for
//! the primaries again. Under Sentinel it also does so every second while there are calls. All calls of a worker share a search.

use std::{cell::RefCell, ops::RangeInclusive, rc::Rc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    super::{Result, StoreError},
    access::RedisAccess,
    connector::{Connection, Connector},
    outage::OUTAGE,
    sentinel::Sentinels,
    server::{InBackground, Server, in_background},
    slot::CLUSTER_SLOTS,
    url::{Address, Layout},
};

/// The least time from the beginning of one search to that of the next.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// A primary that was replaced may take writes for some seconds. Only the Sentinels tell that it was replaced.
const SENTINELS_ASKED_EVERY: Duration = Duration::from_secs(1);
/// For each server that is asked where the primaries are.
const ASKED_FOR: Duration = Duration::from_millis(400);

pub(super) struct Primaries {
    /// Of the URL; see [`RedisAccess::generation`].
    pub(super) generation: u64,
    pub(super) connector: Rc<Connector>,
    table: RefCell<Table>,
    search: RefCell<Search>,
    pub(super) sentinels: Sentinels,
}

#[derive(Default)]
struct Table {
    /// Ordered by address.
    primaries: Vec<Primary>,
    /// The servers of the primaries, in the same order, and behind them those that the Cluster has named since.
    servers: Vec<Rc<Server>>,
    /// For each slot of a Cluster the number of its server, or one that no server has.
    slots: Option<Box<[u16]>>,
}

/// What a search finds of one primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Primary {
    pub(super) address: Address,
    /// Empty where there is no Cluster.
    pub(super) slots: Vec<RangeInclusive<u16>>,
    pub(super) successors: Successors,
}

/// Who could take over from a primary, as those say who decide it: the Sentinels, or the other primaries of a Cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Successors {
    pub(super) replicas: Vec<Address>,
    /// The deciders know no other replica than these, and at least one.
    pub(super) are_all: bool,
    /// So many deciders agree that the others could promote nobody.
    pub(super) are_agreed: bool,
}

#[derive(Default)]
struct Search {
    running: Option<InBackground<Result<()>>>,
    /// When the last one began.
    began: Option<Instant>,
    /// When the last one began that found something.
    found: Option<Instant>,
    /// Why the last one found nothing.
    error: Option<StoreError>,
}

impl Primaries {
    /// Of the present URL. Only the primary of a single server is known before a search.
    pub(super) fn new(access: &RedisAccess) -> Rc<Self> {
        // Before the URL, so that a URL that is replaced meanwhile is noticed.
        let generation = access.generation();
        let connector = Rc::new(access.connector());
        let (table, search, sentinels) = Default::default();
        let primaries = Self { generation, connector, table, search, sentinels };
        if let Layout::Single(address) = primaries.layout() {
            primaries.put_in_use(vec![Primary::alone(address)]);
        }
        Rc::new(primaries)
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.connector.url.layout
    }

    pub(super) fn is_single(&self) -> bool {
        matches!(self.layout(), Layout::Single(_))
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.layout(), Layout::Cluster(_))
    }

    /// What the URL names, for the log.
    pub(super) fn name(&self) -> String {
        match self.layout() {
            Layout::Single(server) => server.to_string(),
            Layout::Cluster(servers) | Layout::Sentinel { sentinels: servers, .. } => names(servers),
        }
    }

    /// The primary of a slot; `None` if it is not known.
    pub(super) fn of(&self, slot: u16) -> Option<Rc<Server>> {
        let table = self.table.borrow();
        let number = table.slots.as_ref().map_or(0, |slots| slots[usize::from(slot)]);
        table.servers.get(usize::from(number)).cloned()
    }

    /// All of them, in the order of their addresses.
    pub(super) fn all(&self) -> Vec<(Primary, Rc<Server>)> {
        let table = self.table.borrow();
        table.primaries.iter().cloned().zip(table.servers.iter().cloned()).collect()
    }

    /// What the last search has found of a primary.
    pub(super) fn known(&self, address: &Address) -> Option<Primary> {
        self.table.borrow().primaries.iter().find(|primary| primary.address == *address).cloned()
    }

    /// The server at an address, whether it is a primary or not.
    pub(super) fn server(&self, address: &Address) -> Rc<Server> {
        let known = self.table.borrow().servers.iter().find(|server| server.address == *address).cloned();
        known.unwrap_or_else(|| Rc::new(Server::new(address.clone(), &self.connector)))
    }

    /// The Cluster has said that `address` has the slot.
    pub(super) fn moved(self: &Rc<Self>, slot: u16, address: &Address) -> Rc<Server> {
        let server = self.server(address);
        let table = &mut *self.table.borrow_mut();
        let number = table.servers.iter().position(|known| Rc::ptr_eq(known, &server)).unwrap_or(table.servers.len());
        if number == table.servers.len() {
            table.servers.push(Rc::clone(&server));
        }
        if let Some(slots) = &mut table.slots {
            slots[usize::from(slot)] = number as u16;
        }
        self.search(None);
        server
    }

    /// Finds out again where the primaries are, unless that has just been tried. `failing` is a primary that does not serve.
    pub(super) async fn look_again(self: &Rc<Self>, failing: Option<&Address>) -> Result<()> {
        match self.search(failing) {
            Some(running) => running.await,
            None => self.search.borrow().error.clone().map_or(Ok(()), Err),
        }
    }

    /// Asks the Sentinels again if they were asked too long ago.
    pub(super) fn keep_up(self: &Rc<Self>) {
        let began = self.search.borrow().began;
        let is_time = began.is_some_and(|began| began.elapsed() > SENTINELS_ASKED_EVERY);
        if is_time && matches!(self.layout(), Layout::Sentinel { .. }) {
            self.search(None);
        }
    }

    /// Whether a search that began then or later has found something.
    pub(super) fn are_known_since(&self, since: Instant) -> bool {
        self.search.borrow().found.is_some_and(|found| found >= since)
    }

    /// The search that is under way, or else a new one, unless the last one has just been made. There is nothing to search for a
    /// single server.
    pub(super) fn search(self: &Rc<Self>, failing: Option<&Address>) -> Option<InBackground<Result<()>>> {
        let mut search = self.search.borrow_mut();
        let is_pause = search.began.is_some_and(|began| began.elapsed() < PAUSE);
        if search.running.is_none() && !is_pause && !self.is_single() {
            search.began = Some(Instant::now());
            let (primaries, failing) = (Rc::clone(self), failing.cloned());
            search.running = Some(in_background(async move {
                let found = primaries.find(failing.as_ref()).await;
                primaries.end_search(found)
            }));
        }
        search.running.clone()
    }

    fn end_search(&self, found: Result<Vec<Primary>>) -> Result<()> {
        let mut search = self.search.borrow_mut();
        search.running = None;
        search.error = found.as_ref().err().cloned();
        let found = found?;
        search.found = search.began;
        let addresses = |primaries: &[Primary]| names(primaries.iter().map(|primary| &primary.address));
        if addresses(&self.table.borrow().primaries) != addresses(&found) {
            tracing::info!(primaries = addresses(&found), "which servers of Redis are primaries");
        }
        self.put_in_use(found);
        OUTAGE.answered(&self.name());
        Ok(())
    }

    /// Keeps the connections to servers that are still primaries, and drops the others.
    fn put_in_use(&self, found: Vec<Primary>) {
        let servers: Vec<_> = found.iter().map(|primary| self.server(&primary.address)).collect();
        let slots = self.is_cluster().then(|| slot_table(&found));
        let before = self.table.replace(Table { primaries: found, servers, slots });
        let table = self.table.borrow();
        let is_left = |server: &&Rc<Server>| !table.servers.iter().any(|kept| Rc::ptr_eq(kept, server));
        before.servers.iter().filter(is_left).for_each(|server| OUTAGE.replaced(&server.name));
    }

    /// Asks who the primaries are.
    pub(super) async fn find(&self, failing: Option<&Address>) -> Result<Vec<Primary>> {
        match self.layout() {
            Layout::Single(address) => Ok(vec![Primary::alone(address)]),
            Layout::Cluster(seeds) => self.find_in_cluster(seeds, failing).await,
            Layout::Sentinel { sentinels, master } => self.find_by_sentinels(sentinels, master, failing).await,
        }
    }

    /// The servers that are known.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.table.borrow().servers.iter().map(|server| server.address.clone()).collect()
    }

    /// The connection that calls use, or else a new one.
    pub(super) async fn connection(&self, address: &Address) -> Result<Connection> {
        match self.server(address).connection() {
            Some(connection) => Ok(connection),
            None => self.connector.connect(address).await,
        }
    }
}

impl Primary {
    pub(super) fn alone(address: &Address) -> Self {
        Self { address: address.clone(), slots: Vec::new(), successors: Successors::default() }
    }

    /// How many slots it has.
    pub(super) fn covered(&self) -> usize {
        self.slots.iter().map(ExactSizeIterator::len).sum()
    }
}

fn slot_table(primaries: &[Primary]) -> Box<[u16]> {
    let mut table = vec![u16::MAX; CLUSTER_SLOTS].into_boxed_slice();
    for (number, primary) in (0..).zip(primaries) {
        for range in &primary.slots {
            table[usize::from(*range.start())..=usize::from(*range.end())].fill(number);
        }
    }
    table
}

fn names<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> String {
    addresses.into_iter().map(Address::to_string).collect::<Vec<_>>().join(",")
}

/// Asks a server where the primaries are, and puts its address in front of the reason if it does not say.
pub(super) async fn ask<T>(server: &Address, asking: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| StoreError { reason: "no answer within 400 ms".into() };
    let answer = timeout(ASKED_FOR, asking).await.map_err(late).flatten();
    answer.map_err(|error| StoreError { reason: format!("Redis at {server}: {}", error.reason) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_slots_names_the_primary_of_each() {
        let primary = |host: &str, slots: &[RangeInclusive<u16>]| Primary {
            slots: slots.to_vec(),
            ..Primary::alone(&Address { host: host.into(), port: 1 })
        };
        let found = [primary("a", &[0..=1, 4..=16383]), primary("b", &[2..=2])];
        let table = slot_table(&found);
        assert_eq!(table[..6], [0, 0, 1, u16::MAX, 0, 0]);
        assert_eq!((table[16383], found.iter().map(Primary::covered).sum::<usize>()), (0, 16383));
    }
}
