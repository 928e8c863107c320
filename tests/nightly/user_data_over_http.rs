//! The time does not tell a client why its data was refused: bad padding, bad UTF-8, bad JSON or a foreign key.

use serde_json::Value;

use crate::{
    sealing::{encrypt, padded, phone, seal},
    stopwatch::Trial,
    support::{APPID, TestBed},
};

/// One failure less than costs the session key.
const TRIES: usize = 7;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Padding,
    Utf8,
    Json,
    ForeignKey,
    /// Bad padding in 64 times as many blocks.
    Control,
}

const TRIAL: Trial<Kind> = Trial {
    what: "refused data over HTTP, in ms",
    samples: 400,
    alike: &[Kind::Padding, Kind::Utf8, Kind::Json, Kind::ForeignKey],
    others: &[],
    control: Kind::Control,
};

impl Kind {
    fn sealed(self, key: &str) -> Value {
        let good = phone("13800138000").to_string();
        match self {
            Self::Padding => with_bad_padding(key, &good),
            Self::Utf8 => {
                let bytes = good.bytes().map(|byte| if byte == b'8' { 0xff } else { byte });
                encrypt(key, &padded(&bytes.collect::<Vec<_>>()))
            }
            Self::Json => seal(key, &good.replacen("\":", "\";", 1)),
            Self::ForeignKey => seal("AAECAwQFBgcICQoLDA0ODw==", &good),
            Self::Control => with_bad_padding(key, &good.repeat(64)),
        }
    }
}

fn with_bad_padding(key: &str, text: &str) -> Value {
    let mut blocks = padded(text.as_bytes());
    *blocks.last_mut().expect("bytes") = 0;
    encrypt(key, &blocks)
}

#[tokio::test]
async fn what_is_wrong_with_data_takes_times_that_cannot_be_told_apart() {
    let bed = TestBed::start().await;
    TRIAL.run(async |order| measure(&bed, order).await).await;
}

async fn measure(bed: &TestBed, order: &[Kind]) -> Vec<f64> {
    let mut times = Vec::new();
    for kinds in order.chunks(TRIES) {
        let token = bed.log_in("lin").await.expect_login().member("access_token");
        let known = bed.wechat.account("lin").await;
        let (openid, key) = (known["openid"].as_str().expect("text"), known["session_key"].as_str().expect("text"));
        bed.redis.command::<i64>(&["DEL", &format!("wxmint:{{{APPID}:{openid}}}:limit:tries")]);
        for kind in kinds {
            let request = bed.http.0.post(bed.service().url("/wechat/userdata")).bearer_auth(&token);
            let answer = bed.http.send(request.json(&kind.sealed(key))).await;
            times.push(answer.took.as_secs_f64() * 1e3);
            answer.expect_problem(422, "data_undecryptable");
        }
    }
    times
}
