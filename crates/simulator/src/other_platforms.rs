//! Other platforms than WeChat: Douyin (mini programs and mini games), QQ, Kuaishou, Bilibili and
//! Huawei. Each has one call, which exchanges a login code, below a path of its own, such as `/_douyin/…`.
//!
//! Only public pages were read. Where sources dispute, this stand-in is as strict as the strictest.

use actix_web::http::StatusCode;
use aws_lc_rs::digest;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::apps::{App, Kind};
use super::call::{Call, Endpoint, Params, Refusal};
use super::endpoints::{json_object, text};
use super::faults::Kind as Form;
use super::state::{alphanumeric, random};
use super::world::{Session, World};

const JSON: &str = "application/json";
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const FORM: &str = "application/x-www-form-urlencoded";
/// Douyin's refusal of an `anonymous_code`. Every `anonymous_code` is refused, because the phones
/// here have none.
const NO_ANONYMOUS_CODE: Refusal = Refusal(40019);

/// How a platform names things, and its error numbers.
struct Wire {
    kind: Kind,
    parameters: Parameters,
    /// The names of the AppID, the secret and the code.
    names: [&'static str; 3],
    has_grant_type: bool,
    no_parameter: i32,
    no_app: i32,
    no_secret: i32,
    no_code: i32,
}

impl Wire {
    fn is_of_douyin(&self) -> bool {
        matches!(self.kind, Kind::Douyin | Kind::DouyinGame)
    }
}

/// Where the parameters of a call are.
#[derive(PartialEq, Eq)]
enum Parameters {
    Query,
    Json,
    Form,
}

impl Endpoint {
    /// How the platform of this endpoint names things; `None` for an endpoint of WeChat.
    fn wire(self) -> Option<Wire> {
        let of_douyin = Wire {
            kind: Kind::Douyin,
            parameters: Parameters::Json,
            names: ["appid", "secret", "code"],
            has_grant_type: false,
            no_parameter: 40014,
            no_app: 40015,
            no_secret: 40017,
            no_code: 40018,
        };
        let of_qq = Wire {
            kind: Kind::Qq,
            parameters: Parameters::Query,
            names: ["appid", "secret", "js_code"],
            has_grant_type: true,
            no_parameter: 40013,
            no_app: 40013,
            no_secret: 40125,
            no_code: 40029,
        };
        Some(match self {
            Self::Douyin => of_douyin,
            Self::DouyinGame => Wire {
                kind: Kind::DouyinGame,
                parameters: Parameters::Query,
                ..of_douyin
            },
            Self::Qq => of_qq,
            Self::Kuaishou => Wire {
                kind: Kind::Kuaishou,
                parameters: Parameters::Form,
                names: ["app_id", "app_secret", "js_code"],
                has_grant_type: false,
                no_parameter: 100_200_100,
                no_app: 100_200_101,
                no_secret: 100_200_101,
                no_code: 100_200_105,
            },
            Self::Bilibili => Wire {
                kind: Kind::Bilibili,
                ..of_qq
            },
            Self::Huawei => Wire {
                kind: Kind::Huawei,
                parameters: Parameters::Form,
                names: ["client_id", "client_secret", "code"],
                has_grant_type: true,
                no_parameter: 12304,
                no_app: 20002,
                no_secret: 20003,
                no_code: 20155,
            },
            _ => return None,
        })
    }

    /// Whether the endpoint is of another platform than WeChat.
    pub(super) fn is_of_other_platform(self) -> bool {
        self == Self::Alipay || self.wire().is_some()
    }

    /// Whether the parameters of the call are in the query of a GET.
    pub(super) fn is_asked_by_query(self) -> bool {
        self.wire()
            .is_some_and(|wire| wire.parameters == Parameters::Query)
    }

    /// The refusal of a call by another HTTP method.
    pub(super) fn wrong_method(self) -> Option<Refusal> {
        Some(Refusal(self.wire()?.no_parameter))
    }
}

/// The AppID and the code of a call, as far as they can be read. `None` for an endpoint of WeChat.
pub(super) fn named(
    endpoint: Endpoint,
    query: &Params,
    body: &[u8],
) -> Option<[Option<String>; 2]> {
    if endpoint == Endpoint::Alipay {
        let form = Params::of_form(body);
        let app = query.first("app_id").map(str::to_owned);
        return Some([app, form.first("code").map(str::to_owned)]);
    }
    let wire = endpoint.wire()?;
    let [app, _, code] = values(&wire, wire.names, query, body);
    Some([app, code])
}

/// The parameters with these names. An empty one is `None`.
fn values<const N: usize>(
    wire: &Wire,
    names: [&str; N],
    query: &Params,
    body: &[u8],
) -> [Option<String>; N] {
    match wire.parameters {
        Parameters::Query => names.map(|name| query.first(name).map(str::to_owned)),
        Parameters::Form => {
            let form = Params::of_form(body);
            names.map(|name| form.first(name).map(str::to_owned))
        }
        Parameters::Json => {
            let members = json_object(body).unwrap_or_default();
            names.map(|name| text(&members, name).map(str::to_owned))
        }
    }
}

impl World {
    /// Answers the call of another platform.
    pub(super) fn other_platform(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let wire = call.endpoint.wire().ok_or(Refusal(-1))?;
        let content_type = match wire.parameters {
            Parameters::Query => None,
            Parameters::Json => Some(JSON),
            Parameters::Form => Some(FORM),
        };
        if content_type.is_some_and(|wanted| call.content_type != Some(wanted)) {
            return Err(Refusal(wire.no_parameter));
        }
        let no_parameter = Refusal(wire.no_parameter);
        let [id, secret, code] = wire.names;
        let names = [id, secret, code, "grant_type", "anonymous_code"];
        let [id, secret, code, grant_type, anonymous_code] =
            values(&wire, names, call.params, call.body);
        let id = id.ok_or(no_parameter)?;
        let secret = secret.ok_or(no_parameter)?;
        if wire.has_grant_type && grant_type.as_deref() != Some("authorization_code") {
            return Err(no_parameter);
        }
        let anonymous_code = anonymous_code.filter(|_| wire.is_of_douyin());
        if code.is_none() && anonymous_code.is_none() {
            return Err(no_parameter);
        }
        let app = self
            .app(&id)
            .filter(|app| self.apps[*app].kind == wire.kind);
        let app = app.ok_or(Refusal(wire.no_app))?;
        if !self.terms.of(app).secrets.contains(&secret) {
            return Err(Refusal(wire.no_secret));
        }
        let (Some(code), None) = (code, anonymous_code) else {
            return Err(NO_ANONYMOUS_CODE);
        };
        let session = self.exchange(&code, app, call.now);
        let session = session.map_err(|_| Refusal(wire.no_code))?;
        Ok(success(wire.kind, session, &id, call.now).to_string())
    }

    /// The answer in the form of the fault ([`Form::is_form`]).
    pub(super) fn reshaped(&self, call: &Call<'_>, form: Form, body: &[u8]) -> Vec<u8> {
        if call.endpoint == Endpoint::Alipay && form != Form::ByteOrderMark {
            return self.alipay_reshaped(call, form, body);
        }
        reshaped(form, body)
    }
}

fn success(kind: Kind, session: Session, app: &str, now: DateTime<Utc>) -> Value {
    let Session {
        session_key,
        openid,
        unionid,
    } = session;
    match kind {
        Kind::Douyin => json!({
            "err_no": 0,
            "err_tips": "success",
            "log_id": "20261130120000000000000000000000AB",
            "data": {"session_key": session_key, "openid": openid, "anonymous_openid": "", "unionid": unionid.unwrap_or_default()},
        }),
        Kind::DouyinGame => json!({
            "error": 0, "session_key": session_key, "openid": openid, "anonymous_openid": "", "unionid": unionid.unwrap_or_default(),
        }),
        Kind::Huawei => json!({
            "token_type": "Bearer",
            "access_token": alphanumeric(64),
            "expires_in": 3600,
            "refresh_token": alphanumeric(64),
            "scope": "openid",
            "id_token": id_token(&json!({
                "iss": "https://accounts.huawei.com",
                "aud": app,
                "iat": now.timestamp(),
                "exp": now.timestamp() + 3600,
                "openid": openid,
                "sub": unionid,
            })),
        }),
        Kind::Kuaishou => json!({"result": 1, "session_key": session_key, "open_id": openid}),
        _ => {
            let mut answer = json!({"openid": openid, "session_key": session_key});
            if let Some(unionid) = unionid {
                answer["unionid"] = unionid.into();
            }
            answer
        }
    }
}

/// A token with these claims. Its signature is random, because nobody checks it: it comes from Huawei
/// itself over TLS.
fn id_token(claims: &Value) -> String {
    let header = json!({"alg": "RS256", "kid": "simulated", "typ": "JWT"});
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(random::<256>());
    [header, claims, signature].join(".")
}

/// The HTTP status of an answer: Huawei's errors have 400.
pub(super) fn status(endpoint: Endpoint, body: &[u8]) -> StatusCode {
    let has_error =
        || serde_json::from_slice::<Value>(body).is_ok_and(|answer| !answer["error"].is_null());
    if endpoint == Endpoint::Huawei && has_error() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    }
}

/// The code, with all letters that the platform's codes may have.
pub(super) fn code_with_letters_of(kind: Kind, code: String) -> String {
    match kind {
        Kind::Huawei => code + "+/\\=",
        _ => code,
    }
}

/// The answer of another platform with this error number; `None` for an endpoint of WeChat or Alipay.
pub(super) fn failure(endpoint: Endpoint, number: i32) -> Option<Value> {
    let word = match number {
        40018 | 40029 | 100_200_105 => "bad code",
        40019 => "bad anonymous code",
        40017 | 40125 => "bad secret",
        40013 | 40015 => "bad appid",
        -1 => "system error",
        _ => "bad parameters",
    };
    Some(match endpoint.wire()?.kind {
        Kind::Douyin => json!({
            "err_no": number,
            "err_tips": word,
            "log_id": "20261130120000000000000000000000AB",
            "data": {"session_key": "", "openid": "", "anonymous_openid": "", "unionid": ""},
        }),
        Kind::DouyinGame => {
            json!({"errcode": number, "errmsg": word, "error": 3, "message": word})
        }
        Kind::Huawei => {
            json!({"error": 1101, "sub_error": number, "error_description": word})
        }
        Kind::Kuaishou => json!({"result": number, "error": word, "error_msg": word}),
        _ => json!({"errcode": number, "errmsg": word}),
    })
}

/// The answer in the form of a fault that is not only of Alipay.
fn reshaped(form: Form, body: &[u8]) -> Vec<u8> {
    if form == Form::ByteOrderMark {
        return [BYTE_ORDER_MARK, body].concat();
    }
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(body) else {
        return body.into();
    };
    match form {
        Form::NoData => {
            answer.insert("data".into(), Value::Null);
        }
        Form::QuotedNumbers => {
            for value in answer.values_mut().filter(|value| value.is_number()) {
                *value = value.to_string().into();
            }
        }
        _ => reshape_person(&mut answer, form),
    }
    Value::Object(answer).to_string().into()
}

/// Changes the members of the person. Leaves an answer as it is if it names nobody.
fn reshape_person(answer: &mut Map<String, Value>, form: Form) {
    let person = match answer.get_mut("data") {
        Some(Value::Object(data)) => data,
        _ => answer,
    };
    let is_id = |name: &&str| text(person, name).is_some();
    let Some(id) = ["openid", "open_id"].into_iter().find(is_id) else {
        return;
    };
    match form {
        Form::EmptyUnionid => {
            person.insert("unionid".into(), "".into());
        }
        Form::NullUnionid => {
            person.insert("unionid".into(), Value::Null);
        }
        Form::Anonymous => {
            person.insert(id.into(), "".into());
            person.insert("anonymous_openid".into(), "a-device".into());
        }
        Form::OtherSpelling => {
            let openid = person.remove(id).unwrap_or_default();
            person.insert("openId".into(), openid);
        }
        _ => {}
    }
}

/// The id and the unionid of a person in an app of another platform, in that platform's letters;
/// `None` for an app of WeChat.
pub(super) fn ids(app: &App, name: &str) -> Option<[String; 2]> {
    let openid = hash(&format!("openid\0{}\0{name}", app.id));
    let union = |platform: &str| hash(&format!("unionid of {platform}\0{name}"));
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02X}")).collect() };
    Some(match app.kind {
        Kind::Douyin | Kind::DouyinGame => {
            // In the form of a UUID.
            let digits = hex(&union("douyin")[..16]).to_lowercase();
            let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
            let openid = format!("_000{}", URL_SAFE_NO_PAD.encode(&openid[..24]));
            [openid, parts.join("-")]
        }
        Kind::Qq => [
            hex(&openid[..16]),
            format!("UID_{}", hex(&union("qq")[..16])),
        ],
        Kind::Kuaishou => [
            format!("f{}", URL_SAFE_NO_PAD.encode(&openid[..20])),
            String::new(),
        ],
        Kind::Bilibili => [hex(&openid[..16]).to_lowercase(), String::new()],
        Kind::Huawei => [
            format!("MDF@{}", STANDARD.encode(&openid[..18])),
            format!("MDA@{}", URL_SAFE_NO_PAD.encode(&union("huawei")[..18])),
        ],
        Kind::Alipay => [
            URL_SAFE_NO_PAD.encode([&openid[..], &openid[..3]].concat()),
            URL_SAFE_NO_PAD.encode(&union("alipay")[..30]),
        ],
        _ => return None,
    })
}

fn hash(of: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, of.as_bytes());
    hash.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::http::Method;
    use chrono::TimeDelta;

    use super::*;
    use crate::now;
    use crate::people::Purpose;

    const APPS: [&str; 7] = [
        "tt1:s3cret-of-tt1:douyin",
        "tt2:s3cret-of-tt2:douyin_game",
        "101:s3cret-of-101:qq",
        "ks1:s3cret-of-ks1:kuaishou",
        "bi1:s3cret-of-bi1:bilibili",
        "10086:s3cret-of-10086:huawei",
        "wx1:s3cret-of-wx1",
    ];
    const ENDPOINTS: [Endpoint; 6] = [
        Endpoint::Douyin,
        Endpoint::DouyinGame,
        Endpoint::Qq,
        Endpoint::Kuaishou,
        Endpoint::Bilibili,
        Endpoint::Huawei,
    ];

    fn world() -> Arc<World> {
        let apps = APPS.map(|app| app.parse().expect("an app"));
        World::new(apps.into(), 1)
    }

    fn code(world: &World, app: usize) -> String {
        let names = ["lin".to_owned()];
        world
            .mint_codes(Purpose::Login, &names, app, now())
            .remove(0)
    }

    /// The answer to a call as the platform wants it, with these values.
    fn asked(world: &World, endpoint: Endpoint, values: [&str; 3]) -> Value {
        let wire = endpoint.wire().expect("another platform");
        let mut query = Vec::new();
        let mut members = Map::new();
        for (name, value) in wire.names.into_iter().zip(values) {
            let encoded = value.replace('+', "%2B").replace('\\', "%5C");
            query.push(format!("{name}={encoded}"));
            members.insert(name.to_owned(), value.into());
        }
        if wire.has_grant_type {
            query.push("grant_type=authorization_code".to_owned());
        }
        let query = query.join("&");
        let (query, content_type, body) = match wire.parameters {
            Parameters::Query => (query, None, String::new()),
            Parameters::Form => (String::new(), Some(FORM), query),
            Parameters::Json => {
                let body = Value::Object(members).to_string();
                (String::new(), Some(JSON), body)
            }
        };
        answered(
            world,
            endpoint,
            &endpoint.method(),
            &query,
            content_type,
            &body,
        )
    }

    fn answered(
        world: &World,
        endpoint: Endpoint,
        method: &Method,
        query: &str,
        content_type: Option<&str>,
        body: &str,
    ) -> Value {
        let answer = world.answer(&Call {
            endpoint,
            method,
            params: &Params::parse(query),
            content_type,
            body: body.as_bytes(),
            now: now(),
        });
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    fn number(answer: &Value) -> Option<i64> {
        let mut names = ["err_no", "errcode", "result", "sub_error"].into_iter();
        names.find_map(|name| answer[name].as_i64())
    }

    /// The claims of Huawei's ID token.
    fn claims(answer: &Value) -> Option<Value> {
        let payload = answer["id_token"].as_str()?.split('.').nth(1)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    #[test]
    fn each_platform_names_the_person_once_in_its_own_form() {
        let world = world();
        let mut openids = Vec::new();
        for (app, endpoint) in ENDPOINTS.into_iter().enumerate() {
            let id = world.apps[app].id.to_string();
            let secret = world.apps[app].secret.clone();
            let code = code(&world, app);
            let answer = asked(&world, endpoint, [&id, &secret, &code]);
            let data = if endpoint == Endpoint::Douyin {
                assert_eq!(answer["err_no"], 0);
                &answer["data"]
            } else {
                &answer
            };
            let claims = claims(&answer);
            let data = claims.as_ref().unwrap_or(data);
            let openid = data["openid"].as_str().or(data["open_id"].as_str());
            openids.push(openid.expect("an id").to_owned());
            if endpoint != Endpoint::Huawei {
                assert_eq!(data["session_key"].as_str().map(str::len), Some(24));
            }
            let again = asked(&world, endpoint, [&id, &secret, &code]);
            let spent = endpoint.wire().expect("a wire").no_code;
            assert_eq!(number(&again), Some(spent.into()), "{again}");
        }
        assert!(
            openids[0].starts_with("_000") && openids[0].len() == 36,
            "{openids:?}"
        );
        assert_eq!(openids[2].len(), 32);
        openids.sort();
        openids.dedup();
        assert_eq!(openids.len(), ENDPOINTS.len());
    }

    #[test]
    fn unionids_are_one_for_a_platform_and_never_those_of_another() {
        let ids = APPS.map(|app| {
            let app: App = app.parse().expect("an app");
            ids(&app, "lin").map(|[_, unionid]| unionid)
        });
        let [douyin, game, qq, kuaishou, bilibili, huawei, wechat] = ids;
        assert!(huawei.is_some_and(|unionid| unionid.starts_with("MDA@")));
        assert_eq!(douyin, game);
        assert_eq!(douyin.map(|unionid| unionid.len()), Some(36));
        assert!(qq.is_some_and(|unionid| unionid.starts_with("UID_")));
        assert_eq!(
            [kuaishou, bilibili],
            [Some(String::new()), Some(String::new())]
        );
        assert_eq!(wechat, None);
    }

    #[test]
    fn each_mistake_has_its_number() {
        for (app, endpoint) in ENDPOINTS.into_iter().enumerate() {
            let world = world();
            let wire = endpoint.wire().expect("a wire");
            let id = world.apps[app].id.to_string();
            let secret = world.apps[app].secret.clone();
            let good = code(&world, app);
            let of_wechat = code(&world, 6);
            let names = ["lin".to_owned()];
            let life = if endpoint == Endpoint::Kuaishou {
                10
            } else {
                5
            };
            let old = now() - TimeDelta::minutes(life);
            let expired = world.mint_codes(Purpose::Login, &names, app, old).remove(0);
            for (values, wanted) in [
                (["", &*secret, &*good], wire.no_parameter),
                ([&*id, "", &*good], wire.no_parameter),
                ([&*id, &*secret, ""], wire.no_parameter),
                (["tt9", &*secret, &*good], wire.no_app),
                (["wx1", "s3cret-of-wx1", &*of_wechat], wire.no_app),
                ([&*id, "another-secret", &*good], wire.no_secret),
                ([&*id, &*secret, "made-up"], wire.no_code),
                ([&*id, &*secret, &*of_wechat], wire.no_code),
                ([&*id, &*secret, &*expired], wire.no_code),
            ] {
                let answer = asked(&world, endpoint, values);
                assert_eq!(number(&answer), Some(wanted.into()), "{values:?}: {answer}");
            }
            let other_method = if endpoint.method() == Method::GET {
                Method::POST
            } else {
                Method::GET
            };
            let answer = answered(&world, endpoint, &other_method, "", None, "");
            assert_eq!(number(&answer), Some(wire.no_parameter.into()), "{answer}");
            let query = format!("appid={id}&secret={secret}&js_code={good}&code={good}");
            let answer = answered(&world, endpoint, &endpoint.method(), &query, None, &query);
            if endpoint != Endpoint::DouyinGame {
                assert_eq!(number(&answer), Some(wire.no_parameter.into()), "{answer}");
            }
        }
    }

    #[test]
    fn wechat_knows_no_app_of_another_platform() {
        let world = world();
        for (app, of_app) in world.apps[..6].iter().enumerate() {
            let id = &of_app.id;
            let secret = &of_app.secret;
            let code = code(&world, app);
            let query =
                format!("appid={id}&secret={secret}&js_code={code}&grant_type=authorization_code");
            let exchange = Endpoint::Code2Session;
            let answer = answered(&world, exchange, &Method::GET, &query, None, "");
            assert_eq!(number(&answer), Some(40013), "{id}: {answer}");
            let body = json!({"grant_type": "client_credential", "appid": id, "secret": secret})
                .to_string();
            let token = Endpoint::StableToken;
            let answer = answered(&world, token, &Method::POST, "", Some(JSON), &body);
            assert_eq!(number(&answer), Some(40013), "{id}: {answer}");
        }
    }

    #[test]
    fn an_app_works_only_at_the_path_of_its_platform() {
        let world = world();
        for (app, of_app) in world.apps.iter().enumerate() {
            let code = code(&world, app);
            for (own, endpoint) in ENDPOINTS.into_iter().enumerate() {
                if own == app {
                    continue;
                }
                let answer = asked(
                    &world,
                    endpoint,
                    [of_app.id.as_str(), &of_app.secret, &code],
                );
                let wanted = endpoint.wire().expect("a wire").no_app;
                assert_eq!(
                    number(&answer),
                    Some(wanted.into()),
                    "{endpoint:?}: {answer}"
                );
            }
        }
    }

    #[test]
    fn a_code_works_only_in_its_app() {
        let apps = ["tt1:one-secret:douyin", "tt2:other-secret:douyin"];
        let world = World::new(apps.map(|app| app.parse().expect("an app")).into(), 1);
        let code = code(&world, 0);
        let answer = asked(&world, Endpoint::Douyin, ["tt2", "other-secret", &code]);
        assert_eq!(number(&answer), Some(40018), "{answer}");
        let answer = asked(&world, Endpoint::Douyin, ["tt1", "one-secret", &code]);
        assert_eq!(number(&answer), Some(0), "{answer}");
    }

    #[test]
    fn a_code_of_kuaishou_lives_twice_as_long_as_another() {
        let world = world();
        let names = ["lin".to_owned()];
        for (app, endpoint) in ENDPOINTS.into_iter().enumerate() {
            let of_app = &world.apps[app];
            let exchanged = |age: TimeDelta| {
                let code = world
                    .mint_codes(Purpose::Login, &names, app, now() - age)
                    .remove(0);
                let answer = asked(
                    &world,
                    endpoint,
                    [of_app.id.as_str(), &of_app.secret, &code],
                );
                number(&answer) != Some(endpoint.wire().expect("a wire").no_code.into())
            };
            let is_kuaishou = endpoint == Endpoint::Kuaishou;
            let ages = [290, 310, 590, 610].map(TimeDelta::seconds);
            assert_eq!(
                ages.map(exchanged),
                [true, is_kuaishou, is_kuaishou, false],
                "{endpoint:?}"
            );
        }
    }

    #[test]
    fn an_anonymous_code_is_refused_and_leaves_the_code_beside_it_unspent() {
        let world = world();
        let code = code(&world, 0);
        let asked_at_douyin = |members: Value| {
            let mut body = json!({"appid": "tt1", "secret": "s3cret-of-tt1"});
            for (name, value) in members.as_object().expect("members") {
                body[name] = value.clone();
            }
            let body = body.to_string();
            let answer = answered(
                &world,
                Endpoint::Douyin,
                &Method::POST,
                "",
                Some(JSON),
                &body,
            );
            number(&answer)
        };
        let alone = json!({"anonymous_code": "made-up"});
        assert_eq!(asked_at_douyin(alone), Some(40019));
        let beside = json!({"code": code, "anonymous_code": "made-up"});
        assert_eq!(asked_at_douyin(beside), Some(40019));
        let empty = json!({"code": "", "anonymous_code": ""});
        assert_eq!(asked_at_douyin(empty), Some(40014));
        let without = json!({"code": code, "anonymous_code": ""});
        assert_eq!(asked_at_douyin(without), Some(0));

        let game = "appid=tt2&secret=s3cret-of-tt2&anonymous_code=made-up";
        let answer = answered(&world, Endpoint::DouyinGame, &Method::GET, game, None, "");
        let text = "bad anonymous code";
        assert_eq!(
            answer,
            json!({"errcode": 40019, "errmsg": text, "error": 3, "message": text})
        );
        let at_qq =
            "appid=101&secret=s3cret-of-101&anonymous_code=made-up&grant_type=authorization_code";
        let answer = answered(&world, Endpoint::Qq, &Method::GET, at_qq, None, "");
        assert_eq!(number(&answer), Some(40013), "QQ has no such code");
    }

    #[test]
    fn an_app_without_unionid_gives_an_empty_one_at_douyin_and_none_at_qq() {
        let apps = [
            "tt1:one-secret:douyin:no-unionid",
            "tt2:one-secret:douyin_game:no-unionid",
            "101:one-secret:qq:no-unionid",
        ];
        let world = World::new(apps.map(|app| app.parse().expect("an app")).into(), 1);
        let answer = |app: usize| {
            let code = code(&world, app);
            let id = world.apps[app].id.as_str();
            asked(&world, ENDPOINTS[app], [id, "one-secret", &code])
        };
        assert_eq!(answer(0)["data"]["unionid"], "");
        assert_eq!(answer(1)["unionid"], "");
        assert_eq!(answer(2).get("unionid"), None);
        for wrong in [
            "ks1:one-secret:kuaishou:no-unionid",
            "tt1:one-secret:douyin:game",
        ] {
            assert!(wrong.parse::<App>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_have_the_letters_of_their_platform() {
        let of = |app: &str| {
            let app: App = app.parse().expect("an app");
            ids(&app, "lin").expect("ids of another platform")
        };
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        for app in ["tt1:secret:douyin", "tt2:secret:douyin_game"] {
            let [openid, unionid] = of(app);
            assert!(openid.starts_with("_000") && openid.len() == 36, "{openid}");
            assert!(openid.bytes().all(is_base64url), "{openid}");
            let parts = unionid.split('-').map(str::len);
            assert_eq!(parts.collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{unionid}");
        }
        let is_upper_hex = |text: &str| {
            let mut bytes = text.bytes();
            text.len() == 32
                && bytes.all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte))
        };
        let [openid, unionid] = of("101:secret:qq");
        assert!(is_upper_hex(&openid), "{openid}");
        assert!(
            unionid.strip_prefix("UID_").is_some_and(is_upper_hex),
            "{unionid}"
        );
        let [openid, _] = of("ks1:secret:kuaishou");
        assert!(
            openid.starts_with('f') && openid.bytes().all(is_base64url),
            "{openid}"
        );
        let [openid, _] = of("bi1:secret:bilibili");
        assert_eq!(openid, openid.to_lowercase());
        assert!(is_upper_hex(&openid.to_uppercase()), "{openid}");
    }

    #[test]
    fn a_form_changes_the_answer_and_nothing_else() {
        let body = json!({"err_no": 0, "data": {"openid": "o", "unionid": "u"}}).to_string();
        for (form, wanted) in [
            (
                Form::QuotedNumbers,
                r#"{"data":{"openid":"o","unionid":"u"},"err_no":"0"}"#,
            ),
            (
                Form::EmptyUnionid,
                r#"{"data":{"openid":"o","unionid":""},"err_no":0}"#,
            ),
            (
                Form::NullUnionid,
                r#"{"data":{"openid":"o","unionid":null},"err_no":0}"#,
            ),
            (Form::NoData, r#"{"data":null,"err_no":0}"#),
            (
                Form::ByteOrderMark,
                "\u{feff}{\"data\":{\"openid\":\"o\",\"unionid\":\"u\"},\"err_no\":0}",
            ),
        ] {
            let reshaped = reshaped(form, body.as_bytes());
            assert_eq!(String::from_utf8_lossy(&reshaped), wanted);
        }
        let anonymous = reshaped(Form::Anonymous, body.as_bytes());
        let anonymous: Value = serde_json::from_slice(&anonymous).expect("JSON");
        assert_eq!(anonymous["data"]["openid"], "");
        assert_eq!(anonymous["data"]["anonymous_openid"], "a-device");
        let other = reshaped(Form::OtherSpelling, br#"{"openid":"o","session_key":"k"}"#);
        assert_eq!(
            String::from_utf8_lossy(&other),
            r#"{"openId":"o","session_key":"k"}"#
        );
    }

    #[test]
    fn a_form_of_the_person_leaves_a_failure_as_it_is() {
        for endpoint in ENDPOINTS {
            let failed = failure(endpoint, -1).expect("a failure").to_string();
            for form in [
                Form::EmptyUnionid,
                Form::NullUnionid,
                Form::Anonymous,
                Form::OtherSpelling,
            ] {
                let reshaped = reshaped(form, failed.as_bytes());
                assert_eq!(String::from_utf8_lossy(&reshaped), failed);
            }
        }
    }
}
