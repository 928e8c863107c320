//! `wxmint doctor`: each fault is found by its name, and its advice mends it. Whatever is wrong, no secret is printed.

mod backends;
mod bounds;
mod files;
mod redis;
mod sidecar;

use crate::support::prelude::*;
use crate::support::secrets::{Place, Secrets};

/// In the order in which they are printed.
#[rustfmt::skip]
const NAMES: [&str; 19] = [
    "settings", "files", "keys", "vault", "user_ids", "redis.reach", "redis.version", "redis.eviction",
    "redis.persistence", "redis.replicas", "redis.rights", "redis.clock", "redis.latency", "wechat.reach",
    "wechat.credentials", "wechat.clock", "platforms.credentials", "accounts", "proxies",
];

const REDIS_PASSWORD: &str = "hunter2-of-redis";
const ADMIN_SECRET: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// The doctor's report.
pub(crate) struct Report {
    pub(crate) code: i32,
    checks: Vec<Value>,
    /// All that it wrote.
    pub(crate) output: String,
}

impl Report {
    /// Runs it in the environment of a configuration, none of whose secrets it prints or writes to its log, at the
    /// level that says most.
    pub(crate) async fn of(configuration: &Configuration) -> Self {
        let mut command = configuration.command_of(&["doctor", "--json"]);
        command.env("RUST_LOG", "trace");
        let is_single = configuration
            .get("WXMINT_REDIS_URL")
            .is_none_or(|url| url.starts_with("redis://"));
        if is_single && configuration.get("WXMINT_REDIS_CONFIRM").is_none() {
            // It has no replica on purpose.
            command.env("WXMINT_REDIS_CONFIRM", "0");
        }
        let report = Self::run(&mut command).await;
        let secrets = Secrets::default();
        secrets.note_configuration(configuration);
        secrets.expect_none_in(Place::Answer, &report.output);
        report
    }

    async fn run(command: &mut Command) -> Self {
        let mut process = Process::spawn("wxmint doctor", command);
        let code = process
            .end(PATIENCE * 2)
            .await
            .code()
            .expect("an exit code");
        let checks =
            serde_json::from_str::<Value>(&process.stdout().concat()).expect("JSON")["checks"]
                .take();
        let checks = checks.as_array().expect("checks").clone();
        Self {
            code,
            checks,
            output: process.log(),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.checks
            .iter()
            .map(|check| check["name"].as_str().expect("a name"))
            .collect()
    }

    /// The finding of a check that is worst: status, what was found, and what to do.
    pub(crate) fn worst(&self, name: &str) -> [&str; 3] {
        let of_it = self.checks.iter().filter(|check| check["name"] == name);
        let badness = |check: &&Value| {
            ["ok", "warning", "fault"]
                .iter()
                .position(|status| check["status"] == *status)
        };
        let worst = of_it
            .max_by_key(badness)
            .unwrap_or_else(|| panic!("{name}: {}", self.output));
        ["status", "found", "advice"].map(|member| worst[member].as_str().expect("a text"))
    }

    pub(crate) fn status(&self, name: &str) -> &str {
        self.worst(name)[0]
    }

    /// The advice about a check that has this status, and was found with these words.
    pub(crate) fn advice(&self, name: &str, status: &str, found: &str) -> String {
        let worst = self.worst(name);
        assert!(
            worst[0] == status && worst[1].contains(found),
            "{name}: {worst:?}\n{}",
            self.output
        );
        assert!(!worst[2].is_empty(), "{name} says what to do");
        worst[2].to_owned()
    }

    pub(crate) fn expect_healthy(&self) {
        // On a busy machine Redis is far away.
        let is_slow =
            |check: &&Value| check["name"] == "redis.latency" && check["status"] == "warning";
        let not_ok = self.checks.iter().filter(|check| check["status"] != "ok");
        let (slow, ailing): (Vec<_>, Vec<_>) = not_ok.partition(is_slow);
        assert!(
            ailing.is_empty() && self.code == i32::from(!slow.is_empty()),
            "{} {ailing:?}",
            self.code
        );
    }
}

/// Redis and WeChat as they should be, and the configuration of a service that is not running.
async fn healthy() -> TestBed {
    TestBed::builder()
        .services(0)
        .redis_password(REDIS_PASSWORD)
        .start()
        .await
}

/// The command that an advice gives: behind `run: ` or the like, up to an explanation.
pub(crate) fn command_of(advice: &str) -> &str {
    let begun = ["run: ", "with: ", "run on each server: "]
        .iter()
        .find_map(|words| Some(advice.split_once(words)?.1));
    let command = begun.unwrap_or_else(|| panic!("no command: {advice}"));
    command.split([',', '(']).next().unwrap_or_default().trim()
}

/// Runs the command of an advice in a shell.
pub(crate) fn follow(advice: &str) {
    let mut shell = Command::new("sh");
    let done = shell
        .args(["-c", command_of(advice)])
        .env("PATH", path_with_wxmint())
        .output()
        .expect("a shell");
    assert!(done.status.success(), "{advice}: {done:?}");
}

#[tokio::test]
async fn a_configuration_without_faults_is_ok_nothing_is_changed_and_a_fault_has_its_advice_by_serve_check_too()
 {
    let mut bed = healthy().await;
    let before = bed.redis.everything();
    let report = Report::of(&bed.configuration).await;
    report.expect_healthy();
    assert_eq!(report.names(), NAMES);
    assert_eq!(bed.redis.everything(), before);
    let stats = bed.wechat.stats().await;
    assert_eq!(
        (
            bed.wechat.exchanges().await,
            &stats["requests"]["/cgi-bin/stable_token"]
        ),
        (0, &1.into()),
        "{stats}"
    );
    assert!(report.worst("wechat.credentials")[1].contains("wx0123456789abcdef"));
    // Noted as a secret with the answer.
    bed.wechat.access_token().await;
    bed.http.1.expect_none_in(Place::Log, &report.output);

    bed.configuration.set("WXMINT_TOKEN_TTL", "soon");
    let report = Report::of(&bed.configuration).await;
    let advice = report.advice("settings", "fault", "WXMINT_TOKEN_TTL is not valid");
    assert_eq!((report.code, report.status("redis.reach")), (2, "warning"));
    assert!(report.worst("redis.reach")[1].starts_with("not checked"));
    let (_, example) = advice.rsplit_once("WXMINT_TOKEN_TTL=").expect("an example");
    let ended = Ended::within_patience(&mut bed.configuration.command_of(&["doctor"])).await;
    let [fault, others] = ended.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("one for all others: {ended:?}")
    };
    assert!(fault.starts_with("fault    settings"), "{fault}");
    assert!(
        others.starts_with(&format!(
            "warning  {}  not checked: ",
            NAMES[1..].join(", ")
        )),
        "{others}"
    );
    bed.configuration.set("WXMINT_TOKEN_TTL", example);
    Report::of(&bed.configuration).await.expect_healthy();

    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    for words in [&["serve", "--check"][..], &["doctor"]] {
        let ended = Ended::within_patience(&mut bed.configuration.command_of(words))
            .await
            .expect_end(2, &[]);
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), NAMES.len(), "a line for each: {lines:?}");
        let eviction = lines
            .iter()
            .find(|line| line.contains("redis.eviction"))
            .expect("a line");
        assert!(
            eviction.starts_with("fault ") && eviction.contains("allkeys-lru"),
            "{eviction}"
        );
        assert!(
            eviction.contains("; run: CONFIG SET maxmemory-policy noeviction"),
            "{eviction}"
        );
    }
}

#[test]
fn the_pages_explain_each_check() {
    for page in ["docs/operation.md", "docs/operation.zh-CN.md"] {
        let text = fs::read_to_string(repository(page)).expect(page);
        let (_, table) = text
            .split_once("|---|---|---|\n")
            .expect("a table of checks");
        let rows = table
            .lines()
            .map_while(|row| row.strip_prefix("| `")?.split('`').next());
        let others = [
            "clients",
            "wechat.platform",
            "jwks",
            "public",
            "revocations",
            "clock",
        ];
        assert_eq!(
            rows.collect::<BTreeSet<_>>(),
            NAMES.into_iter().chain(others).collect(),
            "{page}"
        );
    }
}

#[tokio::test]
async fn where_settings_are_missing_a_missing_env_file_and_a_misspelt_variable_are_told_too() {
    let place = tempfile::tempdir().expect("a folder");
    let mut doctor = wxmint_in(&place, &["doctor", "--json"]);
    let report = Report::run(doctor.env("WXMINT_TOKEN_TLL", "1h").env("WXMINT_KEY", "k")).await;
    let said = |words: &str| report.output.matches(words).count();
    assert_eq!(
        said(&format!("no .env here, in {}", place.path().display())),
        1,
        "{}",
        report.output
    );
    assert_eq!(
        said("WXMINT_TOKEN_TLL: unknown variable"),
        1,
        "{}",
        report.output
    );
    // It is told at the variable that it was meant for.
    assert_eq!(
        (said("but WXMINT_KEY is, "), said("WXMINT_KEY: unknown")),
        (1, 0),
        "{}",
        report.output
    );
    fs::write(place.path().join(".env"), "").expect("written");
    let report = Report::run(&mut doctor).await;
    assert!(!report.output.contains("no .env here"), "{}", report.output);
    fs::remove_file(place.path().join(".env")).expect("removed");
    Ended::of(&mut wxmint_in(&place, &["serve"]), "").expect_end(64, &["no .env here"]);
}
