//! Douyin, QQ, Kuaishou and Bilibili over real sockets: good answers, refusals, faults and the journal.

use super::*;

/// A platform as its clients call it.
struct Platform {
    app: &'static str,
    id: &'static str,
    method: &'static str,
    path: &'static str,
    /// The parameters, in which `CODE` stands for the code.
    parameters: &'static str,
    content_type: &'static str,
    /// The good answer, in which `<key>`, `<id>` and `<union>` stand for the person's values.
    good: &'static str,
    /// The answer to a used code.
    used: &'static str,
    /// The answer with the error number 7.
    seven: &'static str,
}

const SECRET_OF_ALL: &str = "s3cret-of~all/platforms";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

const DOUYIN: Platform = Platform {
    app: "tt0123456789abcdef:s3cret-of~all/platforms:douyin",
    id: "tt0123456789abcdef",
    method: "POST",
    path: "/_douyin/api/apps/v2/jscode2session",
    parameters: r#"{"appid":"tt0123456789abcdef","secret":"s3cret-of~all/platforms","code":"CODE"}"#,
    content_type: JSON,
    good: r#"{"err_no":0,"err_tips":"success","log_id":"20261130120000000000000000000000AB","data":{"session_key":"<key>","openid":"<id>","anonymous_openid":"","unionid":"<union>"}}"#,
    used: r#"{"err_no":40018,"err_tips":"bad code","log_id":"20261130120000000000000000000000AB","data":{"session_key":"","openid":"","anonymous_openid":"","unionid":""}}"#,
    seven: r#"{"err_no":7,"err_tips":"bad parameters","log_id":"20261130120000000000000000000000AB","data":{"session_key":"","openid":"","anonymous_openid":"","unionid":""}}"#,
};

const ALL: [Platform; 5] = [
    DOUYIN,
    Platform {
        app: "tt00000000000000aa:s3cret-of~all/platforms:douyin_game",
        id: "tt00000000000000aa",
        method: "GET",
        path: "/_douyin/mgplatform/api/apps/jscode2session",
        parameters: "appid=tt00000000000000aa&secret=s3cret-of~all/platforms&code=CODE",
        content_type: JSON,
        good: r#"{"error":0,"session_key":"<key>","openid":"<id>","anonymous_openid":"","unionid":"<union>"}"#,
        used: r#"{"errcode":40018,"errmsg":"bad code","error":3,"message":"bad code"}"#,
        seven: r#"{"errcode":7,"errmsg":"bad parameters","error":3,"message":"bad parameters"}"#,
    },
    Platform {
        app: "1112223334:s3cret-of~all/platforms:qq",
        id: "1112223334",
        method: "GET",
        path: "/_qq/sns/jscode2session",
        parameters: "appid=1112223334&secret=s3cret-of~all/platforms&js_code=CODE&grant_type=authorization_code",
        content_type: JSON,
        good: r#"{"openid":"<id>","session_key":"<key>","unionid":"<union>"}"#,
        used: r#"{"errcode":40029,"errmsg":"bad code"}"#,
        seven: r#"{"errcode":7,"errmsg":"bad parameters"}"#,
    },
    Platform {
        app: "ks712345678901234567:s3cret-of~all/platforms:kuaishou",
        id: "ks712345678901234567",
        method: "POST",
        path: "/_kuaishou/oauth2/mp/code2session",
        parameters: "app_id=ks712345678901234567&app_secret=s3cret-of~all/platforms&js_code=CODE",
        content_type: FORM,
        good: r#"{"result":1,"session_key":"<key>","open_id":"<id>"}"#,
        used: r#"{"result":100200105,"error":"bad code","error_msg":"bad code"}"#,
        seven: r#"{"result":7,"error":"bad parameters","error_msg":"bad parameters"}"#,
    },
    Platform {
        app: "bi1234567890abcdef:s3cret-of~all/platforms:bilibili",
        id: "bi1234567890abcdef",
        method: "GET",
        path: "/_bilibili/api/sns/jscode2session",
        parameters: "appid=bi1234567890abcdef&secret=s3cret-of~all/platforms&js_code=CODE&grant_type=authorization_code",
        content_type: JSON,
        good: r#"{"openid":"<id>","session_key":"<key>"}"#,
        used: r#"{"errcode":40029,"errmsg":"bad code"}"#,
        seven: r#"{"errcode":7,"errmsg":"bad parameters"}"#,
    },
];

fn start() -> Simulator {
    let apps = ALL.map(|platform| platform.app.parse().expect("an app"));
    Simulator::with_apps(apps.into())
}

impl Platform {
    fn code(&self, simulator: &Simulator) -> String {
        let wanted = json!({"person": "lin", "appid": self.id});
        let answer = simulator.control("POST", "/codes", &wanted).json();
        answer["codes"][0].as_str().expect("a code").to_owned()
    }

    fn request(&self, code: &str) -> String {
        let parameters = self.parameters.replace("CODE", code);
        if self.method == "GET" {
            return request("GET", &format!("{}?{parameters}", self.path), "");
        }
        request(self.method, self.path, &parameters).replace(JSON, self.content_type)
    }

    fn log_in(&self, simulator: &Simulator, code: &str) -> Answer {
        simulator.answer(&self.request(code))
    }

    fn fault(&self, simulator: &Simulator, mut fault: Value) {
        fault["path"] = self.path.into();
        simulator.fault(fault);
    }

    /// The person's openid, unionid and session key in the app.
    fn account(&self, simulator: &Simulator) -> Value {
        let people = simulator.control("GET", "/people", &Value::Null).json();
        people["people"][0]["apps"][self.id].clone()
    }

    fn used(&self) -> Value {
        serde_json::from_str(self.used).expect("JSON")
    }
}

#[test]
fn an_exchange_is_answered_as_each_platform_does_and_journalled_masked() {
    let simulator = start();
    for platform in &ALL {
        let code = platform.code(&simulator);
        let answer = platform.log_in(&simulator, &code);
        assert_eq!(answer.status, 200);
        assert!(
            answer.head.contains("content-type: application/json\r\n"),
            "{}",
            answer.head
        );
        let account = platform.account(&simulator);
        let [key, openid] = ["session_key", "openid"].map(|name| account[name].as_str());
        let key = key.expect("a key");
        let openid = openid.expect("an openid");
        assert_eq!(key.len(), 24, "base64 of 16 bytes");
        let good = platform
            .good
            .replace("<key>", key)
            .replace("<union>", account["unionid"].as_str().unwrap_or_default())
            .replace("<id>", openid);
        let good: Value = serde_json::from_str(&good).expect("JSON");
        assert_eq!(answer.json(), good);

        let entry = simulator.last_entry();
        assert_eq!(entry["path"], platform.path);
        let shown = entry.to_string();
        assert!(
            !shown.contains(key) && !shown.contains(SECRET_OF_ALL) && shown.contains(openid),
            "{entry}"
        );
        if platform.content_type == JSON {
            assert!(shown.contains(&code), "{entry}");
        }
        let again = platform.log_in(&simulator, &code);
        assert_eq!((again.status, again.json()), (200, platform.used()));
    }
    let stats = simulator.control("GET", "/stats", &Value::Null).json();
    let repeated = stats["exchanges_by_code"].as_object().expect("codes");
    assert_eq!(repeated.len(), ALL.len(), "each code was sent twice");
}

#[test]
fn what_replaces_the_answer_is_in_the_platforms_own_form_and_leaves_the_code_unspent() {
    let simulator = start();
    for platform in &ALL {
        let code = platform.code(&simulator);
        platform.fault(&simulator, json!({"kind": "errcode", "errcode": 7}));
        let answer = platform.log_in(&simulator, &code);
        let seven: Value = serde_json::from_str(platform.seven).expect("JSON");
        assert_eq!((answer.status, answer.json()), (200, seven));
        for (fault, status, beginning) in [
            (json!({"kind": "html"}), 200, "<html>"),
            (json!({"kind": "status", "status": 502}), 502, "<html>"),
            (json!({"kind": "empty"}), 200, ""),
            (json!({"kind": "garbage"}), 200, "errcode=0"),
        ] {
            platform.fault(&simulator, fault.clone());
            let answer = platform.log_in(&simulator, &code);
            assert_eq!(answer.status, status, "{fault}");
            assert!(answer.body.starts_with(beginning), "{}", answer.body);
        }
        platform.fault(&simulator, json!({"kind": "reset"}));
        let (received, end) = simulator.raw(&platform.request(&code));
        assert_eq!(received, b"");
        assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
        platform.fault(&simulator, json!({"kind": "truncated"}));
        let half = platform.log_in(&simulator, &code);
        assert!(serde_json::from_str::<Value>(&half.body).is_err());
        simulator.control("DELETE", "/faults", &Value::Null);
        let spent = platform.log_in(&simulator, &code);
        assert_eq!(spent.json(), platform.used(), "half an answer spends");
    }
}

#[test]
fn a_form_is_a_good_answer_that_spends_the_code() {
    let simulator = start();
    for platform in &ALL {
        for kind in [
            "quoted_numbers",
            "empty_unionid",
            "null_unionid",
            "byte_order_mark",
            "anonymous",
        ] {
            let code = platform.code(&simulator);
            platform.fault(&simulator, json!({"kind": kind}));
            let answer = platform.log_in(&simulator, &code);
            let text = answer.body.trim_start_matches('\u{feff}');
            assert_eq!(text == answer.body, kind != "byte_order_mark");
            let whole: Value = serde_json::from_str(text).expect("JSON");
            let person = whole.get("data").unwrap_or(&whole);
            let id = person.get("openid").or(person.get("open_id"));
            let account = platform.account(&simulator);
            assert_eq!(person["session_key"], account["session_key"], "{kind}");
            if kind == "anonymous" {
                assert_eq!(id, Some(&json!("")));
                assert_eq!(person["anonymous_openid"], "a-device");
            } else {
                assert_eq!(id, Some(&account["openid"]), "{kind}");
            }
            let has_number = |value: &Value| value.is_number();
            let members = whole.as_object().expect("an object");
            if kind == "quoted_numbers" {
                assert!(!members.values().any(has_number), "{whole}");
            }
            match kind {
                "empty_unionid" => assert_eq!(person["unionid"], ""),
                "null_unionid" => assert_eq!(person.get("unionid"), Some(&Value::Null)),
                _ => {}
            }
            assert_eq!(simulator.last_entry()["fault"], kind);
            simulator.control("DELETE", "/faults", &Value::Null);
            let again = platform.log_in(&simulator, &code);
            assert_eq!(again.json(), platform.used(), "{kind}");
        }
    }
}

#[test]
fn a_form_of_one_platform_is_given_by_that_platform_alone() {
    let simulator = start();
    for (kind, path) in [("no_data", DOUYIN.path), ("other_spelling", ALL[4].path)] {
        for platform in &ALL {
            let faults = json!({"faults": [{"kind": kind, "path": platform.path}]});
            let status = simulator.control("PUT", "/faults", &faults).status;
            let wanted = if platform.path == path { 200 } else { 400 };
            assert_eq!(status, wanted, "{kind} {}", platform.path);
        }
    }
    DOUYIN.fault(&simulator, json!({"kind": "no_data"}));
    let answer = DOUYIN.log_in(&simulator, &DOUYIN.code(&simulator)).json();
    assert_eq!(answer["err_no"], 0);
    assert_eq!(answer.get("data"), Some(&Value::Null));

    let bilibili = &ALL[4];
    bilibili.fault(&simulator, json!({"kind": "other_spelling"}));
    let answer = bilibili.log_in(&simulator, &bilibili.code(&simulator));
    let answer = answer.json();
    assert_eq!(answer["openId"], bilibili.account(&simulator)["openid"]);
    assert_eq!(answer.get("openid"), None);
}

#[test]
fn a_call_in_another_encoding_is_refused_by_the_platforms_number() {
    let simulator = start();
    let kuaishou = &ALL[3];
    for platform in [&DOUYIN, kuaishou] {
        let code = platform.code(&simulator);
        let good = platform.request(&code);
        let parameters = platform.parameters.replace("CODE", &code);
        let query = format!("{}?{parameters}", kuaishou.path);
        let in_query = request("POST", &query, "").replace(JSON, FORM);
        let other_type = good.replace(platform.content_type, "text/plain");
        let mut wrong = vec![other_type, good.replacen("POST", "GET", 1)];
        if platform.content_type == FORM {
            wrong.push(in_query);
            wrong.push(good.replace(FORM, JSON));
        }
        for request in wrong {
            let answer = simulator.answer(&request);
            let said = answer.json();
            let number = said["err_no"].as_i64().or(said["result"].as_i64());
            assert_eq!(answer.status, 200);
            assert!(
                matches!(number, Some(40014 | 100_200_100)),
                "{request}: {said}"
            );
        }
        let answer = platform.log_in(&simulator, &code);
        let session_key = platform.account(&simulator)["session_key"].clone();
        let key = session_key.as_str().expect("a key");
        assert!(answer.body.contains(key), "the code was not spent");
    }
}

#[test]
fn a_platform_without_unionids_cannot_be_made_to_give_them() {
    let simulator = start();
    for platform in &ALL {
        let change = json!({"appid": platform.id, "unionid": true});
        let status = simulator.control("POST", "/apps", &change).status;
        let has_unionids = platform.good.contains("<union>");
        assert_eq!(status, if has_unionids { 200 } else { 400 });
    }
}
