//! Formats a log line as one flat JSON object: `timestamp`, `level`, the event's fields (`message`
//! among them), and the fields of the spans around it (`request_id`).
//! docs/decisions/0017-our-own-log-lines.md says why no library writes the lines.

use std::fmt::{self, Debug};
use std::io::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::{
    FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer,
};
use tracing_subscriber::{field::RecordFields, registry::LookupSpan};

use super::audit::{self, now};

/// Formats lines, and their fields as `,"name":value`.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = now().to_rfc3339_opts(SecondsFormat::Micros, true);
        write!(
            line,
            r#"{{"timestamp":"{now}","level":"{}""#,
            event.metadata().level()
        )?;
        context.field_format().format_fields(line.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.write_str(fields)?;
            }
        }
        line.write_str("}\n")
    }
}

impl<'a> FormatFields<'a> for JsonLines {
    fn format_fields<R: RecordFields>(&self, line: Writer<'a>, fields: R) -> fmt::Result {
        let mut members = JsonMembers {
            line,
            written: Ok(()),
        };
        fields.record(&mut members);
        members.written
    }
}

struct JsonMembers<'a> {
    line: Writer<'a>,
    written: fmt::Result,
}

impl JsonMembers<'_> {
    fn add(&mut self, field: &Field, value: impl Serialize) {
        self.written = self.written.and_then(|()| {
            let value = serde_json::to_string(&value).map_err(|_| fmt::Error)?;
            write!(self.line, r#","{}":{value}"#, field.name())
        });
    }
}

macro_rules! record {
    ($($name:ident: $type:ty),+) => {
        $(fn $name(&mut self, field: &Field, value: $type) {
            self.add(field, value);
        })+
    };
}

impl Visit for JsonMembers<'_> {
    record!(record_bool: bool, record_i64: i64, record_u64: u64, record_f64: f64, record_str: &str);

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

/// Formats an audit event as a line of the log, with its line break.
pub(super) fn of_audit(event: &audit::Event, now: DateTime<Utc>) -> io::Result<Vec<u8>> {
    let timestamp = now.to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut line = Vec::with_capacity(1024);
    write!(
        line,
        r#"{{"timestamp":"{timestamp}","level":"INFO","target":"audit","#
    )?;
    if let Some(id) = &event.origin.request_id {
        line.extend_from_slice(br#""request_id":"#);
        serde_json::to_writer(&mut line, id)?;
        line.push(b',');
    }
    let begun = line.len();
    let mut line = event.end_line(now, line);
    // Removes the brace with which the event's object begins, because its members follow the
    // members before it.
    line.remove(begun);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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

    /// Runs `log`. Returns the lines that it logs, each without its timestamp.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(JsonLines)
            .fmt_fields(JsonLines);
        with_default(tracing_subscriber::registry().with(layer), log);
        let text = String::from_utf8(sink.0.lock().expect("no panic while writing").clone())
            .expect("UTF-8");
        let line = |line| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            let timestamp = line
                .as_object_mut()
                .and_then(|line| line.remove("timestamp"))
                .expect("a timestamp");
            timestamp
                .as_str()
                .expect("text")
                .parse::<chrono::DateTime<chrono::Utc>>()
                .expect("RFC 3339");
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
            "level": "WARN", "message": "said 1", "text": "a", "number": -1, "large": u64::MAX, "whole": 2.0, "ratio": 0.5,
            "infinite": null, "yes": true, "shown": "b", "debugged": "Some(1)",
        });
        assert_eq!(written, [expected]);
    }

    #[test]
    fn no_text_can_leave_its_quotes_or_its_line() {
        let every: String = (0..=0x2_00)
            .filter_map(char::from_u32)
            .chain("\u{2028}中🔑".chars())
            .collect();
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
