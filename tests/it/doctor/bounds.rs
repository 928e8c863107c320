//! How long the doctor takes, and what it never prints.

use std::time::Instant;

use tokio::net::TcpListener;

use super::{ADMIN_SECRET, REDIS_PASSWORD, Report, healthy};
use crate::support::prelude::*;
use crate::support::secrets::Place;

/// docs/operation.md: "takes at most 15 s". A file that never ends to be read is not waited for either.
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
    let pipe = bed.configuration.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let of_service = || bed.configuration.command_of(&["doctor", "--public", "--json"]);
    let mut sidecar = bed.configuration.command_of(&["doctor", "sidecar", "--json"]);
    sidecar.env("WXMINT_JWKS_URL", format!("http://{address}/jwks")).env("WXMINT_AUDIENCE", "x");
    let began = Instant::now();
    let (mut everything, mut file) = (of_service(), of_service());
    let (report, of_file, of_sidecar) = tokio::join!(
        Report::run(&mut everything),
        Report::run(file.env("WXMINT_KEYS", pipe)),
        Report::run(&mut sidecar)
    );
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    for name in ["redis.reach", "wechat.reach", "accounts"] {
        assert_eq!(report.status(name), "fault", "{}", report.output);
    }
    assert_eq!((report.code, report.status("public")), (2, "warning"));
    of_file.advice("files", "fault", "no answer within");
    assert_eq!(of_sidecar.status("jwks"), "fault");
}

#[tokio::test]
async fn no_secret_is_printed_whatever_is_wrong() {
    const NEW: &str = "ffeeddccbbaa99887766554433221100";
    let builder = TestBed::builder().redis_password(REDIS_PASSWORD).operators(&format!("alice {ADMIN_SECRET}\n"));
    let (bed, accounts) = (builder.start().await, AccountService::start());
    bed.log_in("lin").await.expect_login();
    // Noted as secrets with the answer.
    bed.wechat.account("lin").await;
    bed.wechat.access_token().await;
    bed.http.1.note("AppSecret", &[], NEW);
    accounts.misbehave(Reply::Text("{"));
    bed.faults(json!([{"kind": "errcode", "errcode": 40125}])).await;
    let (url, port) = (bed.redis.url(), bed.redis.port());
    let [keys, vault, tokens] = ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE", "WXMINT_ADMIN_TOKENS_FILE"]
        .map(|name| bed.configuration.value(name).to_owned());
    // A secret in the wrong place, a URL that is unreadable or leads nowhere, a file in another's place.
    let wrong = [
        ("WXMINT_ACCOUNTS", accounts.url()),
        ("WXMINT_REDIS_URL", format!("{url}/no-number")),
        ("WXMINT_REDIS_URL", url.replace("redis://", "rediss://")),
        ("WXMINT_REDIS_URL", url.replace(&port.to_string(), "1")),
        ("WXMINT_REDIS_URL", format!("redis+sentinel://{}127.0.0.1:{port}/m", bed.redis.user_part())),
        ("WXMINT_TOKEN_TTL", APP_SECRET.to_owned()),
        ("WXMINT_APPID", APP_SECRET.to_owned()),
        ("WXMINT_ISSUER", format!("https://user:{REDIS_PASSWORD}@login.example.com")),
        ("WXMINT_WECHAT_URL", "http://127.0.0.1:1".to_owned()),
        ("WXMINT_KEYS", vault.clone()),
        ("WXMINT_VAULT_KEY_FILE", keys),
        ("WXMINT_ADMIN_TOKENS_FILE", vault),
        ("WXMINT_VAULT_KEY_FILE", tokens),
        ("WXMINT_APP_SECRET", NEW.to_owned()),
    ];
    let examined = wrong.into_iter().map(async |(name, value)| {
        let mut command = bed.configuration.command_of(&["doctor", "--public", "--json"]);
        let mut process = Process::spawn("wxmint doctor", command.env(name, &value).env("RUST_LOG", "trace"));
        assert!(process.end(Duration::from_secs(30)).await.code().is_some_and(|code| code > 0), "{name}");
        bed.http.1.expect_none_in(Place::Log, process.log());
    });
    join_all(examined).await;
}
