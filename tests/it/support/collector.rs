//! A collector of OpenTelemetry in the test's own process: takes OTLP over HTTP, and keeps what arrives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web, web::Bytes};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;

use super::account_service::{Serving, serve};
use super::{PATIENCE, eventually, locked};

pub(crate) struct Collector {
    address: SocketAddr,
    arrived: Arc<Mutex<Arrived>>,
    _server: Serving,
}

#[derive(Default)]
struct Arrived {
    spans: Vec<ResourceSpans>,
    /// The requests as they came, with their heads.
    raw: Vec<String>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let arrived = Arc::default();
        let (address, server) = serve(Arc::clone(&arrived), take);
        Self { address, arrived, _server: server }
    }

    /// The variables that send spans here, at once.
    pub(crate) fn environment(&self) -> [(String, String); 2] {
        let endpoint = format!("http://{}", self.address);
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())]
            .map(|(name, value)| (name.to_owned(), value))
    }

    /// Each span with the name of the service that has sent it.
    pub(crate) fn spans(&self) -> Vec<(String, Span)> {
        let spans = locked(&self.arrived).spans.clone();
        let of_service = |sent: ResourceSpans| {
            let resource = sent.resource.unwrap_or_default().attributes;
            let name = resource.into_iter().find(|attribute| attribute.key == "service.name").expect("a name");
            let name = text_of(name.value.and_then(|value| value.value));
            let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| (name.clone(), span)).collect::<Vec<_>>()
        };
        spans.into_iter().flat_map(of_service).collect()
    }

    /// All spans, once one has this name.
    pub(crate) async fn spans_with(&self, name: &str) -> Vec<(String, Span)> {
        eventually(name, PATIENCE, async || {
            Some(self.spans()).filter(|spans| spans.iter().any(|(_, span)| span.name == name))
        })
        .await
    }

    /// Everything that has arrived.
    pub(crate) fn raw(&self) -> String {
        locked(&self.arrived).raw.concat()
    }
}

fn text_of(value: Option<opentelemetry_proto::tonic::common::v1::any_value::Value>) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    match value {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

async fn take(request: HttpRequest, body: Bytes, arrived: web::Data<Mutex<Arrived>>) -> HttpResponse {
    assert_eq!(request.path(), "/v1/traces");
    let sent = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
    let mut arrived = locked(&arrived);
    let raw = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
    let head = format!("{:?}", request.headers());
    arrived.raw.extend([head, raw(&body)]);
    arrived.spans.extend(sent.resource_spans);
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}
