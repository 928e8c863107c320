//! The same for what peers ask of the admin listener: a session key is in no answer, and an access token in that alone which lends it.

use serde_json::{Value, json};

use super::{Run, scan::Secret};
use crate::support::{APPID, Answer, write_private};

const PEER: &str = "planted-secret-of-a-peer-5c0e7714";
const DATA: &str = "planted-data-of-an-order-81f2";
const KEYS: &str = "/wxa/business/getuserencryptkey";
const TOKENS: &str = "/cgi-bin/stable_token";

impl Run {
    /// What the answer is asked for is taken out of it, and is a secret from there on.
    async fn ask_as_peer(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let url = format!("http://{}{path}", self.bed.service().admin);
        let request = self.bed.http.0.request(method.parse().expect("a method"), url).bearer_auth(PEER);
        let mut answer = self.bed.http.send(if body.is_null() { request } else { request.json(body) }).await;
        let given = answer.clone();
        if answer.status == 200 {
            let members = answer.json();
            let keys = members["keys"].as_array().into_iter().flatten();
            let keys = keys.map(|key| ("encrypt key", key["encrypt_key"].clone()));
            let own = [("access token", members["access_token"].clone()), ("signature", members["signature"].clone())];
            for (name, secret) in keys.chain(own) {
                if let Some(text) = secret.as_str() {
                    answer.body = answer.body.replace(text, "");
                    self.note(Secret::new(name, text));
                }
            }
        }
        self.traces.answer(&answer);
        self.note_people().await;
        given
    }

    async fn everything_of_peers(&mut self, user: &str) {
        let signature = format!("/users/{user}/wechat/{APPID}/signature");
        self.ask_as_peer("POST", &signature, &json!({"data": DATA})).await;
        self.ask_as_peer("POST", &signature, &json!({"data": [DATA]})).await;
        self.ask_as_peer("GET", &format!("/users/{user}/wechat/{APPID}/encrypt-keys"), &Value::Null).await;
        let path = format!("/wechat/{APPID}/access-token");
        let lent = self.ask_as_peer("GET", &path, &Value::Null).await.json();
        self.ask_as_peer("POST", &path, &json!({"invalid": lent["access_token"]})).await;
    }
}

#[tokio::test]
async fn what_peers_ask_for_shows_no_session_key_and_the_access_token_to_them_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("admin.tokens");
    write_private(&tokens, &format!("shop {PEER} wechat\n"));
    let mut run = Run::with(&[("WXMINT_ADMIN_TOKENS_FILE", &tokens.to_string_lossy())]).await;
    run.note(Secret::new("peer's secret", PEER));
    run.note(Secret::new("signed data", DATA));
    let user = run.log_in().await.expect_login().member("user_id");
    run.everything_of_peers(&user).await;
    let errcodes = [40001, 40013, 45009, 87009].map(|errcode| json!({"kind": "errcode", "errcode": errcode}));
    let torn = ["truncated", "html", "garbage", "reset"].map(|kind| json!({"kind": kind}));
    for fault in errcodes.into_iter().chain(torn) {
        for path in [KEYS, TOKENS] {
            let mut fault = fault.clone();
            fault["path"] = path.into();
            run.bed.faults(json!([fault])).await;
            run.everything_of_peers(&user).await;
            run.bed.faults(json!([])).await;
            run.bed.wechat.revoke_access_tokens().await;
            run.log_in().await.expect_login();
            run.everything_of_peers(&user).await;
        }
    }
    run.bed.redis_link().cut().await;
    run.everything_of_peers(&user).await;
    for name in ["session_key", "encrypt key", "access token", "signature"] {
        assert!(run.secrets.iter().any(|secret| secret.name == name), "no {name} was searched for");
    }
    run.bed.redis_link().restore().await;
    run.expect_no_leaks().await;
}
