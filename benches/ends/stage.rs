//! What the parts share: an issuer with its Redis and WeChat, and sidecars of it.

use std::{process, time::Duration, time::Instant};

use wxmint::store::ENDS_KEPT;

use crate::{
    Fault,
    kernel::{self, CpuTime},
    running::new,
    scene::Scene,
    support::Sidecar,
};

/// Where the ends are in Redis.
pub(crate) const STREAM: &str = "wxmint:ended";

pub(crate) struct Stage {
    pub(crate) scene: Scene,
    redis: u32,
}

/// The CPU time of the issuer and of its Redis.
pub(crate) struct Cpu {
    pub(crate) issuer: Duration,
    pub(crate) redis: Duration,
}

pub(crate) struct ReadySidecar {
    pub(crate) sidecar: Sidecar,
    pub(crate) pid: u32,
    /// From its start until it says that it is ready.
    pub(crate) took: Duration,
}

impl Stage {
    pub(crate) async fn start() -> Result<Self, Fault> {
        let scene = Scene::start().await;
        let redis = &scene.bed.redis;
        // A copy of the process while it is measured would cost CPU and memory.
        redis.command::<()>(&["CONFIG", "SET", "save", ""]);
        let said: String = redis.command(&["INFO", "server"]);
        let pid = said.lines().find_map(|line| line.strip_prefix("process_id:")).ok_or("Redis has no process id")?;
        Ok(Self { redis: pid.trim().parse()?, scene })
    }

    /// The feed as a peer asks for it, without the proxy of the tests in between.
    pub(crate) fn feed_url(&self, cursor: &str) -> String {
        self.scene.bed.service().url(&format!("/revocations?after={cursor}"))
    }

    pub(crate) fn cpu(&self) -> Result<CpuSoFar, Fault> {
        let pids = [self.scene.bed.service().id(), self.redis];
        Ok(CpuSoFar { pids, times: [CpuTime::of(pids[0])?, CpuTime::of(pids[1])?] })
    }

    /// Starts a sidecar of this issuer.
    pub(crate) async fn sidecar(&self) -> Result<ReadySidecar, Fault> {
        let (before, began) = (kernel::children(process::id())?, Instant::now());
        let sidecar = self.scene.sidecar(&[]).await;
        let took = began.elapsed();
        match new(kernel::children(process::id())?, &before)[..] {
            [pid] => Ok(ReadySidecar { sidecar, pid, took }),
            _ => Err("more or less than one process was started".into()),
        }
    }

    /// Writes ends into the stream in the service's form, each with its id, as if they had been written in the course of time.
    pub(crate) fn write_ends(&self, ends: impl Iterator<Item = (String, String)>) -> Result<(), Fault> {
        const AT_ONCE: usize = 10_000;
        let mut redis = redis::Client::open(self.scene.bed.redis.url())?.get_connection()?;
        let mut commands = redis::pipe();
        for (id, end) in ends {
            commands.cmd("XADD").arg(STREAM).arg(id).arg("end").arg(end).ignore();
            if commands.len() == AT_ONCE {
                commands.exec(&mut redis)?;
                commands.clear();
            }
        }
        commands.cmd("EXPIRE").arg(STREAM).arg(ENDS_KEPT.as_secs()).ignore();
        Ok(commands.exec(&mut redis)?)
    }
}

pub(crate) struct CpuSoFar {
    pids: [u32; 2],
    times: [CpuTime; 2],
}

impl CpuSoFar {
    /// What has been used since.
    pub(crate) fn since(&self) -> Result<Cpu, Fault> {
        let used = |index: usize| CpuTime::of(self.pids[index])?.since(&self.times[index]);
        Ok(Cpu { issuer: used(0)?, redis: used(1)? })
    }
}
