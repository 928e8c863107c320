//! Traces: `traceparent` from the mini program to the account service and never to WeChat, and OpenTelemetry's spans.

use std::time::Instant;

use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::RequestBuilder;

use crate::support::prelude::*;
use crate::support::secrets::Place;
use crate::whole_life::alice;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// The mini program's own span.
const TAP: &str = "00f067aa0ba902b7";
const PAGES: [&str; 2] = ["docs/operation.md", "docs/operation.zh-CN.md"];

fn traceparent() -> String {
    format!("00-{TRACE}-{TAP}-01")
}

async fn bed(collector: &Collector, environment: &[(&str, &str)]) -> TestBed {
    let sending = collector.environment();
    let builder = TestBed::builder().breakable_wechat().envs(environment);
    sending
        .iter()
        .fold(builder, |builder, (name, value)| builder.env(name, value))
        .start()
        .await
}

fn with_trace(request: RequestBuilder) -> RequestBuilder {
    request
        .header("traceparent", traceparent())
        .header("tracestate", "stranger=hunter2")
}

async fn log_in(bed: &TestBed, mut members: Value) -> Answer {
    members["code"] = bed.mint_code("lin").await.into();
    bed.http
        .send(with_trace(bed.http.0.post(bed.service().url("/login"))).json(&members))
        .await
}

/// The request that wxmint sends to WeChat for a login, in whose place somebody else listens from here on.
async fn sent_to_wechat(bed: &TestBed) -> String {
    let other = Answering::start();
    bed.wechat_link().lead_to(other.address);
    bed.wechat_link().hang_up().await;
    log_in(bed, json!({}))
        .await
        .expect_problem(503, "wechat_unavailable");
    let text = |call: &Call| {
        format!(
            "{} {:?} {}",
            call.line,
            call.headers,
            String::from_utf8_lossy(&call.body)
        )
    };
    other.calls().iter().map(text).collect()
}

/// docs/operation.md draws these spans.
#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn a_login_is_one_trace_from_the_mini_program_to_the_account_service_without_wechat() {
    let (collector, accounts) = (Collector::start(), AccountService::start());
    let environment = [
        ("WXMINT_ACCOUNTS", accounts.url()),
        ("WXMINT_ACCOUNTS_CHECK", "true".to_owned()),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20planted-for-the-collector".to_owned(),
        ),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off".to_owned()),
        (ONE_THREAD.0, ONE_THREAD.1.to_owned()),
    ];
    let bed = bed(
        &collector,
        &environment
            .each_ref()
            .map(|(name, value)| (*name, value.as_str())),
    )
    .await;
    let other = format!("00-{}-{TAP}-00", "7".repeat(32));
    let mut bind = alice();
    bind["code"] = bed.mint_code("lin").await.into();
    let bind = bed
        .http
        .0
        .post(bed.service().url("/login"))
        .header("traceparent", &other)
        .json(&bind);
    bed.http.send(bind).await.expect_login();
    for call in accounts.take_calls() {
        assert_eq!(
            call.headers["traceparent"], other,
            "what is not sampled is handed on as it came"
        );
    }
    bed.faults(json!([{"kind": "latency", "ms": 40}])).await;
    log_in(&bed, json!({})).await.expect_login();

    let has_come = async || {
        collector
            .spans()
            .iter()
            .any(|(_, span)| span.name == "POST /login")
    };
    until("the login's span", PATIENCE, has_come).await;
    let mut spans = collector.spans();
    for (service, span) in &spans {
        assert_eq!(
            (service.as_str(), const_hex::encode(&span.trace_id)),
            ("wxmint", TRACE.to_owned()),
            "{span:?}"
        );
    }
    let find = |name: &str| {
        spans
            .iter()
            .find(|(_, span)| span.name == name)
            .expect(name)
            .1
            .clone()
    };
    assert_eq!(const_hex::encode(&find("POST /login").parent_span_id), TAP);
    let [call] = &accounts.take_calls()[..] else {
        panic!("one call for each login")
    };
    let asking = const_hex::encode(&find("accounts check_login").span_id);
    assert_eq!(
        call.headers["traceparent"],
        format!("00-{TRACE}-{asking}-01")
    );
    assert_eq!(call.headers.get("tracestate"), None);

    let sent = sent_to_wechat(&bed).await.to_lowercase();
    assert!(
        sent.contains("jscode2session") && !sent.contains("trace") && !sent.contains(TRACE),
        "{sent}"
    );
    let raw = collector.raw();
    assert!(
        raw.contains("Bearer planted-for-the-collector")
            && !bed.service().log().contains("planted-for"),
        "{raw}"
    );
    assert!(
        !raw.contains("hunter2") && !raw.contains("wonderland") && !raw.contains("http://"),
        "{raw}"
    );
    bed.http.1.expect_none_in(Place::Spans, raw);

    // The page draws these among those of others, with their times behind the names.
    spans.sort_by_key(|(_, span)| span.start_time_unix_nano);
    let names: Vec<_> = spans
        .into_iter()
        .map(|(service, span)| format!("{service}: {}", span.name))
        .collect();
    for page in PAGES {
        let text = fs::read_to_string(repository(page)).expect("a page");
        let drawn = text
            .split("```")
            .find(|block| block.starts_with("text\nmini program:"))
            .expect("the drawing");
        let drawn = drawn
            .lines()
            .map(|line| line.chars().take(50).collect::<String>().trim().to_owned());
        assert_eq!(
            drawn
                .filter(|line| line.starts_with("wxmint: "))
                .collect::<Vec<_>>(),
            names,
            "{page}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_the_trace_id_is_logged_and_handed_on_and_nothing_is_traced() {
    let accounts = AccountService::start();
    let bed = TestBed::builder()
        .env("WXMINT_ACCOUNTS", &accounts.url())
        .env("RUST_LOG", "debug")
        .start()
        .await;
    let id = log_in(&bed, alice())
        .await
        .expect_login()
        .header("x-request-id")
        .to_owned();
    assert_eq!(
        accounts.take_calls()[0].headers["traceparent"],
        traceparent()
    );
    let line = |id: String| {
        let bed = &bed;
        let lines = async move || {
            bed.service()
                .events()
                .into_iter()
                .find(|event| event["request_id"] == id)
        };
        eventually("a line of the request", PATIENCE, lines)
    };
    assert_eq!(line(id).await["trace_id"], TRACE);
    for malformed in [
        "00-1-1",
        "hunter2",
        &traceparent().to_uppercase(),
        &format!("{}-x", traceparent()),
    ] {
        let request = bed
            .http
            .0
            .get(bed.service().url("/login"))
            .header("traceparent", malformed);
        let id = bed
            .http
            .send(request)
            .await
            .header("x-request-id")
            .to_owned();
        assert_eq!(line(id).await.get("trace_id"), None, "{malformed}");
    }
    let tasks = fs::read_dir(format!("/proc/{}/task", bed.service().id())).expect("Linux");
    let name =
        |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    let threads: Vec<_> = tasks.map(|task| name(task.expect("a thread"))).collect();
    assert!(
        !threads.iter().any(|name| name.starts_with("OpenTelemetry")),
        "{threads:?}"
    );
}

/// crates/telemetry/src/traces/sending.rs holds how many in any second.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_asks_to_be_sampled_crowds_nobody_out_and_the_end_of_the_process_sends_what_is_left()
 {
    let collector = Collector::start();
    let own = [
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_SERVICE_NAME", "logins of the north"),
    ];
    let mut bed = bed(&collector, &own).await;
    bed.service().admin("/livez").await;
    let (ask, begun) = (
        || bed.http.0.get(bed.service().url("/.well-known/jwks.json")),
        Instant::now(),
    );
    join_all((0..250).map(|_| bed.http.send(with_trace(ask())))).await;
    bed.http.send(ask()).await;
    let most = 1 + 25 * (1 + begun.elapsed().as_secs() as usize);
    bed.services[0].signal(Signal::TERM);
    assert!(bed.services[0].end(PATIENCE).await.success());
    let spans = collector.spans();
    let own = spans
        .iter()
        .filter(|(_, span)| span.parent_span_id.is_empty())
        .count();
    assert!(
        own == 1 && (26..=most).contains(&spans.len()),
        "{own} of {}",
        spans.len()
    );
    let is_ours = |(service, span): &(String, Span)| {
        service == "logins of the north" && !span.name.contains("livez")
    };
    assert!(spans.iter().all(is_ours), "the probes have none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_slow_or_none_costs_logins_nothing_and_is_warned_about_once() {
    let [silent, page] = [(); 2].map(|()| Answering::start());
    silent.otherwise(Manner::does(vec![Step::Stall]));
    page.otherwise(Manner::says("200 OK", "Content-Type: text/html\r\n", "hi"));
    let places = [
        "127.0.0.1:1".parse().expect("an address"),
        silent.address,
        page.address,
    ];
    let tried = places.map(async |place| {
        let bed = TestBed::builder().env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{place}"));
        let bed = bed
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20");
        let mut bed = bed.env("OTEL_BSP_MAX_QUEUE_SIZE", "16").start().await;
        let mut took = Vec::new();
        for _ in 0..20 {
            took.push(bed.log_in("lin").await.expect_login().took);
        }
        assert!(
            took.iter().min() < Some(&Duration::from_millis(300)),
            "they wait for {place}: {took:?}"
        );
        let line = "traces do not reach the collector";
        bed.service().says(line).await;
        bed.services[0].signal(Signal::TERM);
        assert!(bed.services[0].end(PATIENCE).await.success(), "{place}");
        let log = bed.service().log();
        assert_eq!(log.matches(line).count(), 1, "{log}");
    });
    join_all(tried).await;
}
