//! The data that a phone gives its mini program, encrypted with the session key: profile, phone number, steps, and the
//! group that a page was shared to.

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::call::with_raw_controls;
use super::people::Account;
use super::state::random;
use super::world::World;

/// The length of a block of the cipher, in bytes.
const BLOCK: usize = 16;
/// Enough days of steps to exceed 64 KiB.
const MOST_DAYS: u16 = 2500;
/// The number of days that WeChat returns.
const DAYS: u16 = 31;
/// The name and the picture that WeChat has returned for everybody since it stopped returning real
/// ones.
const NAME: &str = "微信用户";
const PICTURE: &str = "https://thirdwx.qlogo.cn/mmopen/vi_32/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/132";

/// The data that a test asks for, and how it should differ from WeChat's data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) person: String,
    pub(super) appid: Option<String>,
    kind: Kind,
    #[serde(default)]
    under: Under,
    #[serde(default)]
    age_seconds: u32,
    watermark_appid: Option<String>,
    unionid: Option<bool>,
    days: Option<u16>,
    #[serde(default)]
    members: Map<String, Value>,
    spliced: Option<Spliced>,
}

/// Data that a phone forges without the session key. This is possible because the encryption is CBC
/// without a MAC: the phone leaves out leading blocks, and chooses the iv so that the first
/// remaining block decrypts to any 16 bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spliced {
    /// The first block of the plaintext: 16 bytes, for example `{"phoneNumber":"`.
    first: String,
    /// The text that follows. The person has set it as their nickname.
    rest: String,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    UserInfo,
    Phone,
    Steps,
    Share,
}

/// The session key that encrypts the data: the current key, or the key that the last login
/// replaced.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Under {
    #[default]
    Current,
    Previous,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Handed {
    encrypted_data: String,
    iv: String,
    #[serde(flatten)]
    signed: Option<Signed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    raw_data: String,
    signature: String,
}

/// Members in WeChat's order.
type Members = Vec<(String, Value)>;

impl World {
    /// The data that the phone of `wanted.person` gives the mini program. The error says why it
    /// cannot.
    pub(super) fn user_data(
        &self,
        app: usize,
        wanted: &Wanted,
        now: DateTime<Utc>,
    ) -> Result<Handed, String> {
        wanted.check()?;
        let (phone, account) = self.phone(&wanted.person, app);
        let session_key = wanted.session_key(&account)?;
        let term = self.terms.of(app);
        let unionid = wanted
            .unionid
            .unwrap_or(term.gives_unionid)
            .then(|| term.unionid(&account.unionid));
        let at = now - TimeDelta::seconds(wanted.age_seconds.into());
        let mut members = match wanted.kind {
            Kind::UserInfo => user_info(&account.openid, unionid.as_deref()),
            Kind::Phone => phone_number(&phone),
            Kind::Steps => named([("stepInfoList", steps(wanted.days.unwrap_or(DAYS), at))]),
            Kind::Share => named([("openGId", json!("tGSimulatedGroup0123456789ab"))]),
        };
        let appid = wanted
            .watermark_appid
            .as_deref()
            .unwrap_or(self.apps[app].id.as_str());
        members.extend(named([(
            "watermark",
            json!({"timestamp": at.timestamp(), "appid": appid}),
        )]));
        change(&mut members, &wanted.members);
        if let Some(spliced) = &wanted.spliced {
            return Ok(spliced.hand(members, session_key));
        }
        let (encrypted_data, iv) = seal(&object(&members), session_key);
        let signed = (wanted.kind == Kind::UserInfo).then(|| Signed::new(members, session_key));
        Ok(Handed {
            encrypted_data: STANDARD.encode(encrypted_data),
            iv: STANDARD.encode(iv),
            signed,
        })
    }
}

impl Wanted {
    fn check(&self) -> Result<(), String> {
        if let Some(spliced) = &self.spliced
            && (self.kind != Kind::UserInfo
                || spliced.first.len() != BLOCK
                || spliced.rest.is_empty())
        {
            return Err(format!(
                "spliced needs {BLOCK} bytes as first, a rest, and the kind user_info"
            ));
        }
        match self.days {
            Some(days) if self.kind != Kind::Steps || !(1..=MOST_DAYS).contains(&days) => Err(
                format!("days must be from 1 to {MOST_DAYS}, and only the kind steps has them"),
            ),
            _ => Ok(()),
        }
    }

    fn session_key<'a>(&self, account: &'a Account) -> Result<&'a str, String> {
        let (key, missing) = match self.under {
            Under::Current => (
                &account.session_key,
                "has no session key in this app; exchange a login code first",
            ),
            Under::Previous => (
                &account.previous_session_key,
                "has no previous session key; exchange two login codes first",
            ),
        };
        key.as_deref()
            .ok_or_else(|| format!("{} {missing}", self.person))
    }
}

impl Spliced {
    /// The profile with a nickname in which `rest` begins a block. Leaves out the blocks before
    /// `rest`, except the last one.
    fn hand(&self, mut members: Members, session_key: &str) -> Handed {
        let place_of_rest = |members: &mut Members, fill: usize| {
            let nickname = format!("{}{}", "x".repeat(fill), self.rest);
            change(
                members,
                &Map::from_iter([("nickName".to_owned(), json!(nickname))]),
            );
            let text = object(members);
            let nickname = json!(nickname).to_string();
            let place = text.find(&nickname).map_or(0, |place| place + 1 + fill);
            (text, place)
        };
        let (_, unaligned) = place_of_rest(&mut members, 0);
        let (text, place) =
            place_of_rest(&mut members, unaligned.next_multiple_of(BLOCK) - unaligned);
        let (encrypted_data, _) = seal(&text, session_key);
        // There are at least two blocks before the nickname, because the openid alone fills them.
        let kept = place - BLOCK;
        let before = &encrypted_data[kept - BLOCK..kept];
        let replaced = &text.as_bytes()[kept..place];
        let chosen: Vec<u8> = (0..BLOCK)
            .map(|byte| before[byte] ^ replaced[byte] ^ self.first.as_bytes()[byte])
            .collect();
        Handed {
            encrypted_data: STANDARD.encode(&encrypted_data[kept..]),
            iv: STANDARD.encode(chosen),
            signed: None,
        }
    }
}

impl Signed {
    /// WeChat's signature: SHA-1 of the text and the session key's base64.
    fn new(mut members: Members, session_key: &str) -> Self {
        members.retain(|(name, _)| !["openId", "unionId", "watermark"].contains(&name.as_str()));
        let raw_data = object(&members);
        let signature = const_hex::encode(digest(
            &SHA1_FOR_LEGACY_USE_ONLY,
            format!("{raw_data}{session_key}").as_bytes(),
        ));
        Self {
            raw_data,
            signature,
        }
    }
}

fn named<const N: usize>(members: [(&str, Value); N]) -> Members {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn user_info(openid: &str, unionid: Option<&str>) -> Members {
    let mut members = named([
        ("openId", json!(openid)),
        ("nickName", json!(NAME)),
        ("gender", json!(0)),
        ("language", json!("")),
        ("city", json!("")),
        ("province", json!("")),
        ("country", json!("")),
        ("avatarUrl", json!(PICTURE)),
    ]);
    members.extend(unionid.map(|unionid| ("unionId".to_owned(), json!(unionid))));
    members
}

fn phone_number(number: &str) -> Members {
    named([
        ("phoneNumber", json!(number)),
        ("purePhoneNumber", json!(number)),
        ("countryCode", json!("86")),
    ])
}

/// The steps of the last days, the latest last, each with the time of its midnight.
fn steps(days: u16, at: DateTime<Utc>) -> Value {
    let midnight = at.timestamp() - at.timestamp().rem_euclid(86_400);
    let of_day = |ago: u16| json!({"timestamp": midnight - i64::from(ago) * 86_400, "step": u32::from(ago) * 37 % 10_000});
    (0..days).rev().map(of_day).collect()
}

/// Replaces or adds members. `null` removes a member.
fn change(members: &mut Members, changes: &Map<String, Value>) {
    for (name, value) in changes {
        match members.iter_mut().find(|(present, _)| present == name) {
            Some((_, present)) => *present = value.clone(),
            None => members.push((name.clone(), value.clone())),
        }
    }
    members.retain(|(_, value)| !value.is_null());
}

/// A JSON object with its members in this order.
fn object(members: &[(String, Value)]) -> String {
    let written: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    with_raw_controls(&format!("{{{}}}", written.join(",")))
}

/// Encrypts with AES-128-CBC under the session key's bytes; returns ciphertext and iv.
fn seal(text: &str, session_key: &str) -> (Vec<u8>, [u8; BLOCK]) {
    let key = STANDARD
        .decode(session_key)
        .expect("session keys are made here, of base64");
    let key = UnboundCipherKey::new(&AES_128, &key).and_then(PaddedBlockEncryptingKey::cbc_pkcs7);
    let iv = random::<BLOCK>();
    let mut sealed = text.as_bytes().to_vec();
    key.and_then(|key| key.less_safe_encrypt(&mut sealed, EncryptionContext::Iv128((&iv).into())))
        .expect("session keys are made here, of 16 bytes");
    (sealed, iv)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::cipher::{DecryptionContext, PaddedBlockDecryptingKey};

    use super::*;
    use crate::{App, apps::Kind, now, people::Purpose};

    const APPID: &str = "wx0123456789abcdef";

    /// A world in which lin has logged in twice, and lin's two session keys.
    fn world() -> (Arc<World>, [String; 2]) {
        let app = App {
            id: APPID.parse().expect("an AppID"),
            secret: "secret".to_owned(),
            unionid: false,
            kind: Kind::default(),
        };
        let world = World::new(vec![app], 0);
        let keys = [(); 2].map(|()| {
            let code = world
                .mint_codes(Purpose::Login, &["lin".to_owned()], 0, now())
                .remove(0);
            world
                .exchange(&code, 0, now())
                .expect("a session")
                .session_key
        });
        (world, keys)
    }

    fn hand(world: &World, wanted: Value) -> Result<Handed, String> {
        let mut wanted = wanted;
        wanted["person"] = json!("lin");
        world.user_data(0, &serde_json::from_value(wanted).expect("a form"), now())
    }

    /// The decrypted data; `None` if the key does not open it.
    fn open(handed: &Handed, key: &str) -> Option<Value> {
        let [key, iv, mut data] = [key, &handed.iv, &handed.encrypted_data]
            .map(|text| STANDARD.decode(text).expect("base64"));
        let key = UnboundCipherKey::new(&AES_128, &key)
            .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
            .expect("a key");
        let iv: [u8; 16] = iv.try_into().expect("16 bytes");
        let text = key
            .decrypt(&mut data, DecryptionContext::Iv128((&iv).into()))
            .ok()?;
        serde_json::from_slice(text).ok()
    }

    fn opened(wanted: Value) -> Value {
        let (world, [_, current]) = world();
        open(&hand(&world, wanted).expect("handed over"), &current).expect("opened")
    }

    #[test]
    fn each_kind_opens_under_the_current_key() {
        assert_eq!(opened(json!({"kind": "user_info"}))["nickName"], NAME);
        let phone = opened(json!({"kind": "phone"}));
        assert_eq!(
            (&phone["purePhoneNumber"], &phone["countryCode"]),
            (&phone["phoneNumber"], &json!("86"))
        );
        assert!(opened(json!({"kind": "share"}))["openGId"].is_string());
        let days = |wanted: Value| opened(wanted)["stepInfoList"].as_array().map(Vec::len);
        assert_eq!(days(json!({"kind": "steps"})), Some(31));
        assert_eq!(
            days(json!({"kind": "steps", "days": MOST_DAYS})),
            Some(usize::from(MOST_DAYS))
        );
    }

    #[test]
    fn the_key_of_before_is_used_on_request() {
        let (world, [previous, current]) = world();
        let handed =
            hand(&world, json!({"kind": "phone", "under": "previous"})).expect("handed over");
        assert!(open(&handed, &previous).is_some());
        assert_eq!(open(&handed, &current), None);
    }

    #[test]
    fn what_must_not_be_believed_is_made_on_request() {
        let old = opened(
            json!({"kind": "user_info", "age_seconds": 700, "watermark_appid": "wxfedcba9876543210"}),
        );
        let made = old["watermark"]["timestamp"].as_i64().expect("a time");
        assert!((690..=710).contains(&(now().timestamp() - made)), "{old}");
        assert_eq!(old["watermark"]["appid"], "wxfedcba9876543210");
        let other = opened(
            json!({"kind": "user_info", "members": {"openId": "oSomebodyElse", "watermark": null}}),
        );
        assert_eq!(
            (&other["openId"], other.get("watermark")),
            (&json!("oSomebodyElse"), None)
        );
    }

    #[test]
    fn members_are_changed_added_and_taken_away() {
        let changes = json!({"nickName": "王😀", "gender": null, "extra": [1, {"a": "\""}]});
        let profile = opened(json!({"kind": "user_info", "members": changes}));
        assert_eq!(
            (&profile["nickName"], &profile["extra"]),
            (&changes["nickName"], &changes["extra"])
        );
        assert!(profile.get("gender").is_none());
    }

    #[test]
    fn a_unionid_is_in_the_profile_where_it_is_wanted() {
        assert_eq!(opened(json!({"kind": "user_info"})).get("unionId"), None);
        assert!(opened(json!({"kind": "user_info", "unionid": true}))["unionId"].is_string());
    }

    #[test]
    fn the_profile_is_signed_without_ids_and_nothing_else_is() {
        let (world, [_, current]) = world();
        let handed = hand(
            &world,
            json!({"kind": "user_info", "members": {"nickName": "😀"}}),
        )
        .expect("handed over");
        let signed = handed.signed.expect("a signature");
        let hash = digest(
            &SHA1_FOR_LEGACY_USE_ONLY,
            format!("{}{current}", signed.raw_data).as_bytes(),
        );
        assert_eq!(signed.signature, const_hex::encode(hash));
        let raw: Value = serde_json::from_str(&signed.raw_data).expect("JSON");
        assert_eq!(raw["nickName"], "😀");
        assert!(
            !["openId", "unionId", "watermark"]
                .iter()
                .any(|name| signed.raw_data.contains(name))
        );
        assert!(
            hand(&world, json!({"kind": "phone"}))
                .expect("handed over")
                .signed
                .is_none()
        );
    }

    #[test]
    fn spliced_data_begin_as_the_phone_wants_and_end_with_the_genuine_watermark() {
        for rest in ["13900000000", "1", "139000000001390000000013900000000"] {
            let spliced = json!({"first": "{\"phoneNumber\":\"", "rest": rest});
            let forged = opened(json!({"kind": "user_info", "spliced": spliced}));
            assert_eq!(
                (&forged["phoneNumber"], &forged["watermark"]["appid"]),
                (&json!(rest), &json!(APPID))
            );
            assert!(
                forged.get("openId").is_none() && forged.get("nickName").is_none(),
                "{forged}"
            );
        }
        let (world, _) = world();
        for wrong in [
            json!({"kind": "phone", "spliced": {"first": "{\"phoneNumber\":\"", "rest": "1"}}),
            json!({"kind": "user_info", "spliced": {"first": "{\"phone\":\"", "rest": "1"}}),
            json!({"kind": "user_info", "spliced": {"first": "{\"phoneNumber\":\"", "rest": ""}}),
        ] {
            assert!(hand(&world, wrong).is_err());
        }
    }

    #[test]
    fn nothing_is_sealed_without_a_key() {
        let (world, _) = world();
        let of_somebody_else = json!({"person": "mei", "kind": "phone"});
        let wanted: Wanted = serde_json::from_value(of_somebody_else).expect("a form");
        let refused = world
            .user_data(0, &wanted, now())
            .map(drop)
            .expect_err("refused");
        assert_eq!(
            refused,
            "mei has no session key in this app; exchange a login code first"
        );
        assert!(hand(&world, json!({"kind": "phone", "days": 3})).is_err());
    }
}
