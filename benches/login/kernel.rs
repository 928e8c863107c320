//! The resources that a process has used, from the kernel.

use std::{collections::BTreeMap, fs, time::Duration};

use crate::Fault;

/// The run time of each thread of a process, in nanoseconds. `/proc/PID/stat` would count in steps of 10 ms.
pub(crate) struct CpuTime(BTreeMap<String, u64>);

impl CpuTime {
    /// Reads the run time of all running threads.
    pub(crate) fn of(pid: u32) -> Result<Self, Fault> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let entry = entry?;
            let stat = fs::read_to_string(entry.path().join("schedstat"))?;
            let ran = stat.split_whitespace().next().unwrap_or_default().parse()?;
            threads.insert(entry.file_name().to_string_lossy().into_owned(), ran);
        }
        Ok(Self(threads))
    }

    /// The same for a process and all its descendants.
    pub(crate) fn of_family(pid: u32) -> Result<Self, Fault> {
        let mut family = Self::of(pid)?;
        for child in children(pid)? {
            family.0.extend(Self::of_family(child)?.0);
        }
        Ok(family)
    }

    /// The time between two readings. It is an error if a thread has ended meanwhile, because its time is lost.
    pub(crate) fn since(&self, earlier: &Self) -> Result<Duration, Fault> {
        match earlier
            .0
            .keys()
            .find(|thread| !self.0.contains_key(*thread))
        {
            Some(thread) => Err(format!("thread {thread} ended while it was measured").into()),
            None => Ok(Duration::from_nanos(
                self.0.values().sum::<u64>() - earlier.0.values().sum::<u64>(),
            )),
        }
    }
}

/// The child processes of `pid`.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>, Fault> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let started = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        for child in started.split_whitespace() {
            children.push(child.parse()?);
        }
    }
    Ok(children)
}

/// The peak memory of a process (`VmHWM`), in MB of 10⁶ bytes.
pub(crate) fn peak_memory_mb(pid: u32) -> Result<f64, Fault> {
    status_mb(pid, "VmHWM:")
}

/// The current memory of a process (`VmRSS`), in MB of 10⁶ bytes.
pub(crate) fn memory_mb(pid: u32) -> Result<f64, Fault> {
    status_mb(pid, "VmRSS:")
}

fn status_mb(pid: u32, field: &str) -> Result<f64, Fault> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or_else(|| format!("no {field}"))?;
    Ok(kib.parse::<f64>()? * 1024.0 / 1e6)
}
