//! WeChat's answers to a component, and its pushes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use actix_web::{App as Server, HttpServer, http::header, rt, test as http, web};

use super::envelope::{Envelope, push_xml, seal_push};
use super::*;
use crate::call::{Call, Endpoint, Params};
use crate::people::{Purpose, Scope};
use crate::{App, Options, World, now, routes};

const COMPONENT_APPID: &str = "wxc0ffee00c0ffee00";
const SETTING: &str =
    "wxc0ffee00c0ffee00:c0mp0nent:plat4token:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
/// A mini program, an official account, and a website, which cannot authorise a platform.
const APPS: [&str; 3] = [
    "wx1:secret",
    "wx2:secret:official_account",
    "wx3:secret:website",
];

fn world(push_to: Option<String>) -> Arc<World> {
    let apps = APPS.map(|app| app.parse::<App>().expect("an app"));
    let platform = Some(SETTING.parse().expect("a platform"));
    World::with_options(
        apps.into(),
        Options {
            platform,
            push_to,
            ..Options::default()
        },
    )
}

fn component(world: &World) -> &Arc<Component> {
    world.component.as_ref().expect("a platform")
}

fn ask_at(
    world: &World,
    endpoint: Endpoint,
    query: &str,
    body: &Value,
    now: DateTime<Utc>,
) -> Value {
    let (params, method, body) = (Params::parse(query), endpoint.method(), body.to_string());
    let answer = world.answer(&Call {
        endpoint,
        method: &method,
        params: &params,
        content_type: None,
        body: body.as_bytes(),
        now,
    });
    // A merchant's own texts hold control characters.
    let json: Vec<u8> = answer.body.iter().map(|byte| *byte.max(&b' ')).collect();
    serde_json::from_slice(&json).expect("JSON")
}

fn ask(world: &World, endpoint: Endpoint, query: &str, body: &Value) -> Value {
    ask_at(world, endpoint, query, body, now())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The request for a component token, with a ticket that was pushed at this time.
fn token_wanted(world: &World, pushed: DateTime<Utc>) -> Value {
    component(world)
        .state
        .lock()
        .tickets
        .push(("ticket@@@1".to_owned(), pushed));
    json!({"component_appid": COMPONENT_APPID, "component_appsecret": "c0mp0nent", "component_verify_ticket": "ticket@@@1"})
}

/// A new component token, as the parameter of a query.
fn token(world: &World) -> String {
    let answer = ask(
        world,
        Endpoint::ComponentToken,
        "",
        &token_wanted(world, now()),
    );
    format!(
        "component_access_token={}",
        text(&answer["component_access_token"])
    )
}

/// Authorises the component. Returns the push, the authorization code and the refresh token.
fn authorized(world: &World, app: usize) -> (pushes::Push, String, String) {
    let (push, code) =
        component(world).authorize(app, world.apps[app].id.as_str(), "preauthcode@@@1", now());
    let refresh_token = component(world)
        .state
        .lock()
        .merchant(app)
        .expect("a merchant")
        .refresh_token
        .clone();
    (push, code, refresh_token)
}

/// Checks that the body gets this errcode with each of these members in turn.
fn refused(
    world: &World,
    endpoint: Endpoint,
    query: &str,
    good: &Value,
    spoilt: &[(&str, Value, i32)],
) {
    for (member, value, errcode) in spoilt {
        let mut body = good.clone();
        body[member] = value.clone();
        assert_eq!(
            ask(world, endpoint, query, &body)["errcode"],
            *errcode,
            "{} {body}",
            endpoint.path()
        );
    }
}

#[test]
fn a_platform_is_read_and_its_secrets_not_repeated() {
    assert!(SETTING.parse::<Platform>().is_ok());
    for (part, wrong) in [
        ("wxc0ffee00c0ffee00", "w x"),
        ("c0mp0nent", ""),
        ("plat4token", "ab"),
        ("plat4token", "plat-token"),
        ("plat4token", "a23456789012345678901234567890123"),
        ("ABCDEFG", "ABCDEF"),
        ("ABCDEFG", "ABCDEF="),
        (":c0mp0nent", ""),
    ] {
        let said = SETTING
            .replace(part, wrong)
            .parse::<Platform>()
            .expect_err("a mistake")
            .to_string();
        assert!(
            !said.contains("c0mp0nent") && !said.contains("ABCDEF"),
            "{said}"
        );
    }
}

/// The expected values were computed with Python's hashlib and its package `cryptography`.
#[test]
fn an_envelope_is_the_one_that_python_makes() {
    let platform: Platform = SETTING.parse().expect("a platform");
    let xml = push_xml(
        COMPONENT_APPID,
        1_413_192_605,
        "component_verify_ticket",
        &[("ComponentVerifyTicket", "ticket@@@票")],
    );
    let mut envelope = Envelope::new(&platform, &xml, 1_413_192_605, "n0nce");
    envelope.random = *b"0123456789abcdef";
    let (query, body) = envelope.seal(&platform);
    assert_eq!(
        query,
        "signature=230120531bd1512e109c5bedd4ae57ae9acb43e6&timestamp=1413192605&nonce=n0nce&encrypt_type=aes&\
         msg_signature=a769c70bc9beddddcee50978bec1763500247cb2"
    );
    let whole = "Q3stYC6hdFzMh9T8HCvyDDf2/amPN8vWqtLVeRomMOvkDAYhs4ZtPTGMh/iqCHV8cqX7Juofi4cUoG+x9Zhqk/Yt8VxGaYuaeIqy4Te8Q+PqK9fQ\
                 dwDFl8LBwvIRDhjAcL+GrGxgUYZzXImctd5rCPvAg+QCrA6cxUDKDZhjwZsKf+BzLi8zCt6jlh43Pcc6fALDtPGobA1kiLXla8O68/HI2uViDy3s\
                 fPweJQhKA0YZnHCwQ14zAPUeEYkY3I8/CH8NWWF2yTrCQ3HEtYij/XusQQ4JI5nK/xmQOqkVL3EF3DLOObLgXUW99Zg1LbhQJODcsQ1oU8U+6yF9\
                 YAUMEQBI1c+M+a/aG3GcQih5eWUDVveZwpBbIcnoi1y+dEsb";
    let expected = |encrypt: &str| {
        format!(
            "<xml><AppId><![CDATA[{COMPONENT_APPID}]]></AppId><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
        )
    };
    assert_eq!(body, expected(whole));

    let forged = Envelope {
        xml: "<xml></xml>",
        appid: "wx1",
        length: 4096,
        ..envelope
    };
    let (query, body) = forged.seal(&platform);
    assert!(
        query.ends_with("msg_signature=d58856876230ef659b79e3f94d48c700d1202836"),
        "{query}"
    );
    let forged =
        "Q3stYC6hdFzMh9T8HCvyDK0noUHUapyyklo81ZMGHvxIJCVLKvUh473sZskAaClvU6iwKZYJrOgViTrreoizPQ==";
    assert_eq!(body, expected(forged));
    assert_ne!(
        seal_push(&platform, &xml, 1, "n0nce").1,
        seal_push(&platform, &xml, 1, "n0nce").1,
        "random bytes"
    );
}

#[test]
fn each_mistake_before_a_component_token_has_its_errcode() {
    let (world, now) = (world(None), now());
    let good = token_wanted(&world, now);
    refused(
        &world,
        Endpoint::ComponentToken,
        "",
        &good,
        &[
            ("component_appid", Value::Null, 41018),
            ("component_appid", json!("wx1"), 40013),
            ("component_appsecret", json!(""), 41004),
            ("component_appsecret", json!("00"), 40125),
            ("component_verify_ticket", json!("ticket@@@0"), 61006),
            ("component_verify_ticket", Value::Null, 61006),
        ],
    );
    let after = |hours| {
        ask_at(
            &world,
            Endpoint::ComponentToken,
            "",
            &good,
            now + TimeDelta::hours(hours),
        )
    };
    assert_eq!(after(11)["expires_in"], 7200);
    assert_eq!(after(12)["errcode"], 61005);

    let good = json!({"component_appid": COMPONENT_APPID, "component_secret": "c0mp0nent"});
    let other_name = ("component_secret", Value::Null, 41004);
    let spoilt = [
        ("component_appid", json!("wx1"), 40013),
        ("component_secret", json!("00"), 40125),
        other_name,
    ];
    refused(&world, Endpoint::StartPushTicket, "", &good, &spoilt);
    let none = World::new(vec![APPS[0].parse().expect("an app")], 0);
    assert_eq!(
        ask(&none, Endpoint::ComponentToken, "", &good)["errcode"],
        40013
    );
    assert_eq!(
        ask(
            &none,
            Endpoint::PreAuthCode,
            "component_access_token=x",
            &good
        )["errcode"],
        40001
    );
}

#[test]
fn the_token_is_looked_at_before_all_else() {
    let world = world(None);
    let (token, later) = (token(&world), now() + TimeDelta::hours(2));
    let of_component = |endpoint: &Endpoint| {
        endpoint.path().contains("component") && !endpoint.path().contains("_ticket")
    };
    for endpoint in Endpoint::ALL.into_iter().filter(of_component) {
        if endpoint == Endpoint::ComponentToken {
            continue;
        }
        let errcode =
            |query: &str, at| ask_at(&world, endpoint, query, &json!([]), at)["errcode"].clone();
        assert_eq!(errcode("", now()), 41001, "{}", endpoint.path());
        assert_eq!(
            errcode("component_access_token=x", now()),
            40001,
            "{}",
            endpoint.path()
        );
        assert_eq!(errcode(&token, later), 42001, "{}", endpoint.path());
        let sns = endpoint.path().starts_with("/sns/");
        assert_eq!(
            errcode(&token, now()),
            if sns { 41002 } else { 47001 },
            "{}",
            endpoint.path()
        );
        if !sns {
            let wrong = json!({"component_appid": "wx1"});
            assert_eq!(
                ask(&world, endpoint, &token, &wrong)["errcode"],
                40013,
                "{}",
                endpoint.path()
            );
        }
    }
}

#[test]
fn each_token_is_new_and_the_one_before_it_stays_good_for_five_minutes() {
    let (world, start) = (world(None), now());
    let wanted = token_wanted(&world, start);
    let at = |minutes| start + TimeDelta::minutes(minutes);
    let issued = |minutes| {
        let answer = ask_at(&world, Endpoint::ComponentToken, "", &wanted, at(minutes));
        format!(
            "component_access_token={}",
            text(&answer["component_access_token"])
        )
    };
    let (first, second) = (issued(0), issued(1));
    let works = |token: &str, minutes| {
        let body = json!({"component_appid": COMPONENT_APPID});
        ask_at(&world, Endpoint::PreAuthCode, token, &body, at(minutes))["errcode"].clone()
    };
    assert_eq!(
        [works(&first, 5), works(&second, 5)],
        [Value::Null, Value::Null]
    );
    assert_eq!(
        [works(&first, 6), works(&second, 6)],
        [json!(42001), Value::Null]
    );
    issued(7);
    assert_eq!(
        [works(&second, 11), works(&second, 12)],
        [Value::Null, json!(42001)]
    );
    assert_eq!(component(&world).end_tokens(false, Bad::Unknown, at(8)), 2);
    assert_eq!(works(&second, 8), 40001);
}

#[test]
fn a_merchants_people_log_in_until_the_merchant_leaves() {
    let world = world(None);
    let token = token(&world);
    let query = |appid: &str, code: &str| {
        format!(
            "{token}&component_appid={COMPONENT_APPID}&appid={appid}&js_code={code}&code={code}&grant_type=authorization_code"
        )
    };
    let exchanged = |endpoint, app: usize, purpose| {
        let code = world
            .mint_codes(purpose, &["lin".to_owned()], app, now())
            .remove(0);
        ask(
            &world,
            endpoint,
            &query(world.apps[app].id.as_str(), &code),
            &Value::Null,
        )
    };
    let login = || exchanged(Endpoint::ComponentCode2Session, 0, Purpose::Login);
    let page = || {
        exchanged(
            Endpoint::ComponentOauth2,
            1,
            Purpose::Oauth2(Scope::UserInfo),
        )
    };
    assert_eq!([&login()["errcode"], &page()["errcode"]], [61003, 61003]);
    authorized(&world, 0);
    authorized(&world, 1);
    let (session, grant) = (login(), page());
    assert!(
        session["session_key"].is_string() && session["unionid"] == grant["unionid"],
        "{session} {grant}"
    );
    assert_eq!(grant["scope"], "snsapi_userinfo");

    let good = query("wx1", "never-minted");
    for (query, errcode) in [
        (good.clone(), 40029),
        (good.replace("&appid=", "&x="), 41002),
        (good.replace("js_code=", "x="), 41008),
        (good.replace("authorization_code", "code"), 40002),
        (
            good.replace("component_appid=wx", "component_appid=xw"),
            40013,
        ),
        (good.replace("&appid=wx1", "&appid=wx2"), 40029),
        (good.replace("&appid=wx1", "&appid=wx3"), 61003),
        (good.replace("&appid=wx1", "&appid=wx4"), 61003),
    ] {
        assert_eq!(
            ask(
                &world,
                Endpoint::ComponentCode2Session,
                &query,
                &Value::Null
            )["errcode"],
            errcode,
            "{query}"
        );
    }
    assert!(
        component(&world)
            .leave(0, now())
            .is_some_and(|push| push.xml.contains("[unauthorized]"))
    );
    assert!(component(&world).leave(0, now()).is_none());
    assert_eq!(
        (&login()["errcode"], &page()["errcode"]),
        (&json!(61003), &Value::Null)
    );
}

#[test]
fn an_authorization_code_gives_tokens_once_and_an_update_makes_the_refresh_token_stale() {
    let world = world(None);
    let token = token(&world);
    let with = |name: &str, value: &str| json!({"component_appid": COMPONENT_APPID, name: value});
    let (push, first_code, first_refresh) = authorized(&world, 0);
    assert!(
        push.xml.contains(
            "<InfoType><![CDATA[authorized]]></InfoType><AuthorizerAppid><![CDATA[wx1]]>"
        )
    );
    let query_auth = |code: &str| {
        ask(
            &world,
            Endpoint::QueryAuth,
            &token,
            &with("authorization_code", code),
        )
    };
    let info = query_auth(&first_code)["authorization_info"].clone();
    assert_eq!(
        [&info["authorizer_appid"], &info["expires_in"]],
        [&json!("wx1"), &json!(7200)]
    );
    assert_eq!(text(&info["authorizer_refresh_token"]), first_refresh);
    assert_eq!(query_auth(&first_code)["errcode"], 61010);

    let merchant = format!("access_token={}", text(&info["authorizer_access_token"]));
    let checked =
        || ask(&world, Endpoint::CheckSession, &merchant, &Value::Null)["errcode"].clone();
    assert_eq!(checked(), 41009, "the token is good");
    let (push, code, refresh) = authorized(&world, 0);
    assert_eq!(push.info_type, "updateauthorized");
    let renewed = |refresh_token: &str| {
        let mut body = with("authorizer_refresh_token", refresh_token);
        body["authorizer_appid"] = "wx1".into();
        ask(&world, Endpoint::AuthorizerToken, &token, &body)
    };
    assert_eq!(renewed(&first_refresh)["errcode"], 61023);
    assert_ne!(
        renewed(&refresh)["authorizer_access_token"],
        info["authorizer_access_token"]
    );
    let listed = |offset: Value, count: Value| {
        let body = json!({"component_appid": COMPONENT_APPID, "offset": offset, "count": count});
        ask(&world, Endpoint::AuthorizerList, &token, &body)
    };
    let list = listed(json!(0), json!(500));
    assert_eq!(
        (&list["total_count"], &list["list"][0]["refresh_token"]),
        (&json!(1), &json!(refresh))
    );
    assert_eq!(
        [
            &listed(json!(1), json!(1))["list"],
            &listed(json!(0), json!(501))["errcode"]
        ],
        [&json!([]), &json!(40097)]
    );

    component(&world).leave(0, now());
    assert_eq!(
        [checked(), renewed(&refresh)["errcode"].clone()],
        [40001, 61003]
    );
    assert_eq!(query_auth(&code)["errcode"], 61010);
}

#[test]
fn a_merchants_kind_shows_in_its_info() {
    let world = world(None);
    let token = token(&world);
    let info = |appid: &str| {
        let body = json!({"component_appid": COMPONENT_APPID, "authorizer_appid": appid});
        ask(&world, Endpoint::AuthorizerInfo, &token, &body)
    };
    assert_eq!(info("wx1")["errcode"], 61003);
    let merchants = [0, 1].map(|app| authorized(&world, app));
    let [program, account] = ["wx1", "wx2"].map(info);
    assert!(program["authorizer_info"]["MiniProgramInfo"].is_object());
    assert_eq!(account["authorizer_info"].get("MiniProgramInfo"), None);
    let info = &account["authorization_info"];
    assert_eq!(text(&info["authorizer_refresh_token"]), merchants[1].2);
    assert_eq!(
        info["func_info"][0],
        json!({"funcscope_category": {"id": 1}})
    );
}

/// A receiver of pushes that gives each of these answers once. It returns the requests.
fn receiver(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!(
        "http://{}/wechat/platform",
        listener.local_addr().expect("its address")
    );
    let receive = move |answer| {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = String::new();
        while !request.ends_with("</xml>") {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).expect("a request");
            request.push_str(std::str::from_utf8(&bytes[..length]).expect("ASCII"));
        }
        write!(stream, "HTTP/1.1 {answer}").expect("an answer sent");
        request
    };
    (
        url,
        thread::spawn(move || answers.into_iter().map(receive).collect()),
    )
}

const TAKEN: &str = "200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nsuccess";

#[actix_web::test]
async fn a_push_is_repeated_until_it_is_taken_and_a_ticket_then_gives_a_token() {
    let busy = "503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
    let (url, received) = receiver(vec![
        "200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        busy,
        TAKEN,
    ]);
    let world = world(Some(url));
    let component = component(&world);
    let answer = json!(component.push_ticket().await);
    assert_eq!(answer, json!({"status": 200, "body": "success"}));
    let requests = received.join().expect("requests");
    assert!(
        requests
            .iter()
            .all(|request| request.starts_with("POST /wechat/platform?signature=")),
        "{requests:?}"
    );
    let shown = component.show();
    assert_eq!(
        shown["pushes"][1],
        json!({"info_type": "component_verify_ticket", "appid": null, "status": 503, "body": "busy"})
    );
    assert_eq!(
        [&shown["tickets_pushed"], &shown["pushing"]],
        [&json!(1), &json!(true)]
    );
    let ticket = component.state.lock().tickets[0].0.clone();
    let mut wanted = token_wanted(&world, now());
    wanted["component_verify_ticket"] = ticket.into();
    assert_eq!(
        ask(&world, Endpoint::ComponentToken, "", &wanted)["expires_in"],
        7200
    );
    assert!(!component.is_ticket_due(now() + TimeDelta::minutes(9)));
    assert!(component.is_ticket_due(now() + TimeDelta::minutes(11)));
    component.change(Some(String::new()), None);
    assert!(!component.is_ticket_due(now() + TimeDelta::minutes(11)));
    assert_eq!(json!(component.push_ticket().await)["status"], Value::Null);
}

#[actix_web::test]
async fn a_server_pushes_a_ticket_when_it_starts_and_its_second_worker_none() {
    let (url, received) = receiver(vec![TAKEN]);
    let world = world(Some(url));
    let shared = Arc::clone(&world);
    let server =
        HttpServer::new(move || Server::new().configure(routes(Arc::clone(&shared), |_| {})));
    let server = server
        .workers(2)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port")
        .run();
    let (handle, running) = (server.handle(), rt::spawn(server));
    let requests = web::block(|| received.join().expect("requests"))
        .await
        .expect("a thread");
    assert!(requests[0].contains("encrypt_type=aes"), "{requests:?}");
    rt::time::sleep(Duration::from_millis(300)).await;
    let shown = component(&world).show();
    assert_eq!(
        (
            &shown["tickets_pushed"],
            shown["pushes"].as_array().map(Vec::len)
        ),
        (&json!(1), Some(1))
    );
    handle.stop(false).await;
    running.await.expect("it ended").expect("without an error");
}

#[actix_web::test]
async fn a_pre_auth_code_is_good_once_on_the_login_page() {
    let (url, received) = receiver(vec![TAKEN]);
    let world = world(None);
    component(&world).change(Some(url), None);
    let server =
        http::init_service(Server::new().configure(routes(Arc::clone(&world), |_| {}))).await;
    let wanted = json!({"component_appid": COMPONENT_APPID});
    let code = ask(&world, Endpoint::PreAuthCode, &token(&world), &wanted)["pre_auth_code"].clone();
    let code = text(&code);
    let page = format!(
        "/cgi-bin/componentloginpage?component_appid={COMPONENT_APPID}&pre_auth_code={code}&redirect_uri=http%3A%2F%2Flocalhost%2Fback"
    );
    let get = async |target: &str| {
        let answer =
            http::call_service(&server, http::TestRequest::get().uri(target).to_request()).await;
        let to = answer
            .headers()
            .get(header::LOCATION)
            .map(|to| to.to_str().expect("text").to_owned());
        (
            to,
            String::from_utf8(http::read_body(answer).await.to_vec()).expect("text"),
        )
    };
    let (to, choices) = get(&page).await;
    assert!(
        to.is_none()
            && choices.contains("authorizer=wx1\"")
            && !choices.contains("authorizer=wx3\""),
        "{choices}"
    );
    assert!(
        get(&format!("{page}&auth_type=2"))
            .await
            .1
            .matches("authorizer=")
            .count()
            == 1
    );
    let chosen = format!("{page}&authorizer=wx2");
    let (to, _) = get(&chosen).await;
    let to = to.expect("a redirect");
    assert!(
        to.starts_with("http://localhost/back?auth_code=queryauthcode")
            && to.ends_with("&expires_in=600"),
        "{to}"
    );
    assert!(get(&chosen).await.1.contains("pre_auth_code 无效"));
    assert_eq!(component(&world).show()["merchants"][0]["appid"], "wx2");
    let requests = web::block(|| received.join().expect("requests"))
        .await
        .expect("a thread");
    assert_eq!(requests.len(), 1);
}

#[actix_web::test]
async fn the_control_api_authorises_pushes_and_ends() {
    let world = world(None);
    let server =
        http::init_service(Server::new().configure(routes(Arc::clone(&world), |_| {}))).await;
    let send = async |request: http::TestRequest, path: &str, body: Value| {
        let request = request
            .uri(&format!("/_simulator/platform{path}"))
            .set_json(body)
            .to_request();
        let answer = http::call_service(&server, request).await;
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_slice::<Value>(&http::read_body(answer).await).expect("JSON"),
        )
    };
    let (post, put, delete) = (
        http::TestRequest::post,
        http::TestRequest::put,
        http::TestRequest::delete,
    );
    let (status, made) = send(post(), "/merchants", json!({"appid": "wx1", "push": false})).await;
    assert_eq!(
        (
            status,
            &made["push"],
            made["authorization_code"].is_string()
        ),
        (200, &Value::Null, true)
    );
    let shown = send(put(), "", json!({"pushing": true})).await.1;
    assert_eq!(shown["merchants"][0]["appid"], "wx1");
    assert_eq!(
        (&shown["pushing"], &shown["push_to"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(
        send(post(), "/ticket", json!({})).await.1["status"],
        Value::Null
    );
    token(&world);
    let ended = send(
        post(),
        "/end_tokens",
        json!({"what": "component", "how": "expired"}),
    )
    .await;
    assert_eq!(ended, (200, json!({"ended": 1})));
    assert_eq!(
        send(delete(), "/merchants/wx1?push=false", json!({})).await,
        (200, json!({"push": null}))
    );
    for (request, path, body, status) in [
        (delete(), "/merchants/wx1", json!({}), 404),
        (post(), "/merchants", json!({"appid": "wx3"}), 400),
        (post(), "/merchants", json!({"appid": "wx4"}), 400),
        (
            post(),
            "/end_tokens",
            json!({"what": "merchants", "how": "soon"}),
            400,
        ),
        (put(), "", json!({"push_to": "localhost:1"}), 400),
    ] {
        let (answered, said) = send(request, path, body).await;
        assert!(
            answered == status && said["error"].is_string(),
            "{path} {said}"
        );
    }
}
