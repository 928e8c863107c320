//! Writes the log of the verifier and of this module to Envoy's log, as a text and `key=value`.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{abi, envoy};

/// A subscriber without spans.
pub(crate) struct EnvoyLog;

impl Subscriber for EnvoyLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries below tell only what an operator has to know.
        let is_own = metadata.target().starts_with("wxmint");
        metadata.is_event()
            && (is_own || *metadata.level() <= Level::WARN)
            && envoy::is_logged(level(*metadata.level()))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let line = format!("wxmint: {}{}", line.message, line.fields);
        envoy::log(level(*event.metadata().level()), &line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn level(level: Level) -> u32 {
    match level {
        Level::TRACE => abi::TRACE,
        Level::DEBUG => abi::DEBUG,
        Level::INFO => abi::INFO,
        Level::WARN => abi::WARN,
        Level::ERROR => abi::ERROR,
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
