//! The number of people, which is the last line of an export.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use wxmint_ids::Person;

use crate::cli::output;

/// The last line of an export, by which one that was cut off is told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    #[serde(rename = "wxmint_bindings")]
    total: Total,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Total {
    count: usize,
}

impl Trailer {
    /// Reads a trailer; `None` if the line is something else.
    pub(super) fn parse(line: &[u8]) -> Option<Result<Self, String>> {
        let wrong = |_| "is a trailer of another form, perhaps of a later version".to_owned();
        line.starts_with(br#"{"wxmint_bindings""#).then(|| serde_json::from_slice(line).map_err(wrong))
    }

    pub(super) fn line(count: usize) -> String {
        output::json(&Self { total: Total { count } })
    }

    pub(super) fn count(&self) -> usize {
        self.total.count
    }
}

/// The people who have a line, each as half of a digest, which takes 16 bytes.
#[derive(Default)]
pub(super) struct People(HashSet<u128>);

impl People {
    /// Returns false if the person has a line already.
    pub(super) fn add(&mut self, person: &Person) -> bool {
        let whole = digest(&SHA256, format!("{}:{}", person.app, person.openid.as_str()).as_bytes());
        self.0.insert(whole.as_ref().iter().take(16).fold(0, |mark, byte| mark << 8 | u128::from(*byte)))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_counted_once() {
        let [one, two] = ["o1", "o2"]
            .map(|openid| Person { app: "wx1".parse().expect("an app"), openid: openid.parse().expect("an openid") });
        let mut people = People::default();
        assert_eq!([people.add(&one), people.add(&two), people.add(&one)], [true, true, false]);
        assert_eq!(people.count(), 2);
    }

    #[test]
    fn a_trailer_is_told_from_other_lines() {
        let trailer = Trailer::parse(Trailer::line(3).as_bytes()).expect("meant to be one").expect("one");
        assert_eq!(trailer.count(), 3);
        assert!(Trailer::parse(br#"{"appid":"wx1","openid":"o1","user_id":"u1"}"#).is_none());
        let later = br#"{"wxmint_bindings":{"count":1,"sha512":""}}"#;
        assert!(Trailer::parse(later).expect("meant to be one").is_err());
    }
}
