//! The requirements on a store for platforms.

use std::rc::Rc;

use super::*;
use crate::doors::servers;

fn said(at: i64, value: &str) -> PlatformEntry {
    PlatformEntry {
        at,
        value: value.into(),
    }
}

#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom"
)]
async fn what_a_platform_keeps_is_the_newest_and_a_push_counts_once(store: Rc<Store>) {
    let [platform, other] = ["wx1", "wx2"].map(|id| id.parse::<AppId>().expect("an AppID"));
    let store = &store;
    let state = async |version| entries(store, &platform, version).await.expect("an answer");
    let note = async |entry: &str, new: &PlatformEntry, expected: Expected<'_>| {
        note_entry(store, &platform, entry, new, expected, None)
            .await
            .expect("an answer")
    };
    let push = async |push: &str, new: &PlatformEntry| {
        note_entry(
            store,
            &platform,
            "ticket",
            new,
            Expected::NotLater,
            Some(push),
        )
        .await
        .expect("an answer")
    };
    assert_eq!(state(0).await, None, "nothing has changed");
    let [early, first, later] = [said(99, "early"), said(100, "a b\0"), said(101, "c")];
    assert!(push("p1", &first).await);
    let version = state(0).await.expect("a change").version;
    assert_eq!(state(version).await, None);
    assert_eq!(
        entries(store, &other, 0).await.expect("an answer"),
        None,
        "another platform's"
    );
    let lost = entries(store, &other, version).await.expect("an answer");
    assert_eq!(
        lost,
        Some(PlatformState::default()),
        "nothing is left of what was known"
    );

    assert!(!push("p1", &later).await);
    assert!(!push("p2", &early).await);
    assert!(!push("p2", &later).await, "late ones are remembered too");
    assert_eq!(
        state(version).await,
        None,
        "none of them has changed anything"
    );
    assert!(push("p3", &said(100, "same second")).await);

    assert!(note("merchant:wx1", &first, Expected::NotLater).await);
    let this = |known| Expected::This(Some(known));
    assert!(!note("merchant:wx1", &later, Expected::This(None)).await);
    assert!(!note("merchant:wx1", &later, this(&early)).await);
    assert!(note("merchant:wx1", &later, this(&first)).await);
    assert!(!note("merchant:wx3", &later, this(&first)).await);
    assert!(!note("merchant:wx1", &later, Expected::Other(&later)).await);
    assert!(
        !note("merchant:wx1", &first, Expected::Other(&early)).await,
        "something later is known"
    );
    assert!(note("merchant:wx1", &later, Expected::Other(&first)).await);
    assert!(note("merchant:wx2", &early, Expected::Other(&first)).await);
    let known = state(version).await.expect("changes").entries;
    let expected = [
        ("merchant:wx1", later),
        ("merchant:wx2", early),
        ("ticket", said(100, "same second")),
    ];
    assert!(
        known
            .into_iter()
            .eq(expected.map(|(entry, held)| (entry.to_owned(), held)))
    );
}

crate::conformance! {
    what_a_platform_keeps_is_the_newest_and_a_push_counts_once
}
