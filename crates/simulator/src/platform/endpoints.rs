//! WeChat's answers to a component. The component's token is checked first. The order of the other
//! checks is a guess.
//!
//! An unknown AppID gets the answer of an app that has not authorised the component.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::merchants::{Merchant, PRE_AUTH_CODE_LIFE};
use super::{COMPONENT, Component, State, TICKET_LIFE};
use crate::apps::Kind;
use crate::call::{Call, Refusal, with_raw_controls};
use crate::endpoints::{json_object, text};
use crate::world::World;

const MOST_LISTED: u64 = 500;

impl World {
    /// `/cgi-bin/component/api_component_token`: returns a new token at each call, while
    /// `stable_token` returns the present one. The previous token stays valid for 5 minutes.
    pub(in super::super) fn component_token(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (component, members) = self.component_by_secret(call, "component_appsecret")?;
        let mut state = component.state.lock();
        state.check_ticket(text(&members, "component_verify_ticket"), call.now)?;
        let (token, expires_in) = state.tokens.issue_new(COMPONENT, call.now);
        Ok(json!({"component_access_token": token, "expires_in": expires_in}).to_string())
    }

    /// `/cgi-bin/component/api_start_push_ticket`, where the secret has another name.
    pub(in super::super) fn start_push_ticket(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let component = Arc::clone(self.component_by_secret(call, "component_secret")?.0);
        tokio::spawn(async move { component.push_ticket().await });
        Ok(json!({"errcode": 0, "errmsg": "ok"}).to_string())
    }

    pub(in super::super) fn pre_auth_code(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (component, _) = self.asking_component(call)?;
        let expires = call.now + PRE_AUTH_CODE_LIFE;
        let code = component
            .state
            .lock()
            .pre_auth_codes
            .mint("preauthcode", (), expires, call.now);
        Ok(
            json!({"pre_auth_code": code, "expires_in": PRE_AUTH_CODE_LIFE.num_seconds()})
                .to_string(),
        )
    }

    pub(in super::super) fn query_auth(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (component, members) = self.asking_component(call)?;
        let code = text(&members, "authorization_code").ok_or(Refusal(61010))?;
        let mut state = component.state.lock();
        let app = state
            .authorization_codes
            .spend(code, call.now)
            .ok_or(Refusal(61010))?;
        let mut info = self.authorization(state.merchant(app).map_err(|_| Refusal(61010))?);
        let (token, expires_in) = state.merchant_tokens.issue_new(app, call.now);
        (info["authorizer_access_token"], info["expires_in"]) = (token.into(), expires_in.into());
        Ok(json!({"authorization_info": info}).to_string())
    }

    /// `/cgi-bin/component/api_authorizer_token`: returns a new token at each call, as for the
    /// component's own token.
    pub(in super::super) fn authorizer_token(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (component, members) = self.asking_component(call)?;
        let (app, mut state) = (self.authorizer(&members)?, component.state.lock());
        let refresh_token = state.merchant(app)?.refresh_token.clone();
        if text(&members, "authorizer_refresh_token") != Some(&refresh_token) {
            return Err(Refusal(61023));
        }
        let (token, expires_in) = state.merchant_tokens.issue_new(app, call.now);
        let answer = json!({
            "authorizer_access_token": token, "expires_in": expires_in, "authorizer_refresh_token": refresh_token,
        });
        Ok(answer.to_string())
    }

    pub(in super::super) fn authorizer_list(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (component, members) = self.asking_component(call)?;
        let number = |name| {
            members
                .get(name)
                .and_then(Value::as_u64)
                .ok_or(Refusal(40097))
        };
        let (offset, count) = (number("offset")?, number("count")?);
        if !(1..=MOST_LISTED).contains(&count) {
            return Err(Refusal(40097));
        }
        let state = component.state.lock();
        let page = state
            .merchants
            .iter()
            .skip(offset as usize)
            .take(count as usize);
        let listed = page.map(|Merchant { appid, refresh_token, since, .. }| {
            json!({"authorizer_appid": appid, "refresh_token": refresh_token, "auth_time": since.timestamp()})
        });
        Ok(
            json!({"total_count": state.merchants.len(), "list": listed.collect::<Vec<_>>()})
                .to_string(),
        )
    }

    pub(in super::super) fn authorizer_info(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (component, members) = self.asking_component(call)?;
        let state = component.state.lock();
        let merchant = state.merchant(self.authorizer(&members)?)?;
        let is_mini_program = self.apps[merchant.app].kind == Kind::MiniProgram;
        let mut info = json!({
            "nick_name": merchant.appid, "user_name": format!("gh_{}", merchant.appid), "verify_type_info": {"id": 0},
            "service_type_info": {"id": if is_mini_program { 0 } else { 2 }}, "signature": "晨光商城\n全场包邮\u{14}",
        });
        if is_mini_program {
            let network = json!({"RequestDomain": [], "WsRequestDomain": [], "UploadDomain": [], "DownloadDomain": []});
            info["MiniProgramInfo"] =
                json!({"network": network, "categories": [], "visit_status": 0});
        }
        let answer =
            json!({"authorizer_info": info, "authorization_info": self.authorization(merchant)});
        Ok(with_raw_controls(&answer.to_string()))
    }

    pub(in super::super) fn component_code2session(
        &self,
        call: &Call<'_>,
    ) -> Result<String, Refusal> {
        let (app, code) = self.code_of_merchant(call, "js_code")?;
        self.session_of(code, app, call.now)
    }

    pub(in super::super) fn component_oauth2(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (app, code) = self.code_of_merchant(call, "code")?;
        if self.people.lock().of_no_component.contains(code) {
            return Err(Refusal(40029));
        }
        self.grant_of(code, app, call.now)
    }

    fn authorizer(&self, members: &Map<String, Value>) -> Result<usize, Refusal> {
        let appid = text(members, "authorizer_appid").ok_or(Refusal(41002))?;
        self.app(appid).ok_or(Refusal(61003))
    }

    /// The merchant's app and the code to exchange.
    fn code_of_merchant<'a>(
        &self,
        call: &Call<'a>,
        code: &str,
    ) -> Result<(usize, &'a str), Refusal> {
        let component = self.component_of_token(call)?;
        let appid = call.params.first("appid").ok_or(Refusal(41002))?;
        let code = call.code(code)?;
        self.component_named(call.params.first("component_appid"))?;
        let app = self.app(appid).ok_or(Refusal(61003))?;
        component.state.lock().merchant(app)?;
        Ok((app, code))
    }

    /// Authenticates a component by AppID and secret. Returns it with the members of the call's
    /// body.
    fn component_by_secret(
        &self,
        call: &Call<'_>,
        name: &str,
    ) -> Result<(&Arc<Component>, Map<String, Value>), Refusal> {
        let members = json_object(call.body)?;
        let component = self.component_named(text(&members, "component_appid"))?;
        let secret = text(&members, name).ok_or(Refusal(41004))?;
        if secret == component.platform.component_appsecret {
            Ok((component, members))
        } else {
            Err(Refusal(40125))
        }
    }

    /// Authenticates a component by token and AppID. Returns it with the members of the call's
    /// body.
    fn asking_component(
        &self,
        call: &Call<'_>,
    ) -> Result<(&Arc<Component>, Map<String, Value>), Refusal> {
        self.component_of_token(call)?;
        let members = json_object(call.body)?;
        Ok((
            self.component_named(text(&members, "component_appid"))?,
            members,
        ))
    }

    fn component_of_token(&self, call: &Call<'_>) -> Result<&Arc<Component>, Refusal> {
        let token = call
            .params
            .first("component_access_token")
            .ok_or(Refusal(41001))?;
        let component = self.component.as_ref().ok_or(Refusal(40001))?;
        component.state.lock().tokens.app(token, call.now)?;
        Ok(component)
    }

    fn component_named(&self, appid: Option<&str>) -> Result<&Arc<Component>, Refusal> {
        let appid = appid.ok_or(Refusal(41018))?;
        let is_named =
            |component: &&Arc<Component>| component.platform.component_appid.as_str() == appid;
        self.component
            .as_ref()
            .filter(is_named)
            .ok_or(Refusal(40013))
    }

    /// `authorization_info` with a few of WeChat's sets of permissions, without an access token.
    fn authorization(&self, merchant: &Merchant) -> Value {
        let sets = if self.apps[merchant.app].kind == Kind::MiniProgram {
            17..=19
        } else {
            1..=4
        };
        let sets = sets.map(|id| json!({"funcscope_category": {"id": id}}));
        json!({
            "authorizer_appid": merchant.appid, "authorizer_refresh_token": merchant.refresh_token,
            "func_info": sets.collect::<Vec<_>>(),
        })
    }
}

impl State {
    fn check_ticket(&self, given: Option<&str>, now: DateTime<Utc>) -> Result<(), Refusal> {
        let known = self
            .tickets
            .iter()
            .find(|(ticket, _)| Some(ticket.as_str()) == given);
        let (_, pushed) = known.ok_or(Refusal(61006))?;
        if now - *pushed < TICKET_LIFE {
            Ok(())
        } else {
            Err(Refusal(61005))
        }
    }
}
