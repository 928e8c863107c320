//! Queues requests that need a page of the revocation feed from Redis. One request is served at a
//! time, and clients take turns, so that a client that asks for many pages delays only itself.

use std::collections::{HashMap, VecDeque};
use std::{mem, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The most waiting requests of one client. A verifier asks for one page after another.
const OF_A_CLIENT: usize = 8;
/// The most waiting requests in each of the two queues, of clients that go on and of the others. A
/// request waits for at most two seconds.
const MOST_WAITING: usize = 1_024;

/// Whether a client goes on from a page that it was just given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// It asks for the page after the one that it was given last, as a verifier does that reads the
    /// whole feed.
    GoesOn,
    /// It shows a cursor that it was not given lately.
    Other,
}

/// The turn of one request. The next request has its turn when this value is dropped.
pub(super) struct Turn(Option<Arc<Turns>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

#[derive(Default)]
pub(super) struct Turns(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    is_taken: bool,
    go_on: Waiting,
    others: Waiting,
    /// Whether the last turn went to a client that goes on. If so, the next turn goes to one of the
    /// others, if one waits.
    last_went_on: bool,
}

/// The requests that wait, by client, and the clients in the order of their turns.
#[derive(Default)]
struct Waiting {
    requests: HashMap<String, VecDeque<oneshot::Sender<Turn>>>,
    clients: VecDeque<String>,
    count: usize,
}

impl Turns {
    /// A place in the queue. `None` if the client has as many places as it may have, or if all
    /// places are taken by clients that have no more than this client would have.
    pub(super) fn place(
        self: &Arc<Self>,
        client: &str,
        reader: Reader,
    ) -> Option<oneshot::Receiver<Turn>> {
        let (tell, told) = oneshot::channel();
        let mut queue = self.0.lock();
        if !queue.is_taken {
            queue.is_taken = true;
            queue.last_went_on = reader == Reader::GoesOn;
            drop(queue);
            // The receiver exists, so this cannot fail.
            let _ = tell.send(Turn(Some(Arc::clone(self))));
            return Some(told);
        }
        let waiting = match reader {
            Reader::GoesOn => &mut queue.go_on,
            Reader::Other => &mut queue.others,
        };
        waiting.push(client, tell).then_some(told)
    }

    fn pass_on(self: &Arc<Self>) {
        loop {
            let mut queue = self.0.lock();
            let Some(next) = queue.next() else {
                queue.is_taken = false;
                return;
            };
            drop(queue);
            match next.send(Turn(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // This request no longer waits. Its turn must not pass itself on when it is
                // dropped, because this loop does.
                Err(mut turn) => mem::drop(turn.0.take()),
            }
        }
    }
}

impl Queue {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let of_others_first = self.last_went_on;
        self.last_went_on = !of_others_first;
        let (first, second) = match of_others_first {
            true => (&mut self.others, &mut self.go_on),
            false => (&mut self.go_on, &mut self.others),
        };
        if let Some(next) = first.next() {
            return Some(next);
        }
        self.last_went_on = of_others_first;
        second.next()
    }
}

impl Waiting {
    fn push(&mut self, client: &str, request: oneshot::Sender<Turn>) -> bool {
        if self.count >= MOST_WAITING {
            self.drop_closed();
        }
        let of_client = self.requests.get(client).map_or(0, VecDeque::len);
        let has_place = self.count < MOST_WAITING || self.send_away_one_of_more_than(of_client + 1);
        if of_client >= OF_A_CLIENT || !has_place {
            return false;
        }
        if of_client == 0 {
            self.clients.push_back(client.to_owned());
        }
        self.requests
            .entry(client.to_owned())
            .or_default()
            .push_back(request);
        self.count += 1;
        true
    }

    /// Removes the newest request of the client that has the most requests, if it has more than
    /// `count`. That request is answered as if its turn had not come in time. So a late client gets
    /// as many places as every other.
    fn send_away_one_of_more_than(&mut self, count: usize) -> bool {
        let most = self
            .requests
            .values_mut()
            .max_by_key(|requests| requests.len());
        let Some(most) = most.filter(|requests| requests.len() > count) else {
            return false;
        };
        most.pop_back();
        self.count -= 1;
        true
    }

    /// The oldest request of the client whose turn it is. The client's next one comes after those
    /// of all others.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let client = self.clients.pop_front()?;
        let requests = self.requests.get_mut(&client)?;
        let next = requests.pop_front();
        if requests.is_empty() {
            self.requests.remove(&client);
        } else {
            self.clients.push_back(client);
        }
        self.count -= usize::from(next.is_some());
        next
    }

    fn drop_closed(&mut self) {
        self.requests.retain(|_, requests| {
            requests.retain(|request| !request.is_closed());
            !requests.is_empty()
        });
        self.clients
            .retain(|client| self.requests.contains_key(client));
        self.count = self.requests.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    type Told = oneshot::Receiver<Turn>;

    fn places(turns: &Arc<Turns>, client: &str, reader: Reader, count: usize) -> Vec<Told> {
        (0..count)
            .filter_map(|_| turns.place(client, reader))
            .collect()
    }

    /// Gives turns until no request waits. Returns the names in the order of their turns.
    fn order(mut waiting: Vec<(&'static str, Told)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let has_turn = |(_, told): &mut (_, Told)| told.now_or_never().and_then(Result::ok);
            let found = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(index, one)| has_turn(one).map(|turn| (index, turn)));
            let (index, turn) = found.expect("one of those who wait has the turn");
            order.push(waiting.remove(index).0);
            drop(turn);
        }
        order
    }

    #[test]
    fn clients_have_their_turns_one_after_another_however_many_requests_one_of_them_has() {
        let turns = Arc::new(Turns::default());
        let first = turns.place("first", Reader::Other).expect("a place");
        let greedy = places(&turns, "greedy", Reader::Other, 100);
        assert_eq!(greedy.len(), OF_A_CLIENT, "no more of one client");
        let mut waiting: Vec<_> = greedy.into_iter().map(|told| ("greedy", told)).collect();
        for client in ["one", "two"] {
            waiting.extend(
                places(&turns, client, Reader::Other, 2)
                    .into_iter()
                    .map(|told| (client, told)),
            );
        }
        drop(first);
        let order = order(waiting);
        assert_eq!(order[..6], ["greedy", "one", "two", "greedy", "one", "two"]);
        assert_eq!(order.len(), OF_A_CLIENT + 4);
    }

    #[test]
    fn who_goes_on_waits_for_one_other_at_most_and_the_others_are_served_too() {
        let turns = Arc::new(Turns::default());
        let first = turns.place("first", Reader::Other).expect("a place");
        let strangers = ["a", "b", "c", "d"];
        let mut waiting: Vec<_> = strangers
            .map(|name| (name, turns.place(name, Reader::Other).expect("a place")))
            .into();
        for _ in 0..3 {
            waiting.push((
                "sidecar",
                turns.place("sidecar", Reader::GoesOn).expect("a place"),
            ));
        }
        drop(first);
        assert_eq!(
            order(waiting),
            ["sidecar", "a", "sidecar", "b", "sidecar", "c", "d"]
        );
    }

    #[test]
    fn strangers_who_fill_their_places_leave_the_places_of_those_who_go_on() {
        let turns = Arc::new(Turns::default());
        let first = turns.place("first", Reader::Other).expect("a place");
        let strangers: Vec<_> = (0..2 * MOST_WAITING)
            .map(|number| turns.place(&number.to_string(), Reader::Other))
            .collect();
        assert_eq!(strangers.iter().flatten().count(), MOST_WAITING);
        let mut sidecar = turns
            .place("sidecar", Reader::GoesOn)
            .expect("a place of its own");
        assert!(turns.place("other", Reader::Other).is_none());
        drop(strangers);
        let other = turns
            .place("other", Reader::Other)
            .expect("the place of one who has left");
        drop(first);
        drop(
            (&mut sidecar)
                .now_or_never()
                .expect("the sidecar's turn")
                .expect("a turn"),
        );
        drop(order(vec![("other", other)]));
        assert!(
            turns
                .place("next", Reader::Other)
                .expect("a place")
                .now_or_never()
                .is_some(),
            "nobody waits any more"
        );
    }

    #[test]
    fn who_comes_last_has_the_place_of_the_client_that_has_the_most() {
        let turns = Arc::new(Turns::default());
        let first = turns.place("first", Reader::GoesOn).expect("a place");
        let clients = MOST_WAITING / OF_A_CLIENT;
        let mut strangers: Vec<_> = (0..clients)
            .flat_map(|number| places(&turns, &number.to_string(), Reader::GoesOn, OF_A_CLIENT))
            .collect();
        assert_eq!(strangers.len(), MOST_WAITING, "all places");
        let sidecar = places(&turns, "sidecar", Reader::GoesOn, OF_A_CLIENT);
        assert_eq!(
            sidecar.len(),
            OF_A_CLIENT - 1,
            "as many as the others have then"
        );
        strangers.retain_mut(|told| told.now_or_never().is_none());
        assert_eq!(
            strangers.len(),
            MOST_WAITING - sidecar.len(),
            "who was sent away knows it at once"
        );
        drop((first, strangers));
        assert_eq!(
            order(sidecar.into_iter().map(|told| ("sidecar", told)).collect()),
            ["sidecar"; OF_A_CLIENT - 1]
        );
    }

    #[test]
    fn a_turn_that_nobody_waits_for_any_more_is_passed_on() {
        let turns = Arc::new(Turns::default());
        let first = turns.place("first", Reader::Other).expect("a place");
        let gone = places(&turns, "gone", Reader::Other, 3);
        let stays = turns.place("stays", Reader::Other).expect("a place");
        drop((gone, first));
        assert_eq!(order(vec![("stays", stays)]), ["stays"]);
    }
}
