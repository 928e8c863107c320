//! The OpenTelemetry Collector takes what wxmint sends by OTLP, and passes a login on as docs/operation.md draws it:
//! `make nightly`.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, net::TcpStream, process::Command};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::json;

use crate::support::{
    AccountService, Collector, PATIENCE, Process, TestBed, eventually, free_port, repository,
    tools, until,
};

/// The mini program's own span.
const TAP: &str = "00f067aa0ba902b7";

/// The Collector, and where it takes spans, which go on to `to`.
async fn start(folder: &Path, to: &Collector) -> (Process, String) {
    let takes = format!("127.0.0.1:{}", free_port());
    let [(_, sends), _] = to.environment();
    let configuration = json!({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": takes}}}},
        "exporters": {"otlp_http": {"endpoint": sends, "compression": "none"}},
        "service": {"pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp_http"]}}},
    });
    // JSON is YAML too.
    fs::write(folder.join("collector.yaml"), configuration.to_string()).expect("written");
    let mut collector = Command::new(tools("products/collector"));
    collector
        .current_dir(folder)
        .arg("--config=file:collector.yaml");
    let process = Process::spawn("collector", &mut collector);
    until("the Collector", PATIENCE, async || {
        TcpStream::connect(&takes).is_ok()
    })
    .await;
    (process, format!("http://{takes}"))
}

/// Each span of wxmint, as `PARENT > NAME`.
fn drawn() -> BTreeSet<String> {
    let page = fs::read_to_string(repository("docs/operation.md")).expect("a page");
    let drawn = page
        .split("```")
        .find(|block| block.starts_with("text\nmini program:"))
        .expect("the drawing");
    let (mut above, mut spans) = (Vec::new(), BTreeSet::new());
    for line in drawn.lines().skip(1) {
        let (service, name) = line.trim().split_once(": ").expect("a service and a name");
        above.truncate((line.len() - line.trim_start().len()) / 2);
        if service == "wxmint" {
            spans.insert(format!("{} > {name}", above.last().expect("a parent")));
        }
        above.push(name);
    }
    spans
}

/// The same of what has arrived.
fn arrived(spans: &[Span]) -> BTreeSet<String> {
    let parent = |span: &Span| {
        spans
            .iter()
            .find(|other| other.span_id == span.parent_span_id)
    };
    spans
        .iter()
        .map(|span| {
            format!(
                "{} > {}",
                parent(span).map_or("log in", |span| &span.name),
                span.name
            )
        })
        .collect()
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    span.attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .clone()?
        .value
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly, where Go can have the Collector"]
async fn a_login_is_one_trace_as_the_page_draws_it_and_a_failed_one_says_what_failed() {
    let (folder, to, accounts) = (
        tempfile::tempdir().expect("a folder"),
        Collector::start(),
        AccountService::start(),
    );
    let (_collector, takes) = start(folder.path(), &to).await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", takes),
        ("WXMINT_ACCOUNTS", accounts.url()),
    ];
    let bed = variables
        .iter()
        .fold(TestBed::builder(), |bed, (name, value)| {
            bed.env(name, value)
        });
    let bed = bed
        .envs(&[
            ("WXMINT_ACCOUNTS_CHECK", "true"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ])
        .start()
        .await;
    bed.log_in_with(
        "lin",
        json!({"username": "alice", "password": "wonderland"}),
    )
    .await
    .expect_login();

    // The second while WeChat answers nobody.
    for (trace, faults) in [
        ("4".repeat(32), json!([])),
        ("7".repeat(32), json!([{"kind": "reset"}])),
    ] {
        bed.faults(faults).await;
        let post = bed
            .http
            .0
            .post(bed.service().url("/login"))
            .json(&json!({"code": bed.mint_code("lin").await}));
        let login = bed
            .http
            .send(post.header("traceparent", format!("00-{trace}-{TAP}-01")))
            .await;
        let (spans, root) = eventually("the trace", PATIENCE, async || {
            let own = to.spans().into_iter().filter(|(service, span)| {
                service == "wxmint" && const_hex::encode(&span.trace_id) == trace
            });
            let spans: Vec<_> = own.map(|(_, span)| span).collect();
            let root = spans
                .iter()
                .find(|span| const_hex::encode(&span.parent_span_id) == TAP)?
                .clone();
            Some((spans, root))
        })
        .await;
        assert_eq!(
            (root.name.as_str(), root.kind()),
            ("POST /login", SpanKind::Server)
        );
        let status = attribute(&root, "http.response.status_code");
        assert_eq!(
            status,
            Some(Value::IntValue(login.status.into())),
            "{root:?}"
        );
        let failed = |span: &Span| {
            span.status
                .as_ref()
                .is_some_and(|status| status.code() == StatusCode::Error)
        };
        if login.status == 200 {
            assert_eq!(arrived(&spans), drawn());
            assert!(!spans.iter().any(failed), "{spans:?}");
        } else {
            let failed: BTreeSet<_> = spans
                .iter()
                .filter(|span| failed(span))
                .map(|span| span.name.as_str())
                .collect();
            assert_eq!(
                failed,
                BTreeSet::from(["POST /login", "wechat code2session"])
            );
            let error = attribute(&root, "error.type");
            assert_eq!(
                error,
                Some(Value::StringValue("wechat_unavailable".to_owned())),
                "{root:?}"
            );
        }
    }
    bed.http
        .1
        .expect_none_in(crate::support::secrets::Place::Spans, to.raw());
}
