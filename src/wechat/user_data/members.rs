//! Reads a plaintext and decides whether to accept it.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{OpenedData, Undecryptable};
use crate::{
    ids::{AppId, OpenId},
    wechat::call::{believed, number_or_quoted},
};

/// How far WeChat's clock may be ahead of ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// The members of a plaintext. A repeated member is refused: WeChat never repeats one, and two readers could take
/// different values.
#[derive(Default)]
pub(super) struct Members {
    openid: Option<String>,
    /// Empty or `null` if there is no unionid.
    unionid: Option<Option<String>>,
    watermark: Option<Watermark>,
    others: Map<String, Value>,
}

/// For which app and when WeChat encrypted the data.
#[derive(Deserialize)]
struct Watermark {
    appid: String,
    /// Seconds since 1970.
    #[serde(deserialize_with = "number_or_quoted")]
    timestamp: i64,
}

/// What the members must match.
pub(super) struct Belief<'a> {
    pub(super) app: &'a AppId,
    pub(super) openid: &'a OpenId,
    pub(super) now: DateTime<Utc>,
    pub(super) max_age: Duration,
}

impl Members {
    pub(super) fn read(text: &[u8]) -> Result<Self, Undecryptable> {
        serde_json::from_slice(text).map_err(|_| Undecryptable)
    }

    pub(super) fn believed(self, belief: &Belief<'_>) -> Result<OpenedData, Undecryptable> {
        let of_this_person = self.openid.as_ref().is_none_or(|openid| openid == belief.openid.as_str());
        let of_this_app_and_now = self.watermark.as_ref().is_some_and(|watermark| watermark.is_believed(belief));
        if !(of_this_person && of_this_app_and_now) {
            return Err(Undecryptable);
        }
        let unionid =
            believed(self.unionid.flatten()).map(|unionid| unionid.parse()).transpose().map_err(|_| Undecryptable)?;
        Ok(OpenedData { data: self.others, unionid })
    }

    /// The data without its unionid, because signed data does not say whom it is for.
    pub(super) fn anonymous(self) -> OpenedData {
        OpenedData { data: self.others, unionid: None }
    }

    fn set<E: Error>(&mut self, name: String, value: Value) -> Result<(), E> {
        if self.others.insert(name, value).is_some() { Err(twice()) } else { Ok(()) }
    }
}

impl Watermark {
    fn is_believed(&self, belief: &Belief<'_>) -> bool {
        let Some(sealed) = DateTime::from_timestamp(self.timestamp, 0) else { return false };
        let oldest = TimeDelta::from_std(belief.max_age).unwrap_or(TimeDelta::MAX);
        self.appid == belief.app.as_str() && (-CLOCK_SKEW..=oldest).contains(&(belief.now - sealed))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "openId" => once(&mut members.openid, map.next_value()?)?,
                "unionId" => once(&mut members.unionid, map.next_value()?)?,
                "watermark" => once(&mut members.watermark, map.next_value()?)?,
                _ => members.set(name, map.next_value()?)?,
            }
        }
        Ok(members)
    }
}

fn once<T, E: Error>(member: &mut Option<T>, value: T) -> Result<(), E> {
    if member.replace(value).is_some() { Err(twice()) } else { Ok(()) }
}

fn twice<E: Error>() -> E {
    E::custom("a repeated member")
}
