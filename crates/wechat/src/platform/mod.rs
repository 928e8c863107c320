//! The calls of a third-party platform (第三方平台), which acts for merchants whose AppSecrets it does
//! not have
//! (<https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/getting_started/terminology_introduce.html>).

mod push;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use wxmint_ids::{AppId, LoginCode};

pub use self::push::{BadPush, News, Push, PushKey, PushQuery};
use super::api::number_or_quoted;
use super::client::{believed, call_ends, read};
use super::{
    Api, App, AppKind, AuthorizationCode, ByToken, ComponentTicket, FetchedAccessToken,
    RefreshToken, Result, Session, WeChat, stable_token::read_access_token,
};

/// The merchants on a page of the list. WeChat allows 500, but such an answer would exceed the
/// client's limit.
const PAGE: usize = 100;

/// A merchant that has authorized the platform, as WeChat lists it.
#[derive(Debug, Deserialize)]
pub struct Authorizer {
    #[serde(rename = "authorizer_appid", deserialize_with = "wxmint_ids::parsed")]
    pub app: AppId,
    /// `None` if the merchant does not allow the platform to make calls with the merchant's token.
    #[serde(
        alias = "authorizer_refresh_token",
        default,
        deserialize_with = "refresh_token"
    )]
    pub refresh_token: Option<RefreshToken>,
    /// When the merchant authorized the platform, in seconds since 1970; 0 if WeChat does not say.
    #[serde(rename = "auth_time", default, deserialize_with = "number_or_quoted")]
    pub since: i64,
}

fn refresh_token<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<RefreshToken>, D::Error> {
    Ok(believed(Option::deserialize(deserializer)?).map(RefreshToken::new))
}

impl WeChat {
    /// Fetches the platform's own token (`POST /cgi-bin/component/api_component_token`). Each call
    /// gives a new token; the previous one stays valid for some minutes.
    pub async fn component_token(
        &self,
        component: &App,
        ticket: &ComponentTicket,
    ) -> Result<FetchedAccessToken> {
        let wanted = json!({
            "component_appid": component.id.as_str(),
            "component_appsecret": component.own_secret()?.expose(),
            "component_verify_ticket": ticket.expose(),
        });
        self.call(
            call_ends(),
            Api::ComponentToken,
            component,
            |endpoint| endpoint.post([], &wanted),
            |body| read_access_token(Api::ComponentToken, body),
        )
        .await
    }

    /// Makes WeChat push the ticket again (`POST /cgi-bin/component/api_start_push_ticket`, in
    /// which the secret has another name).
    pub async fn start_push_ticket(&self, component: &App) -> Result<()> {
        let secret = component.own_secret()?.expose();
        let wanted = json!({"component_appid": component.id.as_str(), "component_secret": secret});
        let read =
            |body: &[u8]| read::<serde::de::IgnoredAny>(Api::StartPushTicket, body).map(drop);
        self.call(
            call_ends(),
            Api::StartPushTicket,
            component,
            |endpoint| endpoint.post([], &wanted),
            read,
        )
        .await
    }
}

/// The calls that a platform makes for merchants, with the platform's token.
impl ByToken<'_> {
    /// Exchanges the login code of a merchant's app, as the app's kind requires: `GET
    /// /sns/component/jscode2session`, or `GET /sns/oauth2/component/access_token`.
    pub async fn exchange_for(self, merchant: &App, code: &LoginCode) -> Result<Session> {
        let who = [
            ("component_appid", self.app.id.as_str()),
            ("component_access_token", self.token.expose()),
        ];
        self.wechat
            .exchange_by(
                [Api::ComponentCode2Session, Api::ComponentOauth2],
                merchant,
                code,
                who,
            )
            .await
    }

    /// Redeems an authorization code for the merchant that gave it (`POST
    /// /cgi-bin/component/api_query_auth`).
    pub async fn query_auth(self, code: &AuthorizationCode) -> Result<Authorizer> {
        #[derive(Deserialize)]
        struct Answer {
            authorization_info: Authorizer,
        }
        let wanted =
            json!({"component_appid": self.app.id.as_str(), "authorization_code": code.expose()});
        self.post(Api::QueryAuth, &wanted, |body| {
            read(Api::QueryAuth, body).map(|answer: Answer| answer.authorization_info)
        })
        .await
    }

    /// A page of the merchants (`POST /cgi-bin/component/api_get_authorizer_list`), beginning at
    /// `offset`, and the offset of the next page, if there is one.
    pub async fn authorizers(self, offset: usize) -> Result<(Vec<Authorizer>, Option<usize>)> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(deserialize_with = "number_or_quoted")]
            total_count: i64,
            #[serde(default)]
            list: Vec<Value>,
        }
        let wanted =
            json!({"component_appid": self.app.id.as_str(), "offset": offset, "count": PAGE});
        let read = |body: &[u8]| {
            let Answer { total_count, list } = read(Api::AuthorizerList, body)?;
            let end = offset + list.len();
            let next = Some(end).filter(|end| *end > offset && (*end as i64) < total_count);
            // A merchant that cannot be read is left out, so that it does not hide the others.
            Ok((
                list.into_iter()
                    .filter_map(|listed| serde_json::from_value(listed).ok())
                    .collect(),
                next,
            ))
        };
        self.post(Api::AuthorizerList, &wanted, read).await
    }

    /// The kind of a merchant's app (`POST /cgi-bin/component/api_get_authorizer_info`): a mini
    /// program, or an official account.
    pub async fn authorizer_kind(self, merchant: &AppId) -> Result<AppKind> {
        #[derive(Deserialize)]
        struct Answer {
            authorizer_info: Info,
        }
        #[derive(Deserialize)]
        struct Info {
            #[serde(rename = "MiniProgramInfo")]
            mini_program: Option<serde::de::IgnoredAny>,
        }
        let wanted =
            json!({"component_appid": self.app.id.as_str(), "authorizer_appid": merchant.as_str()});
        let read = |body: &[u8]| {
            let Answer {
                authorizer_info: info,
            } = read(Api::AuthorizerInfo, body)?;
            Ok(info
                .mini_program
                .map_or(AppKind::OfficialAccount, |_| AppKind::MiniProgram))
        };
        self.post(Api::AuthorizerInfo, &wanted, read).await
    }

    /// Fetches a merchant's own access token (`POST /cgi-bin/component/api_authorizer_token`).
    pub async fn authorizer_token(
        self,
        merchant: &App,
        refresh: &RefreshToken,
    ) -> Result<FetchedAccessToken> {
        let wanted = json!({
            "component_appid": self.app.id.as_str(),
            "authorizer_appid": merchant.id.as_str(),
            "authorizer_refresh_token": refresh.expose(),
        });
        ByToken {
            app: merchant,
            ..self
        }
        .post(Api::AuthorizerToken, &wanted, |body| {
            read_access_token(Api::AuthorizerToken, body)
        })
        .await
    }
}
