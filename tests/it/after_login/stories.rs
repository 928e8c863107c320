//! Two stories of a business after the login: a sale, and an encrypted message. Each from the phone to WeChat, with the
//! examples as the business, in Node and in Python.

use super::pushes::{AES_KEY, Receiver, paid};
use super::{Business, SHOP, interpreter};
use crate::mini_program::node;
use crate::support::prelude::*;

/// The business's service and its receiver of pushes.
const PROGRAMS: [[&str; 2]; 2] = [
    ["after-login/service.mjs", "pushes/receiver.mjs"],
    ["after-login/service.py", "pushes/receiver.py"],
];

impl Business {
    async fn open_shop(&self, file: &str) -> (Process, String) {
        let app_key = self
            .bed
            .wechat
            .control("apps", "POST", &json!({"appid": APPID}))
            .await
            .member("app_key");
        self.run(
            file,
            &[
                ("SECRET", SHOP),
                ("OFFER_ID", "1450000000"),
                ("APP_KEY", &app_key),
            ],
        )
        .await
    }

    /// Plays a story with lin's phone, and returns what was seen. The peer verifies tokens as the proxy with the
    /// sidecar does, and hands requests to the shop.
    fn play(&self, story: &str, shop: &str) -> Value {
        let asked = json!({
            "story": story, "person": "lin", "appid": APPID, "secret": APP_SECRET, "issuer": ISSUER,
            "service": self.bed.service().url(""), "simulator": self.bed.wechat.url(), "behind": shop,
        });
        serde_json::from_str(&node(&["run.mjs", &asked.to_string()])).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_from_the_phone_to_the_goods_and_an_encrypted_message_that_the_business_alone_reads()
{
    for [shop, receiver] in PROGRAMS {
        let receiver = Receiver::start(receiver, AES_KEY).await;
        let business = &receiver.business;
        let (process, url) = business.open_shop(shop).await;
        let told = business.play("sale", &url);
        let payments = told["payments"].as_array().expect("payments");
        let codes: Vec<_> = payments.iter().map(|payment| &payment["errCode"]).collect();
        assert_eq!(
            codes,
            [&json!(0), &json!(-15005), &json!(0)],
            "{shop}: {told}"
        );
        // One login of the mini program before the first sale, one elsewhere, and one after -15005.
        assert_eq!(
            (&told["logins"], &told["refused"]),
            (&json!(3), &json!("refused")),
            "{shop}: {told}"
        );

        let openid = business.bed.wechat.openid("lin").await;
        let user = business.user_of(&openid).await.expect("lin is bound");
        let order = payments[2]["order"].as_str().expect("a text");
        let delivered = receiver.receives(&paid(&openid, order)).await;
        assert_eq!(
            (delivered.status, delivered.json()),
            (200, json!({"ErrCode": 0, "ErrMsg": "success"})),
            "{shop}"
        );
        let told: Value = serde_json::from_str(&receiver.process.says(order).await).expect("JSON");
        assert_eq!(told, json!({"order": order, "user_id": user}), "{shop}");
        let key = business.bed.wechat.account("lin").await["session_key"]
            .as_str()
            .expect("a text")
            .to_owned();
        let log = [
            process.log(),
            receiver.process.log(),
            business.bed.service().log(),
        ]
        .concat();
        assert!(
            ![key.as_str(), SHOP, &openid]
                .iter()
                .any(|secret| log.contains(secret)),
            "{shop}: {log}"
        );
        assert_eq!(business.acts_of("shop").await, 3, "{shop}");

        let told = business.play("message", &url);
        assert_eq!(
            told["texts"],
            json!([true, true, true, true]),
            "{shop}: {told}"
        );
        assert_eq!(told["broken"], "refused", "{shop}: {told}");
        // One login before the first message, one elsewhere, and one because WeChat has forgotten the first key.
        assert_eq!(told["logins"], 3 + 3, "{shop}: {told}");
        assert!(!process.log().contains(SHOP), "{shop}");
        // The keys of the first messages were asked for once.
        assert_eq!(business.acts_of("shop").await, 3 + 3, "{shop}");
    }
}

/// The same user with another WeChat identity, whose key has the same version.
#[test]
fn keys_of_an_identity_that_was_left_are_not_kept() {
    const NODE: &str = "import { createCipheriv } from 'node:crypto'; import { createServer } from 'node:http';
        let encrypt_key = Buffer.alloc(16, 1).toString('base64'), iv = '0123456789abcdef';
        const sealed = () => { const c = createCipheriv('aes-128-cbc', Buffer.from(encrypt_key, 'base64'), iv);
            return { version: 1, data: c.update('ok', 'utf8', 'base64') + c.final('base64') }; };
        const server = createServer((_, answer) => answer.end(JSON.stringify({ keys: [{ encrypt_key, iv, version: 1 }] })));
        await new Promise((up) => server.listen(0, '127.0.0.1', up));
        process.env.ADMIN = `http://127.0.0.1:${server.address().port}`;
        const { opened } = await import('./message.mjs');
        const told = [await opened('u', sealed())];
        encrypt_key = Buffer.alloc(16, 2).toString('base64');
        for (let i = 0; i < 2; i++) told.push(await opened('u', sealed()).catch(() => 'refused'));
        console.log(JSON.stringify(told)); process.exit();";
    const PYTHON: &str = "import json, os, sys; sys.path.insert(0, '.')
os.environ.update(ADMIN='', SECRET='', APPID='')
import message
from base64 import b64encode
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
key = {'iv': '0123456789abcdef', 'version': 1}
def renew(byte): key['encrypt_key'] = b64encode(bytes([byte]) * 16).decode()
message.wxmint = lambda *_: {'keys': [dict(key)]}
def told():
    cipher = Cipher(algorithms.AES(message.b64decode(key['encrypt_key'])), modes.CBC(key['iv'].encode())).encryptor()
    try: return message.opened('u', 1, b64encode(cipher.update(b'ok' + b'\\x0e' * 14) + cipher.finalize()))
    except ValueError: return 'refused'
renew(1); all = [told()]; renew(2); print(json.dumps(all + [told(), told()]))";
    for (file, words) in [
        ("a.mjs", ["--input-type=module", "--eval", NODE].as_slice()),
        ("a.py", &["-c", PYTHON]),
    ] {
        let output = interpreter(file)
            .args(words)
            .current_dir(repository("examples/after-login"))
            .output();
        let output = output.expect("it runs");
        let told: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(told, json!(["ok", "refused", "ok"]), "{file}");
    }
}
