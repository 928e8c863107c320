//! What a silent login costs, counted and not timed: commands of Redis, instructions, and blocks of memory that are freed. A
//! count is nearly the same on a busy machine. `make count` prints the last two.

use std::{collections::HashMap, env, fs, process::Command};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Configuration, PATIENCE, Process, TestBed, WXMINT, until};

/// So many people log in one after the other. The third time is counted.
const COUNTED: usize = 200;

/// Of one login.
struct Cost {
    instructions: u64,
    frees: u64,
}

impl Cost {
    /// From a dump of callgrind, whose format Valgrind's manual describes in section 6.5.
    fn of_login(dump: &str) -> Self {
        let totals = dump.lines().find_map(|line| line.strip_prefix("totals: ")).expect("the totals");
        let (mut names, mut callee, mut frees) = (HashMap::new(), "", 0);
        for line in dump.lines() {
            if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
                let (id, name) = function.split_once(' ').unwrap_or((function, ""));
                if !name.is_empty() {
                    names.insert(id, name);
                }
                callee = names.get(id).copied().unwrap_or_default();
            } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| callee == "free") {
                frees += calls.split(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a number");
            }
        }
        let instructions = totals.trim().parse::<u64>().expect("a number");
        Self { instructions: instructions / COUNTED as u64, frees: frees / COUNTED as u64 }
    }
}

/// `wxmint serve` under callgrind, which counts from when it is told to.
struct Counted {
    process: Process,
    login: String,
    folder: TempDir,
}

impl Counted {
    async fn start(configuration: &Configuration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let serve = configuration.command();
        let mut counted = Command::new("valgrind");
        counted.args(["--tool=callgrind", "--cache-sim=no", "--callgrind-out-file=counts"]).current_dir(&folder);
        counted.arg(env::var_os("WXMINT_TEST_COUNTED").unwrap_or(WXMINT.into())).args(serve.get_args());
        counted.env_clear().envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut process = Process::spawn("wxmint serve under Valgrind", &mut counted);
        let [public] = process.listens(["public"]).await;
        Self { process, login: format!("http://{public}/login"), folder }
    }

    fn control(&self, what: &str) {
        let status = Command::new("callgrind_control").args([what, &self.process.id().to_string()]).output();
        assert!(status.expect("callgrind_control runs").status.success(), "callgrind_control {what}");
    }
}

/// Redis is one thread for everybody. Those within scripts count too.
#[tokio::test]
async fn redis_runs_at_most_twelve_commands_for_a_silent_login() {
    const LOGINS: u64 = 50;
    let bed = TestBed::start().await;
    for _ in 0..5 {
        bed.log_in("lin").await.expect_login();
    }
    let before = bed.redis.calls();
    for _ in 0..LOGINS {
        bed.log_in("lin").await.expect_login();
    }
    let calls = bed.redis.calls_since(&before);
    let scripts = calls.get("evalsha").copied().unwrap_or_default();
    assert!(scripts <= LOGINS / 10, "only to make the session short: {calls:?}");
    assert!(calls.values().sum::<u64>() <= 12 * LOGINS, "{calls:?}");
}

#[tokio::test]
#[ignore = "it measures: make count"]
async fn a_silent_login() {
    let bed = TestBed::builder().services(0).start().await;
    let counted = Counted::start(&bed.configuration).await;
    let log_in = async |person| {
        let code = json!({"code": bed.mint_code(&format!("o-counted-{person}")).await});
        bed.http.send(bed.http.0.post(&counted.login).json(&code)).await.status
    };
    let all_log_in = async || {
        for person in 0..COUNTED {
            // On a busy machine, wxmint under Valgrind may be too slow for Redis' deadline.
            until("a login", PATIENCE, async || log_in(person).await == 200).await;
        }
    };
    all_log_in().await;
    all_log_in().await;
    counted.control("--zero");
    all_log_in().await;
    counted.control("--dump");
    let dump = counted.folder.path().join("counts.1");
    if let Some(kept) = env::var_os("WXMINT_TEST_COUNTS_KEPT") {
        fs::copy(&dump, kept).expect("the dump is kept");
    }
    let cost = Cost::of_login(&fs::read_to_string(&dump).expect("a dump"));
    println!("a silent login: {} instructions, {} frees", cost.instructions, cost.frees);
}
