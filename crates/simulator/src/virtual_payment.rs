//! Virtual payment: `wx.requestVirtualPayment` on the phone, and one call of `xpay` by the business's server. Both are
//! signed twice: with the app's AppKey (`pay_sig`), and with the user's session key (`signature`).

use aws_lc_rs::digest;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::{Call, Refusal};
use super::endpoints::{signature, text};
use super::world::World;

/// The errcodes of `xpay`.
const BAD_OPENID: Refusal = Refusal(268_490_001);
const BAD_FIELDS: Refusal = Refusal(268_490_002);
const BAD_SIGNATURE: Refusal = Refusal(268_490_003);
const NO_SESSION: Refusal = Refusal(268_490_009);

/// The arguments that a mini program passes to `wx.requestVirtualPayment`, and the person on whose
/// phone it does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Payment {
    openid: String,
    #[serde(rename = "appid")]
    pub(super) appid: Option<String>,
    sign_data: String,
    pay_sig: String,
    signature: String,
    mode: String,
}

impl World {
    /// The key with which the business signs payments. It is derived from the AppID, so it is the
    /// same after a restart.
    pub(super) fn app_key(&self, app: usize) -> String {
        let hash = digest::digest(
            &digest::SHA256,
            format!("app key\0{}", self.apps[app].id).as_bytes(),
        );
        const_hex::encode(&hash.as_ref()[..16])
    }

    fn pay_sig(&self, app: usize, uri: &str, body: &str) -> String {
        signature(&self.app_key(app), format!("{uri}&{body}").as_bytes())
    }

    /// `xpay/query_user_balance`: the balance of a user who has none.
    pub(super) fn user_balance(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let app = self.app_of_token(call)?;
        let body = str::from_utf8(call.body).map_err(|_| BAD_FIELDS)?;
        let members: Map<String, Value> = serde_json::from_str(body).map_err(|_| BAD_FIELDS)?;
        if !members
            .get("env")
            .is_some_and(|env| [json!(0), json!(1)].contains(env))
            || text(&members, "user_ip").is_none()
        {
            return Err(BAD_FIELDS);
        }
        let openid = text(&members, "openid").ok_or(BAD_OPENID)?;
        let key = self
            .session_key(openid, app)
            .ok_or(BAD_OPENID)?
            .ok_or(NO_SESSION)?;
        let expected = [
            self.pay_sig(app, call.endpoint.path(), body),
            signature(&key, call.body),
        ];
        if ["pay_sig", "signature"].map(|name| call.params.first(name))
            != expected.each_ref().map(|sig| Some(sig.as_str()))
        {
            return Err(BAD_SIGNATURE);
        }
        let balance = json!({
            "errcode": 0, "errmsg": "ok", "balance": 0, "present_balance": 0, "sum_save": 0, "sum_present": 0,
            "sum_balance": 0, "sum_cost": 0, "first_save_flag": false,
        });
        Ok(balance.to_string())
    }

    /// The result with which the mini program's `success` or `fail` is called. A session key that
    /// has been replaced gives -15005, as a wrong signature does, because WeChat does not remember
    /// it.
    pub(super) fn virtual_payment(&self, app: usize, payment: &Payment) -> Value {
        let sign_data =
            serde_json::from_str::<Map<String, Value>>(&payment.sign_data).unwrap_or_default();
        let named = ["offerId", "outTradeNo", "currencyType"]
            .iter()
            .all(|name| text(&sign_data, name).is_some());
        let mode = ["short_series_goods", "short_series_coin"].contains(&payment.mode.as_str());
        let (err_code, why) = match self.session_key(&payment.openid, app) {
            _ if !named || !mode => (-15001, "INVALID_PARAMS"),
            _ if payment.pay_sig
                != self.pay_sig(app, "requestVirtualPayment", &payment.sign_data) =>
            {
                (-15006, "PAY_SIG_INVALID")
            }
            None | Some(None) => (-15007, "SESSION_KEY_EXPIRED"),
            Some(Some(key))
                if payment.signature != signature(&key, payment.sign_data.as_bytes()) =>
            {
                (-15005, "SIGNATURE_INVALID")
            }
            Some(Some(_)) => return json!({"errMsg": "requestVirtualPayment:ok"}),
        };
        json!({"errCode": err_code, "errMsg": format!("requestVirtualPayment:fail {why}")})
    }
}
