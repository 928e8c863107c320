//! The apps of the simulator, and their settings that can be changed while it runs: the accepted
//! AppSecrets, whether unionids are returned, the Open Platform account, and the published pages.

use std::{str::FromStr, sync::Arc};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use wxmint_verify::ids::AppId;

use super::alipay::Ids;

const DOMAINS: [&str; 2] = ["localhost", "127.0.0.1"];
/// The pages of a mini program when the simulator starts. The first one is its home page.
const PAGES: [&str; 2] = ["pages/index/index", "pages/scan/index"];

/// An app that the simulator knows.
#[derive(Clone)]
pub struct App {
    pub id: AppId,
    /// The AppSecret that is accepted when the simulator starts.
    pub secret: String,
    /// Whether code2Session returns a unionid when the simulator starts, as for apps of an Open Platform account.
    pub unionid: bool,
    pub kind: Kind,
}

/// The text in the place of the secret of an app that has none.
const NO_SECRET: &str = "-";

/// The app's kind at WeChat, or another platform.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    MiniProgram,
    OfficialAccount,
    Website,
    MobileApp,
    /// A mini program of Douyin.
    Douyin,
    /// A mini game of Douyin.
    DouyinGame,
    /// A mini program of QQ.
    Qq,
    /// A mini program of Kuaishou.
    Kuaishou,
    /// A mini program of Bilibili.
    Bilibili,
    /// An app for phones of Huawei, or an atomic service.
    Huawei,
    /// A mini program of Alipay, which has keys in place of a secret.
    Alipay,
}

impl Kind {
    /// The platform in parentheses, for the terminal. Empty for WeChat.
    pub(super) fn note(self) -> &'static str {
        match self {
            Self::Douyin => " (Douyin)",
            Self::DouyinGame => " (Douyin, mini game)",
            Self::Qq => " (QQ)",
            Self::Kuaishou => " (Kuaishou)",
            Self::Bilibili => " (Bilibili)",
            Self::Huawei => " (Huawei)",
            Self::Alipay => " (Alipay)",
            _ => "",
        }
    }

    pub(super) fn has_unionids(self) -> bool {
        !matches!(self, Self::Kuaishou | Self::Bilibili)
    }

    /// Whether the app is of another platform than WeChat.
    pub fn is_of_other_platform(self) -> bool {
        matches!(
            self,
            Self::Douyin
                | Self::DouyinGame
                | Self::Qq
                | Self::Kuaishou
                | Self::Bilibili
                | Self::Huawei
                | Self::Alipay
        )
    }
}

/// The error of a text that is no [`App`]. Its message does not repeat the text, because the text
/// holds a secret.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be APPID:SECRET, or APPID:SECRET:no-unionid for a mini program, or APPID:SECRET:official_account, website or mobile_app, \
     or APPID:SECRET:douyin, douyin_game, qq, kuaishou, bilibili or huawei, or APPID:-:alipay, \
     for example wx0123456789abcdef:00112233445566778899aabbccddeeff"
)]
pub struct InvalidApp;

impl FromStr for App {
    type Err = InvalidApp;

    /// Reads `APPID:SECRET`, optionally followed by a kind and by `:no-unionid`.
    fn from_str(text: &str) -> Result<Self, InvalidApp> {
        let mut parts = text.split(':');
        let id = parts
            .next()
            .and_then(|id| id.parse().ok())
            .ok_or(InvalidApp)?;
        let secret = parts
            .next()
            .filter(|secret| !secret.is_empty())
            .ok_or(InvalidApp)?
            .to_owned();
        let (unionid, kind) = match (parts.next(), parts.next()) {
            (None, _) => (true, Kind::MiniProgram),
            (Some("no-unionid"), None) => (false, Kind::MiniProgram),
            (Some("official_account"), None) => (true, Kind::OfficialAccount),
            (Some("website"), None) => (true, Kind::Website),
            (Some("mobile_app"), None) => (true, Kind::MobileApp),
            (Some("douyin"), unionid) => (gives_unionid(unionid)?, Kind::Douyin),
            (Some("douyin_game"), unionid) => (gives_unionid(unionid)?, Kind::DouyinGame),
            (Some("qq"), unionid) => (gives_unionid(unionid)?, Kind::Qq),
            (Some("alipay"), unionid) if secret == NO_SECRET => {
                (gives_unionid(unionid)?, Kind::Alipay)
            }
            (Some("huawei"), None) => (true, Kind::Huawei),
            (Some("kuaishou"), None) => (false, Kind::Kuaishou),
            (Some("bilibili"), None) => (false, Kind::Bilibili),
            _ => return Err(InvalidApp),
        };
        Ok(Self {
            id,
            secret,
            unionid,
            kind,
        })
    }
}

fn gives_unionid(word: Option<&str>) -> Result<bool, InvalidApp> {
    match word {
        None => Ok(true),
        Some("no-unionid") => Ok(false),
        Some(_) => Err(InvalidApp),
    }
}

/// The present settings of each app, in the order of the apps.
pub(super) struct Terms(Mutex<Vec<Arc<Term>>>);

#[derive(Clone)]
pub(super) struct Term {
    /// The accepted AppSecrets, the newest last. Never empty.
    pub(super) secrets: Vec<String>,
    pub(super) gives_unionid: bool,
    /// The Open Platform account that the app was moved to.
    platform: Option<String>,
    /// Whether the exchange of an OAuth2 code leaves the unionid out, so that userinfo must be asked.
    pub(super) unionid_by_userinfo: bool,
    pub(super) repeats_session_keys: bool,
    pub(super) alipay_ids: Ids,
    /// The domains to whose pages OAuth2 redirects (网页授权域名).
    pub(super) domains: Vec<String>,
    /// The pages of the published version, the home page first. Empty if the app has not been
    /// published.
    pub(super) pages: Vec<String>,
}

/// A change of one app; of the first app if no AppID is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppChange {
    pub(super) appid: Option<String>,
    /// An AppSecret that is accepted from now on, beside the earlier ones.
    pub(super) secret: Option<String>,
    /// Whether only the newest AppSecret is accepted from now on.
    #[serde(default)]
    drop_old_secrets: bool,
    pub(super) unionid: Option<bool>,
    /// Moves the app to this Open Platform account, which gives its people other unionids. `""`
    /// moves it back.
    platform: Option<String>,
    unionid_by_userinfo: Option<bool>,
    /// Whether an exchange returns the person's present `session_key` if there is one, as WeChat may
    /// do.
    repeats_session_keys: Option<bool>,
    /// The ids that Alipay's answers have: `open_id`, `user_id` or `both`.
    alipay_ids: Option<Ids>,
    /// The domains to whose pages OAuth2 redirects (网页授权域名): `localhost` and `127.0.0.1` at first.
    domains: Option<Vec<String>>,
    /// Publishes a version that has only these pages.
    pub(super) pages: Option<Vec<String>>,
}

impl Terms {
    pub(super) fn new(apps: &[App]) -> Self {
        let term = |app: &App| Term {
            secrets: vec![app.secret.clone()],
            gives_unionid: app.unionid,
            platform: None,
            unionid_by_userinfo: false,
            repeats_session_keys: false,
            alipay_ids: Ids::default(),
            domains: DOMAINS.map(str::to_owned).into(),
            pages: PAGES.map(str::to_owned).into(),
        };
        Self(Mutex::new(apps.iter().map(term).map(Arc::new).collect()))
    }

    pub(super) fn of(&self, app: usize) -> Arc<Term> {
        Arc::clone(&self.0.lock()[app])
    }

    /// Changes an app. Returns the app as the control API shows it, with the number of accepted
    /// secrets.
    pub(super) fn change(&self, app: usize, id: &str, change: AppChange) -> Value {
        let mut terms = self.0.lock();
        let term = Arc::make_mut(&mut terms[app]);
        if let Some(secret) = change.secret {
            term.secrets.retain(|taken| *taken != secret);
            term.secrets.push(secret);
        }
        if change.drop_old_secrets {
            term.secrets.drain(..term.secrets.len() - 1);
        }
        term.gives_unionid = change.unionid.unwrap_or(term.gives_unionid);
        if let Some(platform) = change.platform {
            term.platform = Some(platform).filter(|platform| !platform.is_empty());
        }
        term.unionid_by_userinfo = change
            .unionid_by_userinfo
            .unwrap_or(term.unionid_by_userinfo);
        term.repeats_session_keys = change
            .repeats_session_keys
            .unwrap_or(term.repeats_session_keys);
        term.alipay_ids = change.alipay_ids.unwrap_or(term.alipay_ids);
        change
            .domains
            .into_iter()
            .for_each(|domains| term.domains = domains);
        change
            .pages
            .into_iter()
            .for_each(|pages| term.pages = pages);
        json!({"appid": id, "secrets": term.secrets.len(), "unionid": term.gives_unionid, "pages": term.pages})
    }
}

impl Term {
    /// The person's unionid in this app. `unionid` is the person's unionid in apps that were not
    /// moved.
    pub(super) fn unionid(&self, unionid: &str) -> String {
        match &self.platform {
            Some(platform) => identifier(&format!("{platform}\0{unionid}")),
            None => unionid.to_owned(),
        }
    }

    /// The person's unionid in this app, if WeChat returns it.
    pub(super) fn given_unionid(&self, unionid: &str) -> Option<String> {
        self.gives_unionid.then(|| self.unionid(unionid))
    }
}

/// An openid or unionid: `o` and 27 characters that are derived from `of`.
pub(super) fn identifier(of: &str) -> String {
    let hash = digest::digest(&digest::SHA256, of.as_bytes());
    let mut text = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..20]);
    text.insert(0, 'o');
    text
}
