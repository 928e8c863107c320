//! Tests that no log line is lost, and that Prometheus' rules and Grafana's dashboard in
//! k8s/chart/monitoring use only metrics and labels that exist.

use std::path::Path;
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};
use std::{collections::BTreeSet, env, fs, io::Read, thread};

use chrono::{DateTime, TimeDelta};
use wxmint_ids::{AppId, Platform};

use super::{Audit, LogFormat, Metrics, RedisState, ShownKey, WeChatOutcome};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const FILES: [&str; 3] = [
    "alerts-keys.yaml",
    "alerts-issuer.yaml",
    "dashboards/wxmint.json",
];
/// `wxmint sidecar` prints the first three (tests/it/alerts.rs), and doors the others.
const OF_OTHERS: &[&str] = &[
    "wxmint_sidecar_",
    "wxmint_jwks_",
    "wxmint_revocations_",
    "wxmint_device_requests_total",
    "wxmint_oidc_logins_total",
    "wxmint_oidc_backchannel_logouts_total",
    "wxmint_platform_ticket_age_seconds",
];
const HINT: &str = "if a door or the sidecar prints it, name it in OF_OTHERS";
/// Labels that Prometheus adds.
const OF_THE_TARGET: [&str; 3] = ["job", "namespace", "pod"];

/// Finds each metric with a label that the text uses, and each metric without a label.
fn asked(text: &str) -> BTreeSet<(&str, Option<&str>)> {
    let name_ends =
        |from: &str| from.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let mut found = BTreeSet::new();
    // After another letter, this is only the rest of another name, such as a test's.
    let is_whole = |start: &usize| {
        !text[..*start].ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
    };
    for start in text
        .match_indices("wxmint_")
        .map(|(start, _)| start)
        .filter(is_whole)
    {
        let rest = &text[start..];
        let (name, after) = rest.split_at(name_ends(rest).unwrap_or(rest.len()));
        found.insert((name, None));
        let Some((selector, _)) = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
        else {
            continue;
        };
        let labels = selector
            .split(',')
            .filter_map(|matcher| Some(&matcher[..name_ends(matcher)?]));
        found.extend(
            labels
                .filter(|label| !label.is_empty())
                .map(|label| (name, Some(label))),
        );
    }
    found.retain(|(name, _)| !OF_OTHERS.iter().any(|prefix| name.starts_with(prefix)));
    found
}

fn refused(errcode: &str) -> WeChatOutcome {
    WeChatOutcome::Errcode(errcode.to_owned())
}

/// The exposition of `serve` after everything that it counts has happened.
fn printed() -> String {
    let (metrics, app) = (
        Metrics::default(),
        "wx0123456789abcdef".parse::<AppId>().expect("an AppID"),
    );
    let took = Duration::from_millis(3);
    metrics
        .route("/logout", true)
        .answered("ok", Instant::now());
    drop(metrics.login_begins());
    metrics.login_ended(Some(Platform::WeChat), Some(app.clone()), "ok", took);
    let failed = WeChatOutcome::Failed("snapshot_user".to_owned());
    metrics.wechat_call_ended("code2session", &app, refused("-1"), took);
    metrics.wechat_call_ended("getuserphonenumber", &app, WeChatOutcome::Ok, took);
    metrics.wechat_call_ended("code2session", &app, failed, took);
    let error = Some("40017".to_owned());
    metrics.platform_call_ended(Platform::Douyin, &app, error, took);
    metrics.redis_call_ended("begin", true, took);
    let primaries = vec![("127.0.0.1:7000".to_owned(), 1)];
    metrics.redis_is(&RedisState {
        primaries,
        slots: Some(16384),
        wanted: 1,
        clock_difference: Some(0.0),
        ..RedisState::default()
    });
    metrics.apps_are([(app.clone(), "website")]);
    metrics.unionid_conflicts.inc();
    let labels = [("call", "password"), ("outcome", "ok")];
    metrics
        .accounts_request_duration
        .get_or_create(&labels)
        .observe(took.as_secs_f64());
    metrics.reloaded("keys", "ok");
    metrics.reloaded("users", "refused");
    let nbf = DateTime::UNIX_EPOCH;
    let key = ShownKey {
        kid: "key-1".to_owned(),
        algorithm: "ES256",
        state: "signing".to_owned(),
        nbf,
        exp: Some(nbf + TimeDelta::seconds(1)),
    };
    metrics.keys_are(&[key], nbf);
    metrics.exposition([])
}

/// Otherwise the alert would take the rise after the primary's return for evicted keys.
#[test]
fn evicted_keys_stay_what_they_are_while_a_primary_is_silent() {
    let metrics = Metrics::default();
    for (evicted, all_answer) in [(5, true), (0, false), (3, false)] {
        metrics.redis_is(&RedisState {
            all_answer,
            evicted,
            ..RedisState::default()
        });
        assert!(
            metrics
                .exposition([])
                .contains("\nwxmint_redis_evicted_keys 5\n"),
            "{evicted}"
        );
    }
}

/// Whether a sample has the name, and the label if one is given.
fn has(printed: &str, name: &str, label: Option<&str>) -> bool {
    let label = label.filter(|label| !OF_THE_TARGET.contains(label));
    printed
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .any(|rest| match label {
            None => rest.starts_with(['{', ' ']),
            Some(label) => ['{', ',']
                .iter()
                .any(|before| rest.contains(&format!("{before}{label}=\""))),
        })
}

#[test]
fn levels_that_say_nothing_of_wxmint_are_not_taken_for_silence() {
    for text in [
        "info",
        "off",
        "debug",
        "info,wxmint_store=trace",
        "wxmint=debug",
        "hyper=warn,info",
    ] {
        assert!(super::log::levels(text).is_some(), "{text}");
    }
    for text in ["banana=xx", "warning", "hyper=debug", "info=wxmint=debug"] {
        assert!(super::log::levels(text).is_none(), "{text}");
    }
}

#[test]
fn every_metric_and_label_that_monitoring_asks_for_is_printed() {
    let printed = printed();
    for file in FILES {
        let text = fs::read_to_string(format!("{REPOSITORY}/k8s/chart/monitoring/{file}"))
            .expect("a file of the repository");
        let asked = asked(&text);
        assert!(asked.len() >= 3, "{file} asks for {asked:?} alone");
        for (name, label) in asked {
            assert!(
                has(&printed, name, label),
                "{file}: {name} {label:?} is not printed; {HINT}:\n{printed}"
            );
        }
    }
}

#[test]
fn every_metric_that_a_page_names_is_printed() {
    let printed = printed();
    let folders = ["docs", "k8s"].map(|folder| {
        fs::read_dir(format!("{REPOSITORY}/{folder}")).expect("a folder of the repository")
    });
    for path in folders
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
    {
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let page = fs::read_to_string(&path).expect("a page");
        // A histogram is named without the endings of its samples. `wxmint_bindings` is a member of an export,
        // `wxmint_envoy` the module for Envoy, and `wxmint_invalid_token` a word in the access log of Envoy.
        const NO_METRICS: [&str; 3] = ["wxmint_bindings", "wxmint_envoy", "wxmint_invalid_token"];
        for (name, label) in asked(&page)
            .into_iter()
            .filter(|(name, _)| !NO_METRICS.contains(name))
        {
            let is_printed =
                printed.contains(&format!("# TYPE {name} ")) || has(&printed, name, label);
            assert!(
                is_printed,
                "{}: {name} {label:?} is not printed; {HINT}",
                path.display()
            );
        }
    }
}

#[test]
fn what_is_not_printed_is_noticed() {
    let printed = printed();
    let asked = asked(
        r#"rate(wxmint_logins_total{namespace="x",outcome!="ok"}[5m]) / wxmint_logins{person="x"} + wxmint_nothing"#,
    );
    let missing: Vec<_> = asked
        .iter()
        .filter(|(name, label)| !has(&printed, name, *label))
        .collect();
    assert_eq!(
        missing,
        [
            &("wxmint_logins", None),
            &("wxmint_logins", Some("person")),
            &("wxmint_nothing", None)
        ]
    );
}

#[test]
fn every_metric_is_on_the_dashboard() {
    let dashboard = fs::read_to_string(format!(
        "{REPOSITORY}/k8s/chart/monitoring/dashboards/wxmint.json"
    ))
    .expect("a file of the repository");
    let printed = printed();
    let names = printed
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let undrawn: Vec<_> = names.filter(|name| !dashboard.contains(name)).collect();
    assert!(undrawn.is_empty(), "not on the dashboard: {undrawn:?}");
}

/// The size of the exposition for 1,000 mini programs, each with all usual outcomes.
#[test]
fn a_thousand_apps_are_few_series_those_that_are_gone_are_none_and_beyond_two_hundred_none_is_named()
 {
    let (metrics, took) = (Metrics::default(), Duration::from_millis(3));
    let size = |metrics: &Metrics| metrics.exposition([]).len();
    let none = size(&metrics);
    for number in 0..1000 {
        let app: AppId = format!("wx{number:016x}").parse().expect("an AppID");
        for outcome in [
            "ok",
            "code_invalid",
            "code_used",
            "rate_limited",
            "wechat_unavailable",
        ] {
            metrics.login_ended(Some(Platform::WeChat), Some(app.clone()), outcome, took);
        }
        metrics.wechat_call_ended("code2session", &app, refused("40029"), took);
    }
    let started = Instant::now();
    let text = metrics.exposition([]);
    println!("{} bytes in {:?}", text.len(), started.elapsed());
    let of_apps = text
        .lines()
        .filter(|line| line.contains("app=\"wx"))
        .count();
    assert_eq!(of_apps, 6000);
    assert!(text.len() - none < 100 * of_apps, "{} bytes", text.len());
    metrics.app_is_gone();
    assert!(
        size(&metrics) < none + 12_000,
        "the durations stay: they are not by app"
    );
    let log_in = || metrics.login_ended(None, "wx0123456789abcdef".parse().ok(), "ok", took);
    let apps = |count: usize| {
        (0..count).filter_map(|number| Some((format!("wx{number}").parse().ok()?, "website")))
    };
    let names_one = || metrics.exposition([]).contains("app=\"wx");
    metrics.apps_are(apps(200));
    log_in();
    assert!(names_one());
    // The counters with an app label are gone, too.
    metrics.apps_are(apps(201));
    log_in();
    assert!(!names_one());
    metrics.apps_are(apps(200));
    assert!(names_one());
}

/// Finds all macros that log, up to the end of their statement.
fn logged(folder: &Path, found: &mut Vec<String>) {
    for path in fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
    {
        if path.is_dir() && !path.ends_with("target") {
            logged(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("tests.rs")
        {
            let text = fs::read_to_string(&path).expect("a source");
            let begun = [
                "tracing::info!(",
                "tracing::warn!(",
                "tracing::error!(",
                "tracing::debug!(",
                "bounded!(",
            ];
            let starts = begun
                .iter()
                .flat_map(|begun| text.match_indices(begun))
                .map(|(start, _)| &text[start..]);
            found.extend(starts.filter_map(|rest| Some(rest.split_once(");")?.0.to_owned())));
        }
    }
}

/// Otherwise a line would have the member twice.
#[test]
fn no_event_has_a_field_of_the_span_of_a_request() {
    let mut found = Vec::new();
    for folder in ["src", "crates"] {
        logged(&Path::new(REPOSITORY).join(folder), &mut found);
    }
    assert!(found.len() > 100, "{}", found.len());
    for line in found {
        let words: Vec<_> = line.split_whitespace().collect();
        let has = |name: &str| {
            words.windows(2).any(|two| two == [name, "="]) || words.contains(&&*format!("{name},"))
        };
        assert!(
            !["request_id", "trace_id", "client"].into_iter().any(has),
            "{line}"
        );
    }
}

const IN_A_CHILD: &str = "TEST_OF_LOST_LINES";
/// The lines take about 700 KB, while a pipe holds 64 KiB by default.
const LINES: usize = 2500;

/// The test reads no line before the child has ended. The child aborts after its last line.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_pauses_stops_nobody_and_a_sudden_end_loses_no_line() {
    if env::var_os(IN_A_CHILD).is_some() {
        super::init(LogFormat::Json, &Audit::Log).expect("standard error");
        (0..LINES).for_each(|number| tracing::info!(number, text = "x".repeat(200), "a line"));
        process::abort();
    }
    let name = "tests::a_reader_that_pauses_stops_nobody_and_a_sudden_end_loses_no_line";
    let mut child = Command::new(env::current_exe().expect("this program"));
    child
        .args(["--exact", name, "--nocapture"])
        .env(IN_A_CHILD, "1")
        .env_remove("RUST_LOG");
    let mut child = child
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let started = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "it waits for a reader"
        );
        thread::sleep(Duration::from_millis(10));
    }
    let mut written = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut written)
        .expect("text");
    assert_eq!(
        written
            .lines()
            .filter(|line| line.contains(r#""message":"a line""#))
            .count(),
        LINES
    );
}
