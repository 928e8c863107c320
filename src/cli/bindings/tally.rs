//! The number and the digest of a set of lines, which are the last line of an export.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::{cli::output, ids::Person};

/// The last line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    #[serde(rename = "wxmint_bindings")]
    pub(super) sum: Sum,
}

/// Number and digest. The digest is the sum of the lines' SHA-256 modulo 2^256, so that two exports of the same
/// bindings have the same digest in any order. It detects accidents, not forgery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sum {
    pub(super) count: u64,
    pub(super) sha256: String,
}

/// Adds lines up, and remembers which people have one.
#[derive(Default)]
pub(super) struct Tally {
    count: u64,
    digest: [u8; 32],
    people: HashSet<u128>,
}

impl Tally {
    /// Counts a line. Returns false, and does not count, if the person has a line already.
    pub(super) fn add(&mut self, record: &Record) -> bool {
        let new = self.people.insert(mark(&record.person));
        if new {
            self.count += 1;
            let line = digest(&SHA256, record.line().as_bytes());
            add_to(&mut self.digest, line.as_ref());
        }
        new
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn sum(&self) -> Sum {
        let sha256 = self.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Sum { count: self.count, sha256 }
    }

    pub(super) fn trailer(&self) -> String {
        output::json(&Trailer { sum: self.sum() })
    }
}

impl Trailer {
    /// Reads a trailer; `None` if the line is something else.
    pub(super) fn parse(line: &[u8]) -> Option<Result<Self, String>> {
        let wrong = |_| "is a trailer of another form, perhaps of a later version".to_owned();
        line.starts_with(br#"{"wxmint_bindings""#).then(|| serde_json::from_slice(line).map_err(wrong))
    }
}

/// Half of a digest, which takes 16 bytes for each person.
fn mark(person: &Person) -> u128 {
    let whole = digest(&SHA256, format!("{}:{}", person.app, person.openid.as_str()).as_bytes());
    whole.as_ref().iter().take(16).fold(0, |mark, byte| mark << 8 | u128::from(*byte))
}

/// Adds two big-endian numbers of 256 bits.
fn add_to(sum: &mut [u8; 32], term: &[u8]) {
    let mut carry = 0;
    for (byte, add) in sum.iter_mut().zip(term).rev() {
        let total = u16::from(*byte) + u16::from(*add) + carry;
        (*byte, carry) = (total as u8, total >> 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(openid: &str, user: &str) -> Record {
        let line = format!(r#"{{"appid":"wx1","openid":"{openid}","user_id":"{user}"}}"#);
        Record::parse(line.as_bytes(), None).expect("a record")
    }

    fn tally(records: &[Record]) -> Sum {
        let mut tally = Tally::default();
        records.iter().for_each(|record| assert!(tally.add(record)));
        tally.sum()
    }

    #[test]
    fn the_digest_is_of_the_set_and_not_of_the_order() {
        let [one, two, three] = ["o1", "o2", "o3"].map(|openid| record(openid, "u"));
        let sum = tally(&[one.clone(), two.clone(), three.clone()]);
        assert_eq!(sum, tally(&[three.clone(), one.clone(), two.clone()]));
        assert_ne!(sum, tally(&[one.clone(), two.clone()]));
        assert_ne!(sum, tally(&[one, two, record("o3", "other")]));
        assert_eq!(tally(&[]), Sum { count: 0, sha256: "0".repeat(64) });
    }

    #[test]
    fn the_digest_of_one_line_is_its_sha_256() {
        // printf '{"appid":"wx1","openid":"o1","user_id":"u1"}' | sha256sum
        let sha256 = tally(&[record("o1", "u1")]).sha256;
        assert_eq!(sha256, "03b3e438f0ac0f6b78fe54a63a5cb2cc65ffaf215dff7c3436e7a220654a63af");
    }

    #[test]
    fn sums_carry_and_wrap() {
        let number = |low: u8, rest: u8| std::array::from_fn::<u8, 32, _>(|index| if index == 31 { low } else { rest });
        let mut sum = number(255, 255);
        add_to(&mut sum, &number(1, 0));
        assert_eq!(sum, [0; 32]);
        add_to(&mut sum, &number(200, 0));
        add_to(&mut sum, &number(100, 0));
        assert_eq!((sum[30], sum[31]), (1, 44));
    }

    #[test]
    fn a_person_is_counted_once() {
        let mut tally = Tally::default();
        assert!(tally.add(&record("o1", "u1")));
        assert!(!tally.add(&record("o1", "u2")));
        assert_eq!(tally.count(), 1);
    }

    #[test]
    fn a_trailer_is_told_from_other_lines() {
        let tally = Tally::default();
        let trailer = Trailer::parse(tally.trailer().as_bytes()).expect("meant to be one").expect("one");
        assert_eq!(trailer.sum, tally.sum());
        assert!(Trailer::parse(record("o1", "u1").line().as_bytes()).is_none());
        let later = br#"{"wxmint_bindings":{"count":1,"sha512":""}}"#;
        assert!(Trailer::parse(later).expect("meant to be one").is_err());
    }
}
