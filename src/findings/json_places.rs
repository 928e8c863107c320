//! Finds the line of a value in a JSON file, for errors that `serde_json` does not detect.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The number of the line on which the value at `place` begins, counted from 1. If there is no such
/// value, the line of the innermost value on the way to it. `place` is a JSON pointer (RFC 6901)
/// without `~`, and `text` is JSON without repeated members.
pub fn line_of(text: &str, place: &str) -> usize {
    let mut at = text;
    for step in place.split('/').skip(1) {
        let Some(inner) = value_at(at, step) else {
            break;
        };
        at = inner;
    }
    let before = at.as_ptr().addr() - text.as_ptr().addr();
    1 + text.as_bytes()[..before]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

/// The element of an array or the member of an object, as a slice of `text`.
fn value_at<'a>(text: &'a str, step: &str) -> Option<&'a str> {
    let value = match serde_json::from_str::<Vec<&'a RawValue>>(text) {
        Ok(elements) => elements.get(step.parse::<usize>().ok()?).copied()?,
        Err(_) => serde_json::from_str::<BTreeMap<String, &'a RawValue>>(text)
            .ok()?
            .get(step)
            .copied()?,
    };
    Some(value.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_on_its_line() {
        let text =
            "\n{\n \"a\": [\n  {\"b\": 1, \"c\\n\": \"x\"},\n  {\n   \"b\":\n    2}\n ]\n}\n";
        for (place, line) in [
            ("", 1),
            ("/a", 3),
            ("/a/0/c\n", 4),
            ("/a/1", 5),
            ("/a/1/b", 7),
            ("/a/1/none", 5),
            ("/a/b", 3),
            ("/none/b", 1),
        ] {
            assert_eq!(line_of(text, place), line, "{place:?}");
        }
    }
}
