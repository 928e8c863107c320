//! getuserphonenumber: exchanges a phone code for the phone number that WeChat has verified.

use serde_json::{Value, json};
use wxmint_ids::{AppId, OpenId, Phone, PhoneCode};

use super::client::{believed, read};
use super::{Api, ByToken, CallError, Result};

/// The longest number, in characters. E.164 has 15 digits; the rest is for a sign and spaces.
const LONGEST_NUMBER: usize = 24;
const LONGEST_COUNTRY_CODE: usize = 8;

impl ByToken<'_> {
    /// Exchanges a phone code (`POST /wxa/business/getuserphonenumber`), which must belong to the
    /// person with this openid. The code is sent once. It is sent a second time only if no byte of
    /// the first request was sent, or if WeChat answered -1.
    pub async fn phone_number(self, code: &PhoneCode, openid: &OpenId) -> Result<Phone> {
        let wanted = json!({"code": code.as_str(), "openid": openid.as_str()});
        self.post(Api::PhoneNumber, &wanted, |body| {
            read_phone_number(&self.app.id, body)
        })
        .await
    }
}

/// Reads the body of a getuserphonenumber response for `app`.
pub fn read_phone_number(app: &AppId, body: &[u8]) -> Result<Phone> {
    let answer: Value = read(Api::PhoneNumber, body)?;
    let info = answer.get("phone_info").filter(|info| !info.is_null());
    let info = info.ok_or_else(|| CallError::unanswered("neither an errcode nor a phone_info"))?;
    if info["watermark"]["appid"] != app.as_str() {
        return Err(CallError::unanswered(
            "a phone_info with another app's watermark",
        ));
    }
    let [number, pure_number] =
        ["phoneNumber", "purePhoneNumber"].map(|name| dialled(&info[name], LONGEST_NUMBER));
    let country_code = dialled(&info["countryCode"], LONGEST_COUNTRY_CODE)?;
    Ok(Phone {
        number: number?,
        pure_number: pure_number?,
        country_code,
    })
}

/// Requires that a member can be dialled: it has digits, signs, hyphens and spaces. The
/// documentation says string, but its own example has a country code that is a number.
fn dialled(member: &Value, longest: usize) -> Result<String> {
    let number = member.as_u64().map(|number| number.to_string());
    let number = believed(number.or_else(|| Some(member.as_str()?.to_owned())));
    let number = number.filter(|text| text.len() <= longest && is_dialled(text));
    number.ok_or_else(|| CallError::unanswered("a phone_info without a number that can be dialled"))
}

fn is_dialled(text: &str) -> bool {
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    has_digit
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+- ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn read(body: &str) -> Result<Phone> {
        read_phone_number(
            &"wx0123456789abcdef".parse().expect("an AppID"),
            body.as_bytes(),
        )
    }

    fn answer(number: &str, country_code: &str, appid: &str) -> String {
        format!(
            r#"{{"errcode":0,"errmsg":"ok","phone_info":{{"phoneNumber":"{number}","purePhoneNumber":"13580006666",
            "countryCode":{country_code},"watermark":{{"timestamp":1637744274,"appid":"{appid}"}}}}}}"#
        )
    }

    #[test]
    fn the_country_code_is_a_text_or_a_number() {
        for country_code in ["86", "\"86\""] {
            let phone = read(&answer(
                "+86 13580006666",
                country_code,
                "wx0123456789abcdef",
            ))
            .expect("a phone number");
            assert_eq!(
                (phone.number.as_str(), phone.pure_number.as_str()),
                ("+86 13580006666", "13580006666")
            );
            assert_eq!(phone.country_code, "86");
        }
    }

    #[test]
    fn an_invalid_phone_number_or_another_apps_is_refused_and_not_repeated() {
        let app = "wx0123456789abcdef";
        for body in [
            answer("13580006666", "86", "wxfedcba9876543210"),
            answer("", "86", app),
            answer("+", "86", app),
            answer("13580006666 or 1=1", "86", app),
            answer("1358000666613580006666135", "86", app),
            answer("13580006666", "\"\"", app),
            answer("13580006666", "null", app),
            answer("13580006666", "-86", app),
            answer("13580006666", "86", app).replace("watermark", "mark"),
            answer("13580006666", "86", app).replace("purePhone", "phone"),
            r#"{"errcode":0,"errmsg":"ok"}"#.into(),
            r#"{"errcode":0,"errmsg":"ok","phone_info":null}"#.into(),
            answer("13580006666", "86", app)[..100].into(),
            "<html>13580006666</html>".into(),
        ] {
            let error = read(&body).expect_err(&body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
            assert!(
                !format!("{error} {error:?}").contains("1358000"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_code_of_wx_login_is_a_wrong_phone_code() {
        let body = r#"{"errcode":40029,"errmsg":"invalid code hint: [EfJCIi5Rf-KaNtQA] rid: 66739db2-198c0024-24f28ce1"}"#;
        assert_eq!(
            read(body).expect_err("refused").verdict(),
            Some(Verdict::CodeInvalid)
        );
    }
}
