//! How long the doctor takes, and what it never prints.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use super::{ADMIN_SECRET, REDIS_PASSWORD, Report, content, healthy};
use crate::support::{APP_SECRET, AccountService, BUSY, Process, Reply, Service, write_private};

/// docs/operation.md: "takes at most 15 s".
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(15));

/// Accepts connections and answers nothing. Lives as long as the listener.
async fn hangs() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    (listener, address)
}

#[tokio::test]
async fn it_takes_at_most_15_s_where_everything_hangs() {
    let mut bed = healthy().await;
    let (_listener, address) = hangs().await;
    for (name, value) in [
        ("WXMINT_ISSUER", format!("http://{address}")),
        ("WXMINT_REDIS_URL", format!("redis+sentinel://{address}/mymaster")),
        ("WXMINT_WECHAT_URL", format!("http://{address}")),
        ("WXMINT_ACCOUNTS", format!("http://{address}")),
    ] {
        bed.configuration.set(name, &value);
    }
    let began = Instant::now();
    let report = Report::run(&mut bed.configuration.command_of(&["doctor", "--public", "--json"])).await;
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    for name in ["redis.reach", "wechat.reach", "accounts"] {
        assert_eq!(report.status(name), "fault", "{}", report.output);
    }
    assert_eq!((report.code, report.status("public")), (2, "warning"));

    let mut sidecar = bed.configuration.command_of(&["doctor", "sidecar", "--json"]);
    sidecar.env("WXMINT_JWKS_URL", format!("http://{address}/jwks")).env("WXMINT_AUDIENCE", "x");
    let began = Instant::now();
    assert_eq!(Report::run(&mut sidecar).await.status("jwks"), "fault");
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
}

/// A file that never ends to be read is not waited for.
#[tokio::test]
async fn a_file_system_that_hangs_is_not_waited_for() {
    let mut bed = healthy().await;
    let pipe = bed.configuration.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    bed.configuration.set("WXMINT_KEYS", &pipe.to_string_lossy());
    let began = Instant::now();
    let mut command = bed.configuration.command_of(&["doctor", "--json"]);
    let report = Report::run(&mut command).await;
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    report.advice("files", "fault", "no answer within");
}

#[tokio::test]
async fn no_secret_is_printed_whatever_is_wrong() {
    let mut bed = healthy().await;
    let tokens = bed.configuration.path("tokens");
    write_private(&tokens, &format!("alice {ADMIN_SECRET}\n"));
    bed.configuration.set("WXMINT_ADMIN_TOKENS_FILE", &tokens.to_string_lossy());
    let accounts = AccountService::start();
    let service = Service::start(&bed.configuration, bed.http.clone()).await;
    service.ready().await;
    service.login(&bed.mint_code("lin").await).await.expect_login();
    let session_key = bed.wechat.account("lin").await["session_key"].as_str().expect("a key").to_owned();
    let access_token = bed.wechat.access_token().await;
    let vault_key = content(&bed.configuration, "WXMINT_VAULT_KEY_FILE");
    let secrets = [APP_SECRET, REDIS_PASSWORD, ADMIN_SECRET, &session_key, &access_token, vault_key.trim()];
    let url = bed.redis.url();
    let wrong_port = url.replace(&bed.redis.port().to_string(), "1");
    let keys = bed.configuration.value("WXMINT_KEYS").to_owned();
    let vault = bed.configuration.value("WXMINT_VAULT_KEY_FILE").to_owned();
    let accounts_url = accounts.url();
    accounts.misbehave(Reply::Text("{"));
    bed.faults(json!([{"kind": "errcode", "errcode": 40125}])).await;
    // A secret in the wrong place, a URL that is unreadable or leads nowhere, a file in another's place.
    let spoils = [
        ("WXMINT_ACCOUNTS", accounts_url.as_str()),
        ("WXMINT_REDIS_URL", &format!("{url}/no-number")),
        ("WXMINT_REDIS_URL", &url.replace("redis://", "rediss://")),
        ("WXMINT_REDIS_URL", &wrong_port),
        ("WXMINT_REDIS_URL", &format!("redis+sentinel://{}127.0.0.1:{}/m", bed.redis.user_part(), bed.redis.port())),
        ("WXMINT_TOKEN_TTL", APP_SECRET),
        ("WXMINT_APPID", APP_SECRET),
        ("WXMINT_ISSUER", &format!("https://user:{REDIS_PASSWORD}@login.example.com")),
        ("WXMINT_WECHAT_URL", "http://127.0.0.1:1"),
        ("WXMINT_KEYS", &vault),
        ("WXMINT_VAULT_KEY_FILE", &keys),
        ("WXMINT_ADMIN_TOKENS_FILE", &vault),
        ("WXMINT_VAULT_KEY_FILE", &tokens.to_string_lossy()),
        ("WXMINT_APP_SECRET", "ffeeddccbbaa99887766554433221100"),
    ];
    for (name, value) in spoils {
        for words in [&["doctor", "--public"], &["doctor", "--json"]] {
            let mut command = bed.configuration.command_of(words);
            let mut process = Process::spawn("wxmint doctor", command.env(name, value).env("RUST_LOG", "trace"));
            assert!(process.end(Duration::from_secs(30)).await.code().is_some_and(|code| code > 0), "{name}");
            let output = process.log();
            for secret in secrets.iter().chain(&["ffeeddccbbaa99887766554433221100"]) {
                assert!(!output.contains(*secret), "{name}={value}: {secret} in {output}");
            }
        }
    }
}
