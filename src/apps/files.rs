//! The files that hold AppSecrets and further settings of an app. An error names the file and not
//! its content.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use wxmint_ids::{AppId, Platform, UnionScope};
use wxmint_platforms::{gives_unionids, is_supported};
use wxmint_upstream::site;
use wxmint_wechat::{
    AlipayKeys, App, AppExchanger, AppKind, AppSecret, PaymentKey, PlatformApp,
    PlatformCredentials, PlatformSecret,
};
use zeroize::Zeroizing;

use super::{Apps, Configured, PaymentKeys};
use crate::findings::{Message, json_places::line_of};
use crate::secret_files::{PLACEHOLDER, one_value, read_file};

/// The most bytes of such a file: more than two keys and a hundred origins have. A large file that got
/// there by mistake is not read whole.
const MOST_BYTES: u64 = 32 << 10;
/// Editors give these names to the copies that they keep beside a file. An AppID has no such name.
const ENDINGS_OF_COPIES: [&str; 7] = ["~", ".bak", ".orig", ".rej", ".save", ".swp", ".tmp"];

/// The apps that were found, and the faults of the files.
#[derive(Default, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) apps: Vec<Configured>,
    pub(super) faults: Vec<Message>,
    /// The copies of an editor, which are no apps.
    pub(super) ignored: Vec<PathBuf>,
}

impl Found {
    /// Reads the file of one app. If the file is invalid, the app stays as it is among the `known`
    /// ones. The same holds if the secret is shorter than before: the file is only half written,
    /// because all AppSecrets have one length.
    pub(super) fn add(&mut self, id: AppId, path: &Path, known: Option<&Apps>) {
        let known = known.and_then(|apps| apps.0.get(&id));
        match read(id, path) {
            Ok(found)
                if known.is_none_or(|known| secret_length(&found) >= secret_length(known)) =>
            {
                self.apps.push(found);
            }
            refused => {
                let fault = match refused {
                    Ok(_) => fault(path, message!(is_shorter_than_appsecret_in_use)),
                    Err(fault) => fault,
                };
                self.faults.push(fault);
                self.apps.extend(known.cloned());
            }
        }
    }

    /// Reads each file of the folder, except those whose name begins with a dot, which editors and
    /// Kubernetes (`..data`) put there. Fails if the folder cannot be read.
    pub(super) fn in_folder(folder: &Path, known: Option<&Apps>) -> Result<Self, Message> {
        let mut found = Self::default();
        for name in names_in(folder).map_err(|error| unreadable(folder, &error))? {
            let path = folder.join(&name);
            if is_copy(&name) {
                found.ignored.push(path);
                continue;
            }
            // An operator who swaps name and content has named the file by an AppSecret, which must
            // not be logged.
            let may_be_secret = name.len() == 32;
            // `AppId` also accepts the client id of a page, which may have a dot. An AppID has
            // none.
            let id = name
                .to_str()
                .filter(|name| !may_be_secret && !name.contains('.'));
            match id.and_then(|name| name.parse().ok()) {
                Some(id) => found.add(id, &path, known),
                None if may_be_secret => found
                    .faults
                    .push(fault(&folder.join("…"), message!(is_not_named_by_appid))),
                None => found
                    .faults
                    .push(fault(&path, message!(is_not_named_by_appid))),
            }
        }
        if found.apps.is_empty() && found.faults.is_empty() {
            found.faults.push(fault(folder, message!(holds_no_app)));
        }
        Ok(found)
    }
}

/// The names of a folder's files, sorted: a folder has no order, and a fault that is logged only
/// once must have the same text each time.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)?;
    let mut names: Vec<OsString> = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.sort();
    Ok(names)
}

/// Whether a file of this name is a copy that an editor has left, or a file that it has locked: no
/// app.
pub fn is_copy(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('#')
        || ENDINGS_OF_COPIES
            .iter()
            .any(|ending| name.ends_with(ending))
}

fn fault(path: &Path, wrong: Message) -> Message {
    message!("{} {}", path.display(), wrong)
}

fn unreadable(path: &Path, error: &io::Error) -> Message {
    fault(path, message!(cannot_be_read, error))
}

/// The length of the AppSecret, or 0 without one.
fn secret_length(configured: &Configured) -> usize {
    configured
        .app
        .secret()
        .map_or(0, |secret| secret.expose().len())
}

fn read(id: AppId, path: &Path) -> Result<Configured, Message> {
    let content = read_file(path, MOST_BYTES).map_err(|error| unreadable(path, &error))?;
    let text = one_value(str::from_utf8(&content).unwrap_or_default());
    if text.contains(PLACEHOLDER) {
        return Err(fault(path, message!(still_holds_its_placeholder)));
    }
    if text.trim_start().starts_with('{') {
        return read_object(text, id).map_err(|wrong| fault(path, wrong));
    }
    Ok(App::mini_program(
        id,
        text.parse()
            .map_err(|_| fault(path, message!(must_hold_appsecret)))?,
    )
    .into())
}

/// The platform that the file of an app names.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    platform: Option<String>,
}

/// The file of an app of another platform than WeChat.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenForPlatform {
    #[serde(rename = "platform")]
    _platform: String,
    secret: Zeroizing<String>,
    #[serde(default)]
    game: bool,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    unionid_required: bool,
    #[serde(default)]
    unionid_scope: Option<String>,
}

/// The file of an app of Alipay, which has keys in place of a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenForAlipay {
    #[serde(rename = "platform")]
    _platform: String,
    private_key: Zeroizing<String>,
    alipay_public_key: String,
    identity: String,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    unionid_required: bool,
    #[serde(default)]
    unionid_scope: Option<String>,
}

/// The file of an app of WeChat that is more than a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "platform")]
    _platform: Option<String>,
    kind: AppKind,
    secret: Zeroizing<String>,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    unionid_required: bool,
    #[serde(default)]
    payment_key: Option<Zeroizing<String>>,
    #[serde(default)]
    payment_key_sandbox: Option<Zeroizing<String>>,
}

/// Reads the file as its platform has it. An error does not repeat `serde_json`'s message, which may
/// quote the secret.
fn read_object(text: &str, id: AppId) -> Result<Configured, Message> {
    let Named { platform } = serde_json::from_str(text)
        .map_err(|error| message!(is_no_object_of_app, error.line(), error.column()))?;
    let platform = match platform.as_deref().map(str::parse) {
        None | Some(Ok(Platform::WeChat)) => return Written::read(text, id),
        Some(Ok(platform)) if is_supported(platform, false) => platform,
        Some(_) => return Err(at(text, "/platform", message!(has_unknown_platform))),
    };
    if platform == Platform::Alipay {
        WrittenForAlipay::read(text, id)
    } else {
        WrittenForPlatform::read(text, id, platform)
    }
}

fn at(text: &str, place: &str, wrong: Message) -> Message {
    message!(see_line, wrong, line_of(text, place))
}

fn sites(text: &str, origins: &[String]) -> Result<Vec<String>, Message> {
    let sites = origins.iter().enumerate().map(|(number, origin)| {
        site(origin).ok_or_else(|| {
            let place = format!("/origins/{number}");
            at(text, &place, message!(origins_are_no_https_sites))
        })
    });
    sites.collect()
}

impl WrittenForPlatform {
    fn read(text: &str, id: AppId, platform: Platform) -> Result<Configured, Message> {
        let Self {
            secret,
            game,
            origins,
            unionid_required,
            unionid_scope,
            ..
        } = serde_json::from_str(text).map_err(|error| {
            message!(is_no_object_of_platform_app, error.line(), error.column())
        })?;
        if !is_supported(platform, game) {
            return Err(at(text, "/game", message!(is_no_game_of_platform)));
        }
        if unionid_required && !gives_unionids(platform) {
            let place = "/unionid_required";
            return Err(at(text, place, message!(requires_unionid_of_platform)));
        }
        let secret: PlatformSecret = secret
            .parse()
            .map_err(|wrong| at(text, "/secret", message!(has_wrong_secret, wrong)))?;
        let app = PlatformApp {
            platform,
            is_game: game,
            credentials: PlatformCredentials::Secret(secret),
            unions: unions(text, platform, unionid_scope.as_deref())?,
        };
        Ok(Configured {
            origins: sites(text, &origins)?,
            unionid_required,
            ..app_of_platform(id, app)
        })
    }
}

impl WrittenForAlipay {
    fn read(text: &str, id: AppId) -> Result<Configured, Message> {
        let Self {
            private_key,
            alipay_public_key,
            identity,
            origins,
            unionid_required,
            unionid_scope,
            ..
        } = serde_json::from_str(text)
            .map_err(|error| message!(is_no_object_of_alipay_app, error.line(), error.column()))?;
        let identity = identity
            .parse()
            .map_err(|_| at(text, "/identity", message!(has_wrong_identity)))?;
        let keys = AlipayKeys::new(&private_key, &alipay_public_key, identity);
        let keys = keys.map_err(|(member, wrong)| {
            let place = format!("/{member}");
            at(
                text,
                &place,
                message!(has_wrong_key_of_alipay, member, Message::from(wrong)),
            )
        })?;
        let app = PlatformApp {
            platform: Platform::Alipay,
            is_game: false,
            credentials: PlatformCredentials::Alipay(keys),
            unions: unions(text, Platform::Alipay, unionid_scope.as_deref())?,
        };
        Ok(Configured {
            origins: sites(text, &origins)?,
            unionid_required,
            ..app_of_platform(id, app)
        })
    }
}

fn unions(text: &str, platform: Platform, word: Option<&str>) -> Result<UnionScope, Message> {
    UnionScope::new(platform, word.unwrap_or(platform.name())).map_err(|wrong| {
        let place = "/unionid_scope";
        at(text, place, message!(has_wrong_unionid_scope, wrong))
    })
}

fn app_of_platform(id: AppId, app: PlatformApp) -> Configured {
    Configured::from(App {
        id,
        kind: AppKind::MiniProgram,
        exchanger: AppExchanger::Platform(app),
    })
}

impl Written {
    fn read(text: &str, id: AppId) -> Result<Configured, Message> {
        let Self {
            kind,
            secret,
            origins,
            unionid_required,
            payment_key,
            payment_key_sandbox,
            ..
        } = serde_json::from_str(text)
            .map_err(|error| message!(is_no_object_of_app, error.line(), error.column()))?;
        let at = |place: &str, wrong: Message| at(text, place, wrong);
        let secret: AppSecret = secret
            .parse()
            .map_err(|wrong| at("/secret", message!(has_wrong_secret, wrong)))?;
        let origins = sites(text, &origins)?;
        let parse_payment_key = |place, written: Option<Zeroizing<String>>| {
            let parsed = written.map(|key| key.parse::<PaymentKey>()).transpose();
            match parsed {
                Ok(Some(_)) if kind != AppKind::MiniProgram => {
                    Err(at(place, message!(has_payment_key_of_no_mini_program)))
                }
                Ok(key) => Ok(key),
                Err(wrong) => Err(at(place, message!(has_wrong_payment_key, wrong))),
            }
        };
        let payment_keys = PaymentKeys {
            production: parse_payment_key("/payment_key", payment_key)?,
            sandbox: parse_payment_key("/payment_key_sandbox", payment_key_sandbox)?,
        };
        Ok(Configured {
            app: App {
                id,
                kind,
                exchanger: AppExchanger::Secret(secret),
            },
            origins,
            unionid_required,
            payment_keys,
        })
    }
}
