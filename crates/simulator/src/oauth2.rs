//! OAuth2 of official accounts, websites and mobile apps: WeChat's answers to a code, and to userinfo.

use std::{collections::HashMap, sync::atomic::Ordering};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::apps::{Kind, identifier};
use super::call::{Call, Refusal, with_raw_controls};
use super::people::{Account, Person, Purpose, Scope};
use super::state::alphanumeric;
use super::world::World;

/// If there are more tokens than this, all are dropped. A client needs a token only for a moment.
const MANY_TOKENS: usize = 100_000;

/// The data of each `access_token`: the openid, the scope, and the answer of userinfo.
#[derive(Default)]
pub(super) struct Grants(HashMap<String, (String, Scope, Value)>);

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Base => "snsapi_base",
            Self::UserInfo | Self::Snapshot => "snsapi_userinfo",
            Self::Login => "snsapi_login",
        }
    }

    /// The scope with this name, if an app of this kind may ask for it. Without a name, the kind's
    /// usual scope.
    pub(super) fn of(kind: Kind, name: Option<&str>) -> Option<Self> {
        match (kind, name) {
            (Kind::MiniProgram, _) => None,
            (kind, _) if kind.is_of_other_platform() => None,
            (Kind::Website, None | Some("snsapi_login")) => Some(Self::Login),
            (Kind::OfficialAccount, Some("snsapi_base")) => Some(Self::Base),
            (Kind::OfficialAccount | Kind::MobileApp, None | Some("snsapi_userinfo")) => {
                Some(Self::UserInfo)
            }
            _ => None,
        }
    }
}

impl World {
    pub(super) fn oauth2(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (app, code) = self.code_of_app(call, "code")?;
        self.grant_of(code, app, call.now)
    }

    /// The answer to the exchange of a code of OAuth2.
    pub(super) fn grant_of(
        &self,
        code: &str,
        app: usize,
        now: DateTime<Utc>,
    ) -> Result<String, Refusal> {
        let mut people = self.people.lock();
        let is_oauth2 = |purpose| matches!(purpose, Purpose::Oauth2(_));
        let (person, purpose) = people.spend(code, is_oauth2, app, None, now)?;
        let (person, scope) = match purpose {
            Purpose::Oauth2(scope) => (&people.all[person], scope),
            Purpose::Login | Purpose::Phone => return Err(Refusal(40029)),
        };
        self.exchanges_ok.fetch_add(1, Ordering::Relaxed);
        let token = format!("oauth2token@@@{}", alphanumeric(50));
        let mut answer = json!({"access_token": token, "expires_in": 7200, "refresh_token": format!("oauth2token@@@{}", alphanumeric(50)), "scope": scope.name()});
        if scope == Scope::Snapshot {
            answer["is_snapshotuser"] = 1.into();
            answer["openid"] = identifier(&token).into();
            return Ok(answer.to_string());
        }
        let account = &person.accounts[app];
        answer["openid"] = account.openid.as_str().into();
        let mut info = info_of(person, account);
        let term = self.terms.of(app);
        if let Some(unionid) = term
            .given_unionid(&account.unionid)
            .filter(|_| scope != Scope::Base)
        {
            if !term.unionid_by_userinfo {
                answer["unionid"] = unionid.as_str().into();
            }
            info["unionid"] = unionid.into();
        }
        let mut grants = self.grants.lock();
        if grants.0.len() >= MANY_TOKENS {
            grants.0.clear();
        }
        grants
            .0
            .insert(token, (account.openid.clone(), scope, info));
        Ok(answer.to_string())
    }

    pub(super) fn user_info(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let required = |name, errcode| call.params.first(name).ok_or(Refusal(errcode));
        let (token, openid) = (required("access_token", 41001)?, required("openid", 41009)?);
        let grants = self.grants.lock();
        let (of, scope, info) = grants.0.get(token).ok_or(Refusal(40001))?;
        match (of == openid, scope) {
            (false, _) => Err(Refusal(40003)),
            (true, Scope::Base) => Err(Refusal(48001)),
            _ => Ok(with_raw_controls(&info.to_string())),
        }
    }
}

/// The answer of userinfo. WeChat returns no more than the name, here with a control character, as
/// some people have in their names.
fn info_of(person: &Person, account: &Account) -> Value {
    json!({
        "openid": account.openid, "nickname": format!("{}\u{14}", person.name), "sex": 0, "language": "", "city": "", "province": "", "country": "",
        "headimgurl": "", "privilege": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Endpoint, Params};
    use crate::{App, now};

    const APPS: [&str; 4] = [
        "wx1:secret",
        "wx2:secret:official_account",
        "wx3:secret:website",
        "wx4:secret:mobile_app",
    ];

    fn ask(world: &World, endpoint: Endpoint, query: &str) -> Value {
        let (params, method) = (Params::parse(query), endpoint.method());
        let answer = world.answer(&Call {
            endpoint,
            method: &method,
            params: &params,
            content_type: None,
            body: b"",
            now: now(),
        });
        // A nickname holds a control character.
        let json: Vec<u8> = answer.body.iter().map(|byte| *byte.max(&b' ')).collect();
        serde_json::from_slice(&json).expect("JSON")
    }

    fn exchanged(world: &World, app: usize, purpose: Purpose) -> Value {
        let code = world
            .mint_codes(purpose, &["lin".to_owned()], app, now())
            .remove(0);
        let id = &world.apps[app].id;
        ask(
            world,
            Endpoint::Oauth2,
            &format!("appid={id}&secret=secret&code={code}&grant_type=authorization_code"),
        )
    }

    #[test]
    fn a_scope_tells_what_it_names_and_a_code_is_of_one_kind() {
        let world = World::new(
            APPS.map(|app| app.parse::<App>().expect("an app")).into(),
            0,
        );
        let [base, all] = [Scope::Base, Scope::UserInfo]
            .map(|scope| exchanged(&world, 1, Purpose::Oauth2(scope)));
        assert_eq!(
            (&base["unionid"], &base["scope"]),
            (&Value::Null, &json!("snsapi_base"))
        );
        assert_eq!(base["openid"], all["openid"]);
        let site = exchanged(&world, 2, Purpose::Oauth2(Scope::Login));
        assert_eq!(
            (&site["unionid"], &site["scope"]),
            (&all["unionid"], &json!("snsapi_login"))
        );
        assert!(site["unionid"].is_string() && site["openid"] != all["openid"]);
        let virtual_one = exchanged(&world, 1, Purpose::Oauth2(Scope::Snapshot));
        assert_eq!(virtual_one["is_snapshotuser"], 1);
        assert_ne!(virtual_one["openid"], all["openid"]);

        assert_eq!(exchanged(&world, 1, Purpose::Login)["errcode"], 40029);
        let info = |token: &Value, openid: &Value| {
            let [token, openid] = [token, openid].map(|text| text.as_str().expect("a text"));
            ask(
                &world,
                Endpoint::UserInfo,
                &format!("access_token={token}&openid={openid}"),
            )
        };
        assert_eq!(
            info(&all["access_token"], &all["openid"])["unionid"],
            all["unionid"]
        );
        assert_eq!(
            info(&all["access_token"], &site["openid"])["errcode"],
            40003
        );
        assert_eq!(
            info(&base["access_token"], &base["openid"])["errcode"],
            48001
        );
        assert_eq!(
            info(&base["refresh_token"], &base["openid"])["errcode"],
            40001
        );
    }
}
