//! `/openapi.json` of the admin listener: it names each route and no other, and each answer is as it says.

use super::{ALL, Business, RECEIVER, SHOP, WITNESS};
use crate::support::prelude::*;

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

/// The path with something in place of each name.
fn filled(path: &str, user: &str, openid: &str) -> String {
    path.replace("{user_id}", user)
        .replace("{appid}", APPID)
        .replace("{openid}", openid)
}

async fn ask(bed: &TestBed, method: &str, path: &str, secret: &str, body: &Value) -> Answer {
    bed.service()
        .operate(&method.to_uppercase(), path, secret, body)
        .await
}

/// The description names methods and right of every route, and no other.
async fn expect_routes(business: &Business, document: &Value) {
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 10, "{paths:?}");
    for (path, item) in paths {
        for method in METHODS {
            let place = filled(path, "nobody", "oNobody");
            // Without a secret: nothing is done.
            let answer = ask(&business.bed, method, &place, "", &Value::Null).await;
            let Some(operation) = item.get(method) else {
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                continue;
            };
            assert!(
                [400, 401].contains(&answer.status),
                "{method} {path}: {answer:?}"
            );
            let wanted = operation["security"][0]["bearer"][0].as_str();
            assert_eq!(wanted.is_none(), path == "/whoami", "{path}");
            for (right, secret) in [("read", WITNESS), ("operate", RECEIVER), ("wechat", SHOP)] {
                let answer = ask(&business.bed, method, &place, secret, &Value::Null).await;
                // The receiver may read, too.
                let has = wanted
                    .is_none_or(|wanted| right == wanted || (right, wanted) == ("operate", "read"));
                assert_eq!(
                    answer.status != 403,
                    has,
                    "{right}: {method} {path}: {answer:?}"
                );
            }
        }
    }
    let without = TestBed::start().await;
    for path in paths.keys() {
        let gone = ask(
            &without,
            "get",
            &filled(path, "lin", "oLin"),
            ALL,
            &Value::Null,
        )
        .await;
        gone.expect_problem(404, "invalid_request");
    }
    assert_eq!(
        without.service().admin("/openapi.json").await.status,
        404,
        "it describes what is not there"
    );
    business
        .bed
        .service()
        .get("/users/nobody")
        .await
        .expect_problem(404, "invalid_request");
}

/// Since 1970, or null: a number that is a time has one form.
fn times_are_seconds(document: &Value, public: &Value) {
    for document in [document, public] {
        assert!(!document.to_string().contains("date-time"), "{document}");
    }
    let mut times = BTreeSet::new();
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .expect("schemas")
    {
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            if ["_at", "_before", "last_login", "since"]
                .iter()
                .any(|ending| member.ends_with(ending))
            {
                let kind = &schema["type"];
                assert!(
                    *kind == "integer" || *kind == json!(["integer", "null"]),
                    "{name}.{member}: {kind}"
                );
                times.insert(member.as_str());
            }
        }
    }
    let known = "bound_at created_at examined_at last_login revoked_before session_key_at since";
    assert_eq!(Vec::from_iter(times).join(" "), known);
}

/// A request of each kind, and where the document describes it. What changes most comes last.
fn requests(
    user: &str,
    openid: &str,
) -> Vec<(&'static str, &'static str, String, &'static str, Value)> {
    let mut requests = Vec::new();
    let mut add = |method, path, user: &str, secret, body: Value| {
        requests.push((method, path, filled(path, user, openid), secret, body));
    };
    const SIGNATURE: &str = "/users/{user_id}/wechat/{appid}/signature";
    const PAYMENT: &str = "/users/{user_id}/wechat/{appid}/payment";
    const PERSON: &str = "/wechat/{appid}/people/{openid}";
    for user in [user, "nobody", "two%20words"] {
        add("get", "/users/{user_id}", user, WITNESS, Value::Null);
        add("get", "/users/{user_id}/wechat", user, WITNESS, Value::Null);
        add("post", SIGNATURE, user, SHOP, json!({"data": "{}"}));
        add("post", PAYMENT, user, SHOP, json!({"data": "{}"}));
        add(
            "get",
            "/users/{user_id}/wechat/{appid}/encrypt-keys",
            user,
            SHOP,
            Value::Null,
        );
    }
    add(
        "get",
        "/users/{user_id}",
        user,
        "no secret of the file, but long enough",
        Value::Null,
    );
    add("get", "/users/{user_id}", user, SHOP, Value::Null);
    add("post", SIGNATURE, user, SHOP, json!({"data": ""}));
    add(
        "get",
        "/wechat/{appid}/access-token",
        user,
        SHOP,
        Value::Null,
    );
    add(
        "post",
        "/wechat/{appid}/access-token",
        user,
        SHOP,
        json!({"invalid": "another"}),
    );
    add(
        "post",
        "/wechat/{appid}/merchant",
        user,
        SHOP,
        json!({"auth_code": "another"}),
    );
    add("get", PERSON, user, WITNESS, Value::Null);
    add("get", "/find?q={user_id}", user, WITNESS, Value::Null);
    add("get", "/activity", user, WITNESS, Value::Null);
    add("get", "/whoami", user, WITNESS, Value::Null);
    add("get", "/doctor", user, WITNESS, Value::Null);
    add("get", "/doctor", user, SHOP, Value::Null);
    add(
        "post",
        "/wechat/{appid}/people/{openid}/revoke",
        user,
        RECEIVER,
        Value::Null,
    );
    add(
        "post",
        "/users/{user_id}/revoke",
        user,
        RECEIVER,
        Value::Null,
    );
    add("get", "/users/{user_id}", user, WITNESS, Value::Null);
    add("put", "/users/{user_id}/block", user, RECEIVER, Value::Null);
    add(
        "delete",
        "/users/{user_id}/block",
        user,
        RECEIVER,
        Value::Null,
    );
    add(
        "delete",
        "/users/{user_id}/wechat/{appid}",
        user,
        RECEIVER,
        Value::Null,
    );
    add("delete", PERSON, user, RECEIVER, Value::Null);
    add("get", PERSON, user, WITNESS, Value::Null);
    requests
}

#[tokio::test]
async fn the_description_names_every_route_each_answer_is_as_it_says_and_times_have_one_form() {
    let business = Business::start().await;
    let openid = business.bed.wechat.openid("lin").await;
    let user = business
        .bed
        .log_in("lin")
        .await
        .expect_login()
        .member("user_id");
    let document = business.bed.service().admin("/openapi.json").await.body;
    let described: Value = serde_json::from_str(&document).expect("JSON");
    times_are_seconds(
        &described,
        &business.bed.service().get("/openapi.json").await.json(),
    );
    expect_routes(&business, &described).await;
    let (mut messages, mut done) = (Vec::new(), BTreeSet::new());
    for (method, path, place, secret, body) in requests(&user, &openid) {
        let answer = ask(&business.bed, method, &place, secret, &body).await;
        let path = path.split('?').next().expect("a path");
        let response = &described["paths"][path][method]["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{method} {path}: {answer:?}");
        if answer.status < 300 {
            done.insert(format!("{method} {path}"));
        }
        if answer.status == 204 {
            assert_eq!(
                (&response["content"], answer.body.as_str()),
                (&Value::Null, "")
            );
            continue;
        }
        if answer.status >= 400 {
            let (code, problem) = (
                answer.member("code"),
                &response["content"]["application/problem+json"],
            );
            assert!(
                problem["examples"].get(&code).is_some(),
                "{method} {path} {code}"
            );
        }
        messages.push(json!([
            path,
            format!("{method} {}", answer.status),
            answer.body
        ]));
    }
    let all = described["paths"].as_object().expect("paths").iter();
    let all = all.flat_map(|(path, item)| {
        item.as_object()
            .expect("operations")
            .keys()
            .map(move |method| format!("{method} {path}"))
    });
    // Where there is no platform, there are no merchants: `platforms::vendor` gets its answer.
    for operation in all.filter(|operation| operation != "post /wechat/{appid}/merchant") {
        assert!(done.contains(&operation), "{operation}: {done:?}");
    }
    let file = business.bed.configuration.path("openapi.json");
    fs::write(&file, &document).expect("a file");
    for (line, message) in openapi_check(&[file.as_os_str(), "--closed".as_ref()], &messages)
        .iter()
        .zip(&messages)
    {
        assert_eq!(line, "ok", "{message}");
    }
}

/// openapi-typescript and openapi-fetch, as a team in TypeScript has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_speaks_to_the_service() {
    let business = Business::start().await;
    let openid = business.bed.wechat.openid("lin").await;
    let login = business.bed.log_in("lin").await.expect_login();
    let document = business.bed.service().admin("/openapi.json").await.body;
    let folder = node_folder();
    fs::write(folder.path().join("openapi.json"), document).expect("a file");
    fs::write(folder.path().join("package.json"), r#"{"type":"module"}"#).expect("a file");
    fs::copy(
        repository("tests/tools/admin_client.ts"),
        folder.path().join("client.ts"),
    )
    .expect("our own file");
    let run = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).current_dir(&folder);
        command.envs([
            ("ADMIN", &format!("http://{}", business.bed.service().admin)),
            ("OPENID", &openid),
        ]);
        command.envs([
            ("SECRET", ALL),
            ("APPID", APPID),
            ("USER_ID", &login.member("user_id")),
        ]);
        Ended::of(&mut command, "").expect_success().stdout
    };
    run(
        "../node_modules/.bin/openapi-typescript",
        &["openapi.json", "--output", "admin.d.ts"],
    );
    run(
        "../node_modules/.bin/tsc",
        &[
            "--strict",
            "--target",
            "es2022",
            "--module",
            "nodenext",
            "--noUncheckedIndexedAccess",
            "client.ts",
        ],
    );
    let told: Value = serde_json::from_str(&run("node", &["client.js"])).expect("JSON");
    let (user, iat) = (
        login.member("user_id"),
        login.claims()["iat"].as_i64().expect("seconds"),
    );
    let expected = json!({"user": [user, user], "days": iat / 86_400, "signature": 64, "times": true, "keys": true,
        "token": true, "acts": [204, 204], "code": "person_not_found"});
    assert_eq!(told, expected);
}
