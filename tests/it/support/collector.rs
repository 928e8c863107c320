//! A collector of OpenTelemetry in the test's own process: takes OTLP over HTTP, and keeps what arrives.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;

use super::{Answering, Manner};

pub(crate) struct Collector(Answering);

impl Collector {
    pub(crate) fn start() -> Self {
        let server = Answering::start();
        server.at(
            "/v1/traces",
            Manner::says("200 OK", "Content-Type: application/x-protobuf\r\n", ""),
        );
        Self(server)
    }

    /// The variables that send spans here, at once.
    pub(crate) fn environment(&self) -> [(String, String); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.0.url("")),
            ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// Each span with the name of the service that has sent it.
    pub(crate) fn spans(&self) -> Vec<(String, Span)> {
        let of_service = |sent: ResourceSpans| {
            let resource = sent.resource.unwrap_or_default().attributes;
            let name = resource
                .into_iter()
                .find(|attribute| attribute.key == "service.name")
                .expect("a name");
            let Some(Value::StringValue(name)) = name.value.and_then(|value| value.value) else {
                panic!("no text")
            };
            let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(|span| (name.clone(), span)).collect::<Vec<_>>()
        };
        let sent = self.0.calls_of("/v1/traces").into_iter();
        let sent = sent.map(|call| ExportTraceServiceRequest::decode(&*call.body).expect("OTLP"));
        sent.flat_map(|sent| sent.resource_spans)
            .flat_map(of_service)
            .collect()
    }

    /// Everything that has arrived.
    pub(crate) fn raw(&self) -> String {
        let text = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|&byte| char::from(byte))
                .collect::<String>()
        };
        self.0
            .calls()
            .iter()
            .map(|call| format!("{:?}{}", call.headers, text(&call.body)))
            .collect()
    }
}
