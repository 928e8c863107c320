//! A log line as one flat JSON object: `timestamp`, `level`, the event's fields (`message` among them), and those of
//! the spans around it (`request_id`).
//!
//! tracing-subscriber's own JSON format parses each span's fields again for every line that is written within it; here
//! they are kept in the form in which they are written. That makes a login's line about three times cheaper.

use std::{
    cell::RefCell,
    fmt::{self, Debug, Write},
};

use chrono::Utc;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer, time::FormatTime},
    registry::LookupSpan,
};

use super::AUDIT;

/// The format of lines, and of the fields in them: each as `,"name":value`.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        line.write_str(r#"{"timestamp":""#)?;
        Clock.format_time(&mut line)?;
        line.write_str(r#"","level":""#)?;
        line.write_str(event.metadata().level().as_str())?;
        line.write_char('"')?;
        if event.metadata().target() == AUDIT {
            write!(line, r#","target":"{AUDIT}""#)?;
        }
        context.field_format().format_fields(line.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.write_str(fields)?;
            }
        }
        line.write_str("}\n")
    }
}

/// The time with microseconds (RFC 3339). Each thread keeps the text of its last second, which most lines share.
struct Clock;

thread_local! {
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        #[expect(clippy::disallowed_methods, reason = "a line says when it was written, and no test depends on it")]
        let now = Utc::now();
        SECOND.with_borrow_mut(|(second, text)| {
            if *second != now.timestamp() {
                text.clear();
                write!(text, "{}", now.format("%Y-%m-%dT%H:%M:%S."))?;
                *second = now.timestamp();
            }
            line.write_str(text)
        })?;
        // A leap second has more than 999,999 microseconds.
        let micros = now.timestamp_subsec_micros() % 1_000_000;
        write!(line, "{micros:06}Z")
    }
}

thread_local! {
    static MEMBERS: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<'a> FormatFields<'a> for JsonLines {
    /// Hands the fields over in one piece, because those of a span go into a string that would grow with each piece.
    fn format_fields<R: RecordFields>(&self, mut line: Writer<'a>, fields: R) -> fmt::Result {
        // Not borrowed meanwhile: the `Debug` of a value may log, too.
        let mut text = MEMBERS.take();
        let mut members = Members { line: Writer::new(&mut text), written: Ok(()) };
        fields.record(&mut members);
        members.written.and_then(|()| line.write_str(&text))?;
        text.clear();
        MEMBERS.set(text);
        Ok(())
    }
}

/// The same fields for the audit file. A type of its own, because fields are kept beside a span by this type: two outputs of
/// one type would both add theirs.
pub(super) struct AuditFields;

impl<'a> FormatFields<'a> for AuditFields {
    fn format_fields<R: RecordFields>(&self, line: Writer<'a>, fields: R) -> fmt::Result {
        JsonLines.format_fields(line, fields)
    }
}

struct Members<'a> {
    line: Writer<'a>,
    written: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        self.written = self.written.and_then(|()| {
            self.line.write_str(",\"")?;
            self.line.write_str(field.name())?;
            self.line.write_str("\":")?;
            write(&mut self.line)
        });
    }

    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.member(field, |line| write!(line, "{value}"));
    }

    fn quoted(&mut self, field: &Field, write: impl FnOnce(&mut Escaped<'_, '_>) -> fmt::Result) {
        self.member(field, |line| {
            line.write_char('"')?;
            write(&mut Escaped(line))?;
            line.write_char('"')
        });
    }
}

impl Visit for Members<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for the others.
        if value.is_finite() { self.bare(field, value) } else { self.bare(field, "null") }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.quoted(field, |text| text.write_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.quoted(field, |text| write!(text, "{value:?}"));
    }
}

/// Writes what may stand between the quotes of a JSON string (RFC 8259 section 7).
struct Escaped<'a, 'b>(&'a mut Writer<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !matches!(byte, b'"' | b'\\' | ..b' ') {
                continue;
            }
            self.0.write_str(&text[rest..at])?;
            write!(self.0, "\\u{byte:04x}")?;
            rest = at + 1;
        }
        self.0.write_str(&text[rest..])
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::{Value, json};
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic while writing").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `log` writes, each without its timestamp.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(JsonLines)
            .fmt_fields(JsonLines);
        with_default(tracing_subscriber::registry().with(layer), log);
        let text = String::from_utf8(sink.0.lock().expect("no panic while writing").clone()).expect("UTF-8");
        let line = |line| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            let timestamp = line.as_object_mut().and_then(|line| line.remove("timestamp")).expect("a timestamp");
            timestamp.as_str().expect("text").parse::<chrono::DateTime<chrono::Utc>>().expect("RFC 3339");
            line
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn each_type_of_field_is_written_as_json_has_it() {
        let written = lines(|| {
            tracing::warn!(
                text = "a", number = -1, large = u64::MAX, whole = 2.0, ratio = 0.5, infinite = f64::INFINITY, yes = true,
                shown = %"b", debugged = ?Some(1), absent = Option::<u64>::None, "said {}", 1
            );
        });
        let expected = json!({
            "level": "WARN", "message": "said 1", "text": "a", "number": -1, "large": u64::MAX, "whole": 2, "ratio": 0.5,
            "infinite": null, "yes": true, "shown": "b", "debugged": "Some(1)",
        });
        assert_eq!(written, [expected]);
    }

    #[test]
    fn no_text_can_leave_its_quotes_or_its_line() {
        let every: String = (0..=0x2_00).filter_map(char::from_u32).chain("\u{2028}中🔑".chars()).collect();
        let written = lines(|| {
            tracing::info!(text = every, shown = %every, "{every}");
            tracing::info!("next");
        });
        assert_eq!(written.len(), 2);
        for member in ["text", "shown", "message"] {
            assert_eq!(written[0][member], every.as_str(), "{member}");
        }
    }

    #[test]
    fn a_line_has_the_fields_of_the_spans_around_it_and_of_no_others() {
        let written = lines(|| {
            let request = tracing::info_span!("request", request_id = %"r-\"1\"", later = tracing::field::Empty);
            request.in_scope(|| {
                tracing::info!("within");
                request.record("later", 2);
                tracing::info!("recorded");
            });
            tracing::info!("without");
        });
        let expected = [
            json!({"level": "INFO", "message": "within", "request_id": "r-\"1\""}),
            json!({"level": "INFO", "message": "recorded", "request_id": "r-\"1\"", "later": 2}),
            json!({"level": "INFO", "message": "without"}),
        ];
        assert_eq!(written, expected);
    }
}
