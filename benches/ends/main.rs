//! From the 204 of a logout to the refusal at each kind of peer, and what the feed of ends costs.
//!
//! Everything runs on this machine: Redis, the simulator, `wxmint serve`, and the peers of examples/peers, each as a process
//! of its own, with the settings that the examples show.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints to people")]

mod feed;
#[path = "../login/kernel.rs"]
mod kernel;
#[expect(dead_code, reason = "of the benchmark of logins; here a part of it is needed")]
#[path = "../login/load.rs"]
mod load;
mod million;
#[expect(dead_code, unused_imports, reason = "the tests of the examples; here what starts them is needed")]
#[path = "../../tests/peers/main.rs"]
mod peers;
mod refusals;
mod report;
#[expect(dead_code, reason = "of the benchmark of the examples; here a part of it is needed")]
#[path = "../examples/running.rs"]
mod running;
#[expect(dead_code, reason = "of the benchmark of logins; here the median is needed")]
#[path = "../login/spread.rs"]
mod spread;
mod stage;
#[path = "../examples/upstream.rs"]
mod upstream;

use std::{error::Error, fs, path::Path, process::ExitCode, time::Duration};

use tokio::runtime::Runtime;

use self::{refusals::PEERS, report::Report};
// The modules import each other by these names.
use self::peers::*;

/// An error that ends the benchmark, because nothing unexpected may be measured.
type Fault = Box<dyn Error + Send + Sync>;

const USAGE: &str = "cargo bench --bench ends -- [--quick] [refusals] [million] [feed] [PEER]...";
const PARTS: [&str; 3] = ["refusals", "million", "feed"];

/// What is measured, and how much of it.
pub(crate) struct Plan {
    parts: Vec<String>,
    /// The peers to measure; all if the list is empty.
    peers: Vec<String>,
    logouts: usize,
    ends: usize,
    /// How often the cost of a remembered token is measured.
    runs: usize,
    /// How long the feed is asked for.
    asking: Duration,
}

impl Plan {
    /// `None` if an argument is unknown.
    fn from_args(args: impl Iterator<Item = String>) -> Option<Self> {
        let (parts, peers) = (Vec::new(), Vec::new());
        let asking = Duration::from_secs(30);
        let mut plan = Self { parts, peers, logouts: 1_000, ends: 1_000_000, runs: 5, asking };
        for arg in args {
            match arg.as_str() {
                "--quick" => {
                    (plan.logouts, plan.ends, plan.runs, plan.asking) = (20, 20_000, 1, Duration::from_secs(5));
                }
                // Cargo passes this argument.
                "--bench" => {}
                part if PARTS.contains(&part) => plan.parts.push(arg),
                peer if PEERS.iter().any(|(name, _)| *name == peer) => plan.peers.push(arg),
                _ => return None,
            }
        }
        Some(plan)
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|chosen| chosen == part)
    }

    fn has_peer(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|chosen| chosen == peer)
    }
}

fn main() -> ExitCode {
    let Some(plan) = Plan::from_args(std::env::args().skip(1)) else {
        let peers = PEERS.map(|(name, _)| name).join(", ");
        eprintln!("{USAGE}\nPEER is one of: {peers}");
        return ExitCode::from(64);
    };
    match bench(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("ends: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn bench(plan: &Plan) -> Result<(), Fault> {
    let load = fs::read_to_string("/proc/loadavg")?;
    eprintln!("load average before: {}", load.trim());
    support::raise_open_files();
    let runtime = Runtime::new()?;
    let mut report = Report::default();
    if plan.has("refusals") {
        refusals::measure(plan, &runtime, &mut report)?;
    }
    if plan.has("million") {
        million::measure(plan, &runtime, &mut report)?;
    }
    if plan.has("feed") {
        feed::measure(plan, &runtime, &mut report)?;
    }
    println!("{report}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    keep(&report, &folder, load.trim())
}

/// Writes the results to `folder`.
fn keep(report: &Report, folder: &Path, load: &str) -> Result<(), Fault> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("ends.json"), format!("{:#}\n", report.to_json(load)))?;
    println!("kept in {}", folder.display());
    Ok(())
}
