//! Decides which requests are sampled, and sends their spans to the collector.

use std::time::{Duration, Instant};
use std::{collections::VecDeque, error::Error, sync::Arc};

use async_trait::async_trait;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TracerProvider};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    Config, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample,
};
use parking_lot::Mutex;
use tokio::runtime::{self, Runtime};
use wxmint_ids::unprintable;
use wxmint_upstream::{Tls, Upstream};

use super::TRACER;

/// How many requests are sampled in any second at most.
const MOST_SAMPLED: usize = 50;
/// How many of them may come with a `traceparent`. Strangers can send that header, too, and proxies
/// pass it on, so without this limit they could use up all samples.
const MOST_OF_CALLERS: usize = MOST_SAMPLED / 2;
/// How long the end of the process waits for the collector.
const FLUSH: Duration = Duration::from_secs(3);
/// How often the log repeats that the collector cannot be reached.
const WARN_AGAIN: Duration = Duration::from_mins(1);

/// The exporter of this process's spans. Dropping it sends the remaining spans.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts sampling. The SDK itself reads the sampler, the endpoint, its headers and the service
    /// name from the environment. `timeout` limits one request to the collector.
    pub fn start(timeout: Duration) -> Result<Self, Box<dyn Error>> {
        let http = Upstream::new(&Tls::from_system()?, timeout, timeout)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let collector = Collector {
            http,
            runtime,
            warned: Mutex::default(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .build();
        // The error's text may hold the value of a variable.
        let exporter =
            exporter.map_err(|_| "OpenTelemetry refuses a variable OTEL_EXPORTER_OTLP_…")?;
        let sampler = Bounded {
            wanted: Config::default().sampler,
            lately: Arc::default(),
        };
        let own = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let name = Resource::builder()
            .build()
            .get(&Key::from_static_str("service.name"));
        let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
        let resource = if is_named {
            own
        } else {
            own.with_service_name("wxmint")
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource.build())
            .build();
        _ = TRACER.set(provider.tracer("wxmint"));
        Ok(Self(provider))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        _ = self.0.shutdown_with_timeout(FLUSH);
    }
}

/// The HTTP client of the collector. The SDK calls it in a thread of its own behind a bounded
/// queue, where it may block.
struct Collector {
    http: Upstream,
    runtime: Runtime,
    warned: Mutex<Option<Instant>>,
}

unprintable!(Collector);

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let fetched = self.runtime.block_on(self.http.fetch(request.try_into()?));
        let fetched = fetched.inspect_err(|error| self.warn(&error.to_string()))?;
        let is_page = fetched
            .headers
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
        if !fetched.status.is_success() || is_page {
            self.warn(&format!(
                "an answer of no collector, with status {}",
                fetched.status.as_u16()
            ));
        }
        let mut response = Response::new(fetched.body.into());
        (*response.status_mut(), *response.headers_mut()) = (fetched.status, fetched.headers);
        Ok(response)
    }
}

impl Collector {
    fn warn(&self, reason: &str) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
            *warned = Some(Instant::now());
            tracing::warn!(reason, "traces do not reach the collector, and are lost");
        }
    }
}

/// The sampler that the environment configures, limited to [`MOST_SAMPLED`] requests in any second.
#[derive(Debug, Clone)]
struct Bounded {
    wanted: Box<dyn ShouldSample>,
    /// When requests were sampled in the last second, the oldest first, and whether each came with
    /// a trace.
    lately: Arc<Mutex<VecDeque<(Instant, bool)>>>,
}

impl ShouldSample for Bounded {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self
            .wanted
            .should_sample(parent, trace, name, kind, attributes, links);
        // Spans of steps belong to requests that were sampled, and do not count.
        let is_request = *kind == SpanKind::Server;
        let of_caller = parent.is_some_and(TraceContextExt::has_active_span);
        if result.decision != SamplingDecision::Drop
            && is_request
            && !self.has_room(Instant::now(), of_caller)
        {
            result.decision = SamplingDecision::Drop;
        }
        result
    }
}

impl Bounded {
    fn has_room(&self, now: Instant, of_caller: bool) -> bool {
        let mut lately = self.lately.lock();
        lately.retain(|(at, _)| now < *at + Duration::from_secs(1));
        let of_callers = lately.iter().filter(|(_, of_caller)| *of_caller).count();
        let has_room = lately.len() < MOST_SAMPLED && !(of_caller && of_callers >= MOST_OF_CALLERS);
        has_room.then(|| lately.push_back((now, of_caller)));
        has_room
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::Sampler;

    use super::*;

    #[test]
    fn in_no_second_are_more_than_fifty_requests_sampled_nor_more_than_half_of_them_for_callers() {
        // How many of each ten requests come with a `traceparent`: none, a flood from strangers, or
        // all.
        for (of_callers, (most, expected)) in [(0, (50, 250)), (9, (50, 250)), (10, (25, 125))] {
            let bounded = Bounded {
                wanted: Box::new(Sampler::AlwaysOn),
                lately: Arc::default(),
            };
            let start = Instant::now();
            let is_sampled = |millis: u64| {
                let of_caller = millis % 10 < of_callers;
                bounded
                    .has_room(start + Duration::from_millis(millis), of_caller)
                    .then_some((millis, of_caller))
            };
            let sampled: Vec<_> = (0..5000).filter_map(is_sampled).collect();
            assert_eq!(sampled.len(), expected);
            let strangers: Vec<_> = sampled
                .iter()
                .filter(|(_, of_caller)| *of_caller)
                .copied()
                .collect();
            assert!(strangers.len() <= 125, "{of_callers}: {strangers:?}");
            for (sampled, most) in [(sampled, most), (strangers, MOST_OF_CALLERS)] {
                for window in sampled.windows(most + 1) {
                    assert!(
                        window[most].0 - window[0].0 >= 1000,
                        "{of_callers}: {window:?}"
                    );
                }
            }
        }
    }
}
