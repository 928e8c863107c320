//! Reads a plaintext and decides whether to accept it.

use chrono::{DateTime, TimeDelta};
use serde::Deserialize;
use serde_json::from_value;
use wxmint_verify::json::read_object;

use super::{DataCheck, OpenedData, Undecryptable};
use crate::{api::number_or_quoted, client::believed};

/// How far WeChat's clock may be ahead of ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// For which app and when WeChat encrypted the data.
#[derive(Deserialize)]
struct Watermark {
    appid: String,
    /// Seconds since 1970.
    #[serde(deserialize_with = "number_or_quoted")]
    timestamp: i64,
}

/// The members of a plaintext. A repeated member is refused: WeChat never repeats one, and two readers could take
/// different values. With a `check`, the plaintext must be for that app, that time, and the person if it names one.
pub(super) fn read(text: &[u8], check: Option<&DataCheck<'_>>) -> Result<OpenedData, Undecryptable> {
    let mut data = read_object(text).map_err(|_| Undecryptable)?;
    let (openid, watermark) = (data.remove("openId"), data.remove("watermark"));
    // Empty or `null` if there is none.
    let unionid = from_value(data.remove("unionId").unwrap_or_default()).map_err(|_| Undecryptable)?;
    let Some(check) = check else { return Ok(OpenedData { data, unionid: None }) };
    let watermark: Watermark = from_value(watermark.unwrap_or_default()).map_err(|_| Undecryptable)?;
    if openid.is_some_and(|openid| openid != check.person.openid.as_str()) || !watermark.is_believed(check) {
        return Err(Undecryptable);
    }
    let unionid = believed(unionid).map(|unionid| unionid.parse()).transpose().map_err(|_| Undecryptable)?;
    Ok(OpenedData { data, unionid })
}

impl Watermark {
    fn is_believed(&self, check: &DataCheck<'_>) -> bool {
        let Some(sealed) = DateTime::from_timestamp(self.timestamp, 0) else { return false };
        let oldest = TimeDelta::from_std(check.max_age).unwrap_or(TimeDelta::MAX);
        self.appid == check.person.app.as_str() && (-CLOCK_SKEW..=oldest).contains(&(check.now - sealed))
    }
}
