//! Traces: finds the trace of a request. If `OTEL_EXPORTER_OTLP_ENDPOINT` is set, sends a span for
//! each sampled request and for each of its steps, as OTLP over HTTP.
//!
//! Spans are made only here, with names from the code. No log line and no span of another crate
//! becomes a span of a trace, so no URL, code or openid can get into a trace.
//! docs/decisions/0021-spans-of-our-own.md says why no tracing layer makes spans.

mod sending;

use std::time::{Duration, SystemTime};
use std::{collections::HashMap, sync::OnceLock};

use opentelemetry::trace::{
    FutureExt, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue, propagation::TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};

pub use self::sending::Traces;
use crate::audit::now;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The trace that a request belongs to (<https://www.w3.org/TR/trace-context/>): the caller's, or a
/// new trace if the request is sampled.
#[derive(Clone)]
pub struct Trace(Context);

impl Trace {
    /// Finds or begins the trace of a request. `traceparent` is the request's header; a malformed
    /// header is ignored.
    pub fn of_request(traceparent: Option<&str>, may_be_sampled: bool) -> Option<Self> {
        let caller = traceparent.and_then(parse);
        let Some(tracer) = TRACER.get().filter(|_| may_be_sampled) else {
            return caller.map(Self);
        };
        let parent = caller.clone().unwrap_or_default();
        let span = tracer.build_with_context(
            SpanBuilder::from_name("request").with_kind(SpanKind::Server),
            &parent,
        );
        if span.span_context().is_sampled() {
            return Some(Self(parent.with_span(span)));
        }
        // The account service need not sample a request that is not sampled here, whatever flag a
        // stranger has sent.
        let flags = TraceFlags::default();
        let state = TraceState::NONE;
        let caller = caller?.span().span_context().clone();
        let unsampled = SpanContext::new(caller.trace_id(), caller.span_id(), flags, true, state);
        Some(Self(Context::new().with_remote_span_context(unsampled)))
    }

    /// The trace of the request that the current task works for.
    pub fn current() -> Option<Self> {
        Context::map_current(|context| context.has_active_span().then(|| Self(context.clone())))
    }

    /// The id of the trace, as in `traceparent`.
    pub fn id(&self) -> TraceId {
        self.0.span().span_context().trace_id()
    }

    /// Runs `steps` as part of this trace.
    pub fn around<F: Future>(self, steps: F) -> impl Future<Output = F::Output> {
        steps.with_context(self.0)
    }

    /// Ends the request's span. `name` must not contain text of the client. `error` is the code of
    /// the answered problem.
    pub fn answered(
        &self,
        name: impl FnOnce() -> String,
        status: u16,
        error: Option<&'static str>,
    ) {
        let span = self.0.span();
        if span.is_recording() {
            span.update_name(name());
            span.set_attribute(KeyValue::new(
                "http.response.status_code",
                i64::from(status),
            ));
            if let Some(error) = error {
                span.set_attribute(KeyValue::new("error.type", error));
            }
            if status >= 500 {
                span.set_status(Status::error(""));
            }
            span.end();
        }
    }
}

/// A step of a request. If the request is sampled, it is a span until it is dropped; otherwise it
/// does nothing.
#[must_use]
pub struct Step(Option<Box<Span>>);

impl Step {
    /// A request to another service that began `ago` before now.
    pub fn call(service: &'static str, operation: &'static str, ago: Duration) -> Self {
        Self::begin(SpanKind::Client, ago, || format!("{service} {operation}"))
    }

    /// A step within this process that begins now.
    pub fn work(name: &'static str) -> Self {
        Self::begin(SpanKind::Internal, Duration::ZERO, || name.to_owned())
    }

    fn begin(kind: SpanKind, ago: Duration, name: impl FnOnce() -> String) -> Self {
        let Some(tracer) = TRACER.get() else {
            return Self(None);
        };
        Context::map_current(|request| {
            let is_sampled =
                request.has_active_span() && request.span().span_context().is_sampled();
            if !is_sampled {
                return Self(None);
            }
            let span = SpanBuilder::from_name(name())
                .with_kind(kind)
                .with_start_time(SystemTime::from(now()) - ago);
            Self(Some(Box::new(tracer.build_with_context(span, request))))
        })
    }

    /// The header `traceparent`, which tells another service of ours the trace of its work.
    pub fn traceparent(&self) -> Option<String> {
        match &self.0 {
            Some(span) => Some(render(span.span_context())),
            None => {
                let Trace(context) = Trace::current()?;
                Some(render(context.span().span_context()))
            }
        }
    }

    /// Ends the step. `error` must come from a bounded set of values.
    pub fn end(mut self, error: Option<&str>) {
        if let (Some(span), Some(error)) = (&mut self.0, error) {
            span.set_attribute(KeyValue::new("error.type", error.to_owned()));
            span.set_status(Status::error(""));
        }
    }
}

/// Reads a `traceparent`. Ignores `tracestate`, because strangers choose its text.
fn parse(header: &str) -> Option<Context> {
    let headers = HashMap::from([("traceparent".to_owned(), header.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.has_active_span().then_some(context)
}

fn render(context: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags().to_u8()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_without_flags_that_are_not_known() {
        for (good, flags) in [
            (format!("00-{TRACE}-{SPAN}-01"), "01"),
            (format!("00-{TRACE}-{SPAN}-00"), "00"),
            (format!("00-{TRACE}-{SPAN}-fe"), "00"),
            (format!("01-{TRACE}-{SPAN}-01-later"), "01"),
        ] {
            let read = parse(&good).map(|context| render(context.span().span_context()));
            assert_eq!(read, Some(format!("00-{TRACE}-{SPAN}-{flags}")), "{good}");
        }
        let (upper, zeros) = (TRACE.to_uppercase(), "0".repeat(32));
        for bad in [
            "",
            &format!("00-{upper}-{SPAN}-01"),
            &format!("00-{zeros}-{SPAN}-01"),
            &format!("00-{TRACE}-{}-01", &zeros[..16]),
            &format!("00-{TRACE}-{SPAN}-01-later"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}é01"),
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
