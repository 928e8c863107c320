//! Reads a plaintext and decides whether to accept it.

use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use wxmint_verify::json::read_object;

use super::{DataCheck, OpenedData, Undecryptable};
use crate::{client::believed, errcode::number_or_quoted};

/// How far WeChat's clock may be ahead of ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// The members of a plaintext. A repeated member is refused: WeChat never repeats one, and two readers could take
/// different values.
pub(super) struct Members {
    openid: Option<String>,
    /// Empty or `null` if there is no unionid.
    unionid: Option<Option<String>>,
    watermark: Option<Watermark>,
    pub(super) others: Map<String, Value>,
}

/// For which app and when WeChat encrypted the data.
#[derive(Deserialize)]
struct Watermark {
    appid: String,
    /// Seconds since 1970.
    #[serde(deserialize_with = "number_or_quoted")]
    timestamp: i64,
}

impl Members {
    pub(super) fn read(text: &[u8]) -> Result<Self, Undecryptable> {
        let mut others = read_object(text).map_err(|_| Undecryptable)?;
        Ok(Self {
            openid: take(&mut others, "openId")?,
            unionid: take(&mut others, "unionId")?,
            watermark: take(&mut others, "watermark")?,
            others,
        })
    }

    pub(super) fn believed(self, check: &DataCheck<'_>) -> Result<OpenedData, Undecryptable> {
        let of_this_person = self.openid.as_ref().is_none_or(|openid| openid == check.person.openid.as_str());
        let of_this_app_and_now = self.watermark.as_ref().is_some_and(|watermark| watermark.is_believed(check));
        if !(of_this_person && of_this_app_and_now) {
            return Err(Undecryptable);
        }
        let unionid =
            believed(self.unionid.flatten()).map(|unionid| unionid.parse()).transpose().map_err(|_| Undecryptable)?;
        Ok(OpenedData { data: self.others, unionid })
    }
}

impl Watermark {
    fn is_believed(&self, check: &DataCheck<'_>) -> bool {
        let Some(sealed) = DateTime::from_timestamp(self.timestamp, 0) else { return false };
        let oldest = TimeDelta::from_std(check.max_age).unwrap_or(TimeDelta::MAX);
        self.appid == check.person.app.as_str() && (-CLOCK_SKEW..=oldest).contains(&(check.now - sealed))
    }
}

/// Takes a member out of the others.
fn take<T: DeserializeOwned>(others: &mut Map<String, Value>, name: &str) -> Result<Option<T>, Undecryptable> {
    others.remove(name).map(serde_json::from_value).transpose().map_err(|_| Undecryptable)
}
