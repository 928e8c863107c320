//! The known state of a platform and its merchants. Every replica follows the entries in the store.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use wxmint_ids::AppId;
use wxmint_keys::vault::{Sealed, Vault};
use wxmint_store::short_digest;
use wxmint_wechat::{App, AppExchanger, AppKind, CallError, Verdict};

use super::store::{PlatformEntry, PlatformState};

pub(super) const TICKET: &str = "ticket";
/// The entry that holds WeChat's last refusal to give the platform a token. Empty once WeChat has
/// given one.
pub(super) const REFUSAL: &str = "refusal";
/// The entry that exists once WeChat's list of merchants has been compared.
pub(super) const COMPARED: &str = "compared";
const MERCHANT: &str = "merchant:";
/// The kind of the rate limit that lets one replica work on a merchant's change.
pub(super) const COUNTED: &str = "merchant";
const CODE: &str = "code:";
/// For how many seconds a used authorization code identifies its merchant: as long as the code is
/// valid at WeChat.
const CODE_SHOWS_FOR: i64 = 600;
const TROUBLE: &str = "trouble:";
/// For how many seconds wxmint replaces no platform token for a merchant after WeChat has refused a
/// new token for it.
const REFUSED_FOR: i64 = 600;
/// The first byte of a code's entry: before a sealed authorization code that WeChat is to be asked
/// about, or before the digest of a code that was used.
const PENDING: u8 = b'?';
const USED: u8 = b'=';

/// The state of a platform in the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) version: u64,
    /// Whether the store has been read. Before that, no merchant is known.
    pub(super) is_read: bool,
    /// The newest ticket, sealed, and when WeChat made it.
    pub(super) ticket: Option<PlatformEntry>,
    /// Why WeChat gives the platform no token.
    pub(super) refusal: Option<Refusal>,
    /// Whether WeChat's list of merchants has been compared once. Only then an app without an entry
    /// is no merchant's.
    pub(super) is_compared: bool,
    pub(super) merchants: BTreeMap<AppId, Merchant>,
    /// The sealed authorization code of each merchant that has authorised the platform or changed
    /// its permissions, until WeChat has been asked about the code. Until then the merchant's state
    /// does not change.
    pub(super) codes: BTreeMap<AppId, PlatformEntry>,
    /// All entries as the store has them.
    entries: BTreeMap<String, PlatformEntry>,
}

/// A merchant that has authorised the platform, now or earlier.
#[derive(Debug, Clone)]
pub(super) struct Merchant {
    pub(super) state: MerchantState,
    /// The errcode with which WeChat refuses calls for the merchant until the merchant changes its
    /// authorization.
    pub(super) trouble: Option<i64>,
    pub(super) entry: PlatformEntry,
}

/// An errcode with which WeChat refuses the platform a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("errcode {errcode} ({errmsg})")]
pub(super) struct Refusal {
    pub(super) errcode: i64,
    pub(super) errmsg: String,
    /// The refused ticket, by the second in which WeChat made it, since 1970.
    pub(super) of_ticket: i64,
}

impl Refusal {
    /// The refusal, if the operator must act. `None` for an error that passes by itself. Leaves out
    /// the `rid`, which is new in each answer.
    pub(super) fn of(error: &CallError, of_ticket: i64) -> Option<Self> {
        let CallError::Refused {
            errcode,
            errmsg,
            verdict: Verdict::Misconfigured,
        } = error
        else {
            return None;
        };
        let errmsg = errmsg
            .split("rid:")
            .next()
            .unwrap_or_default()
            .trim_end_matches([' ', ','])
            .to_owned();
        Some(Self {
            errcode: *errcode,
            errmsg,
            of_ticket,
        })
    }

    fn read(PlatformEntry { at, value }: &PlatformEntry) -> Option<Self> {
        let (errcode, errmsg) = str::from_utf8(value).ok()?.split_once(' ')?;
        Some(Self {
            errcode: errcode.parse().ok()?,
            errmsg: errmsg.to_owned(),
            of_ticket: *at,
        })
    }

    /// The refusal as an entry of the store.
    pub(super) fn entry(&self) -> PlatformEntry {
        PlatformEntry {
            at: self.of_ticket,
            value: format!("{} {}", self.errcode, self.errmsg).into_bytes(),
        }
    }

    /// The refusal as the error that WeChat would answer again.
    pub(super) fn error(&self) -> CallError {
        let Self {
            errcode, errmsg, ..
        } = self.clone();
        CallError::Refused {
            errcode,
            errmsg,
            verdict: Verdict::Misconfigured,
        }
    }
}

/// Whether the platform acts for a merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MerchantState {
    /// The platform acts for the merchant, with this sealed refresh token.
    In(AppKind, Sealed),
    /// The merchant has withdrawn its authorization, and the tokens of its users are being revoked.
    Leaving,
    /// The merchant has withdrawn its authorization, and all tokens of its users are revoked.
    Gone,
}

impl MerchantState {
    pub(super) fn is_in(&self) -> bool {
        matches!(self, Self::In(..))
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (mark, sealed) = value.split_first()?;
        let sealed = Sealed::from_stored(sealed.to_vec());
        Some(match mark {
            b'm' => Self::In(AppKind::MiniProgram, sealed),
            b'o' => Self::In(AppKind::OfficialAccount, sealed),
            b'!' => Self::Leaving,
            b'-' => Self::Gone,
            _ => return None,
        })
    }

    /// The state as an entry of the store, valid since the second `at`.
    pub(super) fn entry(&self, at: i64) -> PlatformEntry {
        let (mark, sealed) = match self {
            Self::In(AppKind::MiniProgram, sealed) => (b'm', sealed.as_bytes()),
            Self::In(_, sealed) => (b'o', sealed.as_bytes()),
            Self::Leaving => (b'!', &[][..]),
            Self::Gone => (b'-', &[][..]),
        };
        PlatformEntry {
            at,
            value: [&[mark], sealed].concat(),
        }
    }
}

pub(super) fn entry_of(merchant: &AppId) -> String {
    [MERCHANT, merchant.as_str()].concat()
}

pub(super) fn code_of(merchant: &AppId) -> String {
    [CODE, merchant.as_str()].concat()
}

/// The entry of a sealed code that WeChat is to be asked about.
pub(super) fn pending_code(sealed: &Sealed, at: i64) -> PlatformEntry {
    PlatformEntry {
        at,
        value: [&[PENDING], sealed.as_bytes()].concat(),
    }
}

pub(super) fn sealed_code(pending: &PlatformEntry) -> Sealed {
    Sealed::from_stored(pending.value.get(1..).unwrap_or_default().to_vec())
}

/// The entry that replaces `pending` once the code was used; without `used`, once it was abandoned.
pub(super) fn done_code(pending: &PlatformEntry, used: Option<&str>) -> PlatformEntry {
    let value = match used {
        Some(code) => [&[USED], short_digest(code).to_string().as_bytes()].concat(),
        None => Vec::new(),
    };
    PlatformEntry {
        at: pending.at,
        value,
    }
}

/// The name and the entry of a merchant's trouble. Any change of the merchant's entry makes the
/// trouble obsolete.
pub(super) fn trouble_of(
    app: &AppId,
    merchant: &PlatformEntry,
    errcode: i64,
) -> (String, PlatformEntry) {
    let value = format!("{errcode} {}", digest_of(merchant)).into_bytes();
    (
        [TROUBLE, app.as_str()].concat(),
        PlatformEntry {
            at: merchant.at,
            value,
        },
    )
}

/// The name and the entry that say that WeChat has refused a new token of the platform for the
/// merchant.
pub(super) fn refused_of(app: &AppId, now: DateTime<Utc>) -> (String, PlatformEntry) {
    (
        format!("refused:{app}"),
        PlatformEntry {
            at: now.timestamp(),
            value: b"1".to_vec(),
        },
    )
}

/// The digest by which a changed entry differs from the earlier one.
pub(super) fn digest_of(entry: &PlatformEntry) -> String {
    short_digest(&format!("{} {:?}", entry.at, entry.value)).to_string()
}

/// The app in an entry's name, which begins with this prefix.
fn app_in(name: &str, prefix: &str) -> Option<AppId> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// The errcode in a trouble, if the trouble is of this merchant's entry and not of an earlier one.
fn errcode_of(trouble: &PlatformEntry, merchant: &PlatformEntry) -> Option<i64> {
    let (errcode, digest) = str::from_utf8(&trouble.value).ok()?.split_once(' ')?;
    if digest == digest_of(merchant) {
        errcode.parse().ok()
    } else {
        None
    }
}

impl Known {
    /// Reads the entries of the store. Entries that this version does not understand are left out.
    pub(super) fn of(kept: PlatformState) -> Self {
        let mut known = Self {
            version: kept.version,
            is_read: true,
            ..Self::default()
        };
        known.ticket = kept.entries.get(TICKET).cloned();
        known.refusal = kept.entries.get(REFUSAL).and_then(Refusal::read);
        known.is_compared = kept.entries.contains_key(COMPARED);
        for (name, entry) in &kept.entries {
            if let Some(app) = app_in(name, CODE) {
                known.codes.insert(app, entry.clone());
            } else if let Some(app) = app_in(name, MERCHANT)
                && let Some(state) = MerchantState::read(&entry.value)
            {
                // A trouble counts only if the merchant has not changed since.
                let trouble = kept
                    .entries
                    .get(&[TROUBLE, app.as_str()].concat())
                    .and_then(|trouble| errcode_of(trouble, entry));
                known.merchants.insert(
                    app,
                    Merchant {
                        state,
                        trouble,
                        entry: entry.clone(),
                    },
                );
            }
        }
        known.codes.retain(|app, code| {
            let is_late = known
                .merchants
                .get(app)
                .is_some_and(|merchant| merchant.entry.at > code.at);
            code.value.first() == Some(&PENDING) && !is_late
        });
        known.entries = kept.entries;
        known
    }

    /// Finds the merchant that has authorised the platform with this authorization code within the
    /// last 600 seconds, once WeChat has been asked about the code. Older codes do not count,
    /// because anybody who has read a log may know them.
    pub(super) fn merchant_of(&self, code: &str, now: DateTime<Utc>) -> Option<&AppId> {
        let used = done_code(
            &PlatformEntry {
                at: 0,
                value: Vec::new(),
            },
            Some(code),
        )
        .value;
        let has_used_it = |app: &AppId| {
            self.entries.get(&code_of(app)).is_some_and(|held| {
                held.value == used && now.timestamp() - held.at <= CODE_SHOWS_FOR
            })
        };
        self.merchants
            .iter()
            .find(|(app, merchant)| merchant.state.is_in() && has_used_it(app))
            .map(|(app, _)| app)
    }

    /// Whether WeChat has just refused even a new token of the platform for this merchant.
    pub(super) fn refuses_new_tokens(&self, app: &AppId, now: DateTime<Utc>) -> bool {
        let refused = self.entries.get(&refused_of(app, now).0);
        refused.is_some_and(|refused| (0..REFUSED_FOR).contains(&(now.timestamp() - refused.at)))
    }

    /// The entries that the store has lost: those that are older in the store than here, or missing
    /// there. Nothing is ever deleted from the store. Entries without a value need not be restored.
    pub(super) fn lost(&self, state: &PlatformState) -> Vec<(String, PlatformEntry)> {
        self.entries
            .iter()
            .filter(|(name, known)| {
                !known.value.is_empty()
                    && state
                        .entries
                        .get(*name)
                        .is_none_or(|held| held.at < known.at)
            })
            .map(|(name, known)| (name.clone(), known.clone()))
            .collect()
    }

    /// Whether there is a ticket, and a vault key that opens it.
    pub(super) fn ticket_opens(&self, vault: &Vault, component: &AppId) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| {
            vault
                .open(&Sealed::from_stored(ticket.value.clone()), component)
                .is_ok()
        })
    }

    /// The apps of the merchants for whom the platform with this component acts.
    pub(super) fn apps(&self, component: &AppId) -> impl Iterator<Item = App> {
        self.merchants
            .iter()
            .filter_map(|(id, merchant)| match merchant.state {
                MerchantState::In(kind, _) => Some(App {
                    id: id.clone(),
                    kind,
                    exchanger: AppExchanger::Component(component.clone()),
                }),
                _ => None,
            })
    }
}
