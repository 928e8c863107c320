//! Unknown users, people and mini programs: one answer each, on all routes of the admin listener.

use super::office;
use crate::support::prelude::*;

const UNCONFIGURED: &str = "wx0000000000000000";
const PERSON: &str = "person_not_found";
const APP: &str = "unknown_app";
const NONE: &str = "";

/// The answers about an unknown user or openid, about one who has nobody in this app, and in an app that is not
/// configured. Nothing where the path does not name it.
const ROUTES: [(&str, &str, [&str; 3]); 18] = [
    ("GET", "/users/{user_id}", ["ok", "ok", NONE]),
    ("GET", "/users/{user_id}/wechat", ["ok", "ok", NONE]),
    ("POST", "/users/{user_id}/revoke", ["ok", "ok", NONE]),
    ("PUT", "/users/{user_id}/block", ["ok", "ok", NONE]),
    ("DELETE", "/users/{user_id}/block", ["ok", "ok", NONE]),
    ("GET", "/find", ["ok", "ok", NONE]),
    (
        "DELETE",
        "/users/{user_id}/wechat/{appid}",
        ["ok", "ok", APP],
    ),
    (
        "POST",
        "/users/{user_id}/wechat/{appid}/signature",
        [PERSON, PERSON, APP],
    ),
    (
        "POST",
        "/users/{user_id}/wechat/{appid}/payment",
        [PERSON, PERSON, APP],
    ),
    (
        "GET",
        "/users/{user_id}/wechat/{appid}/encrypt-keys",
        [PERSON, PERSON, APP],
    ),
    ("GET", "/wechat/{appid}/access-token", ["ok", "ok", APP]),
    ("POST", "/wechat/{appid}/access-token", ["ok", "ok", APP]),
    (
        "GET",
        "/wechat/{appid}/people/{openid}",
        [PERSON, PERSON, APP],
    ),
    (
        "POST",
        "/wechat/{appid}/people/{openid}/revoke",
        ["ok", "ok", APP],
    ),
    (
        "DELETE",
        "/wechat/{appid}/people/{openid}",
        ["ok", "ok", APP],
    ),
    ("POST", "/wechat/{appid}/merchant", [APP, APP, APP]),
    ("GET", "/activity", ["ok", "ok", APP]),
    ("GET", "/doctor", ["ok", NONE, NONE]),
];

async fn ask(office: &TestBed, method: &str, path: &str) -> Answer {
    let body = match path.rsplit_once('/') {
        Some((_, "signature")) => json!({"data": "x"}),
        Some((_, "payment")) => json!({"data": "{}"}),
        Some((_, "merchant")) => json!({"auth_code": "x"}),
        _ => json!({"invalid": "x"}),
    };
    let body = if method == "POST" { body } else { Value::Null };
    office
        .service()
        .operate(method, path, OPERATOR, &body)
        .await
}

#[track_caller]
fn assert_outcome(answer: &Answer, expected: &str, of: &str) {
    let found = match answer.status {
        200 | 204 => (answer.status, "ok".to_owned()),
        status => (status, answer.member("code")),
    };
    let status = match expected {
        PERSON => 404,
        APP => 400,
        _ => found.0,
    };
    assert_eq!(found, (status, expected.to_owned()), "{of}: {answer:?}");
}

#[tokio::test]
async fn unknown_users_people_and_mini_programs_get_one_answer_each_on_all_routes_and_an_unknown_unionid_is_null()
 {
    let office = office(TestBed::builder().two_apps()).await;
    let user = office
        .log_in_at(APPID, "lin", json!({}))
        .await
        .expect_login()
        .member("user_id");
    let openid = office.wechat.openid("lin").await;
    let cases = [
        ("nobody", "oNobody", APPID),
        (&user, &openid, OTHER_APPID),
        (&user, &openid, UNCONFIGURED),
    ];
    for (method, route, outcomes) in ROUTES {
        let query = match route {
            "/find" => "?q={user_id}",
            "/activity" => "?appid={appid}",
            _ => "",
        };
        for ((user, openid, app), outcome) in cases
            .into_iter()
            .zip(outcomes)
            .filter(|(_, outcome)| *outcome != NONE)
        {
            let path = format!("{route}{query}")
                .replace("{user_id}", user)
                .replace("{openid}", openid);
            let path = path.replace("{appid}", app);
            assert_outcome(
                &ask(&office, method, &path).await,
                outcome,
                &format!("{method} {path}"),
            );
        }
    }
    let document = office.operate("GET", "/openapi.json").await.json();
    let described = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        });
    let mut tried: BTreeSet<_> = ROUTES
        .map(|(method, route, _)| format!("{method} {route}"))
        .into();
    tried.insert("GET /whoami".to_owned());
    assert_eq!(described.collect::<BTreeSet<_>>(), tried);

    office.wechat.names_unionids(APPID, false).await;
    let user = office
        .log_in_at(APPID, "mei", json!({}))
        .await
        .expect_login()
        .member("user_id");
    let openid = office.wechat.openid("mei").await;
    for (path, place) in [
        (format!("/users/{user}"), "/wechat/0"),
        (format!("/users/{user}/wechat"), "/wechat/0"),
        (format!("/wechat/{APPID}/people/{openid}"), ""),
    ] {
        let shown = office.operate("GET", &path).await.json();
        assert_eq!(
            shown.pointer(place).expect("a person").get("unionid"),
            Some(&Value::Null),
            "{shown}"
        );
    }
}

/// The data of people are the business's duty for longer than the mini program.
#[tokio::test]
async fn what_is_kept_of_a_mini_program_that_has_left_the_configuration_is_found_and_erased() {
    let office = office(TestBed::builder().two_apps()).await;
    let mut people = Vec::new();
    for name in ["lin", "mei"] {
        let user = office
            .log_in_at(OTHER_APPID, name, json!({}))
            .await
            .expect_login()
            .member("user_id");
        let account = office.wechat.account_in(OTHER_APPID, name).await;
        let openid = account["openid"].as_str().expect("a text");
        people.push((user, format!("/wechat/{OTHER_APPID}/people/{openid}")));
    }
    let [(lin, of_lin), (_, of_mei)] = &people[..] else {
        panic!("two")
    };
    fs::remove_file(Path::new(office.configuration.value("WXMINT_APPS_DIR")).join(OTHER_APPID))
        .expect("our file");
    office.service().says("the apps have changed").await;
    let binding = format!("/users/{lin}/wechat/{OTHER_APPID}");
    for (method, path, outcome) in [
        ("GET", of_lin, "ok"),
        ("POST", &format!("{of_lin}/revoke"), "ok"),
        ("POST", &format!("{binding}/signature"), APP),
        ("DELETE", &binding, "ok"),
        ("DELETE", &binding, APP),
        ("GET", of_lin, APP),
        ("DELETE", of_mei, "ok"),
        ("DELETE", of_mei, APP),
        ("POST", &format!("{of_mei}/revoke"), APP),
    ] {
        assert_outcome(
            &ask(&office, method, path).await,
            outcome,
            &format!("{method} {path}"),
        );
    }
}
