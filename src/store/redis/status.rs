//! What the primaries say of themselves, for metrics and readiness.

use std::rc::Rc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    super::{Result, StoreError},
    Redis,
    access::Confirm,
    link::Link,
    replication::Replication,
    server::Server,
};
use crate::telemetry::RedisState;

/// What one primary says.
struct Answer {
    replicas: u32,
    /// The time by its clock when all were asked, in seconds since 1970.
    time: f64,
}

impl Redis {
    /// Looks up the primaries and asks each of them, at the same time and within the deadline of a call.
    pub async fn status(&self) -> Result<RedisState> {
        let known = self.link.primaries();
        known.search().await.map_err(|reason| StoreError { reason })?;
        let (found, asked) = (known.all(), Instant::now());
        let answers = join_all(found.iter().map(|(_, server)| ask(&self.link, server, asked))).await;
        let (mut primaries, mut slots, mut times) = (Vec::new(), 0, Vec::new());
        for ((primary, _), answer) in found.iter().zip(answers) {
            let Ok(answer) = answer else { continue };
            slots += primary.slots.iter().map(ExactSizeIterator::len).sum::<usize>();
            times.push(answer.time);
            primaries.push((primary.address.to_string(), answer.replicas));
        }
        let confirm = self.access.confirm();
        Ok(RedisState {
            primaries,
            slots: known.is_cluster().then_some(slots),
            wanted: match confirm {
                Confirm::Auto => u32::from(!known.is_single()),
                Confirm::Replicas(count) => count.into(),
            },
            are_required: confirm != Confirm::Auto,
            clock_difference: spread(&times),
        })
    }
}

async fn ask(link: &Link, server: &Rc<Server>, asked: Instant) -> Result<Answer> {
    let mut commands = redis::pipe();
    commands.cmd("INFO").arg("replication").cmd("TIME");
    let sent = asked.elapsed();
    let (info, (second, micros)): (String, (u64, u64)) = link.query_at("status", server, &commands).await?;
    // Half of the way is taken for the way there.
    let since = (sent + asked.elapsed()).as_secs_f64() / 2.0;
    Ok(Answer {
        replicas: Replication::parse(&info).map_or(0, |said| said.online().count() as u32),
        time: second as f64 + micros as f64 / 1e6 - since,
    })
}

/// Between the slowest clock and the fastest.
fn spread(times: &[f64]) -> Option<f64> {
    Some(times.iter().copied().reduce(f64::max)? - times.iter().copied().reduce(f64::min)?)
}
