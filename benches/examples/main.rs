//! What a request costs through each of examples/peers: run with the real program between a load generator and a back
//! end, without a token to `/public/hello` and with one to `/orders`.
//!
//! CPU time is what the kernel reports for all processes of the example, including the sidecar.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints to people")]

#[expect(dead_code, reason = "of the benchmark of logins; here a part of it is needed")]
#[path = "../login/kernel.rs"]
mod kernel;
#[expect(dead_code, reason = "of the benchmark of logins; here a part of it is needed")]
#[path = "../login/load.rs"]
mod load;
#[expect(dead_code, unused_imports, reason = "the tests of the examples; here what starts them is needed")]
#[path = "../../tests/peers/main.rs"]
mod peers;
mod report;
mod running;
#[path = "../login/spread.rs"]
mod spread;
mod upstream;

use std::{error::Error, fs, iter, path::Path, process::ExitCode, time::Duration};

use serde_json::json;
use tokio::runtime::Runtime;

use self::{
    load::{Codes, Outcome, Phases, Target, saturate},
    report::{Measure, Report},
    running::{EXAMPLES, Running, Way},
    upstream::Upstream,
};
// The modules import each other by these names.
use self::peers::*;

/// An error that ends the benchmark, because nothing unexpected may be measured.
type Fault = Box<dyn Error + Send + Sync>;

const USAGE: &str = "cargo bench --bench examples -- [--quick] [NAME]...";
const CONNECTIONS: usize = 64;
/// The number of people who come again and again.
const REGULARS: usize = 500;
/// The number of new tokens per second; more than any machine can verify.
const MOST_FIRST_SIGHTS_A_SECOND: usize = 40_000;
const USER: &str = "0193f5b2-9c5e-7cc0-8000-000000000000";

/// The warm-up after a start, because Node compiles code that runs often.
const AT_FIRST: Phases = Phases { warm_up: Duration::from_millis(1500), measured: Duration::from_millis(1250) };
const AFTERWARDS: Phases = Phases { warm_up: Duration::from_millis(500), measured: Duration::from_millis(1000) };

/// What is measured, and for how long.
struct Plan {
    /// The examples to measure; all if the list is empty.
    chosen: Vec<String>,
    runs: usize,
}

impl Plan {
    /// `None` if an argument is unknown.
    fn from_args(args: impl Iterator<Item = String>) -> Option<Self> {
        let mut plan = Self { chosen: Vec::new(), runs: 3 };
        for arg in args {
            match arg.as_str() {
                "--quick" => plan.runs = 1,
                // Cargo passes this argument.
                "--bench" => {}
                name if EXAMPLES.iter().any(|example| example.name == name) => plan.chosen.push(arg),
                _ => return None,
            }
        }
        Some(plan)
    }

    fn has(&self, name: &str) -> bool {
        self.chosen.is_empty() || self.chosen.iter().any(|chosen| chosen == name)
    }
}

fn main() -> ExitCode {
    let Some(plan) = Plan::from_args(std::env::args().skip(1)) else {
        let names = EXAMPLES.map(|example| example.name).join(", ");
        eprintln!("{USAGE}\nNAME is one of: {names}");
        return ExitCode::from(64);
    };
    match bench(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("examples: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn bench(plan: &Plan) -> Result<(), Fault> {
    let load = fs::read_to_string("/proc/loadavg")?;
    eprintln!("load average before: {}", load.trim());
    // This runtime only waits and watches. It is idle during a measurement.
    let runtime = Runtime::new()?;
    let upstream = Upstream::start()?;
    let mut scene = runtime.block_on(scene::Scene::start());
    scene.back_end.address = upstream.address;
    let tokens = Tokens::mint(&scene);

    let mut report = Report::default();
    for run in 1..=plan.runs {
        report.add("", Measure::Rate, ask_upstream(&upstream)?.rate());
        for example in EXAMPLES.iter().filter(|example| plan.has(example.name)) {
            eprintln!("{}, run {run} of {}", example.name, plan.runs);
            measure(example, &runtime, &scene, &tokens, &mut report)?;
        }
    }
    println!("{report}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    keep(&report, &folder, load.trim())
}

/// Writes the results to `folder`.
fn keep(report: &Report, folder: &Path, load: &str) -> Result<(), Fault> {
    fs::create_dir_all(folder)?;
    let json = json!({"load_average_before": load, "measures": report.to_json()});
    fs::write(folder.join("examples.json"), format!("{json:#}\n"))?;
    println!("kept in {}", folder.display());
    Ok(())
}

/// Tokens signed with the issuer's own key, so that they need no login.
struct Tokens {
    regulars: Vec<String>,
    /// New tokens.
    new: Vec<String>,
}

impl Tokens {
    fn mint(scene: &scene::Scene) -> Self {
        let seconds = (AFTERWARDS.warm_up + AFTERWARDS.measured).as_secs_f64();
        let most = (MOST_FIRST_SIGHTS_A_SECOND as f64 * seconds) as usize;
        let forge = scene.forge();
        let mint = |number: usize| {
            let claims = forge.claims_with(json!({"sub": USER, "jti": format!("{number:022}")}));
            forge.by_issuer(&forge.header, &claims)
        };
        Self { regulars: (0..REGULARS).map(mint).collect(), new: (REGULARS..REGULARS + most).map(mint).collect() }
    }
}

/// Starts one example and measures it.
fn measure(
    example: &'static Way,
    runtime: &Runtime,
    scene: &scene::Scene,
    tokens: &Tokens,
    report: &mut Report,
) -> Result<(), Fault> {
    let running = runtime.block_on(Running::start(example, scene))?;
    let ask = |request, is_good, codes: Codes, phases| {
        let target = Target { address: running.example.address, pids: running.pids.clone(), request, is_good };
        saturate(target, CONNECTIONS, codes, phases)
    };
    let regulars = tokens.regulars.clone().into_iter().cycle();
    let known = ask(orders_request, is_users, Box::new(regulars), AT_FIRST)?;
    report.add(example.name, Measure::Known, known.cpu_us());
    report.add(example.name, Measure::Rate, known.rate());
    if let [_, sidecar] = known.cpu[..] {
        report.add(example.name, Measure::Sidecar, known.us_each(sidecar));
    }
    let public = ask(public_request, is_ok, Box::new(iter::repeat_with(String::new)), AFTERWARDS)?;
    report.add(example.name, Measure::Public, public.cpu_us());
    if example.remembers {
        let new = ask(orders_request, is_users, Box::new(tokens.new.clone().into_iter()), AFTERWARDS)?;
        report.add(example.name, Measure::New, new.cpu_us());
    }
    Ok(())
}

/// Measures the load generator and the back end without an example between them.
fn ask_upstream(upstream: &Upstream) -> Result<Outcome, Fault> {
    let target = Target { address: upstream.address, pids: Vec::new(), request: public_request, is_good: is_ok };
    saturate(target, CONNECTIONS, Box::new(iter::repeat_with(String::new)), AFTERWARDS)
}

fn public_request(_: &str) -> String {
    "GET /public/hello HTTP/1.1\r\nHost: bench\r\n\r\n".to_owned()
}

fn orders_request(token: &str) -> String {
    format!("GET /orders HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ")
}

/// Checks that the response names the token's user. Behind a proxy, the back end names the user that the proxy has told
/// it.
fn is_users(answer: &str) -> bool {
    is_ok(answer) && answer.contains(USER)
}
