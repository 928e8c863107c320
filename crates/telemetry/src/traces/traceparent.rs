//! The caller's trace, as <https://www.w3.org/TR/trace-context/> has it: it is read, continued where the request is
//! sampled, and named to another service of ours.

use std::collections::HashMap;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState, Tracer,
};
use opentelemetry::{Context, propagation::TextMapPropagator};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};

use super::{Step, Trace};

/// Without `tracestate`, text of strangers.
pub(super) fn parse(header: &str) -> Option<Context> {
    let headers = HashMap::from([("traceparent".to_owned(), header.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.has_active_span().then_some(context)
}

fn render(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

impl Trace {
    pub(super) fn if_sampled(tracer: &SdkTracer, caller: Option<Context>) -> Option<Self> {
        let parent = caller.clone().unwrap_or_default();
        let span = tracer.build_with_context(SpanBuilder::from_name("request").with_kind(SpanKind::Server), &parent);
        if span.span_context().is_sampled() {
            return Some(Self(parent.with_span(span)));
        }
        // The account service need not sample what is not sampled here, whatever a stranger's flag says.
        let (flags, state) = (TraceFlags::default(), TraceState::NONE);
        let caller = caller?.span().span_context().clone();
        let unsampled = SpanContext::new(caller.trace_id(), caller.span_id(), flags, true, state);
        Some(Self(Context::new().with_remote_span_context(unsampled)))
    }
}

impl Step {
    /// The header that tells another service of ours to which trace its work belongs.
    pub fn traceparent(&self) -> Option<String> {
        let trace = || Trace::current().map(|Trace(context)| render(context.span().span_context()));
        self.0.as_ref().map(|span| render(span.span_context())).or_else(trace)
    }
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
