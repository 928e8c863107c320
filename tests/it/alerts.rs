//! Everything that k8s/chart/monitoring asks for is printed: here by the programs as they run, in
//! crates/telemetry/src/tests.rs by serve when everything that it counts has happened, labels included. And the
//! runbook: it has a section for each alert, and its commands run. tests/nightly/alerts.rs makes each alert fire.

use crate::support::PLATFORM as COMPONENT;
use crate::support::prelude::*;
use crate::support::scan::{Scan, two_pages};

const OF_THE_SIDECAR: [&str; 3] = ["wxmint_sidecar_", "wxmint_jwks_", "wxmint_revocations_"];
/// Printed once a page has been refused: tests/it/sidecar/revoked.rs reads it.
const REFUSED_PAGES: &str = "wxmint_revocations_refused_pages_total";
/// Both print this of themselves.
const BUILD: &str = concat!(
    "wxmint_build_info{version=\"",
    env!("CARGO_PKG_VERSION"),
    "\"} 1\n"
);

fn monitoring(file: &str) -> String {
    fs::read_to_string(repository("k8s/chart/monitoring").join(file))
        .expect("a file of the repository")
}

/// The names of metrics in a text, by their prefix.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("wxmint_"))
        .collect()
}

#[tokio::test]
async fn every_metric_that_monitoring_asks_of_a_sidecar_is_one_that_is_printed() {
    let bed = TestBed::start().await;
    let printed = bed.sidecar().ready().await.metrics().await;
    for text in [bed.service().metrics().await, printed.clone()] {
        assert!(text.contains(BUILD), "{text}");
    }
    for text in ["alerts-sidecar.yaml", "dashboards/wxmint.json"].map(monitoring) {
        let of_the_sidecar =
            |name: &&str| OF_THE_SIDECAR.iter().any(|prefix| name.starts_with(prefix));
        let asked = metrics(&text)
            .into_iter()
            .filter(of_the_sidecar)
            .filter(|&name| name != REFUSED_PAGES);
        let (asked, printed): (BTreeSet<_>, _) = (asked.collect(), metrics(&printed));
        assert!(
            asked.len() >= 3 && asked.is_subset(&printed),
            "{asked:?} {printed:?}"
        );
    }
}

/// The names of the alerts, each with its response.
fn alerts() -> BTreeMap<String, String> {
    let rules = ["issuer", "keys", "sidecar"]
        .map(|of| monitoring(&format!("alerts-{of}.yaml")))
        .concat();
    let of_alerts = rules.split("- alert: ").skip(1).map(|rule| {
        let response = rule
            .lines()
            .find_map(|line| line.trim().strip_prefix("response: "))
            .expect("a response");
        (
            rule.lines().next().expect("a name").to_owned(),
            response.to_owned(),
        )
    });
    of_alerts.collect()
}

const RUNBOOKS: [&str; 2] = ["docs/runbook.md", "docs/runbook.zh-CN.md"];

/// Every section is reached, and by nothing that is not there: tests/it/readme.rs follows the links.
#[test]
fn the_runbook_has_a_section_for_each_alert_and_a_symptom_for_each_section() {
    let alerts = alerts();
    assert!(alerts.len() >= 24, "{alerts:?}");
    for page in RUNBOOKS.map(|page| fs::read_to_string(repository(page)).expect("a page")) {
        let sections: BTreeSet<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .collect();
        let symptoms = page.split("\n## ").nth(2).expect("a part");
        for section in &sections {
            assert!(
                symptoms.contains(&format!("[{section}](#")),
                "no symptom leads to {section}"
            );
        }
        for (alert, response) in &alerts {
            assert!(
                page.contains(&format!("\n### {alert}\n\n- **{response}**")),
                "{alert}: {response}"
            );
        }
    }
    for (page, said) in [
        ("docs/operation.md", "alerts and"),
        ("docs/operation.zh-CN.md", "条告警规则"),
    ] {
        let said = format!(" {} {said}", alerts.len());
        assert!(
            fs::read_to_string(repository(page))
                .expect("a page")
                .contains(&said),
            "{page}: {said}"
        );
    }
}

/// A plain Prometheus calls the job what somebody has called it, and `WxmintNotScraped` fires for any other name.
#[test]
fn the_pages_name_the_job_that_the_rules_ask_for() {
    assert!(monitoring("alerts-issuer.yaml").contains(r#"absent(up{job="wxmint"})"#));
    for page in [
        RUNBOOKS[0],
        RUNBOOKS[1],
        "k8s/README.md",
        "k8s/README.zh-CN.md",
    ] {
        assert!(
            fs::read_to_string(repository(page))
                .expect("a page")
                .contains("`job_name: wxmint`"),
            "{page}"
        );
    }
}

/// The commands of a page, block by block, without what is translated.
fn blocks(page: &str) -> Vec<String> {
    let page = fs::read_to_string(repository(page)).expect("a page");
    let blocks = page
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"));
    let is_command = |line: &&str| !line.starts_with("# ");
    blocks
        .map(|(block, _)| {
            block
                .lines()
                .filter(is_command)
                .map(|line| format!("{line}\n"))
                .collect()
        })
        .collect()
}

/// These stand in for the platforms' programs: the log is in the file LOG.
const PLATFORM: [(&str, &str); 4] = [
    ("journalctl", "exec cat \"$LOG\""),
    ("sudo", "exec env -i PATH=\"$PATH\" \"${@:3}\""),
    (
        "docker",
        "if [ $1 = logs ]; then exec cat \"$LOG\" >&2; fi; shift 3; exec wxmint \"$@\"",
    ),
    (
        "kubectl",
        "case $3 in logs) exec cat \"$LOG\";; port-forward) exec sleep 60;; exec) shift 6; exec wxmint \"$@\";; esac",
    ),
];

/// Each block finds this, in their order, behind the four of the platforms.
const FOUND: [&[&str]; 18] = [
    &[
        "fault",
        "\"level\":\"ERROR\"",
        "wxmint_logins_total{platform=\"wechat\",app=\"wx0123456789abcdef\",outcome=\"ok\"}",
    ],
    // Without WeChat's rid, which no other line has.
    &["WeChat answered errcode 41030 \n", "redis.reach"],
    &["\"limit\":\"openid\""],
    &[
        "wxmint_wechat_request_duration_seconds{api=\"code2session\"}",
        "redis.latency",
    ],
    &[
        "errcode=\"40125\",app=\"wx0123456789abcdef\"",
        "wechat.credentials",
    ],
    &["vault.key: "],
    &["login refused"],
    &[
        "errcode=\"41030\",app=\"wx0123456789abcdef\"",
        "WeChat answered errcode 41030",
    ],
    &[
        "{client=\"shop-web\",outcome=\"started\"} 1",
        "{route=\"/device_authorization\",outcome=\"ok\"} 1",
    ],
    &["not checked: a file", "its address names another platform"],
    &["wechat.platform", "errcode 61004"],
    &["redis.reach"],
    &["keeping the previous vault", "keeping the previous keys"],
    &["redis.clock", "wechat.clock"],
    &[],
    &["the changed key file cannot be used"],
    &["keys "],
    &[
        "\"iss\":\"https://login.example.com\"",
        "\"kid\":",
        "wxmint_key_age_seconds{",
        "keys ",
    ],
];

/// A service that refuses logins, pushes and files; a folder with its log, its environment and the platforms' programs;
/// and one with its app.
async fn troubled() -> (TestBed, [TempDir; 2]) {
    let apps = apps_folder(&[(APPID, APP_SECRET)]);
    let builder = TestBed::builder()
        .clients(&two_pages())
        .env("WXMINT_LIMIT_OPENID", "2/10m");
    let bed = builder.platform().apps_folder(apps.path()).start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let login = bed.log_in("lin").await.expect_login();
    bed.log_in("lin").await.expect_login();
    bed.log_in("lin").await.expect_problem(429, "rate_limited");
    bed.faults(json!([{"kind": "errcode", "errcode": 40125, "times": 1}]))
        .await;
    bed.log_in("mei")
        .await
        .expect_problem(502, "wechat_misconfigured");
    bed.faults(json!([
        {"kind": "errcode", "errcode": 41030, "path": "/wxa/getwxacodeunlimit"},
        {"kind": "errcode", "errcode": 61004, "path": "/cgi-bin/component/api_component_token"},
    ]))
    .await;
    let picture = format!(
        "/device/{}/code.jpg",
        Scan::begin(&bed, "shop-web").await.user_code()
    );
    bed.service()
        .get(&picture)
        .await
        .expect_problem(503, "wechat_unavailable");
    for (of, said) in [
        ("wxc0ffee00000000fe", "names another platform"),
        (COMPONENT, "gives the platform no token"),
    ] {
        let push_to = bed.service().url(&format!("/wechat/platform/{of}"));
        bed.wechat
            .control("platform", "PUT", &json!({"push_to": push_to}))
            .await;
        bed.wechat
            .control("platform/ticket", "POST", &json!({}))
            .await;
        bed.service().says(said).await;
    }
    for file in ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"] {
        fs::write(bed.configuration.value(file), "spoiled").expect("our file");
    }
    for refused in ["keeping the previous keys", "keeping the previous vault"] {
        bed.service().says(refused).await;
    }
    let environment = bed.configuration.lines();
    let (log, token) = (bed.service().log(), login.member("access_token"));
    let files = [
        ("environment", &environment),
        (".env", &environment),
        ("log", &log),
        ("wxmint.log", &log),
    ];
    for (name, content) in files.into_iter().chain([("token", &token)]) {
        fs::write(folder.path().join(name), content).expect("written");
    }
    for (name, script) in PLATFORM {
        let path = folder.path().join(name);
        let text = format!(
            "#!/bin/bash\nset -a; . {}/environment; set +a\n{script}\n",
            folder.path().display()
        );
        fs::write(&path, text).expect("written");
        set_mode(&path, 0o755);
    }
    (bed, [folder, apps])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbooks_commands_find_on_each_platform_what_they_look_for() {
    let commands = blocks(RUNBOOKS[0]);
    assert_eq!(commands, blocks(RUNBOOKS[1]));
    let (platforms, others) = commands.split_at(4);
    assert_eq!(others.len(), FOUND.len());
    let (bed, [folder, _apps]) = troubled().await;
    let place = folder.path().display().to_string();
    let refused: Value =
        serde_json::from_str(&bed.service().says("\"login refused\"").await).expect("JSON");
    let id = refused["request_id"].as_str().expect("an id").to_owned();
    let run = |platform: &str, block: &str| {
        let here = |text: &str| {
            let text = text
                .replace("/etc/wxmint", &place)
                .replace("/usr/local/bin/wxmint", WXMINT);
            text.replace("127.0.0.1:9090", &bed.service().admin.to_string())
        };
        let block = block
            .replace("doctor --public", "doctor")
            .replace("REQUEST-ID", &id);
        let script = here(&format!(
            "{}{block}",
            platform.replace("sleep 2", "sleep 0.1")
        ));
        let mut bash = Command::new("bash");
        bash.args(["-c", &script])
            .current_dir(&folder)
            .env_clear()
            .env("LOG", format!("{place}/log"));
        let ended = Ended::of(
            bash.env("PATH", format!("{place}:{}", path_with_wxmint())),
            "",
        );
        assert!(
            !ended.stderr.contains("bash: ") && !ended.stderr.contains(": line "),
            "{script}\n{}",
            ended.stderr
        );
        ended.stdout
    };
    for platform in platforms {
        let said = run(platform, &others[0]);
        assert!(
            FOUND[0].iter().all(|text| said.contains(text)),
            "{platform}\n{said}"
        );
    }
    for (block, found) in others.iter().zip(FOUND).skip(1) {
        let said = run(&platforms[1], block);
        assert!(
            found.iter().all(|text| said.contains(text)),
            "{block}\n{said}"
        );
    }
}
