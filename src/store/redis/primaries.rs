//! What a worker knows of the primaries. A call that finds it outdated has it looked up again, and so, under Sentinel, does
//! time, while there are calls. All calls of the worker share one such search.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{task::spawn_local, time::Instant};

use super::{
    super::{Result, StoreError},
    connector::Connector,
    layout::{self, Before, Found, Known, Sentinels, Successors},
    node::Node,
    outage::OUTAGE,
    url::{Address, Layout},
};

/// From one search to the next.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// A primary that was replaced may take writes for some seconds, and nothing else tells of it.
const SENTINELS_ASKED_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Primaries {
    connector: Arc<Connector>,
    state: RefCell<State>,
    search: RefCell<Search>,
}

struct State {
    /// The generation of the URL from which the rest comes.
    url: u64,
    kind: Kind,
    found: Found,
    /// As in `found`, and behind them the servers that the Cluster has named since.
    nodes: Vec<Rc<Node>>,
    /// For each slot of a Cluster the number of its node.
    slots: Option<Box<[u16]>>,
    sentinels: Arc<Sentinels>,
}

/// What the URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Cluster,
    Sentinel,
}

#[derive(Default)]
struct Search {
    number: u64,
    running: Option<Running>,
    /// When the last one began.
    began: Option<Instant>,
    /// When the last one began that found something.
    found: Option<Instant>,
    /// Why the last one found nothing.
    error: Option<StoreError>,
}

pub(super) type Running = Shared<BoxFuture<'static, Result<Arc<Found>>>>;

impl Primaries {
    pub(super) fn new(connector: Connector) -> Self {
        let connector = Arc::new(connector);
        let state = RefCell::new(State::new(&connector));
        Self { connector, state, search: RefCell::default() }
    }

    pub(super) fn kind(&self) -> Kind {
        self.state.borrow().kind
    }

    /// The primary of a slot; `None` if it is not known.
    pub(super) fn of(&self, slot: u16) -> Option<Rc<Node>> {
        let state = self.state.borrow();
        let number = state.slots.as_ref().map_or(0, |slots| slots[usize::from(slot)]);
        state.nodes.get(usize::from(number)).cloned()
    }

    /// All of them, in the order of their addresses.
    pub(super) fn all(&self) -> (Found, Vec<Rc<Node>>) {
        let state = self.state.borrow();
        let primaries = state.found.primaries.iter().filter_map(|primary| state.node(&primary.address));
        (state.found.clone(), primaries.cloned().collect())
    }

    /// What a call begins with: a replaced URL counts from now on, and Sentinels are asked now and then.
    pub(super) fn keep_up(&self) {
        if self.state.borrow().url != self.connector.generation() {
            *self.state.borrow_mut() = State::new(&self.connector);
            let number = self.search.borrow().number + 1;
            *self.search.borrow_mut() = Search { number, ..Search::default() };
        }
        let kind = self.kind();
        if kind == Kind::Single {
            return;
        }
        let mut search = self.search.borrow_mut();
        let number = search.number;
        let ended = search.running.as_mut().and_then(|running| running.now_or_never());
        let is_time =
            kind == Kind::Sentinel && search.began.is_some_and(|began| began.elapsed() > SENTINELS_ASKED_EVERY);
        drop(search);
        if let Some(outcome) = ended {
            _ = self.take(number, outcome);
        } else if is_time {
            self.search(None);
        }
    }

    /// Finds out again where the primaries are, unless that has just been tried. `failing` is a primary that does not serve.
    pub(super) async fn look_again(&self, failing: Option<&Address>) -> Result<()> {
        if self.kind() == Kind::Single {
            return Ok(());
        }
        match self.search(failing) {
            Some((number, running)) => self.take(number, running.await),
            None => self.search.borrow().error.clone().map_or(Ok(()), Err),
        }
    }

    /// The same, without waiting for it.
    pub(super) fn look_again_later(&self, failing: &Address) {
        if self.kind() != Kind::Single {
            self.search(Some(failing));
        }
    }

    /// What the URL names, for the log.
    pub(super) fn name(&self) -> String {
        let (Layout::Cluster(servers) | Layout::Sentinel { sentinels: servers, .. }) = self.connector.layout() else {
            return self.state.borrow().nodes.first().map(|node| node.name.clone()).unwrap_or_default();
        };
        servers.iter().map(Address::to_string).collect::<Vec<_>>().join(",")
    }

    /// The Cluster has said that `address` has the slot.
    pub(super) fn moved(&self, slot: u16, address: &Address) -> Rc<Node> {
        let node = self.at(address);
        let mut state = self.state.borrow_mut();
        let number = state.nodes.iter().position(|known| Rc::ptr_eq(known, &node));
        let number = number.unwrap_or_else(|| {
            state.nodes.push(Rc::clone(&node));
            state.nodes.len() - 1
        });
        if let Some(slots) = &mut state.slots {
            slots[usize::from(slot)] = number as u16;
        }
        drop(state);
        self.search(None);
        node
    }

    /// The server at an address, be it a primary or not.
    pub(super) fn at(&self, address: &Address) -> Rc<Node> {
        let known = self.state.borrow().node(address).cloned();
        known.unwrap_or_else(|| Rc::new(Node::new(address.clone(), &self.connector)))
    }

    /// Who could take over from a primary, by the last search.
    pub(super) fn known(&self, primary: &Address) -> Option<Successors> {
        let state = self.state.borrow();
        let known = state.found.primaries.iter().find(|known| known.address == *primary);
        known.map(|primary| primary.successors.clone())
    }

    /// Whether a search that began then or later has found something.
    pub(super) fn is_known_since(&self, since: Instant) -> bool {
        self.search.borrow().found.is_some_and(|found| found >= since)
    }

    /// The search that is under way, or else a new one, unless the last one has just been made.
    pub(super) fn search(&self, failing: Option<&Address>) -> Option<(u64, Running)> {
        let mut search = self.search.borrow_mut();
        if search.running.is_none() {
            if search.began.is_some_and(|began| began.elapsed() < PAUSE) {
                return None;
            }
            let state = self.state.borrow();
            let before = Before {
                known: state.nodes.iter().map(|node| Known::from(&**node)).collect(),
                failing: failing.cloned(),
                epoch: state.found.epoch,
                some_have_no_successor: state.found.lacks_successors(),
                sentinels: Arc::clone(&state.sentinels),
            };
            // In a task of its own, because whoever waits for it may give up, and may be the only one.
            let found = spawn_local(layout::find(Arc::clone(&self.connector), before));
            let broken = |_| Err(StoreError { reason: "the search for the primaries of Redis broke off".into() });
            let outcome = found.map(move |found| found.unwrap_or_else(broken).map(Arc::new));
            search.number += 1;
            search.began = Some(Instant::now());
            search.running = Some(outcome.boxed().shared());
        }
        Some((search.number, search.running.clone()?))
    }

    /// Whoever is first of those who wait for a search takes its outcome.
    pub(super) fn take(&self, number: u64, outcome: Result<Arc<Found>>) -> Result<()> {
        let mut search = self.search.borrow_mut();
        if search.number == number && search.running.take().is_some() {
            search.error = outcome.as_ref().err().cloned();
            if let Ok(found) = &outcome {
                search.found = search.began;
                self.state.borrow_mut().apply(found, &self.connector);
                OUTAGE.answered(&self.name());
            }
        }
        outcome.map(drop)
    }
}

impl State {
    fn new(connector: &Arc<Connector>) -> Self {
        // Before the layout, so that a URL that is replaced meanwhile is noticed.
        let url = connector.generation();
        let (kind, single) = match connector.layout() {
            Layout::Single(address) => (Kind::Single, Some(address)),
            Layout::Cluster(_) => (Kind::Cluster, None),
            Layout::Sentinel { .. } => (Kind::Sentinel, None),
        };
        let found = single.map(Found::one).unwrap_or_default();
        let nodes =
            found.primaries.iter().map(|primary| Rc::new(Node::new(primary.address.clone(), connector))).collect();
        Self { url, kind, found, nodes, slots: None, sentinels: Arc::default() }
    }

    fn node(&self, address: &Address) -> Option<&Rc<Node>> {
        self.nodes.iter().find(|node| node.address == *address)
    }

    /// Keeps the connections to servers that are primaries still, and drops the others.
    fn apply(&mut self, found: &Found, connector: &Arc<Connector>) {
        let node = |address: &Address| self.node(address).cloned();
        let new = |address: &Address| Rc::new(Node::new(address.clone(), connector));
        let of = |address| node(address).unwrap_or_else(|| new(address));
        let nodes: Vec<_> = found.primaries.iter().map(|primary| of(&primary.address)).collect();
        let is_left = |node: &&Rc<Node>| !nodes.iter().any(|kept| Rc::ptr_eq(kept, node));
        self.nodes.iter().filter(is_left).for_each(|node| OUTAGE.replaced(&node.name));
        if names(&self.found) != names(found) {
            tracing::info!(primaries = names(found), "which servers of Redis are primaries");
        }
        self.slots = (self.kind == Kind::Cluster).then(|| found.table());
        (self.found, self.nodes) = (found.clone(), nodes);
    }
}

fn names(found: &Found) -> String {
    found.primaries.iter().map(|primary| primary.address.to_string()).collect::<Vec<_>>().join(", ")
}

impl From<&Node> for Known {
    fn from(node: &Node) -> Self {
        Self { address: node.address.clone(), connection: node.connection() }
    }
}
