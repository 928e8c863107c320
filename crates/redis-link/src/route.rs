//! The ways of a call that has not reached the primary of its keys.

use std::{rc::Rc, time::Duration};

use redis::{Pipeline, ServerErrorKind, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::{Cause, Failure, Problem, Reason};
use super::server::{Answers, Server, is, usable};
use super::{link::Reply, primaries::Primaries};

/// Between two tries of a call whose keys lie on two servers, because their slot is moving.
const SLOT_MOVES: Duration = Duration::from_millis(50);

/// How often a call follows a slot that is moving, if its deadline leaves the time.
const FOLLOWED: u32 = 5;

impl Primaries {
    /// Sends the commands again after a failure at `server`: where another has the slot now, or after a failover. While
    /// no new primary is elected it fails, and the client repeats the request.
    pub(crate) async fn send_after(
        self: &Rc<Self>,
        mut failure: Failure,
        mut server: Rc<Server>,
        slot: u16,
        sent: &Pipeline,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let mut has_searched = self.is_single();
        for _ in 0..FOLLOWED {
            let mut asked = None;
            match &failure.problem {
                Problem::Moved(to) if self.is_cluster() => {
                    drop(self.search());
                    server = self.server(to);
                }
                Problem::Asked(to, all) if self.is_cluster() => asked = Some((self.server(to), Rc::clone(all))),
                Problem::Split => {
                    sleep_until(deadline.min(Instant::now() + SLOT_MOVES)).await;
                    server = self.of(slot).unwrap_or(server);
                }
                Problem::BadConnection | Problem::Silent if !has_searched => {
                    has_searched = true;
                    match timeout_at(deadline, self.search()).await.map(|_| self.of(slot)) {
                        // A server that answers nobody is not asked again.
                        Ok(Some(found)) if failure.problem != Problem::Silent || !Rc::ptr_eq(&found, &server) => {
                            server = found;
                        }
                        _ => break,
                    }
                }
                _ => break,
            }
            let answers = match &asked {
                Some((other, all)) => send_asking(other, sent, all.to_vec(), deadline).await,
                None => server.send(sent, deadline).await,
            };
            match answers {
                Ok(values) => return Ok(Reply { values, from: server, other: asked.map(|(other, _)| other) }),
                Err(again) => failure = again,
            }
            // The slot has gone on from there.
            if asked.is_some() && matches!(failure.problem, Problem::Asked(..)) {
                failure.problem = Problem::Split;
            }
        }
        Err(failure)
    }

    /// The primary of a slot that was not known.
    pub(crate) async fn searched(self: &Rc<Self>, slot: u16, deadline: Instant) -> Result<Rc<Server>, Failure> {
        let late = |_| Err(Cause::NoAnswer.because("no answer within 1 s"));
        let searched = timeout_at(deadline, self.search()).await.unwrap_or_else(late);
        let unknown = || Reason::from(format!("the Cluster has no primary for slot {slot}"));
        let found = searched.and_then(|()| self.of(slot).ok_or_else(unknown));
        found.map_err(|reason| Failure { server: self.name(), problem: Problem::Silent, reason })
    }
}

/// Sends the commands that were answered with ASK to a server that their slot is moving to: it has their keys, but
/// not the slot yet. The other `answers` stay, because here their keys would count as missing.
async fn send_asking(server: &Server, sent: &Pipeline, mut answers: Vec<Value>, deadline: Instant) -> Answers {
    let is_ask = |answer: &Value| is(ServerErrorKind::Ask, answer);
    let mut asking = redis::pipe();
    for (command, _) in sent.cmd_iter().zip(&answers).filter(|(_, answer)| is_ask(answer)) {
        asking.cmd("ASKING").add_command(command.clone());
    }
    let told = server.send(&asking, deadline).await?.into_iter().skip(1).step_by(2);
    answers.iter_mut().filter(|answer| is_ask(answer)).zip(told).for_each(|(answer, told)| *answer = told);
    usable(answers, &server.address)
}
