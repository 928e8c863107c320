//! WeChat's pushes, which the test sends as strictly as WeChat: signed, encrypted, and spoiled in one thing each.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint::clock::now;

use super::{Business, RECEIVER, interpreter};
use crate::support::prelude::*;

const TOKEN: &str = "push-token-of-the-console";
/// `EncodingAESKey`: base64 of 32 bytes without its last character.
pub(super) const AES_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const RECEIVERS: [&str; 2] = ["pushes/receiver.mjs", "pushes/receiver.py"];
/// A push is padded to a multiple of this.
const BLOCK: usize = 32;

/// One request of WeChat, before it is sent.
#[derive(Clone)]
pub(super) struct Push {
    timestamp: i64,
    nonce: String,
    /// The name and the value of the signature.
    signature: (&'static str, String),
    body: String,
}

impl Push {
    /// In the mode "安全模式".
    pub(super) fn safe(message: &Value) -> Self {
        Self::sealed(&framed(&message.to_string(), APPID))
    }

    fn sealed(padded: &[u8]) -> Self {
        Self::signed(now().timestamp(), &encrypted(padded))
    }

    fn signed(timestamp: i64, sealed: &str) -> Self {
        let nonce = fastrand::u32(..).to_string();
        let signature = (
            "msg_signature",
            signature(&[TOKEN, &timestamp.to_string(), &nonce, sealed]),
        );
        Self {
            timestamp,
            nonce,
            signature,
            body: json!({"ToUserName": "gh_1", "Encrypt": sealed}).to_string(),
        }
    }

    /// In the mode "明文模式".
    fn plain(body: impl ToString) -> Self {
        let (timestamp, nonce) = (now().timestamp(), fastrand::u32(..).to_string());
        let signature = (
            "signature",
            signature(&[TOKEN, &timestamp.to_string(), &nonce]),
        );
        Self {
            timestamp,
            nonce,
            signature,
            body: body.to_string(),
        }
    }
}

fn signature(parts: &[&str]) -> String {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    const_hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes()))
}

/// 16 random bytes, the length, the message and the AppID, padded.
fn framed(message: &str, appid: &str) -> Vec<u8> {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    let length = u32::try_from(message.len())
        .expect("a short message")
        .to_be_bytes();
    let text = [&random, &length[..], message.as_bytes(), appid.as_bytes()].concat();
    let padding = BLOCK - text.len() % BLOCK;
    [text, vec![padding as u8; padding]].concat()
}

fn encrypted(padded: &[u8]) -> String {
    let key = STANDARD.decode(format!("{AES_KEY}=")).expect("base64");
    let iv: [u8; 16] = key[..16].try_into().expect("16 bytes");
    let mut text = padded.to_vec();
    let key = EncryptingKey::cbc(UnboundCipherKey::new(&AES_256, &key).expect("32 bytes"))
        .expect("a key");
    key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(iv.into()))
        .expect("whole blocks");
    STANDARD.encode(text)
}

pub(super) fn event(kind: &str, openid: &str) -> Value {
    json!({"ToUserName": "gh_1", "FromUserName": "oPlatform", "CreateTime": now().timestamp(), "MsgType": "event",
        "Event": kind, "OpenID": openid, "AppID": APPID, "RevokeInfo": "8"})
}

pub(super) fn paid(openid: &str, order: &str) -> Push {
    let mut paid = event("xpay_goods_deliver_notify", "");
    (paid["OpenId"], paid["OutTradeNo"]) = (openid.into(), order.into());
    Push::safe(&paid)
}

/// The business with its receiver, in one language.
pub(super) struct Receiver {
    pub(super) business: Business,
    pub(super) process: Process,
    url: String,
}

impl Receiver {
    pub(super) async fn start(file: &str, aes_key: &str) -> Self {
        let business = Business::start().await;
        let variables = [
            ("PUSH_TOKEN", TOKEN),
            ("PUSH_AES_KEY", aes_key),
            ("SECRET", RECEIVER),
        ];
        let (process, url) = business.run(file, &variables).await;
        Self {
            business,
            process,
            url,
        }
    }

    pub(super) async fn receives(&self, push: &Push) -> Answer {
        let Push {
            timestamp,
            nonce,
            signature: (name, signature),
            body,
        } = push;
        let query = format!(
            "timestamp={timestamp}&nonce={nonce}&openid=oPlatform&encrypt_type=aes&{name}={signature}"
        );
        let http = &self.business.bed.http;
        http.send(
            http.0
                .post(format!("{}/?{query}", self.url))
                .body(body.clone()),
        )
        .await
    }

    pub(super) async fn does(&self, push: &Push) {
        let answer = self.receives(push).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "success"),
            "{:?}",
            self.process.log()
        );
    }

    async fn checks(&self, timestamp: i64, token: &str) -> Answer {
        let signature = signature(&[token, &timestamp.to_string(), "7"]);
        let query = format!(
            "signature={signature}&timestamp={timestamp}&nonce=7&echostr=4375120948345356249"
        );
        self.business
            .bed
            .http
            .get(&format!("{}/?{query}", self.url))
            .await
    }
}

/// WeChat's console gets its echo, and what is not WeChat's is refused.
async fn refuses_what_is_not_wechats(receiver: &Receiver, openid: &str) {
    let now = now().timestamp();
    let echo = receiver.checks(now, TOKEN).await;
    assert_eq!(
        (echo.status, echo.body.as_str()),
        (200, "4375120948345356249")
    );
    for (timestamp, token) in [
        (now, "another token"),
        (now - 301, TOKEN),
        (now + 400, TOKEN),
    ] {
        let refused = receiver.checks(timestamp, token).await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (403, "refused"),
            "{token}"
        );
    }
    for odd in ["//", "/%", "/?signature=%FF&timestamp=now", "/?echostr=1"] {
        let refused = receiver
            .business
            .bed
            .http
            .get(&format!("{}{odd}", receiver.url))
            .await;
        assert_eq!(refused.status, 403, "{odd}");
    }
    assert_eq!(receiver.checks(now, TOKEN).await.status, 200);
    for (what, push) in spoiled(openid) {
        let refused = receiver.receives(&push).await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (403, "refused"),
            "{what}"
        );
    }
    assert_eq!(receiver.business.acts_of("receiver").await, 0);
    let log = receiver.process.log();
    assert!(
        !log.contains("Traceback") && !log.contains(TOKEN) && !log.contains(RECEIVER),
        "{log}"
    );
}

/// <https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push.html>
#[test]
fn the_example_that_wechat_has_published_is_opened() {
    const BODY: &str = r#"{"ToUserName":"gh_97417a04a28d","Encrypt":"+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="}"#;
    const NODE: &str = "import { Pushes } from './push.mjs';
        const pushes = new Pushes({ token: 'AAAAA', encodingAesKey: 'A'.repeat(43), appid: 'wxba5fad812f8e6fb9' });
        const query = 'timestamp=1714112445&nonce=415670741&msg_signature=046e02f8204d34f8ba5fa3b1db94908f3df2e9b3';
        console.log(JSON.stringify(pushes.open(new URLSearchParams(query), process.argv[1], 1714112445).push));";
    const PYTHON: &str = "import json, sys; sys.path.insert(0, '.'); from push import Pushes
pushes = Pushes('AAAAA', 'A' * 43, 'wxba5fad812f8e6fb9')
query = {'timestamp': '1714112445', 'nonce': '415670741', 'msg_signature': '046e02f8204d34f8ba5fa3b1db94908f3df2e9b3'}
print(json.dumps(pushes.open(query, sys.argv[1], 1714112445)[1]))";
    for (file, words) in [
        ("a.mjs", ["--input-type=module", "--eval", NODE].as_slice()),
        ("a.py", &["-c", PYTHON]),
    ] {
        let mut command = interpreter(file);
        let output = command
            .args(words)
            .arg(BODY)
            .current_dir(repository("examples/pushes"))
            .output();
        let output = output.expect("it runs");
        let push: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(
            (&push["Event"], &push["debug_str"]),
            (&"debug_demo".into(), &"hello world".into())
        );
    }
}

/// Each is sound but for one thing.
fn spoiled(openid: &str) -> Vec<(&'static str, Push)> {
    let message = event("user_authorization_cancellation", openid);
    let sound = || Push::safe(&message);
    let text = message.to_string();
    let (frame, length) = (framed(&text, APPID), text.len() as u32);
    let unpadded = &frame[..frame.len() - usize::from(*frame.last().expect("a byte"))];
    let ending_in =
        |ending: &[u8]| Push::sealed(&[&frame[..frame.len() - ending.len()], ending].concat());
    let with_length =
        |length: u32| Push::sealed(&[&frame[..16], &length.to_be_bytes(), &frame[20..]].concat());
    let with_signature = |name, text: &str| Push {
        signature: (name, text.to_owned()),
        ..sound()
    };
    let mut elsewhere = message.clone();
    elsewhere["AppID"] = OTHER_APPID.into();
    let now = now().timestamp();
    vec![
        (
            "a wrong signature",
            with_signature("msg_signature", &"0".repeat(40)),
        ),
        (
            "a short signature",
            with_signature("msg_signature", &sound().signature.1[..39]),
        ),
        ("no signature", with_signature("other", "")),
        (
            "the signature that does not cover the body",
            Push {
                body: sound().body,
                ..Push::plain("")
            },
        ),
        (
            "another body under a signature",
            Push {
                body: sound().body,
                ..sound()
            },
        ),
        (
            "another nonce",
            Push {
                nonce: "8".to_owned(),
                ..sound()
            },
        ),
        ("an old one", Push::signed(now - 301, &encrypted(&frame))),
        ("one to come", Push::signed(now + 400, &encrypted(&frame))),
        ("plain text where all is encrypted", Push::plain(&text)),
        (
            "sealed for another app",
            Push::sealed(&framed(&text, OTHER_APPID)),
        ),
        ("about another app", Push::safe(&elsewhere)),
        ("padding of 0", ending_in(&[0])),
        ("padding beyond a block", ending_in(&[33])),
        ("uneven padding", ending_in(&[1, 2])),
        ("padding of all", Push::sealed(&[32; 32])),
        (
            "no padding",
            Push::sealed(&[unpadded, &vec![b'x'; BLOCK - unpadded.len() % BLOCK]].concat()),
        ),
        ("half a block", Push::sealed(&frame[..frame.len() - 16])),
        ("nothing", Push::signed(now, "")),
        ("no base64", Push::signed(now, "????")),
        ("a length beyond the end", with_length(length + 19)),
        ("a length of 4 GiB", with_length(u32::MAX)),
        ("a length before the end", with_length(length - 1)),
        ("no JSON inside", Push::sealed(&framed("<xml>", APPID))),
        ("an array inside", Push::sealed(&framed("[]", APPID))),
        (
            "no JSON",
            Push {
                body: "<xml></xml>".to_owned(),
                ..sound()
            },
        ),
        (
            "null",
            Push {
                body: "null".to_owned(),
                ..sound()
            },
        ),
        (
            "too much",
            Push {
                body: format!("{}{}", sound().body, " ".repeat(70_000)),
                ..sound()
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wechats_does_nothing_a_withdrawn_consent_revokes_the_tokens_once_and_a_closed_account_is_erased()
 {
    for file in RECEIVERS {
        let receiver = Receiver::start(file, AES_KEY).await;
        let (bed, openid) = (
            &receiver.business.bed,
            receiver.business.bed.wechat.openid("lin").await,
        );
        let [lin, mei] = [
            bed.log_in("lin").await.expect_login(),
            bed.log_in("mei").await.expect_login(),
        ];
        refuses_what_is_not_wechats(&receiver, &openid).await;
        assert!(bed.accepts(&lin).await, "{file}");
        let push = Push::safe(&event("user_authorization_revoke", &openid));
        receiver.does(&push).await;
        assert!(
            !bed.accepts(&lin).await && bed.accepts(&mei).await,
            "{file}"
        );
        let again = bed.for_good(async || bed.log_in("lin").await).await;
        assert_eq!(again.member("user_id"), lin.member("user_id"));
        // Sent again, by WeChat or by somebody who has seen it.
        receiver.does(&push).await;
        assert!(bed.accepts(&again).await, "{file}: a replay ends nothing");
        assert_eq!(receiver.business.acts_of("receiver").await, 1);

        let user = lin.member("user_id");
        let unknown = receiver.receives(&paid("oNobody", "order-0001")).await;
        assert_eq!(
            unknown.status, 503,
            "{file}: not given to nobody, and `stories` has somebody"
        );
        let message = json!({"FromUserName": openid, "CreateTime": 1, "MsgType": "text", "Content": "在吗", "MsgId": 1});
        receiver.does(&Push::safe(&message)).await;
        let told: Value = serde_json::from_str(&receiver.process.says("asks").await).expect("JSON");
        assert_eq!(told["asks"], user.as_str(), "{file}");
        receiver
            .does(&Push::safe(&event("debug_demo", &openid)))
            .await;

        // While wxmint cannot act, WeChat is told to come again.
        let push = Push::safe(&event("user_authorization_revoke", &openid));
        bed.redis_link().cut().await;
        assert_eq!(receiver.receives(&push).await.status, 503, "{file}");
        assert!(
            receiver
                .process
                .says("store_unavailable")
                .await
                .contains("user_authorization_revoke")
        );
        bed.redis_link().restore().await;
        let handled = async || receiver.receives(&push).await.status == 200;
        until(
            "the same push is handled",
            BUSY + Duration::from_secs(5),
            handled,
        )
        .await;
        assert!(!bed.accepts(&again).await, "{file}");
        is_a_stranger_after_closing_the_account(&receiver, &openid, &user).await;
    }
}

/// By another kind of push than that of a consent that is withdrawn.
async fn is_a_stranger_after_closing_the_account(receiver: &Receiver, openid: &str, user: &str) {
    let (business, bed) = (&receiver.business, &receiver.business.bed);
    let push = Push::safe(&event("user_authorization_cancellation", openid));
    receiver.does(&push).await;
    assert_eq!(business.user_of(openid).await, None);
    let again = bed.for_good(async || bed.log_in("lin").await).await;
    assert_ne!(again.member("user_id"), user, "a new user");
    receiver.does(&push).await;
    assert!(bed.accepts(&again).await, "a replay erases nobody");
    assert_eq!(
        business.user_of(openid).await,
        Some(again.member("user_id"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_push_is_believed_once_whatever_its_body() {
    for file in RECEIVERS {
        let receiver = Receiver::start(file, "").await;
        let bed = &receiver.business.bed;
        let logins = [
            bed.log_in("lin").await.expect_login(),
            bed.log_in("mei").await.expect_login(),
        ];
        let [of_lin, of_mei] = [
            bed.wechat.openid("lin").await,
            bed.wechat.openid("mei").await,
        ];
        let push = Push::plain(event("user_authorization_revoke", &of_lin));
        let forged = Push {
            signature: ("signature", "0".repeat(40)),
            ..push.clone()
        };
        assert_eq!(receiver.receives(&forged).await.status, 403, "{file}");
        let sealed = Push {
            body: Push::safe(&event("user_authorization_revoke", &of_lin)).body,
            ..Push::plain("")
        };
        assert_eq!(
            receiver.receives(&sealed).await.status,
            403,
            "{file}: nobody has read it, for want of the key"
        );
        receiver.does(&push).await;
        receiver
            .does(&Push {
                body: event("user_authorization_revoke", &of_mei).to_string(),
                ..push
            })
            .await;
        assert_eq!(
            [bed.accepts(&logins[0]).await, bed.accepts(&logins[1]).await],
            [false, true],
            "{file}"
        );
    }
}
