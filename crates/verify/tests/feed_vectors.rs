//! The test vectors of the revocation feed, which `docs/revocation-feed` has for everybody's
//! verifier, against this one.

use std::collections::BTreeSet;
use std::fs;

use chrono::{DateTime, Utc};
use serde_json::Value;
use wxmint_verify::revocations::{RevocationFeed, RevocationHash};
use wxmint_verify::{PublishedKeys, Verifier, VerifierPolicy};

fn vectors(name: &str) -> Value {
    let path = format!(
        "{}/../../docs/revocation-feed/vectors/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_slice(&fs::read(path).expect("a file of vectors")).expect("JSON")
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().expect(name)
}

fn groups(file: &Value) -> &[Value] {
    file["testGroups"].as_array().expect("groups")
}

fn tests(group: &Value) -> &[Value] {
    group["tests"].as_array().expect("tests")
}

fn time(value: &Value) -> DateTime<Utc> {
    let seconds = value["now"].as_i64().expect("now");
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

/// A verifier that follows the feed of a group.
struct Follower {
    keys: PublishedKeys,
    verifier: Verifier,
    feed: RevocationFeed,
}

impl Follower {
    fn of(group: &Value) -> Self {
        let issuer = text(group, "issuer");
        let jwks = group["jwks"].to_string();
        let policy = VerifierPolicy::new(issuer, [text(group, "audience")]);
        Self {
            keys: PublishedKeys::read(jwks.as_bytes()).expect("keys"),
            verifier: Verifier::new(policy).expect("a verifier"),
            feed: RevocationFeed::of(issuer),
        }
    }

    fn take(&mut self, page: &str, now: DateTime<Utc>) -> &'static str {
        match self.feed.accept(page, &self.keys, now) {
            Ok(_) => "accept",
            Err(_) => "refuse",
        }
    }

    fn judge(&self, token: &str, now: DateTime<Utc>) -> &'static str {
        let revocations = self.feed.revocations();
        let verified = self
            .verifier
            .verify_unless_revoked(token, &self.keys, &revocations, now);
        match verified {
            Err(_) => "refuse",
            Ok(_) if revocations.age(now).is_none() => "unavailable",
            Ok(_) => "accept",
        }
    }
}

#[test]
fn each_page_is_accepted_or_refused_as_the_vectors_say() {
    let file = vectors("pages.json");
    for group in groups(&file) {
        for test in tests(group) {
            let mut follower = Follower::of(group);
            let result = follower.take(text(test, "page"), time(group));
            assert_eq!(result, text(test, "result"), "{}", test["comment"]);
        }
    }
}

#[test]
fn each_step_of_a_sequence_ends_as_the_vectors_say() {
    let file = vectors("sequences.json");
    for group in groups(&file) {
        let mut follower = Follower::of(group);
        for test in tests(group) {
            let result = match test["page"].as_str() {
                Some(page) => follower.take(page, time(test)),
                None => follower.judge(text(test, "token"), time(test)),
            };
            let place = format!("{} {}", group["comment"], test["tcId"]);
            assert_eq!(result, text(test, "result"), "{place}");
        }
    }
}

#[test]
fn each_hash_is_that_of_the_vectors() {
    let file = vectors("hashes.json");
    for group in groups(&file) {
        for test in tests(group) {
            let part = |at: usize| test["parts"][at].as_str().expect("a part");
            let issuer = text(group, "issuer");
            let hash = match text(test, "kind") {
                "sub" => RevocationHash::of_user(issuer, &part(0).parse().expect("a user id")),
                "jti" => RevocationHash::of_token(issuer, &part(0).parse().expect("a token id")),
                _ => RevocationHash::of_user_in_app(
                    issuer,
                    &part(0).parse().expect("a user id"),
                    &part(1).parse().expect("an AppID"),
                ),
            };
            assert_eq!(hash.to_string(), text(test, "hash"), "{}", test["comment"]);
        }
    }
}

#[test]
fn the_files_count_their_tests_and_explain_their_flags() {
    for name in ["hashes.json", "pages.json", "sequences.json"] {
        let file = vectors(name);
        let count: usize = groups(&file).iter().map(|group| tests(group).len()).sum();
        assert_eq!(file["numberOfTests"], count, "{name}");
        let flags = |of: &Value| {
            let flags = of["flags"].as_array().into_iter().flatten();
            flags
                .map(|flag| flag.as_str().expect("a flag").to_owned())
                .collect::<Vec<_>>()
        };
        let used: BTreeSet<_> = groups(&file)
            .iter()
            .flat_map(|group| {
                let of_tests = tests(group).iter().flat_map(flags);
                flags(group).into_iter().chain(of_tests).collect::<Vec<_>>()
            })
            .collect();
        let explained = file["notes"].as_object().expect("notes").keys().cloned();
        assert_eq!(used, explained.collect(), "{name}");
    }
}
