//! The third-party platform of `WXMINT_PLATFORM_FILE`: what the vendor of merchants' mini programs is at WeChat, and what is known of
//! the merchants. Every replica follows what the store keeps.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio::sync::Notify;
use wxmint_ids::AppId;
use wxmint_keys::vault::Sealed;
use wxmint_store::{Matter, PlatformState};
use wxmint_wechat::{App, AppKind, AppSecret, Credential, PushKey};
use zeroize::Zeroizing;

/// How the store names the ticket.
pub const TICKET: &str = "ticket";
/// How the store names what WeChat has last refused the platform's token with; empty since it gave one.
pub const REFUSAL: &str = "refusal";
const MERCHANT: &str = "merchant:";
const CODE: &str = "code:";

/// The platform, and what it knows now.
pub struct Platform {
    /// What WeChat calls the component; its secret is the `component_appsecret`.
    pub component: App,
    pub push_key: PushKey,
    /// WeChat's list of merchants is to be asked for without waiting for the hour.
    pub compare_soon: Notify,
    known: ArcSwap<Known>,
}

/// What the store keeps of the platform.
#[derive(Debug, Default)]
pub struct Known {
    pub version: u64,
    /// Whether the store was read; before, nothing is known of any merchant.
    pub is_read: bool,
    /// The newest ticket.
    pub ticket: Option<Ticket>,
    /// Why WeChat gives the platform no token: errcode and message.
    pub refusal: Option<String>,
    pub merchants: BTreeMap<AppId, Merchant>,
    /// The sealed authorization code of who has authorised the platform, or changed its rights, until WeChat was asked about it.
    /// Meanwhile the merchant is what it was.
    pub codes: BTreeMap<AppId, Matter>,
    /// All of it as the store keeps it.
    matters: BTreeMap<String, Matter>,
}

#[derive(Debug, Clone)]
pub struct Ticket {
    /// When WeChat made it, in seconds since 1970.
    pub at: i64,
    pub sealed: Sealed,
}

/// What is known of a merchant.
#[derive(Debug, Clone)]
pub struct Merchant {
    pub standing: Standing,
    /// As the store keeps it.
    pub matter: Matter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The platform acts for the merchant, by this sealed refresh token.
    In(AppKind, Sealed),
    /// The merchant has withdrawn it, and its people's tokens are being revoked.
    Leaving,
    Gone,
}

impl Standing {
    fn read(value: &[u8]) -> Option<Self> {
        let (mark, sealed) = value.split_first()?;
        let sealed = || Sealed::from_stored(sealed.to_vec());
        Some(match mark {
            b'm' => Self::In(AppKind::MiniProgram, sealed()),
            b'o' => Self::In(AppKind::OfficialAccount, sealed()),
            b'!' => Self::Leaving,
            b'-' => Self::Gone,
            _ => return None,
        })
    }

    /// What the store keeps since this second.
    pub fn matter(&self, at: i64) -> Matter {
        let (mark, sealed) = match self {
            Self::In(AppKind::MiniProgram, sealed) => (b'm', sealed.as_bytes()),
            Self::In(_, sealed) => (b'o', sealed.as_bytes()),
            Self::Leaving => (b'!', &[][..]),
            Self::Gone => (b'-', &[][..]),
        };
        Matter { at, value: [&[mark], sealed].concat() }
    }
}

/// How the store names what is known of a merchant.
pub fn matter_of(merchant: &AppId) -> String {
    [MERCHANT, merchant.as_str()].concat()
}

/// How the store names a merchant's authorization code.
pub fn code_of(merchant: &AppId) -> String {
    [CODE, merchant.as_str()].concat()
}

impl Known {
    /// What this version does not understand is left out.
    pub fn of(state: PlatformState) -> Self {
        let mut known = Self { version: state.version, is_read: true, ..Self::default() };
        for (name, matter) in &state.matters {
            let merchant = |prefix| name.strip_prefix(prefix).and_then(|id: &str| id.parse::<AppId>().ok());
            if name == TICKET {
                known.ticket = Some(Ticket { at: matter.at, sealed: Sealed::from_stored(matter.value.clone()) });
            } else if name == REFUSAL {
                known.refusal = String::from_utf8(matter.value.clone()).ok().filter(|refusal| !refusal.is_empty());
            } else if let Some(app) = merchant(CODE) {
                known.codes.insert(app, matter.clone());
            } else if let Some(app) = merchant(MERCHANT)
                && let Some(standing) = Standing::read(&matter.value)
            {
                known.merchants.insert(app, Merchant { standing, matter: matter.clone() });
            }
        }
        known.codes.retain(|app, code| {
            !code.value.is_empty() && known.merchants.get(app).is_none_or(|merchant| merchant.matter.at <= code.at)
        });
        known.matters = state.matters;
        known
    }

    /// What the store has lost: all that is earlier there than here, or not there. Nothing is ever taken out of the store.
    pub fn lost<'a>(&'a self, state: &'a PlatformState) -> impl Iterator<Item = (&'a String, &'a Matter)> {
        self.matters.iter().filter(|(name, known)| state.matters.get(*name).is_none_or(|held| held.at < known.at))
    }

    /// The merchants for which the platform acts.
    pub fn apps(&self) -> impl Iterator<Item = App> {
        self.merchants.iter().filter_map(|(id, merchant)| match merchant.standing {
            Standing::In(kind, _) => Some(App { id: id.clone(), kind, credential: Credential::Platform }),
            _ => None,
        })
    }
}

impl Platform {
    /// Reads the file. The error names the member that is wrong, without its value.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            component_appid: String,
            component_appsecret: Zeroizing<String>,
            token: Zeroizing<String>,
            encoding_aes_key: Zeroizing<String>,
        }
        // serde_json's message may quote a secret.
        let written: Written = serde_json::from_slice(content).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!(
                "it is no JSON object of `component_appid`, `component_appsecret`, `token` and `encoding_aes_key`: see line \
                 {line}, column {column}"
            )
        })?;
        let secret: AppSecret =
            written.component_appsecret.parse().map_err(|wrong| format!("its `component_appsecret` {wrong}"))?;
        let push_key =
            PushKey::new(&written.token, &written.encoding_aes_key).map_err(|wrong| format!("its {wrong}"))?;
        let id = written.component_appid.parse().map_err(|wrong| format!("its `component_appid` {wrong}"))?;
        let component = App::mini_program(id, secret);
        Ok(Self { component, push_key, compare_soon: Notify::new(), known: ArcSwap::default() })
    }

    pub fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Takes over what the store keeps.
    pub fn learn(&self, state: PlatformState) -> Arc<Known> {
        let known = Arc::new(Known::of(state));
        self.known.store(Arc::clone(&known));
        known
    }
}
