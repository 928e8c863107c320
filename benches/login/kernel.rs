//! What the kernel says that a process has used.

use std::{collections::BTreeMap, fs, time::Duration};

use crate::Fault;

/// The time that each thread of a process has run, in nanoseconds. `/proc/PID/stat` would count in steps of 10 ms.
pub(crate) struct CpuTime(BTreeMap<String, u64>);

impl CpuTime {
    /// Of the threads that live now.
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

    /// The same of a process and of all that descend from it.
    pub(crate) fn of_family(pid: u32) -> Result<Self, Fault> {
        let mut family = Self::of(pid)?;
        for child in children(pid)? {
            family.0.extend(Self::of_family(child)?.0);
        }
        Ok(family)
    }

    /// The time between the two. A thread that has ended takes its time with it, so that is an error.
    pub(crate) fn since(&self, earlier: &Self) -> Result<Duration, Fault> {
        match earlier.0.keys().find(|thread| !self.0.contains_key(*thread)) {
            Some(thread) => Err(format!("thread {thread} ended while it was measured").into()),
            None => Ok(Duration::from_nanos(self.0.values().sum::<u64>() - earlier.0.values().sum::<u64>())),
        }
    }
}

/// The processes that `pid` has started and that have not been waited for.
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

/// The most memory that a process has held at a time (`VmHWM`), in MB of 10⁶ bytes.
pub(crate) fn peak_memory_mb(pid: u32) -> Result<f64, Fault> {
    status_mb(pid, "VmHWM:")
}

/// What a process holds now (`VmRSS`), in MB of 10⁶ bytes.
pub(crate) fn memory_mb(pid: u32) -> Result<f64, Fault> {
    status_mb(pid, "VmRSS:")
}

fn status_mb(pid: u32, field: &str) -> Result<f64, Fault> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or_else(|| format!("no {field}"))?;
    Ok(kib.parse::<f64>()? * 1024.0 / 1e6)
}
