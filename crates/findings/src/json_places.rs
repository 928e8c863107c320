//! Where a value stands in a JSON file, for what serde_json does not check itself.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// From a value to one within it.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    Member(&'a str),
    Element(usize),
}

/// The number of the line on which the value at `place` begins, or what holds it if it is not there. `text` is JSON
/// without a doubled member.
pub fn line_of(text: &str, place: &[Step<'_>]) -> usize {
    let mut at = text;
    for step in place {
        let Some(within) = value_at(at, *step) else { break };
        at = within;
    }
    let before = at.as_ptr().addr() - text.as_ptr().addr();
    1 + text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count()
}

/// A part of `text` itself.
fn value_at<'a>(text: &'a str, step: Step<'_>) -> Option<&'a str> {
    let value = match step {
        Step::Member(name) => serde_json::from_str::<BTreeMap<String, &'a RawValue>>(text).ok()?.get(name).copied()?,
        Step::Element(number) => serde_json::from_str::<Vec<&'a RawValue>>(text).ok()?.get(number).copied()?,
    };
    Some(value.get())
}

#[cfg(test)]
mod tests {
    use super::Step::{Element, Member};
    use super::*;

    #[test]
    fn a_value_is_found_on_its_line() {
        let text = "\n{\n \"a\": [\n  {\"b\": 1, \"c\\n\": \"x\"},\n  {\n   \"b\":\n    2}\n ]\n}\n";
        for (place, line) in [
            (&[][..], 1),
            (&[Member("a")], 3),
            (&[Member("a"), Element(0), Member("c\n")], 4),
            (&[Member("a"), Element(1)], 5),
            (&[Member("a"), Element(1), Member("b")], 7),
            (&[Member("a"), Element(1), Member("none")], 5),
            (&[Member("none"), Member("b")], 1),
        ] {
            assert_eq!(line_of(text, place), line, "{place:?}");
        }
    }
}
