//! The user's signature, compared with that of another program.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{SHOP, Shop, signature_path};
use crate::support::prelude::*;
use crate::user_data::vault_keys::use_vault_keys;
use crate::user_data::wechat::{exchange_elsewhere, session_key};

const LONGEST: usize = 16 * 1024;

/// Python's HMAC-SHA256 of the JSON text `data`, which Python decodes itself. Others can see a command line.
fn by_python(key: &str, data: &str) -> String {
    let program = "import sys, json, hmac; key, data = sys.stdin.read().split('\\n', 1); \
                   print(hmac.new(key.encode(), json.loads(data).encode('utf-8'), 'sha256').hexdigest())";
    let mut python = Command::new("python3");
    python.args(["-X", "utf8", "-c", program]);
    Ended::of(&mut python, &format!("{key}\n{data}"))
        .expect_success()
        .stdout
        .trim()
        .to_owned()
}

impl Shop {
    /// Sends the body as it stands here.
    async fn sign_raw(&self, user: &str, body: impl Into<reqwest::Body>) -> Answer {
        let url = format!(
            "http://{}{}",
            self.bed.service().admin,
            signature_path(user)
        );
        let request = self
            .bed
            .http
            .0
            .post(url)
            .bearer_auth(SHOP)
            .header("content-type", "application/json");
        self.bed.http.send(request.body(body)).await
    }
}

/// `crates/http/src/body_fields.rs` reads the fields; the tests of `src/issuer/login_fields.rs` hold how.
#[tokio::test]
async fn a_signature_is_what_another_program_makes_of_the_same_bytes_or_a_reason_and_wechat_is_not_asked()
 {
    let shop = Shop::start().await;
    let user = shop.log_in("lin").await;
    let key = session_key(&shop.bed, "lin").await;
    shop.bed.faults(json!([{"kind": "reset"}])).await;
    let before = shop.bed.wechat.stats().await;
    let longest = [
        format!("\"{}\"", "a".repeat(LONGEST)),
        format!("\"{}\"", "\\u0001".repeat(LONGEST)),
    ];
    let awkward = [
        r#""{\"offerId\":\"123\",\"buyQuantity\":1,\"env\":0,\"currencyType\":\"CNY\"}""#,
        r#"" {\"a\": 1 } ""#,
        r#""😀""#,
        r#""\ud83d\ude00""#,
        r#""nul\u0000nul""#,
        "\"\u{2028}\u{2029}\\u2028\"",
        r#""\/\"\\\b\f\n\r\t""#,
        "\"\u{feff}林 e\u{301} \u{e9}\"",
        r#""%2F+&=?#<>'""#,
        "\"\u{7f}\u{80}\u{fffd}\"",
    ];
    for data in awkward
        .into_iter()
        .chain(longest.iter().map(String::as_str))
    {
        let answer = shop.sign_raw(&user, format!("{{\"data\":{data}}}")).await;
        let shown = &data[..data.floor_char_boundary(40)];
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, "no-store"),
            "{shown}: {answer:?}"
        );
        assert_eq!(answer.member("signature"), by_python(&key, data), "{shown}");
        let members = answer.json();
        assert_eq!(
            members.as_object().expect("an object").len(),
            2,
            "{members}"
        );
    }

    let too_long = json!({"data": format!("{}é", "a".repeat(LONGEST - 1))}).to_string();
    for (body, reason) in [
        (r#"{"data":null}"#, "`data` is missing"),
        (r#"{"data":""}"#, "must not be empty"),
        (r#"{"data":"a","\u0064ata":"b"}"#, "appears twice"),
        (r#"{"data":"\ud83d"}"#, "half of a surrogate pair"),
        (&too_long, "at most 16 KiB"),
    ] {
        let refused = shop
            .sign_raw(&user, body.to_owned())
            .await
            .expect_problem(400, "invalid_request");
        assert!(
            refused.member("detail").contains(reason),
            "{body:.60}: {refused:?}"
        );
    }
    let huge = format!("{{\"data\":\"{}\"}}", "\\u0001".repeat(LONGEST + 1024));
    shop.sign_raw(&user, huge)
        .await
        .expect_problem(413, "invalid_request");
    shop.audited(json!({"action": "sign", "by": "shop", "user": user, "app": APPID, "outcome": "invalid_request"}))
        .await;
    let got = shop
        .ask("GET", &signature_path(&user), SHOP, &Value::Null)
        .await
        .expect_problem(405, "invalid_request");
    assert_eq!(got.header("allow"), "POST");
    assert_eq!(shop.bed.wechat.stats().await, before);
}

#[tokio::test]
async fn wechat_takes_the_signature_until_the_key_is_stale_and_again_after_a_login() {
    let shop = Shop::start().await;
    let user = shop.log_in("lin").await;
    let openid = shop.bed.wechat.account("lin").await["openid"].clone();
    let app_key = shop
        .bed
        .wechat
        .control("apps", "POST", &json!({}))
        .await
        .member("app_key");
    let sign_data =
        json!({"offerId": "1450", "outTradeNo": "o-1", "currencyType": "CNY", "attach": "送给 Lin 😀"}).to_string();
    let pay_sig = by_python(
        &app_key,
        &json!(format!("requestVirtualPayment&{sign_data}")).to_string(),
    );
    let pay = async |signature: &str| {
        let payment = json!({
            "openid": openid, "mode": "short_series_goods", "signData": sign_data, "paySig": pay_sig, "signature": signature,
        });
        shop.bed
            .wechat
            .control("virtual-payment", "POST", &payment)
            .await
            .json()
    };
    let signed = shop.sign(&user, &sign_data).await;
    assert_eq!(
        pay(&signed.member("signature")).await["errMsg"],
        "requestVirtualPayment:ok"
    );
    let exchanged = signed.json()["session_key_at"].as_i64().expect("seconds");
    let shown = shop
        .ask("GET", &format!("/users/{user}"), super::ALL, &Value::Null)
        .await
        .json();
    assert_eq!(shown["last_login"], exchanged);

    let body = json!({"openid": openid, "env": 0, "user_ip": "203.0.113.9"}).to_string();
    let xpay = async || {
        let signature = shop.sign(&user, &body).await.member("signature");
        let pay_sig = by_python(
            &app_key,
            &json!(format!("/xpay/query_user_balance&{body}")).to_string(),
        );
        let token = shop
            .ask(
                "GET",
                &format!("/wechat/{APPID}/access-token"),
                SHOP,
                &Value::Null,
            )
            .await
            .member("access_token");
        let query = format!("access_token={token}&pay_sig={pay_sig}&signature={signature}");
        let request = shop.bed.http.0.post(format!(
            "{}/xpay/query_user_balance?{query}",
            shop.bed.wechat.url()
        ));
        shop.bed.http.send(request.body(body.clone())).await.json()["errcode"].clone()
    };
    assert_eq!(xpay().await, 0);

    exchange_elsewhere(&shop.bed, "lin").await;
    assert_eq!(
        pay(&shop.sign(&user, &sign_data).await.member("signature")).await["errCode"],
        -15005
    );
    assert_eq!(xpay().await, 268_490_003);
    assert_eq!(shop.log_in("lin").await, user);
    let signed = shop.sign(&user, &sign_data).await;
    assert_eq!(
        pay(&signed.member("signature")).await["errMsg"],
        "requestVirtualPayment:ok"
    );
    assert_eq!(xpay().await, 0);
    let event = shop
        .audited(
            json!({"action": "sign", "by": "shop", "user": user, "app": APPID, "outcome": "ok"}),
        )
        .await;
    assert!(!event.to_string().contains("o-1"), "{event}");
}

#[tokio::test]
async fn a_key_that_wechat_has_called_stale_signs_no_more_until_the_next_login_whatever_vault_key_seals_it()
 {
    let shop = Shop::start().await;
    let user = shop.log_in("lin").await;
    let rotate = async |byte: u8| {
        let lines = fs::read_to_string(shop.bed.configuration.value("WXMINT_VAULT_KEY_FILE"))
            .expect("the keys");
        use_vault_keys(&shop.bed, &[&STANDARD.encode([byte; 32]), lines.trim()]).await;
    };
    for seen_by in ["encrypt keys", "check", "reset"] {
        let token = shop
            .bed
            .log_in("lin")
            .await
            .expect_login()
            .member("access_token");
        let handed = shop
            .bed
            .wechat
            .hand_over(json!({"person": "lin", "kind": "user_info"}))
            .await;
        assert_eq!(shop.sign(&user, "data").await.status, 200);
        exchange_elsewhere(&shop.bed, "lin").await;
        assert_eq!(
            shop.sign(&user, "data").await.status,
            200,
            "nobody has told wxmint"
        );
        let ask = async |method: &str, path: &str| {
            shop.bed
                .service()
                .ask(method, path, &token, &Value::Null)
                .await
        };
        match seen_by {
            "encrypt keys" => {
                // The use that finds the key stale is the one that seals it anew.
                rotate(1).await;
                shop.encrypt_keys(&user)
                    .await
                    .expect_problem(409, "session_key_missing");
            }
            "check" => {
                assert_eq!(
                    ask("GET", "/wechat/session").await.body,
                    "{\"valid\":false}"
                );
                // Here it is one that does not ask WeChat, below.
                rotate(2).await;
            }
            _ => drop(
                ask("POST", "/wechat/session/reset")
                    .await
                    .expect_problem(422, "decryption_failed"),
            ),
        }
        let refused = shop
            .sign(&user, "data")
            .await
            .expect_problem(409, "session_key_missing");
        assert!(
            refused.member("detail").contains("log in again"),
            "{refused:?}"
        );
        shop.audited(
            json!({"action": "sign", "by": "shop", "user": user, "app": APPID, "outcome": "session_key_missing"}),
        )
        .await;
        // Data that the phone encrypted before is decrypted with it all the same.
        let data = json!({"encryptedData": handed["encryptedData"], "iv": handed["iv"]});
        assert_eq!(
            shop.bed
                .service()
                .ask("POST", "/wechat/userdata", &token, &data)
                .await
                .status,
            200,
            "{seen_by}"
        );
        shop.sign(&user, "data")
            .await
            .expect_problem(409, "session_key_missing");
    }
    assert_eq!(shop.log_in("lin").await, user);
    assert_eq!(shop.sign(&user, "data").await.status, 200);
}

#[tokio::test]
async fn a_user_of_several_people_signs_with_the_key_of_the_latest_login() {
    let accounts = UsersFile::of(&["lin"]);
    let builder = TestBed::builder()
        .env("WXMINT_ACCOUNTS", &accounts.setting())
        .env("WXMINT_BINDINGS_PER_USER", "2");
    let shop = Shop::of(builder).await;
    let log_in = async |person: &str, members: Value| {
        shop.bed.next_second().await;
        shop.bed
            .log_in_with(person, members)
            .await
            .expect_login()
            .member("user_id")
    };
    let user = log_in("lin", password_of("lin")).await;
    for person in ["lin's second phone", "lin", "lin's second phone"] {
        let members = if person == "lin" {
            json!({})
        } else {
            password_of("lin")
        };
        assert_eq!(log_in(person, members).await, user);
        let signed = shop.sign(&user, "data").await.member("signature");
        assert_eq!(
            signed,
            by_python(&session_key(&shop.bed, person).await, "\"data\""),
            "{person}"
        );
    }
}

/// The AppKey of the simulator's app, which is the same at each start.
fn app_key() -> String {
    let hash = digest::digest(&digest::SHA256, format!("app key\0{APPID}").as_bytes());
    hash.as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn an_order_is_signed_by_the_app_too_if_its_file_has_the_appkey_and_wechat_takes_it_as_it_is()
{
    let file = json!({"kind": "mini_program", "secret": APP_SECRET, "payment_key": app_key()});
    let folder = apps_folder(&[(APPID, &file.to_string())]);
    let shop = Shop::of(TestBed::builder().apps_folder(folder.path())).await;
    let user = shop.log_in("lin").await;
    let openid = shop.bed.wechat.account("lin").await["openid"].clone();
    let path = format!("/users/{user}/wechat/{APPID}/payment");
    let order = json!({"offerId": "1450", "outTradeNo": "o-1", "currencyType": "CNY", "env": 0, "attach": "送给 Lin 😀"});
    for (body, mode) in [
        (json!({"data": order.to_string()}), "short_series_goods"),
        (
            json!({"data": order.to_string(), "mode": "short_series_coin"}),
            "short_series_coin",
        ),
    ] {
        let signed = shop.ask("POST", &path, SHOP, &body).await;
        assert_eq!(
            (signed.status, signed.header("cache-control")),
            (200, "no-store"),
            "{signed:?}"
        );
        let mut payment = signed.json();
        let members = payment.as_object_mut().expect("an object");
        assert!(
            members
                .remove("session_key_at")
                .is_some_and(|at| at.is_i64())
        );
        assert_eq!(members["mode"], mode);
        assert_eq!(members["signData"], json!(order.to_string()));
        members.insert("openid".into(), openid.clone());
        let taken = shop
            .bed
            .wechat
            .control("virtual-payment", "POST", &payment)
            .await;
        assert_eq!(
            taken.json()["errMsg"],
            "requestVirtualPayment:ok",
            "{taken:?}"
        );
    }
    let sandbox = json!({"data": r#"{"env":1}"#});
    let refused = shop.ask("POST", &path, SHOP, &sandbox).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert!(
        refused
            .member("detail")
            .contains("`payment_key_sandbox` for 1"),
        "{refused:?}"
    );
    for (body, words) in [
        (json!({"data": "no JSON"}), "must be a JSON object"),
        (json!({"data": "[]"}), "must be a JSON object"),
        (
            json!({"data": r#"{"env":"0"}"#}),
            "the number 0 or 1 as `env`",
        ),
        (
            json!({"data": r#"{"env":2}"#}),
            "the number 0 or 1 as `env`",
        ),
        (
            json!({"data": "{}", "mode": "coins"}),
            "must be short_series_goods or short_series_coin",
        ),
        (json!({}), "`data`"),
    ] {
        let refused = shop.ask("POST", &path, SHOP, &body).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert!(
            refused.member("detail").contains(words),
            "{body}: {refused:?}"
        );
    }
    let read = shop.ask("POST", &path, super::READER, &sandbox).await;
    read.expect_problem(403, "forbidden");
    assert!(
        !shop.bed.service().log().contains(&app_key()),
        "the AppKey is in the log"
    );
}
