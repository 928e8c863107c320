//! Pushes that another implementation has sealed are read, and it reads those of the simulator: `@wecom/crypto`, by
//! Tencent itself.

use wxmint_simulator::{Platform, push_xml, seal_push};

use super::{PLATFORM, platform};
use crate::support::prelude::*;

const SCRIPT: &str = r#"
import crypto from "@wecom/crypto";
const { token, key, appid, seal, open } = JSON.parse(process.argv[2]);
const sealed = seal.map(({ xml, timestamp, nonce }) => {
  const encrypt = crypto.encrypt(key, xml, appid);
  return { encrypt, signature: crypto.getSignature(token, timestamp, nonce, encrypt) };
});
const opened = open.map(({ encrypt, timestamp, nonce }) => {
  const { message, id } = crypto.decrypt(key, encrypt);
  return { message, id, signature: crypto.getSignature(token, timestamp, nonce, encrypt) };
});
console.log(JSON.stringify({ sealed, opened }));
"#;

fn of_another_make(folder: &Path, asked: &Value) -> Value {
    let script = folder.join("envelopes.mjs");
    std::fs::write(&script, SCRIPT).expect("written");
    let output = Command::new("node").arg(&script).arg(asked.to_string()).output().expect("Node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn member(query: &str, name: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(own, _)| *own == name).expect("a parameter").1.to_owned()
}

/// Messages of every length to two blocks, so that each padding comes.
#[tokio::test]
async fn envelopes_of_another_make_are_read_and_ours_are_read_by_it() {
    let bed = platform(1).await;
    let folder = node_folder();
    let at = wxmint::clock::now().timestamp();
    let said: Vec<String> = (0..64)
        .map(|length| {
            let ticket = format!("ticket@@@{}晨光", "t".repeat(length));
            push_xml(PLATFORM, at, "component_verify_ticket", &[("ComponentVerifyTicket", &ticket)])
        })
        .collect();
    let us: Platform = [PLATFORM, PLATFORM_SECRET, PLATFORM_TOKEN, PLATFORM_KEY].join(":").parse().expect("a platform");
    let ours: Vec<(String, String)> = said.iter().map(|xml| seal_push(&us, xml, at, "1372623149")).collect();
    let encrypted = |body: &str| {
        let (_, rest) = body.split_once("<Encrypt><![CDATA[").expect("an envelope");
        rest.split_once("]]>").expect("an envelope").0.to_owned()
    };
    let (timestamp, nonce) = (at.to_string(), "1372623149");
    let asked = json!({
        "token": PLATFORM_TOKEN, "key": PLATFORM_KEY, "appid": PLATFORM,
        "seal": said.iter().map(|xml| json!({"xml": xml, "timestamp": timestamp, "nonce": nonce})).collect::<Vec<_>>(),
        "open": ours.iter().map(|(_, body)| json!({"encrypt": encrypted(body), "timestamp": timestamp, "nonce": nonce}))
            .collect::<Vec<_>>(),
    });
    let answered = of_another_make(folder.path(), &asked);
    for (number, (xml, (query, _))) in said.iter().zip(&ours).enumerate() {
        let opened = &answered["opened"][number];
        assert_eq!((&opened["message"], &opened["id"]), (&json!(xml), &json!(PLATFORM)));
        assert_eq!(opened["signature"], member(query, "msg_signature"));
        let sealed = &answered["sealed"][number];
        let url = bed.service().url(&format!(
            "/wechat/platform/{PLATFORM}?timestamp={timestamp}&nonce={nonce}&msg_signature={}",
            sealed["signature"].as_str().expect("a text")
        ));
        let encrypt = sealed["encrypt"].as_str().expect("a text");
        let body = format!("<xml><AppId><![CDATA[{PLATFORM}]]></AppId><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>");
        let answer = bed.http.send(bed.http.0.post(url).header("Content-Type", "text/xml").body(body)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "success"), "{number}: {answer:?}");
    }
    until("the ticket is kept", PATIENCE, async || !bed.service().admin("/readyz").await.body.contains("no ticket"))
        .await;
}
