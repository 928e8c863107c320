//! Ten thousand cases that Python's cryptography and Node's crypto have drawn, sealed and signed, and what becomes of each
//! when it is damaged: wxmint and both of them agree.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use chrono::DateTime;
use fastrand::Rng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use wxmint::wechat::{EncryptedData, RawData, SessionKey, session_signature};

use crate::damage::damaged;

const CASES: usize = 5000;

/// What peer.py and peer.mjs take for recent.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Sealed data, and what has to be known to open it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) session_key: String,
    pub(crate) iv: String,
    #[serde(rename = "encryptedData")]
    pub(crate) encrypted_data: String,
    pub(crate) appid: String,
    pub(crate) openid: String,
    pub(crate) now: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    #[serde(flatten)]
    asked: Asked,
    opened: Value,
    raw_data: String,
    signature: String,
    #[serde(rename = "session_signature")]
    session_signature: String,
}

impl Asked {
    /// What wxmint makes of it, in the form of the peers.
    fn opened(&self) -> Value {
        let data = EncryptedData::parse(&self.encrypted_data, &self.iv).expect("base64 of whole blocks");
        let (app, openid) = (self.appid.parse().expect("an AppID"), self.openid.parse().expect("an openid"));
        let now = DateTime::from_timestamp(self.now, 0).expect("a date");
        match data.open(&SessionKey::new(self.session_key.as_str()), &app, &openid, now, MAX_AGE) {
            Ok(opened) => json!({"data": opened.data, "unionid": opened.unionid.map(|id| id.as_str().to_owned())}),
            Err(_) => Value::Null,
        }
    }
}

struct Peer {
    program: PathBuf,
    script: &'static str,
}

impl Peer {
    fn all() -> [Self; 2] {
        let python = repository("target/tools/python/bin/python");
        assert!(python.exists(), "{} is missing; run: make setup", python.display());
        [Self { program: python, script: "peer.py" }, Self { program: "node".into(), script: "peer.mjs" }]
    }

    fn make(&self, seed: u64, count: usize) -> Vec<Case> {
        let (mut peer, lines) = self.run(&["make".to_owned(), seed.to_string(), count.to_string()], Vec::new());
        assert!(peer.wait().expect("an end").success());
        lines
    }

    fn open(&self, asked: &[Asked]) -> Vec<Value> {
        let lines = asked.iter().map(|asked| serde_json::to_string(asked).expect("JSON") + "\n").collect();
        let (mut peer, lines) = self.run(&["open".to_owned()], lines);
        assert!(peer.wait().expect("an end").success());
        lines
    }

    /// Hands it `input`, and reads its lines meanwhile: a pipe holds neither.
    fn run<T: DeserializeOwned>(&self, arguments: &[String], input: Vec<String>) -> (Child, Vec<T>) {
        let mut command = Command::new(&self.program);
        command.arg(repository("tests/user_data").join(self.script)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut peer =
            command.spawn().unwrap_or_else(|error| panic!("{}: {error}; run: make setup", self.program.display()));
        let mut stdin = peer.stdin.take().expect("a pipe");
        let writer =
            thread::spawn(move || input.iter().for_each(|line| stdin.write_all(line.as_bytes()).expect("read")));
        let lines = BufReader::new(peer.stdout.take().expect("a pipe")).lines();
        let lines = lines.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON")).collect();
        writer.join().expect("all was read");
        (peer, lines)
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn what_others_seal_and_sign_opens_and_damage_is_refused_by_all() {
    let peers = Peer::all();
    let cases: Vec<Case> = peers.iter().flat_map(|peer| peer.make(1, CASES)).collect();
    assert_eq!(cases.len(), 2 * CASES);
    cases.iter().for_each(agrees);

    let mut rng = Rng::with_seed(1);
    let damaged: Vec<Asked> = cases.iter().map(|case| damaged(&case.asked, &mut rng)).collect();
    let all: Vec<Asked> = cases.into_iter().map(|case| case.asked).chain(damaged).collect();
    let ours: Vec<Value> = all.iter().map(Asked::opened).collect();
    for peer in &peers {
        for ((asked, ours), theirs) in all.iter().zip(&ours).zip(peer.open(&all)) {
            assert_eq!(*ours, theirs, "{} has opened {asked:?}", peer.script);
        }
    }
    let opened = ours[2 * CASES..].iter().filter(|opened| !opened.is_null()).count();
    assert!((1..CASES).contains(&opened), "a change of the iv may leave an object: {opened}");
}

fn agrees(case: &Case) {
    let key = SessionKey::new(case.asked.session_key.as_str());
    assert_eq!(case.asked.opened(), case.opened, "{case:?}");
    assert_eq!(session_signature(&key), case.session_signature, "{case:?}");
    let signed = |raw: &str, signature: &str| RawData::parse(raw, signature).expect("a form").open(&key);
    let opened = signed(&case.raw_data, &case.signature).unwrap_or_else(|error| panic!("{error}: {case:?}"));
    assert_eq!(Value::from(opened.data), case.opened["data"], "{case:?}");
    assert!(signed(&format!("{} ", case.raw_data), &case.signature).is_err());
}
