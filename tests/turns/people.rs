//! The use cases of mini programs: to log in, to use the session key, and to leave.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::case::{UseCase, Whose};
use crate::house::{House, PASSWORD, Setup, control};
use crate::laws::{After, Held, bound, hold};
use crate::wechat::{APPID, OTHER_APPID};

/// Nobody yet.
async fn stranger(_: &House) -> Whose {
    Whose {
        person: "lin",
        ..Whose::default()
    }
}

/// Somebody who has logged in.
pub(crate) async fn known(house: &House) -> Whose {
    whose(house.log_in_with(APPID, "lin", json!({})).await)
}

fn whose(login: Answer) -> Whose {
    let login = login.done();
    Whose {
        person: "lin",
        user: login.member("user_id"),
        token: login.member("access_token"),
    }
}

/// Somebody who has logged in, in both apps.
pub(crate) async fn known_twice(house: &House) -> Whose {
    house
        .log_in_with(OTHER_APPID, "lin", json!({}))
        .await
        .done();
    known(house).await
}

/// Somebody who is bound to a user by a password.
async fn with_password(house: &House) -> Whose {
    whose(
        house
            .log_in_with(
                APPID,
                "lin",
                json!({"username": "alice", "password": PASSWORD}),
            )
            .await,
    )
}

pub(crate) async fn accepts_answer<S>(after: &After, _: &S, answer: &Answer) -> Held {
    after.accepts_answer(answer)
}

/// The answer is the whole effect.
pub(crate) async fn is_answered<S>(_: &After, _: &S, _: &Answer) -> Held {
    Ok(())
}

pub(crate) fn use_cases() -> Vec<UseCase> {
    [logins(), bindings(), session_keys(), leaving()]
        .into_iter()
        .flatten()
        .collect()
}

fn logins() -> Vec<UseCase> {
    let log_in =
        async |house: &House, _: &Whose, _| house.log_in_with(APPID, "lin", json!({})).await;
    let again = async |after: &After, whose: &Whose, answer: &Answer| {
        hold(answer.member("user_id") == whose.user, || {
            format!("another user: {answer:?}")
        })?;
        after.accepts_answer(answer)
    };
    let mut cases = Vec::new();
    for setup in [
        Setup::Plain,
        Setup::OneLogin,
        Setup::OfOpenid,
        Setup::OfUnionid,
    ] {
        cases.push(UseCase::new(
            ("a first login", "POST /login"),
            setup,
            stranger,
            log_in,
            accepts_answer,
        ));
        cases.push(UseCase::new(
            ("a login", "POST /login"),
            setup,
            known,
            log_in,
            again,
        ));
    }
    let get = async |house: &House, _: &Whose, _| {
        let code = house.code("lin").await;
        house
            .json(
                "GET",
                &format!("/login?appid={APPID}&code={code}"),
                Value::Null,
            )
            .await
    };
    cases.push(UseCase::new(
        ("a login by GET", "GET /login"),
        Setup::Plain,
        known,
        get,
        again,
    ));
    let elsewhere =
        async |house: &House, _: &Whose, _| house.log_in_with(OTHER_APPID, "lin", json!({})).await;
    let name = ("a first login in the second app", "POST /login");
    cases.push(UseCase::new(name, Setup::Plain, known, elsewhere, again));
    let only_one = async |after: &After, whose: &Whose, answer: &Answer| {
        after.accepts_answer(answer)?;
        after.refuses(&whose.token)
    };
    let name = ("a login that ends the one before", "POST /login");
    cases.push(UseCase::new(name, Setup::OneLogin, known, log_in, only_one));
    cases
}

/// Logins with credentials, each of which binds.
fn bindings() -> Vec<UseCase> {
    let by_password = async |house: &House, _: &Whose, _| {
        house
            .log_in_with(
                APPID,
                "lin",
                json!({"username": "alice", "password": PASSWORD}),
            )
            .await
    };
    let as_alice = async |after: &After, _: &Whose, answer: &Answer| {
        hold(answer.member("user_id") == "id-of-alice", || {
            format!("another user: {answer:?}")
        })?;
        after.accepts_answer(answer)
    };
    let ticket = async |house: &House| {
        let asked = house.log_in_with(APPID, "lin", json!({})).await;
        assert_eq!(asked.code(), "binding_required", "{asked:?}");
        (
            Whose {
                person: "lin",
                ..Whose::default()
            },
            asked.member("bind_ticket"),
        )
    };
    // A ticket is for one attempt: whoever has spent it logs in with a fresh code.
    let redeem = async |house: &House, (_, ticket): &(Whose, String), time: usize| {
        let mut body = json!({"username": "alice", "password": PASSWORD});
        if time > 0 {
            return house.log_in_with(APPID, "lin", body).await;
        }
        body["bind_ticket"] = ticket.as_str().into();
        house.json("POST", "/login", body).await
    };
    let redeemed = async |after: &After, _: &(Whose, String), answer: &Answer| {
        hold(answer.member("user_id") == "id-of-alice", || {
            format!("another user: {answer:?}")
        })?;
        after.accepts_answer(answer)
    };
    let by_phone = async |house: &House, _: &Whose, _| {
        let told = control(
            "POST",
            "phone-codes",
            json!({"person": house.person("lin"), "appid": APPID}),
        )
        .await;
        house
            .log_in_with(APPID, "lin", json!({"phone_code": told["code"]}))
            .await
    };
    vec![
        UseCase::new(
            ("a login with a password", "POST /login"),
            Setup::File,
            stranger,
            by_password,
            as_alice,
        ),
        UseCase::new(
            ("a login of a bound person", "POST /login"),
            Setup::File,
            with_password,
            by_password,
            as_alice,
        ),
        UseCase::new(
            ("a login with a ticket", "POST /login"),
            Setup::File,
            ticket,
            redeem,
            redeemed,
        ),
        UseCase::new(
            ("a login by phone", "POST /login"),
            Setup::Service,
            stranger,
            by_phone,
            accepts_answer,
        )
        .asks_wechat(),
    ]
}

fn session_keys() -> Vec<UseCase> {
    let sealed = async |house: &House| {
        let whose = known(house).await;
        let told = json!({"person": house.person("lin"), "appid": APPID, "kind": "user_info", "unionid": true});
        (whose, control("POST", "user-data", told).await)
    };
    let open = async |house: &House, (whose, handed): &(Whose, Value), _| {
        let data = json!({"encryptedData": handed["encryptedData"], "iv": handed["iv"]});
        house
            .by(&whose.token, "POST", "/wechat/userdata", data)
            .await
    };
    let phone = async |house: &House, whose: &Whose, _| {
        let told = control(
            "POST",
            "phone-codes",
            json!({"person": house.person("lin"), "appid": APPID}),
        )
        .await;
        house
            .by(
                &whose.token,
                "POST",
                "/wechat/phone",
                json!({"code": told["code"]}),
            )
            .await
    };
    let check = async |house: &House, whose: &Whose, _| {
        house
            .by(&whose.token, "GET", "/wechat/session", Value::Null)
            .await
    };
    let holds = async |_: &After, _: &Whose, answer: &Answer| {
        hold(answer.json()["valid"] == true, || {
            format!("the session key is good: {answer:?}")
        })
    };
    let reset = async |house: &House, whose: &Whose, time: usize| {
        if time > 1 {
            // WeChat has replaced the key and nobody knows the new one: a login brings another.
            house.log_in("lin").await;
        }
        house
            .by(&whose.token, "POST", "/wechat/session/reset", Value::Null)
            .await
    };
    vec![
        UseCase::new(
            ("user data", "POST /wechat/userdata"),
            Setup::Plain,
            sealed,
            open,
            is_answered,
        ),
        UseCase::new(
            ("a phone number", "POST /wechat/phone"),
            Setup::Plain,
            known,
            phone,
            is_answered,
        )
        .asks_wechat(),
        UseCase::new(
            ("a check of the session", "GET /wechat/session"),
            Setup::Plain,
            known,
            check,
            holds,
        )
        .asks_wechat(),
        UseCase::new(
            ("a reset", "POST /wechat/session/reset"),
            Setup::Plain,
            known,
            reset,
            is_answered,
        )
        .spends(&["session_key_missing", "decryption_failed"])
        .asks_wechat(),
    ]
}

fn leaving() -> Vec<UseCase> {
    let log_out = async |house: &House, whose: &Whose, _| {
        house.by(&whose.token, "POST", "/logout", Value::Null).await
    };
    let everywhere = async |house: &House, whose: &Whose, _| {
        house
            .by(&whose.token, "POST", "/logout", json!({"everywhere": true}))
            .await
    };
    let unbind = async |house: &House, whose: &Whose, _| {
        house
            .by(&whose.token, "DELETE", "/binding", Value::Null)
            .await
    };
    let own = async |after: &After, whose: &Whose, _: &Answer| after.refuses(&whose.token);
    let all = async |after: &After, whose: &Whose, _: &Answer| after.refuses_all_of(&whose.user);
    let unbound = async |after: &After, whose: &Whose, _: &Answer| {
        let openid = after.house.openid("lin").await;
        hold(bound(APPID, &openid).await.is_none(), || {
            format!("{openid} is bound")
        })?;
        after.refuses(&whose.token)
    };
    let mut cases = Vec::new();
    for setup in [Setup::Plain, Setup::OfOpenid, Setup::OfUnionid] {
        cases.push(
            UseCase::new(("a logout", "POST /logout"), setup, known, log_out, own)
                .once_and_for_all(),
        );
        let name = ("a logout everywhere", "POST /logout");
        cases.push(UseCase::new(name, setup, known_twice, everywhere, all).once_and_for_all());
        cases.push(match setup {
            Setup::Plain => UseCase::new(
                ("an unbinding", "DELETE /binding"),
                setup,
                known,
                unbind,
                unbound,
            ),
            // The user id is computed again by the next login. Of a computed binding nothing is left, so a repetition
            // after the last call finds a token that was revoked.
            _ => UseCase::new(
                ("an unbinding", "DELETE /binding"),
                setup,
                known,
                unbind,
                own,
            )
            .spends(&["invalid_token"])
            .once_and_for_all(),
        });
    }
    cases
}
