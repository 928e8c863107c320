//! The primaries' own words on their state, for metrics and checks.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::info::{Replication, member};
use super::{access::Confirm, failure::Result, link::Link, server::Server};

/// The primaries of Redis say this of themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The primaries that answer, and how many replicas of each are online.
    pub primaries: Vec<(String, u32)>,
    /// How many slots of the Cluster these have; `None` where there is no Cluster.
    pub slots: Option<usize>,
    /// How many replicas each should have.
    pub wanted: u32,
    /// Whether confirmed writes fail where a primary has fewer.
    pub are_required: bool,
    /// Between the slowest clock of these primaries and the fastest, in seconds; `None` where none answers.
    pub clock_difference: Option<f64>,
    /// How many keys these have evicted since they were started, because their memory was full.
    pub evicted: u64,
    /// By how many seconds the clock of this machine is ahead of the clock of these primaries that is farthest from it.
    pub own_clock_ahead: Option<f64>,
}

impl Link {
    /// Looks up the primaries and asks each of them, at the same time and within the deadline of a call. `now`: the
    /// time of this machine, in seconds since 1970.
    pub async fn state(&self, now: f64) -> Result<State> {
        let known = self.primaries();
        known.search().await?;
        let found = known.all();
        let asked = Instant::now();
        let answers = join_all(found.iter().map(|(_, server)| self.ask(server, asked))).await;
        let (mut primaries, mut slots, mut times, mut evicted) = (Vec::new(), 0, Vec::new(), 0);
        for ((primary, _), answer) in found.iter().zip(answers) {
            let Ok((replicas, time, keys)) = answer else { continue };
            evicted += keys;
            slots += primary.slots.iter().map(ExactSizeIterator::len).sum::<usize>();
            times.push(time);
            primaries.push((primary.address.to_string(), replicas));
        }
        let confirm = self.access().confirm();
        Ok(State {
            primaries,
            slots: known.is_cluster().then_some(slots),
            wanted: match confirm {
                Confirm::Auto => u32::from(!known.is_single()),
                Confirm::Replicas(count) => count.into(),
            },
            are_required: confirm != Confirm::Auto,
            clock_difference: spread(&times),
            evicted,
            own_clock_ahead: own_clock_ahead(now, &times),
        })
    }

    /// How many replicas of a primary are online, the time by its clock when all were asked, in seconds since 1970, and
    /// how many keys it has evicted.
    async fn ask(&self, server: &Server, asked: Instant) -> Result<(u32, f64, u64)> {
        let mut commands = redis::pipe();
        commands.cmd("INFO").arg("replication").cmd("TIME").cmd("INFO").arg("stats");
        let sent = asked.elapsed();
        type Answer = (String, (u64, u64), String);
        let (info, (second, micros), stats): Answer = self.query_at("status", server, &commands).await?;
        let evicted = member(&stats, "evicted_keys").and_then(|keys| keys.parse().ok()).unwrap_or_default();
        // Half of the way is taken for the way there.
        let since = (sent + asked.elapsed()).as_secs_f64() / 2.0;
        let replicas = Replication::parse(&info).map_or(0, |said| said.online().count() as u32);
        Ok((replicas, second as f64 + micros as f64 / 1e6 - since, evicted))
    }
}

/// Between the slowest clock and the fastest.
fn spread(times: &[f64]) -> Option<f64> {
    Some(times.iter().copied().reduce(f64::max)? - times.iter().copied().reduce(f64::min)?)
}

/// By how much `now` is ahead of the clock that is farthest from it.
fn own_clock_ahead(now: f64, times: &[f64]) -> Option<f64> {
    times.iter().map(|time| now - time).max_by(|one, other| one.abs().total_cmp(&other.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_clock_counts_in_either_direction() {
        for (times, ahead) in
            [(&[99.0, 95.1][..], Some(4.9)), (&[101.0, 94.9], Some(5.1)), (&[99.0, 105.1], Some(-5.1)), (&[], None)]
        {
            let found = own_clock_ahead(100.0, times);
            let is_near = |ahead: f64| found.is_some_and(|found| (found - ahead).abs() < 1e-6);
            assert!(ahead.map_or(found.is_none(), is_near), "{times:?} {found:?}");
        }
        assert_eq!((spread(&[1.0, 3.0, 2.0]), spread(&[])), (Some(2.0), None));
    }
}
