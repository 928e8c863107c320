//! `WXMINT_WECHAT_PROXY`: calls of WeChat leave through a tunnel, and nothing else does.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::doctor::Report;
use crate::support::prelude::*;

const PASSWORD: &str = "planted proxy-password";

/// WeChat by https, behind a proxy that wants a user name and a password, as a service's configuration has them.
struct World {
    bed: TestBed,
    wechat: Terminator,
    proxy: Answering,
}

impl World {
    async fn start() -> Self {
        let (mut bed, proxy) = (
            TestBed::builder().services(0).start().await,
            Answering::start(),
        );
        proxy.otherwise(tunnel());
        let wechat = Terminator::before(bed.wechat.address).await;
        let roots = bed.configuration.path("roots.pem");
        fs::write(&roots, &wechat.certificate).expect("written");
        bed.configuration
            .set("SSL_CERT_FILE", &roots.to_string_lossy());
        bed.configuration
            .set("WXMINT_WECHAT_URL", &format!("https://{}", wechat.address));
        bed.configuration
            .set("WXMINT_WECHAT_PROXY", &url_of(&proxy));
        bed.configuration.set("RUST_LOG", "trace");
        Self { bed, wechat, proxy }
    }

    async fn examined(&self) -> Report {
        let report = Report::of(&self.bed.configuration).await;
        assert!(!holds_secret(&report.output), "{}", report.output);
        report
    }
}

/// Each request gets what it asks for.
fn tunnel() -> Manner {
    let opens = b"HTTP/1.1 200 Connection established\r\n\r\n";
    Manner::of(move |call| vec![Step::Send(opens.to_vec()), Step::Tunnel(call.path.clone())])
}

fn url_of(proxy: &Answering) -> String {
    format!(
        "http://mint:{}@{}",
        PASSWORD.replace(' ', "%20"),
        proxy.address
    )
}

fn credentials() -> String {
    STANDARD.encode(format!("mint:{PASSWORD}"))
}

fn holds_secret(text: &str) -> bool {
    [
        PASSWORD,
        &PASSWORD.replace(' ', "%20"),
        &credentials(),
        APP_SECRET,
    ]
    .iter()
    .any(|secret| text.contains(secret))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_calls_of_wechat_use_the_proxy_and_it_sees_host_and_port_alone() {
    let mut world = World::start().await;
    let (accounts, collector, other) = (
        AccountService::start(),
        Collector::start(),
        Answering::start(),
    );
    world
        .bed
        .configuration
        .set("WXMINT_ACCOUNTS", &accounts.url());
    world.bed.configuration.set_all(collector.environment());
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        world
            .bed
            .configuration
            .set(name, &format!("http://{}", other.address));
    }
    let service = world.bed.another().await;
    let code = world.bed.mint_code("lin").await;
    let login = json!({"code": code, "username": "alice", "password": "wonderland"});
    let token = service
        .log_in_with(&login)
        .await
        .expect_login()
        .member("access_token");
    assert_eq!(
        service
            .ask("GET", "/wechat/session", &token, &Value::Null)
            .await
            .body,
        "{\"valid\":true}"
    );
    until("spans", PATIENCE, async || !collector.spans().is_empty()).await;
    assert!(!accounts.calls().is_empty());

    let (tunnels, host) = (world.proxy.take_calls(), world.wechat.address.to_string());
    let headers = [
        ("host", host.clone()),
        ("proxy-authorization", format!("Basic {}", credentials())),
    ];
    let headers = BTreeMap::from(headers.map(|(name, value)| (name.to_owned(), value)));
    let line = format!("CONNECT {host} HTTP/1.1");
    let is_right =
        |call: &Call| (&call.line, &call.headers) == (&line, &headers) && call.body.is_empty();
    assert!(
        !tunnels.is_empty() && tunnels.iter().all(is_right),
        "{tunnels:?}"
    );
    assert!(other.calls().is_empty(), "{:?}", other.calls());
    assert!(!holds_secret(&service.log()), "{}", service.log());

    // The proxy may itself be reached by TLS.
    let tls = Terminator::before(world.proxy.address).await;
    let roots = format!("{}{}", world.wechat.certificate, tls.certificate);
    fs::write(world.bed.configuration.value("SSL_CERT_FILE"), roots).expect("written");
    world
        .bed
        .configuration
        .set("WXMINT_WECHAT_PROXY", &format!("https://{}", tls.address));
    let service = world.bed.another().await;
    let login = json!({"code": world.bed.mint_code("lin").await});
    service.log_in_with(&login).await.expect_login();
    let tunnels = world.proxy.calls();
    let has_password = |call: &Call| call.headers.contains_key("proxy-authorization");
    assert!(
        !tunnels.is_empty() && !tunnels.iter().any(has_password),
        "{tunnels:?}"
    );
}

/// Each time the code is good afterwards, because no tunnel was there to take it.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_opens_no_tunnel_is_named_and_has_taken_no_code() {
    let mut world = World::start().await;
    let file = world.bed.configuration.path("proxy");
    write_private(&file, &format!("{}\n", url_of(&world.proxy)));
    world.bed.configuration.unset("WXMINT_WECHAT_PROXY");
    world
        .bed
        .configuration
        .set("WXMINT_WECHAT_PROXY_FILE", &file.to_string_lossy());
    let named = format!("through the proxy {}: ", world.proxy.address);
    let refuses = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_vec();
    for (number, (steps, reason)) in (1..).zip([
        (vec![Step::Send(refuses)], "proxy authorization required"),
        (vec![], "unexpected end of file"),
        (vec![Step::Stall], "timed out"),
    ]) {
        // Each with a process of its own, which has no tunnel from before.
        let (service, code) = (world.bed.another().await, world.bed.mint_code("lin").await);
        world.proxy.otherwise(Manner::does(steps));
        service
            .login(&code)
            .await
            .expect_problem(503, "wechat_unavailable");
        let is_told = |line: &String| {
            ["\"WARN\"", &*named, "not sent", reason]
                .iter()
                .all(|words| line.contains(words))
        };
        until(reason, PATIENCE, async || {
            service.stderr().iter().filter(|line| is_told(line)).count() == 1
        })
        .await;
        let report = world.examined().await;
        let advice = report.advice("wechat.reach", "fault", &named);
        assert!(
            advice.contains("WXMINT_WECHAT_PROXY has the user name"),
            "{advice}"
        );
        world.proxy.otherwise(tunnel());
        service.login(&code).await.expect_login();
        assert_eq!(world.bed.wechat.exchanges().await, number, "{reason}");
        assert!(!holds_secret(&service.log()), "{}", service.log());
    }
    let report = world.examined().await;
    report.expect_healthy();
    assert!(report.worst("wechat.reach")[1].contains(&format!(
        "answers through the proxy {}",
        world.proxy.address
    )));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_other_programs_is_not_read_and_the_doctor_says_so() {
    let mut world = World::start().await;
    world
        .bed
        .configuration
        .set("HTTPS_PROXY", "http://127.0.0.1:1");
    world.examined().await.expect_healthy();
    world.bed.configuration.unset("WXMINT_WECHAT_PROXY");
    let report = world.examined().await;
    let advice = report.advice(
        "settings",
        "warning",
        "HTTPS_PROXY is set, and wxmint does not read it",
    );
    assert!(advice.contains("WXMINT_WECHAT_PROXY"), "{advice}");
    assert_eq!(report.status("wechat.reach"), "ok");
    // http would show the AppSecret to the proxy.
    let (http, proxy) = (world.bed.wechat.url(), url_of(&world.proxy));
    world.bed.configuration.set("WXMINT_WECHAT_URL", &http);
    world.examined().await.expect_healthy();
    world.bed.configuration.set("WXMINT_WECHAT_PROXY", &proxy);
    world.examined().await.advice(
        "settings",
        "fault",
        "WXMINT_WECHAT_PROXY is set, but WXMINT_WECHAT_URL is an http",
    );
    let wrong = "socks5://proxy:1080";
    world.bed.configuration.set("WXMINT_WECHAT_PROXY", wrong);
    let refused = world.bed.configuration.refused().await;
    assert!(
        refused.contains("WXMINT_WECHAT_PROXY is not valid") && !refused.contains(wrong),
        "{refused}"
    );
}
