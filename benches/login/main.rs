//! The cost of a login: the service as deployed (release build, JSON logs at info, metrics, claimed codes, sealed
//! session keys) between a load generator, a real Redis and the WeChat simulator, each a process of its own.
//!
//! CPU time is what the kernel reports for the service's process. Added latency is the latency of a login minus that of
//! a code2Session request directly to the simulator, at the same rate and from the same load generator, percentile by
//! percentile.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "prints to people"
)]

mod bare;
mod chart;
mod envoy;
mod feeds;
mod kernel;
mod load;
mod peers;
mod plain;
mod platform;
mod polls;
mod processes;
mod report;
mod spread;
mod user_data;

use std::error::Error;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, iter, thread};

use serde_json::json;
use wxmint::clock::now;
use wxmint_ids::{AppId, UserId};
use wxmint_keys::token::{ExtraClaims, Minter, new_token_id};
use wxmint_keys::{KeyRing, PrivateJwk, StoredKeys};
use wxmint_verify::{Algorithm, TokenTyp};

use self::feeds::feeds;
use self::kernel::CpuTime;
use self::load::{Codes, Phases, Target, ask_each, pace, saturate, us_each};
use self::peers::{a_million_tokens, peers};
use self::platform::platform;
use self::polls::polls;
use self::processes::{APP, Bare, Files, People, Redis, SECRET, Service, StandIn};
use self::report::Report;
use self::user_data::user_data;

/// An error that ends the benchmark, because nothing unexpected may be measured.
type Fault = Box<dyn Error + Send + Sync>;

const USAGE: &str = "cargo bench --bench login -- [--quick] [saturated] [paced] [first] [computed] [passwords] [userdata] [jwks] [polls] [platform] [feeds] [peers] [million] [start]";
const SCENARIOS: [&str; 13] = [
    "saturated",
    "paced",
    "first",
    "computed",
    "passwords",
    "userdata",
    "jwks",
    "polls",
    "platform",
    "feeds",
    "peers",
    "million",
    "start",
];
const UPSTREAM_DELAY: Duration = Duration::from_millis(50);
const RATE: u32 = 500;
/// Wrong passwords per second: at 12 ms each, more than two cores can check.
const WRONG_PASSWORDS: u32 = 200;
const LOGIN_CONNECTIONS: usize = 64;
const JWKS_CONNECTIONS: usize = 32;
/// More logins per second than any machine can do. Each needs a code that was made beforehand.
const MOST_LOGINS_A_SECOND: usize = 25_000;
/// The same for the bare limit.
const MOST_BARE_LOGINS_A_SECOND: usize = 60_000;
/// Each program that is compared has so many.
const TURNS: u32 = 12;

/// The measurements, and for how long they take.
struct Plan {
    scenarios: Vec<String>,
    runs: usize,
    starts: usize,
    /// The divisor of each phase's length.
    haste: u32,
}

impl Plan {
    /// `None` if an argument is unknown.
    fn from_args(args: impl Iterator<Item = String>) -> Option<Self> {
        let mut plan = Self {
            scenarios: Vec::new(),
            runs: 3,
            starts: 10,
            haste: 1,
        };
        for arg in args {
            match arg.as_str() {
                "--quick" => (plan.runs, plan.starts, plan.haste) = (1, 3, 4),
                // Cargo passes this argument.
                "--bench" => {}
                scenario if SCENARIOS.contains(&scenario) => plan.scenarios.push(arg),
                _ => return None,
            }
        }
        Some(plan)
    }

    fn has(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|chosen| chosen == scenario)
    }

    fn phases(&self, warm_up: u64, measured: u64) -> Phases {
        let [warm_up, measured] =
            [warm_up, measured].map(|seconds| Duration::from_secs(seconds) / self.haste);
        Phases { warm_up, measured }
    }
}

fn main() -> ExitCode {
    if env::var_os(processes::BARE_LISTEN).is_some() {
        return ended(if env::var_os(processes::PLAIN).is_some() {
            plain::serve()
        } else {
            bare::serve()
        });
    }
    let Some(plan) = Plan::from_args(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    ended(bench(&plan))
}

fn ended(outcome: Result<(), Fault>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("login: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn bench(plan: &Plan) -> Result<(), Fault> {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let stage = Stage {
        files: Files::create(scratch)?,
        redis: Redis::start()?,
        prompt: StandIn::start(Duration::ZERO)?,
        slow: StandIn::start(UPSTREAM_DELAY)?,
        without_unionids: StandIn::start_without_unionids()?,
    };
    let load = fs::read_to_string("/proc/loadavg")?;
    eprintln!("load average before: {}", load.trim());

    let mut report = Report::default();
    for run in 1..=plan.runs {
        report.add("machine.mint_us", mint_alone_us()?);
        report.add("machine.check_us", check_alone_us()?);
        let scenarios: [(&str, Scenario); 11] = [
            ("saturated", saturated),
            ("paced", paced),
            ("first", first),
            ("computed", computed),
            ("passwords", passwords),
            ("userdata", user_data),
            ("jwks", jwks),
            ("polls", polls),
            ("platform", platform),
            ("feeds", feeds),
            ("peers", peers),
        ];
        for (name, scenario) in scenarios.into_iter().filter(|(name, _)| plan.has(name)) {
            eprintln!("{name}, run {run} of {}", plan.runs);
            scenario(&stage, plan, &mut report)?;
        }
    }
    if plan.has("million") {
        eprintln!("million, once");
        a_million_tokens(&stage, plan, &mut report)?;
    }
    if plan.has("start") {
        eprintln!("start, {} times", plan.starts);
        start(&stage, plan, &mut report)?;
    }
    println!("{report}");
    keep(&report, &scratch.with_file_name("bench"), load.trim())
}

/// Writes the results to `folder`, and the chart if all of its values were measured.
fn keep(report: &Report, folder: &Path, load: &str) -> Result<(), Fault> {
    fs::create_dir_all(folder)?;
    let json = json!({"load_average_before": load, "measures": report.to_json()});
    fs::write(folder.join("login.json"), format!("{json:#}\n"))?;
    let medians =
        ["saturated.cpu_us", "paced.cpu_us", "machine.mint_us"].map(|key| report.median(key));
    if let [Some(saturated), Some(paced), Some(mint)] = medians {
        fs::write(folder.join("login.svg"), chart::svg(saturated, paced, mint))?;
    }
    println!("kept in {}", folder.display());
    Ok(())
}

/// All scenarios share this. The service is started for each scenario, because its peak memory is measured.
struct Stage {
    files: Files,
    redis: Redis,
    prompt: StandIn,
    slow: StandIn,
    without_unionids: StandIn,
}

impl Stage {
    fn service(&self, stand_in: &StandIn) -> Result<Service, Fault> {
        let service = Service::start(&self.files, &self.redis, stand_in)?;
        service.started()?;
        Ok(service)
    }
}

type Scenario = fn(&Stage, &Plan, &mut Report) -> Result<(), Fault>;

fn saturated(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let phases = plan.phases(2, 6);
    let service = stage.service(&stage.prompt)?;
    let codes = mint(&stage.prompt, MOST_LOGINS_A_SECOND, phases)?;
    let outcome = saturate(logins(&service), LOGIN_CONNECTIONS, codes, phases)?;
    report.add("saturated.rate", outcome.rate());
    report.add("saturated.cpu_us", outcome.cpu_us());
    report.add("saturated.p50_ms", outcome.quantile_ms(0.50));
    report.add("saturated.p99_ms", outcome.quantile_ms(0.99));
    report.add("saturated.peak_mb", kernel::peak_memory_mb(service.pid())?);
    drop(service);
    in_turns(stage, plan, report)
}

/// Logins of wxmint, of the bare limit and of the plain handler, in turns of a second, and what Redis uses for them.
/// The machine changes more from one minute to the next than two programs differ.
fn in_turns(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let phases = Phases {
        warm_up: Duration::from_millis(200),
        measured: Duration::from_secs(1),
    };
    let service = stage.service(&stage.prompt)?;
    let [bare, plain] =
        [false, true].map(|is_plain| Bare::start(&stage.redis, &stage.prompt, is_plain));
    let (bare, plain) = (bare?, plain?);
    // Codes are made for all people at once. Each is bound before the first turn.
    ask_each(
        logins(&service),
        LOGIN_CONNECTIONS,
        mint(&stage.prompt, 1, phases)?,
    )?;
    let mut sums = [(0, Duration::ZERO, Duration::ZERO); 3];
    for _ in 0..TURNS / plan.haste {
        for (sum, target) in
            sums.iter_mut()
                .zip([logins(&service), bare_logins(&bare), bare_logins(&plain)])
        {
            let pids = target
                .pids
                .iter()
                .copied()
                .chain([stage.redis.pid()])
                .collect();
            let codes = mint(&stage.prompt, MOST_BARE_LOGINS_A_SECOND, phases)?;
            let outcome = saturate(Target { pids, ..target }, LOGIN_CONNECTIONS, codes, phases)?;
            *sum = (
                sum.0 + outcome.answers,
                sum.1 + outcome.cpu[0],
                sum.2 + outcome.cpu[1],
            );
        }
    }
    let [(own, own_whole), (bare_us, _), (plain_us, plain_whole)] =
        sums.map(|(answers, cpu, redis)| (us_each(cpu, answers), us_each(cpu + redis, answers)));
    for (key, value) in [
        ("bare.saturated_us", bare_us),
        ("plain.saturated_us", plain_us),
        ("saturated.whole_us", own_whole),
        ("plain.whole_us", plain_whole),
        ("ratio.saturated", own / bare_us),
        ("ratio.plain_saturated", own / plain_us),
        ("ratio.plain_whole", own_whole / plain_whole),
        ("bare.peak_mb", kernel::peak_memory_mb(bare.pid())?),
        ("plain.peak_mb", kernel::peak_memory_mb(plain.pid())?),
    ] {
        report.add(key, value);
    }
    Ok(())
}

fn paced(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let phases = plan.phases(2, 8);
    let run = |target| {
        pace(
            target,
            RATE,
            mint(&stage.slow, RATE as usize, phases)?,
            phases,
        )
    };
    let service = stage.service(&stage.slow)?;
    let direct = run(exchanges(&stage.slow))?;
    let outcome = run(logins(&service))?;
    report.add("machine.exchange_us", direct.cpu_us());
    report.add("paced.rate", outcome.rate());
    report.add("paced.cpu_us", outcome.cpu_us());
    let quantiles = [
        ("paced.p50_ms", "paced.p50_added_ms", 0.50),
        ("paced.p99_ms", "paced.p99_added_ms", 0.99),
    ];
    for (whole, added, quantile) in quantiles {
        report.add(whole, outcome.quantile_ms(quantile));
        report.add(
            added,
            outcome.quantile_ms(quantile) - direct.quantile_ms(quantile),
        );
    }
    report.add("paced.peak_mb", kernel::peak_memory_mb(service.pid())?);
    drop(service);

    let limit = run(bare_logins(&Bare::start(&stage.redis, &stage.slow, false)?))?;
    let plain = run(bare_logins(&Bare::start(&stage.redis, &stage.slow, true)?))?;
    report.add("bare.paced_us", limit.cpu_us());
    report.add("plain.paced_us", plain.cpu_us());
    report.add("ratio.paced", outcome.cpu_us() / limit.cpu_us());
    report.add("ratio.plain_paced", outcome.cpu_us() / plain.cpu_us());
    report.add(
        "ratio.p99_more_ms",
        outcome.quantile_ms(0.99) - limit.quantile_ms(0.99),
    );
    Ok(())
}

/// First logins, of people with or without a unionid.
fn first(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    for (rate, cpu, ratio, stand_in) in [
        (
            "first.rate",
            "first.cpu_us",
            "ratio.first",
            &stage.without_unionids,
        ),
        (
            "first_unionid.rate",
            "first_unionid.cpu_us",
            "ratio.first_unionid",
            &stage.prompt,
        ),
    ] {
        let phases = plan.phases(1, 4);
        let service = stage.service(stand_in)?;
        let people = People::New {
            group: format!("first-{}", service.pid()),
        };
        stand_in.forget_codes()?;
        let codes = stand_in.mint_codes(needed(MOST_LOGINS_A_SECOND, phases), &people)?;
        let outcome = saturate(
            first_logins(&service),
            LOGIN_CONNECTIONS,
            Box::new(codes.into_iter()),
            phases,
        )?;
        report.add(rate, outcome.rate());
        report.add(cpu, outcome.cpu_us());
        report.compare(ratio, cpu, "saturated.cpu_us");
    }
    Ok(())
}

/// Logins and first logins where user ids are computed of openids, with what Redis uses for them.
fn computed(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let (redis, phases) = (Redis::start()?, plan.phases(2, 6));
    let key = stage
        .files
        .write("id.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")?;
    let kind = [
        ("WXMINT_USER_IDS", "openid"),
        ("WXMINT_ID_KEY_FILE", &key.to_string_lossy()),
    ];
    let service = Service::start_with(&stage.files, &redis, &stage.prompt, &kind)?;
    service.started()?;
    let both = |target: Target, codes| {
        let pids = target.pids.iter().copied().chain([redis.pid()]).collect();
        Ok::<_, Fault>(
            saturate(Target { pids, ..target }, LOGIN_CONNECTIONS, codes, phases)?.cpu_us(),
        )
    };
    report.add(
        "computed.whole_us",
        both(
            logins(&service),
            mint(&stage.prompt, MOST_LOGINS_A_SECOND, phases)?,
        )?,
    );
    stage.prompt.forget_codes()?;
    let people = People::New {
        group: format!("computed-{}", service.pid()),
    };
    let codes = stage
        .prompt
        .mint_codes(needed(MOST_LOGINS_A_SECOND, phases), &people)?;
    report.add(
        "computed.first_whole_us",
        both(first_logins(&service), Box::new(codes.into_iter()))?,
    );
    report.compare("ratio.computed", "computed.whole_us", "saturated.whole_us");
    report.compare(
        "ratio.computed_first",
        "computed.first_whole_us",
        "computed.whole_us",
    );
    Ok(())
}

/// Logins without a password, first alone, then together with more passwords than the machine can check.
fn passwords(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let phases = plan.phases(2, 8);
    let service = Service::start_with_passwords(&stage.files, &stage.redis, &stage.slow)?;
    service.started()?;
    stage.slow.forget_codes()?;
    // So few people that all of them are known before the measurement.
    let returning = People::Returning {
        group: "silent",
        number: RATE as usize,
    };
    let mint =
        |people: &People, rate: u32| stage.slow.mint_codes(needed(rate as usize, phases), people);
    let silent =
        |codes: Vec<String>| pace(logins(&service), RATE, Box::new(codes.into_iter()), phases);
    let alone = silent(mint(&returning, RATE)?)?;

    let codes = mint(&returning, RATE)?;
    let wrong = mint(
        &People::Returning {
            group: "enemy",
            number: 10_000,
        },
        WRONG_PASSWORDS,
    )?;
    let (before, target) = (
        service.ended("invalid_credentials")?,
        wrong_passwords(&service),
    );
    let beside = thread::scope(|scope| {
        let flood =
            scope.spawn(|| pace(target, WRONG_PASSWORDS, Box::new(wrong.into_iter()), phases));
        let beside = silent(codes);
        flood.join().map_err(|_| "a thread panicked")??;
        beside
    })?;
    let checked = service.ended("invalid_credentials")? - before;
    report.add("passwords.p50_ms", beside.quantile_ms(0.50));
    report.add("passwords.p99_ms", beside.quantile_ms(0.99));
    report.add("passwords.p99_alone_ms", alone.quantile_ms(0.99));
    report.add(
        "passwords.p99_added_ms",
        beside.quantile_ms(0.99) - alone.quantile_ms(0.99),
    );
    report.add(
        "passwords.checked",
        checked / (phases.warm_up + phases.measured).as_secs_f64(),
    );
    report.add("passwords.peak_mb", kernel::peak_memory_mb(service.pid())?);
    Ok(())
}

fn jwks(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let phases = plan.phases(1, 4);
    let service = stage.service(&stage.prompt)?;
    let is_good = |answer: &str| is_ok(answer, r#"{"keys":["#);
    let target = Target {
        address: service.public,
        pids: vec![service.pid()],
        request: jwks_request,
        is_good,
    };
    let no_codes = Box::new(iter::repeat_with(String::new));
    let outcome = saturate(target, JWKS_CONNECTIONS, no_codes, phases)?;
    report.add("jwks.rate", outcome.rate());
    report.add("jwks.cpu_us", outcome.cpu_us());
    report.add("jwks.p50_ms", outcome.quantile_ms(0.50));
    report.add("jwks.p99_ms", outcome.quantile_ms(0.99));
    Ok(())
}

fn start(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    for _ in 0..plan.starts {
        let (ready, jwks) = Service::start(&stage.files, &stage.redis, &stage.prompt)?.started()?;
        report.add("start.ready_ms", ready.as_secs_f64() * 1000.0);
        report.add("start.jwks_ms", jwks.as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// A part of each login that depends only on the processor. It makes results of different machines and times
/// comparable.
fn mint_alone_us() -> Result<f64, Fault> {
    const TOKENS: u32 = 10_000;
    let keys = StoredKeys::of([PrivateJwk::generate(Algorithm::Es256, now())?]).check()?;
    let keys = KeyRing::new(keys, now())?;
    let issuer = "https://login.example.com".to_owned();
    let day = Duration::from_hours(24);
    let minter = Minter::new(
        issuer.clone(),
        vec![issuer],
        TokenTyp::AccessToken,
        day,
        Arc::new(keys),
    );
    let (user, app): (UserId, AppId) = (
        "0193f5b2-9c5e-7cc0-8000-000000000000".parse()?,
        APP.parse()?,
    );
    alone_us(TOKENS, || {
        let token = minter.issued(user.clone(), app.clone(), new_token_id(), now());
        Ok(minter.mint(&token, &ExtraClaims::default(), now())?)
    })
}

/// The part of a verification that depends only on the processor.
fn check_alone_us() -> Result<f64, Fault> {
    const CHECKS: u32 = 5_000;
    let keys = StoredKeys::of([PrivateJwk::generate(Algorithm::Es256, now())?]).check()?;
    let key = keys.iter().next().ok_or("no key")?.public();
    let message = [b'x'; 400];
    // The signature is well-formed and wrong, which takes as long as a right one.
    alone_us(CHECKS, || Ok(key.verifies(&message, &[7; 64])))
}

/// The CPU time of `work` in this process, in µs, as the mean of so many `times`.
fn alone_us<T>(times: u32, work: impl Fn() -> Result<T, Fault>) -> Result<f64, Fault> {
    let before = CpuTime::of(std::process::id())?;
    for _ in 0..times {
        black_box(work()?);
    }
    let used = CpuTime::of(std::process::id())?.since(&before)?;
    Ok(used.as_secs_f64() * 1e6 / f64::from(times))
}

/// As many codes as requests at `rate` can use, and some more for requests in flight.
fn needed(rate: usize, phases: Phases) -> usize {
    (rate as f64 * (phases.warm_up + phases.measured).as_secs_f64()) as usize + 1000
}

fn mint(stand_in: &StandIn, rate: usize, phases: Phases) -> Result<Codes, Fault> {
    stand_in.forget_codes()?;
    let people = People::Returning {
        group: "bench",
        number: 10_000,
    };
    Ok(Box::new(
        stand_in
            .mint_codes(needed(rate, phases), &people)?
            .into_iter(),
    ))
}

fn is_ok(answer: &str, proof: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ") && answer.contains(proof)
}

fn logins(service: &Service) -> Target {
    logins_at(service.public, service.pid())
}

fn bare_logins(bare: &Bare) -> Target {
    logins_at(bare.address, bare.pid())
}

fn logins_at(address: SocketAddr, pid: u32) -> Target {
    let is_good = |answer: &str| is_ok(answer, r#""access_token":"eyJ"#);
    Target {
        address,
        pids: vec![pid],
        request: login_request,
        is_good,
    }
}

fn first_logins(service: &Service) -> Target {
    let is_good = |answer: &str| is_ok(answer, r#""new_user":true"#);
    Target {
        is_good,
        ..logins(service)
    }
}

/// The password was refused as wrong, or the client was told to retry later.
fn wrong_passwords(service: &Service) -> Target {
    let is_good = |answer: &str| {
        answer.starts_with("HTTP/1.1 403 ") && answer.contains(r#""code":"invalid_credentials""#)
            || answer.starts_with("HTTP/1.1 503 ")
                && answer.contains(r#""code":"accounts_unavailable""#)
    };
    Target {
        address: service.public,
        pids: vec![service.pid()],
        request: password_request,
        is_good,
    }
}

fn exchanges(stand_in: &StandIn) -> Target {
    let is_good = |answer: &str| is_ok(answer, r#""session_key":""#);
    Target {
        address: stand_in.address,
        pids: vec![stand_in.pid()],
        request: exchange_request,
        is_good,
    }
}

fn login_request(code: &str) -> String {
    post_login(&format!(r#"{{"code":"{code}"}}"#))
}

fn password_request(code: &str) -> String {
    post_login(&format!(
        r#"{{"code":"{code}","username":"alice","password":"hunter3"}}"#
    ))
}

fn post_login(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /login HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn exchange_request(code: &str) -> String {
    format!(
        "GET /sns/jscode2session?appid={APP}&secret={SECRET}&js_code={code}&grant_type=authorization_code HTTP/1.1\r\n\
         Host: localhost\r\n\r\n"
    )
}

fn jwks_request(_: &str) -> String {
    "GET /.well-known/jwks.json HTTP/1.1\r\nHost: bench\r\n\r\n".to_owned()
}
