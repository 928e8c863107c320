//! The use cases of the admin listener: of operators, and of the business's services.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::case::{UseCase, Whose};
use crate::house::{House, Setup};
use crate::laws::{After, bound, hold, nothing_names};
use crate::people::{is_answered, known, known_twice};
use crate::wechat::APPID;

/// A method and a path, in which `USER`, `APP` and `PERSON` stand for those of the use case.
type Asked = (&'static str, &'static str);

async fn operate(house: &House, whose: &Whose, (method, path): Asked, body: Value) -> Answer {
    let path = path.replace("USER", &whose.user).replace("APP", APPID);
    let path = if path.contains("PERSON") {
        path.replace("PERSON", &house.openid("lin").await)
    } else {
        path
    };
    house.operate(method, &path, body).await
}

pub(crate) fn use_cases() -> Vec<UseCase> {
    let setups = [Setup::Plain, Setup::OfOpenid, Setup::OfUnionid];
    [services(), access_tokens(), reading()]
        .into_iter()
        .flatten()
        .chain(setups.into_iter().flat_map(operating))
        .collect()
}

/// Acts that revoke.
fn operating(setup: Setup) -> Vec<UseCase> {
    let all = async |after: &After, whose: &Whose, _: &Answer| after.refuses_all_of(&whose.user);
    let own = async |after: &After, whose: &Whose, _: &Answer| after.refuses(&whose.token);
    let blocked = async |after: &After, whose: &Whose, _: &Answer| {
        after.refuses_all_of(&whose.user)?;
        let shown = after
            .house
            .operate("GET", &format!("/users/{}", whose.user), Value::Null)
            .await;
        hold(shown.json()["blocked"] == true, || {
            format!("not blocked: {shown:?}")
        })?;
        let refused = after.house.log_in_with(APPID, "lin", json!({})).await;
        hold(refused.code() == "user_blocked", || {
            format!("a blocked user logs in: {refused:?}")
        })
    };
    let unblocked = async |after: &After, _: &Whose, _: &Answer| {
        let login = after.house.log_in_with(APPID, "lin", json!({})).await;
        hold(login.is_done(), || format!("still blocked: {login:?}"))
    };
    let dissolved = async |after: &After, whose: &Whose, _: &Answer| {
        after.refuses(&whose.token)?;
        let openid = after.house.openid("lin").await;
        let is_free = bound(APPID, &openid).await.is_none();
        let is_computed = matches!(after.house.setup, Setup::OfOpenid | Setup::OfUnionid);
        hold(is_free || is_computed, || format!("{openid} is bound"))
    };
    let erased = async |after: &After, whose: &Whose, _: &Answer| {
        after.refuses(&whose.token)?;
        nothing_names(&after.house.openid("lin").await).await
    };
    let blocked_before = async |house: &House| {
        let whose = known(house).await;
        operate(house, &whose, ("PUT", "/users/USER/block"), Value::Null)
            .await
            .done();
        whose
    };
    let act = |asked: Asked| {
        async move |house: &House, whose: &Whose, _| operate(house, whose, asked, Value::Null).await
    };
    let (end, block) = (("POST", "/users/USER/revoke"), ("PUT", "/users/USER/block"));
    let (unblock, dissolve) = (
        ("DELETE", "/users/USER/block"),
        ("DELETE", "/users/USER/wechat/APP"),
    );
    let end_person = ("POST", "/wechat/APP/people/PERSON/revoke");
    let erase = ("DELETE", "/wechat/APP/people/PERSON");
    vec![
        UseCase::new(
            ("an end", "POST /users/{user_id}/revoke"),
            setup,
            known_twice,
            act(end),
            all,
        )
        .once_and_for_all(),
        UseCase::new(
            ("a block", "PUT /users/{user_id}/block"),
            setup,
            known_twice,
            act(block),
            blocked,
        )
        .once_and_for_all(),
        UseCase::new(
            ("an unblock", "DELETE /users/{user_id}/block"),
            setup,
            blocked_before,
            act(unblock),
            unblocked,
        ),
        UseCase::new(
            ("a dissolution", "DELETE /users/{user_id}/wechat/{appid}"),
            setup,
            known_twice,
            act(dissolve),
            dissolved,
        ),
        UseCase::new(
            (
                "an end of a person",
                "POST /wechat/{appid}/people/{openid}/revoke",
            ),
            setup,
            known_twice,
            act(end_person),
            own,
        )
        .once_and_for_all(),
        UseCase::new(
            ("an erasure", "DELETE /wechat/{appid}/people/{openid}"),
            setup,
            known_twice,
            act(erase),
            erased,
        ),
    ]
}

fn reading() -> Vec<UseCase> {
    let find = async |house: &House, whose: &Whose, _| {
        house
            .operate("GET", &format!("/find?id={}", whose.user), Value::Null)
            .await
    };
    let read = |name: &'static str, route: &'static str, path: &'static str| {
        let act = async move |house: &House, whose: &Whose, _| {
            operate(house, whose, ("GET", path), Value::Null).await
        };
        UseCase::new((name, route), Setup::Plain, known_twice, act, is_answered)
    };
    vec![
        read("a look at a user", "GET /users/{user_id}", "/users/USER"),
        read(
            "a look at a user's people",
            "GET /users/{user_id}/wechat",
            "/users/USER/wechat",
        ),
        read(
            "a look at a person",
            "GET /wechat/{appid}/people/{openid}",
            "/wechat/APP/people/PERSON",
        ),
        read("whoami", "GET /whoami", "/whoami"),
        UseCase::new(
            ("a search", "GET /find"),
            Setup::Plain,
            known_twice,
            find,
            is_answered,
        ),
    ]
}

fn services() -> Vec<UseCase> {
    let sign = async |house: &House, whose: &Whose, _| {
        operate(
            house,
            whose,
            ("POST", "/users/USER/wechat/APP/signature"),
            json!({"data": "a"}),
        )
        .await
    };
    let sign_order = async |house: &House, whose: &Whose, _| {
        operate(
            house,
            whose,
            ("POST", "/users/USER/wechat/APP/payment"),
            json!({"data": "{}"}),
        )
        .await
    };
    let keys = async |house: &House, whose: &Whose, _| {
        operate(
            house,
            whose,
            ("GET", "/users/USER/wechat/APP/encrypt-keys"),
            Value::Null,
        )
        .await
    };
    vec![
        UseCase::new(
            (
                "a signature",
                "POST /users/{user_id}/wechat/{appid}/signature",
            ),
            Setup::Plain,
            known,
            sign,
            is_answered,
        ),
        UseCase::new(
            (
                "a signed order",
                "POST /users/{user_id}/wechat/{appid}/payment",
            ),
            Setup::Plain,
            known,
            sign_order,
            is_answered,
        ),
        UseCase::new(
            (
                "the keys of messages",
                "GET /users/{user_id}/wechat/{appid}/encrypt-keys",
            ),
            Setup::Plain,
            known,
            keys,
            is_answered,
        )
        .asks_wechat(),
    ]
}

fn access_tokens() -> Vec<UseCase> {
    let lend = async |house: &House, whose: &Whose, _| {
        operate(
            house,
            whose,
            ("GET", "/wechat/APP/access-token"),
            Value::Null,
        )
        .await
    };
    let lent = async |house: &House| {
        let whose = known(house).await;
        let told = operate(
            house,
            &whose,
            ("GET", "/wechat/APP/access-token"),
            Value::Null,
        )
        .await;
        (whose, told.member("access_token"))
    };
    let replace = async |house: &House, (whose, token): &(Whose, String), _| {
        operate(
            house,
            whose,
            ("POST", "/wechat/APP/access-token"),
            json!({"invalid": token}),
        )
        .await
    };
    vec![
        UseCase::new(
            ("an access token", "GET /wechat/{appid}/access-token"),
            Setup::Plain,
            known,
            lend,
            is_answered,
        )
        .asks_wechat(),
        UseCase::new(
            ("another access token", "POST /wechat/{appid}/access-token"),
            Setup::Plain,
            lent,
            replace,
            is_answered,
        )
        // WeChat gives a new one once in half a minute.
        .spends(&["wechat_unavailable"])
        .asks_wechat(),
    ]
}
