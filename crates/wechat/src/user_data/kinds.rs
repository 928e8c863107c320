//! The kinds of data that WeChat encrypts, each with its exact members.
//!
//! The encryption is CBC without a MAC, and the phone knows plaintext and ciphertext. So it can
//! leave out leading blocks and choose an iv that turns the first remaining block into any 16
//! bytes, such as `{"phoneNumber":"`. The text after that can come from a nickname, and the
//! watermark stays genuine. The phone can also join blocks of several ciphertexts; the block at
//! each joint becomes random bytes.
//!
//! Such a text cannot have exactly the members of one kind: the names of members are in the blocks
//! that the phone has to leave out, and a nickname cannot contain the quotation marks around a
//! name. A block of random bytes cannot be digits, but with luck it could be white space. So data
//! of digits must have neither white space nor escapes; WeChat writes none.

use serde_json::{Map, Value};

/// The digits of a phone number of any country (E.164).
const MOST_DIGITS: usize = 15;
const MOST_DIGITS_OF_A_COUNTRY_CODE: usize = 5;
/// The longest id of a group. All known ids have 28 characters.
const LONGEST_GROUP_ID: usize = 128;

type Members = Map<String, Value>;

/// Whether the members (without the watermark) are those of one kind, and `text` is written as
/// WeChat writes this kind.
pub(super) fn is_one(members: &Members, text: &[u8]) -> bool {
    if members.contains_key("nickName") {
        return is_user_info(members);
    }
    is_plainly_written(text) && (is_phone(members) || is_steps(members) || is_group(members))
}

/// `wx.getUserInfo` has all of these members, and `wx.getUserProfile` neither `openId` nor
/// `unionId`.
fn is_user_info(members: &Members) -> bool {
    let is_known = members.iter().all(|(name, value)| match name.as_str() {
        "openId" | "nickName" | "language" | "city" | "province" | "country" | "avatarUrl" => {
            value.is_string()
        }
        "unionId" => value.is_string() || value.is_null(),
        "gender" => value.is_u64(),
        // Whether nickname and picture are the anonymous ones that WeChat gives for every user
        // since 2022.
        "is_demote" => value.is_boolean(),
        _ => false,
    });
    is_known && (members.contains_key("openId") || !members.contains_key("unionId"))
}

fn is_phone(members: &Members) -> bool {
    let [number, pure_number, country_code] =
        ["phoneNumber", "purePhoneNumber", "countryCode"].map(|name| members.get(name));
    let (Some(number), Some(pure_number), Some(country_code)) = (number, pure_number, country_code)
    else {
        return false;
    };
    let (Some(number), Some(pure_number)) = (number.as_str(), pure_number.as_str()) else {
        return false;
    };
    let digits = number.strip_prefix('+').unwrap_or(number);
    let country_code = match country_code.as_str() {
        Some(text) => text.to_owned(),
        None => country_code.to_string(),
    };
    members.len() == 3
        && is_number(digits, MOST_DIGITS)
        && is_number(pure_number, MOST_DIGITS)
        && digits.ends_with(pure_number)
        && is_number(&country_code, MOST_DIGITS_OF_A_COUNTRY_CODE)
}

fn is_number(text: &str, most_digits: usize) -> bool {
    (1..=most_digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `stepInfoList`: the steps of each day.
fn is_steps(members: &Members) -> bool {
    let days = members.get("stepInfoList").and_then(Value::as_array);
    members.len() == 1 && days.is_some_and(|days| days.iter().all(is_steps_of_day))
}

fn is_steps_of_day(day: &Value) -> bool {
    day.get("timestamp").is_some_and(Value::is_u64)
        && day.get("step").is_some_and(Value::is_u64)
        && day.as_object().is_some_and(|day| day.len() == 2)
}

/// `wx.getShareInfo` has `openGId`, `wx.getGroupEnterInfo` has `opengid`. `wx.getChatToolInfo` has
/// `opengid` or `open_single_roomid`, and `group_openid` and `chat_type` beside it.
fn is_group(members: &Members) -> bool {
    let is_known = members.iter().all(|(name, value)| match name.as_str() {
        "openGId" | "opengid" | "open_single_roomid" | "group_openid" => is_group_id(value),
        "chat_type" => value.is_u64(),
        _ => false,
    });
    is_known
        && ["openGId", "opengid", "open_single_roomid"]
            .iter()
            .any(|name| members.contains_key(*name))
}

fn is_group_id(value: &Value) -> bool {
    value.as_str().is_some_and(|id| {
        id.len() <= LONGEST_GROUP_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

/// Whether neither white space nor an escape is in the text. White space at the end is ignored,
/// because [`super::cbc::blank_padding`] has written it.
fn is_plainly_written(text: &[u8]) -> bool {
    text.trim_ascii_end()
        .iter()
        .all(|byte| *byte > b' ' && *byte != b'\\')
}
