//! The number of people, which is the last line of an export.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use wxmint_ids::Person;

/// The last line of an export, by which one that was cut off is told.
pub(super) fn trailer(count: usize) -> Value {
    json!({"wxmint_bindings": {"count": count}})
}

/// The number of people that a trailer tells; `None` if the line is something else.
pub(super) fn read_trailer(line: &[u8]) -> Option<Result<usize, String>> {
    line.starts_with(br#"{"wxmint_bindings""#).then(|| {
        let told: Value = serde_json::from_slice(line).unwrap_or_default();
        let count = told["wxmint_bindings"]["count"].as_u64().map(|count| count as usize);
        let wrong = || "is a trailer of another form, perhaps of a later version".to_owned();
        count.filter(|count| told == trailer(*count)).ok_or_else(wrong)
    })
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
        assert_eq!(read_trailer(trailer(3).to_string().as_bytes()), Some(Ok(3)));
        assert!(read_trailer(br#"{"appid":"wx1","openid":"o1","user_id":"u1"}"#).is_none());
        let later = br#"{"wxmint_bindings":{"count":1,"sha512":""}}"#;
        assert!(read_trailer(later).expect("meant to be one").is_err());
    }
}
