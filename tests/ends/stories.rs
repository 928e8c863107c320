//! The rules that only a rare coincidence needs, each shown by the shortest history in which it is needed.

use wxmint::{
    store::Ended,
    verify::{
        LONGEST_LIFE, MAX_LEEWAY,
        ends::{EndsPage, PAGE_LIFE},
    },
};

use crate::{
    rules::{AS_THEY_ARE, Rules},
    store::{Millis, SECOND, State},
    verifiers::{ISSUER, Keys, Verifier},
    world::published,
};

const NOW: Millis = 1_800_000_000 * SECOND;

/// The end of a token that is valid for an hour.
fn end(id: &str) -> Ended {
    Ended::Token { id: id.parse().expect("an id"), expires_at: NOW / SECOND + 3600 }
}

fn stream(ends: &[(&str, Millis)]) -> State {
    let mut store = State::default();
    ends.iter().for_each(|(id, at)| store.publish(&end(id), true, *at));
    store
}

/// One page from a store in which `then` is what the second read finds.
fn poll(verifier: &mut Verifier, keys: &Keys, rules: &Rules, store: &State, then: &State) {
    let cursor = verifier.feed.cursor().to_owned();
    let has = cursor.is_empty() || store.has(&cursor, rules);
    let read = has.then(|| then.read(&cursor, 10, rules)).flatten();
    let (after, read) = match read {
        Some(read) => (cursor, read),
        None => (String::new(), then.read("", 10, rules).expect("the stream has a beginning")),
    };
    let iat = NOW / SECOND;
    let page = EndsPage {
        iss: ISSUER.into(),
        iat,
        exp: iat + PAGE_LIFE.as_secs() as i64,
        after,
        cursor: read.cursor,
        more: read.more,
        keep: 90_000,
        ended: read.ends.iter().map(published).collect(),
    };
    assert_eq!(verifier.accept(&keys.sign(0, &page), keys, NOW), Ok(false));
}

/// How many ends a verifier holds that has read `before`, then asks while `during` becomes `after`, and once more.
fn held(rules: &Rules, before: &State, during: &State, after: &State) -> usize {
    let (keys, mut verifier) = (Keys::new(), Verifier::start(0, NOW));
    poll(&mut verifier, &keys, rules, before, before);
    poll(&mut verifier, &keys, rules, during, after);
    poll(&mut verifier, &keys, rules, after, after);
    verifier.feed.ends().count()
}

/// "lost" is in the stream and on no replica of the store. The store fails over to a machine whose clock is behind, and two
/// other ends are written there, the second in the very millisecond that "lost" was in.
#[test]
fn a_cursor_needs_a_hash_of_its_entry() {
    let (before, after) = (stream(&[("lost", NOW)]), stream(&[("one", NOW - 500), ("two", NOW)]));
    let held = |rules: Rules| held(&rules, &before, &after, &after);
    assert_eq!(held(AS_THEY_ARE), 3);
    assert_eq!(held(Rules { a_cursor_has_a_hash: false, ..AS_THEY_ARE }), 1);
}

/// The failover comes between the look for the cursor and the read after it, and so do two other ends.
#[test]
fn a_cursor_must_be_looked_for_again_when_the_stream_is_read() {
    let (before, after) = (stream(&[("lost", NOW)]), stream(&[("one", NOW + 500), ("two", NOW + 1_000)]));
    let held = |rules: Rules| held(&rules, &before, &before, &after);
    assert_eq!(held(AS_THEY_ARE), 3);
    let without = held(Rules { the_second_read_looks_too: false, ..AS_THEY_ARE });
    assert_eq!(without, 2, "the first of them is taken for the cursor's entry");
}

/// A token of the longest life is ended in its first moment. At its last moment, by a clock that is 30 s behind, a verifier
/// starts, and the store, whose clock is 30 s ahead, trims the stream.
#[test]
fn the_stream_has_an_end_for_as_long_as_somebody_accepts_the_token() {
    const APART: Millis = 30 * SECOND;
    let life = Millis::try_from((LONGEST_LIFE + MAX_LEEWAY).as_millis()).expect("some days");
    let mut store = stream(&[("ended", NOW)]);
    store.publish(&end("another"), true, NOW + life + 2 * APART);
    assert_eq!(store.read("", 10, &AS_THEY_ARE).map(|read| read.ends), Some(vec![end("ended"), end("another")]));
    store.publish(&end("third"), true, NOW + life + 2 * APART + SECOND);
    assert_eq!(store.read("", 10, &AS_THEY_ARE).map(|read| read.ends.len()), Some(2), "then it is trimmed");
}
