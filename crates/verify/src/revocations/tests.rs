//! Each test takes a valid page and spoils one thing, or adds revocations and looks up tokens.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::*;
use crate::verifier::tests::{Forge, ISSUER, NOW, at, now, policy, with, without};
use crate::{Algorithm, Claims, PublishedKeys, Refused, TokenTyp, Verifier, VerifierPolicy};

/// The life of tokens.
const LIFE: i64 = 86_400;
const APP: &str = "wx0123456789abcdef";

/// An issuer with one key, and a verifier that follows its feed.
struct Scene {
    forge: Forge,
    keys: PublishedKeys,
    feed: RevocationFeed,
}

impl Scene {
    fn new() -> Self {
        let mut forge = Forge::of(Algorithm::Es256);
        forge.header["typ"] = json!(PAGE_TYP);
        let keys = forge.keys.clone();
        Self {
            forge,
            keys,
            feed: RevocationFeed::of(ISSUER),
        }
    }

    fn sign(&self, page: &Value) -> String {
        self.forge
            .sign(&self.forge.header.to_string(), &page.to_string())
    }

    /// Accepts or refuses a signed page.
    fn take(&mut self, page: &str) -> Result<bool, PageRefused> {
        self.feed.accept(page, &self.keys, now())
    }

    #[track_caller]
    fn accept(&mut self, page: &Value) -> bool {
        let page = self.sign(page);
        self.take(&page).expect("accepted")
    }

    /// A page that must be refused changes nothing.
    #[track_caller]
    fn refused(&mut self, page: &str) -> PageRefused {
        let before = (
            self.feed.cursor().to_owned(),
            self.feed.revocations().count(),
            self.feed.revocations().age(now()),
        );
        let refused = self.take(page).expect_err("refused");
        let after = (
            self.feed.cursor().to_owned(),
            self.feed.revocations().count(),
            self.feed.revocations().age(now()),
        );
        assert_eq!(before, after, "{refused} changed something");
        refused
    }

    fn is_revoked(&self, token: &RevocableToken) -> bool {
        self.feed.revocations().is_revoked(token)
    }

    /// A token of `user-1` in the app, issued at this time.
    fn token(&self, iat: i64) -> RevocableToken {
        self.token_of("user-1", APP, "jti-1", iat)
    }

    fn token_of(&self, user: &str, app: &str, id: &str, iat: i64) -> RevocableToken {
        let claims = Claims {
            user: user.parse().expect("a user"),
            app: app.parse().expect("an app"),
            id: id.parse().expect("an id"),
            audience: Vec::new(),
            issued_at: at(iat),
            expires_at: at(iat + 3600),
            not_before: None,
            others: serde_json::Map::new(),
        };
        RevocableToken::of(
            ISSUER,
            &claims,
            self.forge.header["kid"].as_str().expect("a kid"),
        )
    }
}

fn page() -> Value {
    json!({
        "iss": ISSUER, "iat": NOW, "exp": NOW + 300, "after": "", "cursor": "5-0", "more": false,
        "revoked": [],
    })
}

fn page_of(revoked: Value) -> Value {
    with(&page(), "revoked", revoked)
}

/// Revokes a user's tokens up to a second. The last token of that second lives for a day.
fn user_entry(user: &str, before: i64) -> Value {
    json!(["sub", hash(user), before, before.saturating_add(LIFE)])
}

/// Revokes a user's tokens of the app.
fn app_entry(user: &str, before: i64) -> Value {
    json!([
        "app",
        hash(&format!("{user}\0{APP}")),
        before,
        before.saturating_add(LIFE)
    ])
}

fn key_entry(kid: &str) -> Value {
    json!(["kid", kid, NOW + LIFE])
}

fn hash(value: &str) -> String {
    RevocationHash::of(ISSUER, value).to_string()
}

#[test]
fn each_thing_wrong_with_a_page_refuses_it_whole() {
    let mut scene = Scene::new();
    scene.accept(&page_of(json!([["jti", hash("jti-9"), NOW + 60]])));
    let ended = json!([user_entry("user-1", NOW)]);
    let next = with(&with(&page_of(ended), "after", "5-0"), "cursor", "6-0");
    for (name, value, refused) in [
        (
            "iss",
            json!("https://other.example.com"),
            PageRefused::Refused(Refused::Issuer),
        ),
        ("iss", json!([ISSUER]), PageRefused::Claims),
        (
            "iat",
            json!(NOW + 61),
            PageRefused::Refused(Refused::IssuedInFuture),
        ),
        ("iat", json!(NOW - 61), PageRefused::Older),
        ("iat", json!(f64::from(7)), PageRefused::Claims),
        (
            "exp",
            json!(NOW - 60),
            PageRefused::Refused(Refused::Expired),
        ),
        (
            "exp",
            json!(i64::MIN),
            PageRefused::Refused(Refused::Expired),
        ),
        ("after", json!("4-0"), PageRefused::OtherCursor),
        ("after", json!("6-0"), PageRefused::OtherCursor),
        ("cursor", json!("1".repeat(257)), PageRefused::Claims),
        ("cursor", json!(null), PageRefused::Claims),
        ("more", json!("true"), PageRefused::Claims),
        ("revoked", json!({}), PageRefused::Claims),
        (
            "revoked",
            json!([user_entry("user-1", NOW), ["sub", "short", NOW, NOW]]),
            PageRefused::Claims,
        ),
        (
            "revoked",
            json!([user_entry("user-1", NOW), ["sub", hash("user-2"), NOW]]),
            PageRefused::Claims,
        ),
        (
            "revoked",
            json!([user_entry("user-1", NOW), ["jti"]]),
            PageRefused::Claims,
        ),
    ] {
        let spoiled = scene.sign(&with(&next, name, value.clone()));
        assert_eq!(scene.refused(&spoiled), refused, "{name}: {value}");
    }
    for name in ["iss", "iat", "exp", "after", "cursor", "more", "revoked"] {
        let spoiled = scene
            .forge
            .sign(&scene.forge.header.to_string(), &without(&next, name));
        assert_eq!(
            scene.refused(&spoiled),
            PageRefused::Claims,
            "without {name}"
        );
    }
    let twice = next.to_string().replacen('{', r#"{"more":false,"#, 1);
    let spoiled = scene.forge.sign(&scene.forge.header.to_string(), &twice);
    assert_eq!(
        scene.refused(&spoiled),
        PageRefused::Claims,
        "a repeated member"
    );
    assert!(!scene.is_revoked(&scene.token(NOW)));
    scene.accept(&next);
    assert!(
        scene.is_revoked(&scene.token(NOW)),
        "valid but for what was spoiled"
    );
    assert_eq!(scene.feed.cursor(), "6-0");
}

#[test]
fn only_a_page_that_this_issuer_has_signed_as_a_page_is_one() {
    let (mut scene, stranger) = (Scene::new(), Scene::new());
    let valid = scene.sign(&page());
    let with_header = |name: &str, value: Value| {
        scene.forge.sign(
            &with(&scene.forge.header, name, value).to_string(),
            &page().to_string(),
        )
    };
    let [headers, payload, signature] = valid.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let other = scene.sign(&page_of(json!([key_entry("a")])));
    let spoiled = [
        (with_header("typ", json!("at+jwt")), "typ"),
        (with_header("typ", json!("JWT")), "typ"),
        (
            with_header("typ", json!("application/revocations+jwt")),
            "typ",
        ),
        (with_header("typ", json!("Revocations+JWT")), "typ"),
        (with_header("alg", json!("none")), "signature"),
        (with_header("alg", json!("RS256")), "signature"),
        (with_header("kid", json!("another")), "unknown_key"),
        (with_header("crit", json!(["exp"])), "malformed"),
        (with_header("jwk", json!({})), "malformed"),
        (stranger.sign(&page()), "unknown_key"),
        (
            stranger
                .forge
                .sign(&scene.forge.header.to_string(), &page().to_string()),
            "signature",
        ),
        (format!("{headers}.{payload}."), "signature"),
        (
            format!(
                "{headers}.{payload}.{}",
                other.rsplit('.').next().expect("a signature")
            ),
            "signature",
        ),
        (format!("{headers}.{payload}"), "malformed"),
        (format!("{valid}\n"), "malformed"),
        (format!(".{payload}.{signature}"), "malformed"),
        (String::new(), "malformed"),
        ("<html>".into(), "malformed"),
        ("a".repeat(50_000_000), "too_long"),
    ];
    for (page, reason) in spoiled {
        let refused = scene.refused(&page);
        assert_eq!(
            refused.reason(),
            reason,
            "{refused}: {}",
            &page[..page.len().min(200)]
        );
    }
    assert_eq!(scene.take(&valid), Ok(false));
}

#[test]
fn an_access_token_is_no_page_and_a_page_is_no_access_token() {
    let mut scene = Scene::new();
    // The claims of both a token and a page, with the header of one of them.
    let mut both = scene.forge.claims.clone();
    both.as_object_mut()
        .expect("an object")
        .extend(page().as_object().expect("an object").clone());
    let token = scene.forge.sign(
        &with(&scene.forge.header, "typ", "at+jwt").to_string(),
        &both.to_string(),
    );
    assert_eq!(scene.refused(&token), PageRefused::Refused(Refused::Typ));
    let page = scene.sign(&both);
    for typ in [TokenTyp::AccessToken, TokenTyp::Jwt] {
        let verifier = Verifier::new(VerifierPolicy { typ, ..policy() }).expect("a policy");
        assert!(verifier.verify(&token, &scene.keys, now()).is_ok());
        assert_eq!(
            verifier.verify(&page, &scene.keys, now()).err(),
            Some(Refused::Typ)
        );
    }
    assert_eq!(scene.take(&page), Ok(false));
}

#[test]
fn a_replayed_page_makes_the_knowledge_neither_younger_nor_older_and_one_of_long_ago_is_refused() {
    let mut scene = Scene::new();
    let old = scene.sign(&with(&page(), "iat", NOW - 40));
    assert_eq!(scene.take(&old), Ok(false));
    assert_eq!(
        scene.feed.revocations().age(now()),
        Some(TimeDelta::seconds(40))
    );
    assert_eq!(
        scene.take(&old),
        Ok(false),
        "the issuer caches a page for a second"
    );
    assert_eq!(
        scene.feed.revocations().age(now()),
        Some(TimeDelta::seconds(40)),
        "and says nothing new"
    );
    scene.accept(&with(&page(), "iat", NOW - 10));
    assert_eq!(
        scene.take(&old),
        Ok(false),
        "another replica answered, whose page is a little older"
    );
    assert_eq!(
        scene.feed.revocations().age(now()),
        Some(TimeDelta::seconds(10))
    );
    // If the clock is behind, the age is not negative.
    scene.accept(&with(&page(), "iat", NOW + 60));
    assert_eq!(scene.refused(&old), PageRefused::Older);
    assert_eq!(scene.feed.revocations().age(now()), Some(TimeDelta::zero()));
}

#[test]
fn a_clock_that_has_stepped_back_makes_the_knowledge_older_until_a_page_is_accepted_again() {
    let mut scene = Scene::new();
    scene.accept(&page());
    let ages = [(-60, 0), (-600, 600), (-599, 601), (-60, 1140), (0, 1200)];
    for (seconds, age) in ages {
        assert_eq!(
            scene.feed.revocations().age(at(NOW + seconds)),
            Some(TimeDelta::seconds(age)),
            "{seconds} s"
        );
    }
    scene.accept(&page());
    assert_eq!(scene.feed.revocations().age(now()), Some(TimeDelta::zero()));
}

#[test]
fn pages_follow_one_another_and_only_the_last_says_how_new_the_knowledge_is() {
    let mut scene = Scene::new();
    let first = with(
        &with(
            &page_of(json!([["jti", hash("a"), NOW + 60]])),
            "more",
            true,
        ),
        "iat",
        NOW - 20,
    );
    assert!(scene.accept(&first));
    assert_eq!(
        (scene.feed.cursor(), scene.feed.revocations().age(now())),
        ("5-0", None)
    );
    let circle = scene.sign(&with(&with(&page(), "after", "5-0"), "more", true));
    assert_eq!(scene.refused(&circle), PageRefused::Circle);
    let of_a_cache = scene.sign(&first);
    assert_eq!(
        scene.refused(&of_a_cache),
        PageRefused::Circle,
        "the first page in answer to each cursor"
    );
    let second = with(
        &with(
            &page_of(json!([["jti", hash("b"), NOW + 60]])),
            "after",
            "5-0",
        ),
        "cursor",
        "7-0",
    );
    assert!(!scene.accept(&second));
    assert_eq!(
        (scene.feed.cursor(), scene.feed.revocations().count()),
        ("7-0", 2)
    );
    assert_eq!(scene.feed.revocations().age(now()), Some(TimeDelta::zero()));
    // The issuer no longer knows the cursor, and begins anew: the revocations that are held stay.
    assert!(!scene.accept(&with(&page(), "cursor", "1-0")));
    assert_eq!(
        (scene.feed.cursor(), scene.feed.revocations().count()),
        ("1-0", 2)
    );
}

#[test]
fn a_token_is_revoked_up_to_the_second_before_and_valid_from_the_next() {
    let mut scene = Scene::new();
    scene.accept(&page_of(json!([
        user_entry("user-1", NOW),
        app_entry("user-2", NOW)
    ])));
    for (user, app, revoked) in [
        ("user-1", APP, true),
        ("user-1", "wx2", true),
        ("user-2", APP, true),
        ("user-2", "wx2", false),
        ("user-3", APP, false),
    ] {
        let is_revoked = |iat| scene.is_revoked(&scene.token_of(user, app, "jti-1", iat));
        assert_eq!(
            [NOW - 1000, NOW, NOW + 1].map(is_revoked),
            [revoked, revoked, false],
            "{user} {app}"
        );
    }
}

#[test]
fn one_token_or_one_key_is_revoked_and_no_other() {
    let mut scene = Scene::new();
    scene.accept(&page_of(json!([
        ["jti", hash("jti-1"), NOW + 60],
        key_entry("another")
    ])));
    let is_revoked = |scene: &Scene, id| scene.is_revoked(&scene.token_of("user-1", APP, id, NOW));
    assert_eq!(
        ["jti-1", "jti-2"].map(|id| is_revoked(&scene, id)),
        [true, false]
    );
    // A user with the id of a token is not that token.
    assert!(!scene.is_revoked(&scene.token_of("jti-1", APP, "jti-2", NOW)));
}

#[test]
fn a_page_cannot_revoke_the_key_that_signs_it_and_a_revoked_key_signs_no_page() {
    let (mut scene, successor) = (Scene::new(), Scene::new());
    scene.keys.keys.extend(successor.keys.keys.iter().cloned());
    let entry = page_of(json!([
        user_entry("user-1", NOW),
        ["kid", scene.forge.header["kid"], NOW + LIFE]
    ]));
    let (by_itself, by_successor) = (scene.sign(&entry), successor.sign(&entry));
    assert_eq!(scene.refused(&by_itself), PageRefused::RevokedKey);
    assert!(
        !scene.is_revoked(&scene.token(NOW)),
        "such a page counts for nothing else either"
    );
    assert_eq!(scene.take(&by_successor), Ok(false));
    assert!(
        scene.is_revoked(&scene.token(NOW + 1)),
        "what the key has signed is revoked"
    );
    let later = scene.sign(&page());
    assert_eq!(scene.refused(&later), PageRefused::RevokedKey);
}

#[test]
fn a_verifier_with_revocations_refuses_what_they_name() {
    let mut scene = Scene::new();
    let token = scene.forge.sign(
        &with(&scene.forge.header, "typ", "at+jwt").to_string(),
        &scene.forge.claims.to_string(),
    );
    let verifier = Verifier::new(policy()).expect("a policy");
    let refused = |scene: &Scene| {
        verifier
            .verify_unless_revoked(&token, &scene.keys, &scene.feed.revocations(), now())
            .err()
    };
    assert_eq!(refused(&scene), None);
    scene.accept(&page_of(json!([user_entry("user-1", NOW)])));
    assert_eq!(refused(&scene), Some(Refused::Revoked));
}

#[test]
fn revocations_merge_by_the_later_time_in_any_order() {
    for times in [
        [NOW - 5, NOW, NOW - 9],
        [NOW, NOW - 9, NOW - 5],
        [NOW - 9, NOW - 5, NOW],
    ] {
        let mut scene = Scene::new();
        for time in times {
            scene.accept(&page_of(json!([user_entry("user-1", time)])));
        }
        assert_eq!(
            [NOW, NOW + 1].map(|iat| scene.is_revoked(&scene.token(iat))),
            [true, false],
            "{times:?}"
        );
        assert_eq!(scene.feed.revocations().count(), 1);
    }
}

/// Accepts an empty page at a later time, which purges expired revocations.
fn later(scene: &mut Scene, seconds: i64) -> usize {
    let then = with(
        &with(&page(), "iat", NOW + seconds),
        "exp",
        NOW + seconds + 300,
    );
    let page = scene.sign(&then);
    scene
        .feed
        .accept(&page, &scene.keys, at(NOW + seconds))
        .expect("accepted");
    scene.feed.revocations().count()
}

#[test]
fn a_revocation_is_purged_two_minutes_after_its_own_date_and_not_before() {
    for entry in [
        json!(["sub", hash("user-1"), NOW, NOW + 500]),
        json!(["app", hash("user-1\0wx"), NOW - 9_000, NOW + 500]),
        json!(["jti", hash("jti-1"), NOW + 500]),
        json!(["kid", "another", NOW + 500]),
    ] {
        let mut scene = Scene::new();
        let longer = json!(["jti", hash("of a token that lives longer"), NOW + 30 * LIFE]);
        scene.accept(&page_of(json!([entry, longer])));
        // The leeway of a verifier whose clock is a minute behind.
        let held = [500 + 119, 500 + 180].map(|seconds| later(&mut scene, seconds));
        assert_eq!(held, [2, 1], "{entry}: by its own date alone");
    }
    // An expired revocation is not added.
    let mut scene = Scene::new();
    scene.accept(&page_of(json!([
        ["sub", hash("a"), NOW, NOW - 120],
        ["app", hash("a"), NOW, i64::MIN],
        ["jti", hash("b"), NOW - 120],
        ["kid", "c", NOW - 120],
    ])));
    assert_eq!(scene.feed.revocations().count(), 0);
}

#[test]
fn of_two_ends_of_a_user_the_later_date_holds_both() {
    for order in [[0, 1], [1, 0]] {
        let revocations = [
            json!(["sub", hash("user-1"), NOW, NOW + 100]),
            json!(["sub", hash("user-1"), NOW - 9, NOW + 900]),
        ];
        let mut scene = Scene::new();
        scene.accept(&page_of(json!(
            order.map(|number: usize| revocations[number].clone())
        )));
        assert_eq!(later(&mut scene, 900), 1);
        assert!(
            scene.is_revoked(&scene.token(NOW)) && !scene.is_revoked(&scene.token(NOW + 1)),
            "{order:?}"
        );
    }
}

#[test]
fn a_clock_that_is_ahead_for_a_while_purges_nothing() {
    let mut scene = Scene::new();
    let entry = page_of(json!([["sub", hash("user-1"), NOW - LIFE, NOW + 190]]));
    scene.accept(&entry);
    let empty = scene.sign(&page());
    for (ahead, is_accepted) in [(300, true), (2 * 86_400, false)] {
        assert_eq!(
            scene
                .feed
                .accept(&empty, &scene.keys, at(NOW + ahead))
                .is_ok(),
            is_accepted,
            "{ahead} s"
        );
        assert_eq!(scene.feed.revocations().count(), 1, "{ahead} s");
    }
}

#[test]
fn times_that_are_out_of_range_revoke_a_user_for_good_or_not_at_all() {
    let mut scene = Scene::new();
    scene.accept(&page_of(json!([
        user_entry("user-1", i64::MAX),
        ["sub", hash("user-2"), i64::MIN, NOW + LIFE]
    ])));
    assert!(scene.is_revoked(&scene.token_of("user-1", APP, "a", NOW + LIFE)));
    assert!(!scene.is_revoked(&scene.token_of("user-2", APP, "a", NOW)));
}

#[test]
fn readers_ask_while_a_page_is_taken() {
    let mut scene = Scene::new();
    let revocations: Vec<_> = (0..10_000)
        .map(|number| json!(["jti", hash(&format!("other-{number}")), NOW + 60]))
        .collect();
    let page = scene.sign(&page_of(json!(revocations)));
    scene.accept(&page_of(json!([user_entry("user-1", NOW)])));
    let (revocations, token) = (scene.feed.revocations(), scene.token(NOW));
    let reader = std::thread::spawn({
        let revocations = Arc::clone(&revocations);
        move || (0..200_000).all(|_| revocations.is_revoked(&token))
    });
    assert_eq!(scene.take(&page), Ok(false));
    assert!(
        reader.join().expect("a reader"),
        "what was revoked stays revoked meanwhile"
    );
    assert_eq!(revocations.count(), 10_001);
}

#[test]
fn a_full_verifier_keeps_the_newest_of_the_kind_of_which_it_holds_most_and_says_so() {
    let scene = Scene::new();
    let mut feed = RevocationFeed::of(ISSUER).holding_at_most(5);
    let revocations = feed.revocations();
    let mut take = |revoked: Value, at_time: DateTime<Utc>| {
        let iat = at_time.timestamp();
        let page = with(&with(&page_of(revoked), "iat", iat), "exp", iat + 300);
        feed.accept(&scene.sign(&page), &scene.keys, at_time)
            .expect("accepted");
        (revocations.count(), revocations.lacks(at_time))
    };
    let token = |id: &str, expires| json!(["jti", hash(id), expires]);
    let user = |id: &str| user_entry(id, NOW);
    assert_eq!(
        take(
            json!([
                key_entry("another"),
                user("blocked"),
                token("a", NOW + 100),
                token("b", NOW + 200)
            ]),
            now()
        ),
        (4, false)
    );
    assert_eq!(
        take(
            json!([
                token("c", NOW + 300),
                token("d", NOW + 400),
                token("e", NOW + 500)
            ]),
            now()
        ),
        (5, true)
    );
    // Expired revocations are purged before others are dropped, and dropped revocations are missed
    // only until they expire.
    assert_eq!(take(json!([]), at(NOW + 259)), (5, true));
    assert_eq!(take(json!([]), at(NOW + 260)), (5, false));
    assert_eq!(
        take(json!([token("f", NOW + 900)]), at(NOW + 360)),
        (5, false)
    );
    let is_revoked = |user, id| revocations.is_revoked(&scene.token_of(user, APP, id, NOW));
    assert_eq!(
        ["a", "b", "c", "d", "e", "f"].map(|id| is_revoked("user", id)),
        [false, false, false, true, true, true]
    );
    assert!(is_revoked("blocked", "g") && revocations.has_revoked_key("another"));
    // Revoked keys are never dropped.
    let keys: Vec<_> = (0..9)
        .map(|number| key_entry(&number.to_string()))
        .collect();
    assert_eq!(take(json!(keys), at(NOW + 360)), (10, true));
}
