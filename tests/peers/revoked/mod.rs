//! The examples' treatment of tokens that were revoked before they expired. Each copied example runs twice against a
//! stand-in issuer: once going on when it does not know what has been revoked (`open`), once refusing all (`closed`).

mod clock;
mod issuer;
mod old_tokens;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wxmint::clock::now;

use self::issuer::{By, Manner, OTHER_APP, PERSON_APP, page};
pub(crate) use self::{clock::obeys_no_wrong_clock, issuer::Issuer};
use crate::example::Example;
use crate::forge::{self, merged};
use crate::raw::Request;
use crate::support::answer;

/// All that is asked of whoever follows the feed. `start` runs an example: `closed`, or not.
pub(super) async fn obeys_the_feed<T>(
    start: impl Fn(&Issuer, bool) -> T,
    example: impl Fn(&T) -> &Example,
) {
    let issuer = Issuer::start().await;
    // The open one last, because it waits for a first page only for a time.
    let (closed, open) = (start(&issuer, true), start(&issuer, false));
    let newest = {
        let (open, closed) = (example(&open), example(&closed));
        waits_for_a_first_page(&issuer, open, closed).await;
        refuses_what_was_revoked(&issuer, &[open, closed]).await;
        takes_no_page_for_a_token(&issuer, open).await;
        tells_when_the_feed_is_gone(&issuer, open, closed).await;
        takes_older_pages_for_no_news(&issuer, open, closed).await
    };
    drop(closed);
    let open = example(&open);
    believes_no_bad_page(&issuer, open, newest).await;
    begins_again_where_its_cursor_is_unknown(&issuer, open).await;
    forgets(&issuer, open).await;
}

/// A key that was retired for an emergency is refused soon, though a key that nobody knew signs the page.
pub(super) async fn obeys_a_page_of_a_new_key<T>(
    start: impl Fn(&Issuer, bool) -> T,
    example: impl Fn(&T) -> &Example,
) {
    let issuer = Issuer::start().await;
    issuer.says(Manner::Good);
    let running = start(&issuer, false);
    let example = example(&running);
    let [first, second, third] =
        [By::First, By::Second, By::Third].map(|key| issuer.token(key, json!({"sub": "lin"})));
    example
        .becomes(&first, 200, "a token of the first key")
        .await;
    assert_eq!(
        example.status(&third).await,
        Some(401),
        "{}: a key that is not published",
        example.name
    );
    issuer.retires_first_key();
    example
        .becomes(&first, 401, "a token of the retired key")
        .await;
    example.becomes(&third, 200, "a token of the new key").await;
    assert_eq!(
        example.status(&second).await,
        Some(200),
        "{}: a token of another key",
        example.name
    );
}

/// One that can hold no more revocations than `start` has set, 20, keeps the newest of the kind with most, and says
/// that it lacks some: where it is closed, by 503.
pub(super) async fn keeps_the_newest<T>(
    start: impl Fn(&Issuer, bool) -> T,
    example: impl Fn(&T) -> &Example,
) {
    let issuer = Issuer::start().await;
    issuer.says(Manner::Good);
    let of = |sub: &str, jti: &str| {
        issuer.token(
            By::First,
            json!({"sub": sub, "jti": jti, "iat": revoked_second()}),
        )
    };
    issuer.revoke_user("lin", revoked_second());
    issuer.revoke_second_key();
    let blocked = [
        of("lin", "jti"),
        issuer.token(By::Second, json!({"sub": "sun"})),
    ];
    let (newest, oldest) = (of("zhao", "jti-39"), of("zhao", "jti-0"));
    let (open, closed) = (start(&issuer, false), start(&issuer, true));
    let (open, closed) = (example(&open), example(&closed));
    closed
        .becomes(&of("mei", "jti"), 200, "closed, with two revocations")
        .await;
    for number in 0..40 {
        issuer.revoke_token(&format!("jti-{number}"), now().timestamp() + 1000 + number);
    }
    open.becomes(&newest, 401, "the newest revocation").await;
    for token in &blocked {
        assert_eq!(
            open.status(token).await,
            Some(401),
            "{}: a kind of which few are held",
            open.name
        );
    }
    assert_eq!(
        open.status(&oldest).await,
        Some(200),
        "{}: the oldest revocation of most",
        open.name
    );
    closed
        .becomes(&of("mei", "jti"), 503, "closed, and full")
        .await;
}

/// Keys that the issuer confirms no more are believed for a time, which `start` sets short, and no longer.
pub(super) async fn believes_no_old_keys<T>(
    start: impl Fn(&Issuer) -> T,
    example: impl Fn(&T) -> &Example,
) {
    let issuer = Issuer::start().await;
    issuer.says(Manner::Good);
    let running = start(&issuer);
    let example = example(&running);
    let mei = issuer.token(By::First, json!({"sub": "mei"}));
    example.becomes(&mei, 200, "with keys").await;
    issuer.publishes(false);
    assert_eq!(
        example.status(&mei).await,
        Some(200),
        "{}: at once",
        example.name
    );
    example
        .becomes(&mei, 503, "with keys that are too old")
        .await;
}

async fn waits_for_a_first_page(issuer: &Issuer, open: &Example, closed: &Example) {
    let mei = issuer.token(By::First, json!({"sub": "mei"}));
    assert_ne!(open.status(&mei).await, Some(200), "open, without a page");
    closed.becomes(&mei, 503, "closed, without a page").await;
    open.becomes(&mei, 200, "open, which waits for a page no longer")
        .await;
    assert_eq!(
        closed.status(&mei).await,
        Some(503),
        "closed, still without a page"
    );
    issuer.says(Manner::Good);
    closed.becomes(&mei, 200, "closed, with a page").await;
}

async fn refuses_what_was_revoked(issuer: &Issuer, examples: &[&Example]) {
    let iat = now().timestamp() - 100;
    let of = |sub: &str, more: Value| {
        issuer.token(By::First, merged(&json!({"sub": sub, "iat": iat}), more))
    };
    let lin = of("lin", json!({}));
    let [here, there] = [PERSON_APP, OTHER_APP].map(|app| of("wang", json!({"client_id": app})));
    let [one, another] = ["jti-one", "jti-another"].map(|jti| of("zhao", json!({"jti": jti})));
    let second = issuer.token(By::Second, json!({"sub": "sun"}));
    let first = of("sun", json!({}));
    let later = of("lin", json!({"iat": iat + 1}));
    let all = [&lin, &here, &there, &one, &another, &second, &first, &later];
    for (example, token) in examples
        .iter()
        .flat_map(|example| all.map(|token| (example, token)))
    {
        assert_eq!(
            example.status(token).await,
            Some(200),
            "{}: before any revocation",
            example.name
        );
    }

    issuer.revoke_user("lin", iat - 1);
    issuer.revoke(json!(["of a newer issuer", {"what": "ever"}]));
    issuer.revoke(json!(["of one element"]));
    issuer.revoke_in_app("wang", PERSON_APP, iat);
    issuer.revoke_token("jti-one", iat + 3600);
    issuer.revoke_second_key();
    for example in examples {
        for (token, what) in [
            (&here, "its user in its app"),
            (&one, "its jti"),
            (&second, "its key"),
        ] {
            example.becomes(token, 401, what).await;
        }
        for token in [&lin, &there, &another, &first] {
            assert_eq!(
                example.status(token).await,
                Some(200),
                "{}: what nobody has revoked",
                example.name
            );
        }
    }
    issuer.revoke_user("lin", iat);
    // An earlier time does not replace a later one.
    issuer.revoke_user("lin", iat - 50);
    for example in examples {
        example
            .becomes(&lin, 401, "its user, in the second of its iat")
            .await;
        assert_eq!(
            example.status(&later).await,
            Some(200),
            "{}: a login after the revocation",
            example.name
        );
    }
    issuer.answers(Manner::Good).await;
    for (example, token) in examples
        .iter()
        .flat_map(|example| [&lin, &here, &one, &second].map(|t| (example, t)))
    {
        assert_eq!(
            example.status(token).await,
            Some(401),
            "{}: what was revoked stays so",
            example.name
        );
    }
}

async fn takes_no_page_for_a_token(issuer: &Issuer, example: &Example) {
    let page = issuer.page_like_a_token(json!({"sub": "mei", "revoked": []}));
    assert_eq!(
        example.status(&page).await,
        Some(401),
        "{}: a page is no token",
        example.name
    );
}

async fn tells_when_the_feed_is_gone(issuer: &Issuer, open: &Example, closed: &Example) {
    let [lin, mei] = ["lin", "mei"]
        .map(|sub| issuer.token(By::First, json!({"sub": sub, "iat": revoked_second()})));
    issuer.says(Manner::Gone);
    closed.becomes(&mei, 503, "closed, without news").await;
    let reply = Request::get(closed.protected)
        .bearer(&mei)
        .send(closed.address)
        .await
        .expect("an answer");
    assert_eq!(reply.header("retry-after").len(), 1, "{reply:?}");
    assert_eq!(
        (open.status(&mei).await, open.status(&lin).await),
        (Some(200), Some(401)),
        "open goes on"
    );
    issuer.says(Manner::Good);
    closed.becomes(&mei, 200, "closed, with news").await;
    assert_eq!(
        closed.status(&lin).await,
        Some(401),
        "and has forgotten nothing"
    );
}

/// A page that is a little older than the newest one, as another replica may have it. Returns the newest page's `iat`.
async fn takes_older_pages_for_no_news(issuer: &Issuer, open: &Example, closed: &Example) -> i64 {
    let token = |sub: &str| issuer.token(By::First, json!({"sub": sub}));
    let [mei, zhou, wei, han] = ["mei", "zhou", "wei", "han"].map(token);
    let page = |iat: i64, user: &str| {
        let revocation = json!([
            "sub",
            issuer.hash(user),
            now().timestamp() + 1000,
            now().timestamp() + 9000
        ]);
        Manner::page_with(json!({"iat": iat, "exp": iat + 300, "revoked": [revocation]}))
    };
    issuer.says(page(now().timestamp() - 30, "zhou"));
    open.becomes(&zhou, 401, "in a page that is 30 s older")
        .await;
    closed
        .becomes(&mei, 503, "closed, with pages that are 30 s older")
        .await;
    let newest = now().timestamp() + 50;
    issuer.says(page(newest, "wei"));
    for example in [open, closed] {
        example.becomes(&wei, 401, "in the newest page").await;
    }
    issuer.says(page(newest - 60, "han"));
    for example in [open, closed] {
        example
            .becomes(&han, 401, "in a page that is 60 s older")
            .await;
        assert_eq!(
            example.status(&mei).await,
            Some(200),
            "{}: its newest page is as new as before",
            example.name
        );
    }
    newest
}

#[expect(clippy::too_many_lines, reason = "it has a row for each bad page")]
async fn believes_no_bad_page(issuer: &Issuer, example: &Example, newest: i64) {
    let [lin, mei] = ["lin", "mei"]
        .map(|sub| issuer.token(By::First, json!({"sub": sub, "iat": revoked_second()})));
    let access_token = issuer.token(By::First, json!({"sub": "mei"}));
    let header = |members: Value| {
        Manner::says(move |signers, header, claims| {
            signers.key.page(&merged(&header, members.clone()), &claims)
        })
    };
    let time = now().timestamp();
    let revocation_of_mei = json!(["sub", issuer.hash("mei"), time + 1000, time + 9000]);
    let revocation = |revocation: Value| {
        Manner::page_with(json!({"revoked": [revocation_of_mei.clone(), revocation]}))
    };
    for (what, manner) in [
        (
            "by a foreign key",
            Manner::says(|signers, header, claims| signers.foreign.page(&header, &claims)),
        ),
        (
            "by a foreign key of its own name",
            Manner::says(|signers, mut header, claims| {
                header["kid"] = signers.foreign.kid.clone().into();
                signers.foreign.page(&header, &claims)
            }),
        ),
        (
            "by a key that was revoked",
            Manner::says(|signers, mut header, claims| {
                header["kid"] = signers.second.kid.clone().into();
                signers.second.page(&header, &claims)
            }),
        ),
        (
            "the revocation of the key that signs it",
            Manner::of_its_own_revocation(),
        ),
        ("no kid", header(json!({"kid": null}))),
        (
            "unsigned",
            Manner::says(|signers, mut header, claims| {
                header["alg"] = "none".into();
                let token = signers.key.token(&header.to_string(), &claims.to_string());
                page(&token[..=token.rfind('.').expect("a token")])
            }),
        ),
        (
            "an access token",
            Manner::says(move |_, _, _| page(&access_token)),
        ),
        ("another typ", header(json!({"typ": "at+jwt"}))),
        ("no typ", header(json!({"typ": null}))),
        (
            "typ in other case",
            header(json!({"typ": "Revocations+JWT"})),
        ),
        (
            "crit",
            header(json!({"crit": ["revocations"], "revocations": 1})),
        ),
        (
            "another issuer's",
            Manner::page_with(json!({"iss": "https://login.example.net"})),
        ),
        ("no issuer", Manner::page_with(json!({"iss": null}))),
        (
            "a page that is 61 s older",
            Manner::page_with(json!({"iat": newest - 61, "exp": time + 200})),
        ),
        (
            "an expired page",
            Manner::page_with(json!({"iat": time - 1000, "exp": time - 700})),
        ),
        ("without exp", Manner::page_with(json!({"exp": null}))),
        (
            "of the future",
            Manner::page_with(json!({"iat": time + 1000, "exp": time + 1300})),
        ),
        (
            "an answer to another question",
            Manner::page_with(json!({"after": "0-987654"})),
        ),
        ("without after", Manner::page_with(json!({"after": null}))),
        (
            "without a cursor",
            Manner::page_with(json!({"cursor": null})),
        ),
        ("more, perhaps", Manner::page_with(json!({"more": "true"}))),
        (
            "without revocations",
            Manner::page_with(json!({"revoked": null})),
        ),
        (
            "the revocations are no array",
            Manner::page_with(json!({"revoked": {"0": revocation_of_mei}})),
        ),
        ("a revocation that is no array", revocation(json!("sub"))),
        ("a revocation of nothing", revocation(json!([]))),
        (
            "a user revoked at no time",
            revocation(json!(["sub", issuer.hash("li")])),
        ),
        (
            "a user revoked at a text",
            revocation(json!(["app", issuer.hash("li"), "1", time])),
        ),
        (
            "a revocation of a user without a date",
            revocation(json!(["sub", issuer.hash("li"), time])),
        ),
        (
            "a revocation in an app without a date",
            revocation(json!(["app", issuer.hash("li"), time])),
        ),
        (
            "a revocation of a user until a text",
            revocation(json!(["sub", issuer.hash("li"), time, "1"])),
        ),
        (
            "a token without a date",
            revocation(json!(["jti", issuer.hash("li")])),
        ),
        ("a hash that is none", revocation(json!(["jti", "li", 1]))),
        ("a key without a name", revocation(json!(["kid", 1, time]))),
        (
            "a revocation of a key without a date",
            revocation(json!(["kid", "a"])),
        ),
        ("404", Manner::body("404 Not Found", b"")),
        (
            "500 with a page",
            Manner::says(|signers, header, claims| {
                let page = signers.key.token(&header.to_string(), &claims.to_string());
                answer("500 Internal Server Error", "", page.as_bytes())
            }),
        ),
        ("nothing", Manner::body("200 OK", b"")),
        ("HTML", Manner::body("200 OK", b"<html>maintenance</html>")),
        (
            "half a page",
            Manner::says(|signers, header, claims| {
                let mut half = signers.key.page(&header, &claims);
                half.truncate(half.len() - 20);
                half
            }),
        ),
        (
            "a redirect to a good page",
            Manner::says(|_, _, _| answer("302 Found", "Location: /elsewhere\r\n", b"")),
        ),
        ("50 MB", Manner::body("200 OK", &vec![b'e'; 50_000_000])),
        (
            "a header of brackets",
            Manner::says(|_, _, _| {
                page(&format!(
                    "{}.e30.e30",
                    URL_SAFE_NO_PAD.encode("[".repeat(1_572_000))
                ))
            }),
        ),
        ("no end", Manner::Drips),
        ("a beginning, and then silence", Manner::Stalls),
        ("a head without a revocation", Manner::DripsHead),
        ("no answer", Manner::Gone),
    ] {
        issuer.answers(manner).await;
        assert!(
            issuer.sent() < 20_000_000,
            "{}: {what}: it has read {} bytes",
            example.name,
            issuer.sent()
        );
        assert_eq!(
            example.status(&mei).await,
            Some(200),
            "{}: believes a page: {what}",
            example.name
        );
        assert_eq!(
            example.status(&lin).await,
            Some(401),
            "{}: has forgotten a revocation: {what}",
            example.name
        );
    }
    issuer.answers(Manner::Good).await;
    issuer.revoke_user("qian", now().timestamp());
    let qian = issuer.token(By::First, json!({"sub": "qian", "iat": revoked_second()}));
    example
        .becomes(&qian, 401, "a good page after all the bad ones")
        .await;
}

async fn begins_again_where_its_cursor_is_unknown(issuer: &Issuer, example: &Example) {
    issuer.loses_cursors();
    issuer.revoke_user("wu", now().timestamp());
    let [lin, wu] = ["lin", "wu"]
        .map(|sub| issuer.token(By::First, json!({"sub": sub, "iat": revoked_second()})));
    example.becomes(&wu, 401, "a page of the whole feed").await;
    assert_eq!(example.status(&lin).await, Some(401));
}

/// A revocation is held until its own date, the leeway of a minute and the minute by which clocks may differ, by the
/// time of the pages, and no longer, whatever else is held.
async fn forgets(issuer: &Issuer, example: &Example) {
    let one = issuer.token(By::First, json!({"sub": "zhao", "jti": "jti-one"}));
    let lin = issuer.token(By::First, json!({"sub": "lin", "iat": revoked_second()}));
    let time = now().timestamp();
    let newer = |after: i64| {
        let (iat, exp) = (time + after, time + after + 300);
        Manner::page_with(json!({"iat": iat, "exp": exp, "revoked": []}))
    };
    // The newest page until now may be of 50 s later. It looks for what it can forget once in 6 s of the pages, because
    // a look at a million revocations takes long.
    issuer.answers(newer(51)).await;
    let until = time + 56 - 120;
    let of = |sub: &str, jti: &str| {
        issuer.token(
            By::First,
            json!({"sub": sub, "jti": jti, "iat": revoked_second()}),
        )
    };
    let (old, older) = (of("old", "jti-of-old"), of("older", "jti-of-older"));
    let [in_app, by_id] = [of("in-app", "jti-of-in-app"), of("by-id", "jti-by-id")];
    let before = revoked_second();
    issuer.says(Manner::page_with(json!({"revoked": [
        ["sub", issuer.hash("old"), before, until],
        ["app", issuer.hash(&format!("in-app\0{PERSON_APP}")), before, until],
        ["jti", issuer.hash("jti-by-id"), until],
        ["sub", issuer.hash("older"), before, time + 50 - 120],
    ]})));
    for token in [&old, &in_app, &by_id] {
        example
            .becomes(token, 401, "a revocation that is needed for some seconds")
            .await;
    }
    assert_eq!(
        example.status(&older).await,
        Some(200),
        "{}: a revocation that nobody needs is not taken",
        example.name
    );
    issuer.says(newer(58));
    for token in [&old, &in_app, &by_id] {
        example
            .becomes(token, 200, "a revocation that nobody needs any more")
            .await;
    }
    for token in [&lin, &one] {
        assert_eq!(
            example.status(token).await,
            Some(401),
            "{}: forgets what is needed for longer",
            example.name
        );
    }
}

/// Before which each user whom a test revokes is revoked.
fn revoked_second() -> i64 {
    now().timestamp() - 150
}
