//! `wxmint init` must know this: from options, from the environment, or from whoever sits at the terminal.

use std::io::{self, ErrorKind, IsTerminal, Write, stdin};
use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, env, fs};

use wxmint_findings::Said;
use wxmint_ids::AppId;
use zeroize::Zeroizing;

use super::{Failure, ID_KEY, InitArgs, KEYS, Language, VAULT, ask_hidden, say};
use crate::settings::{Fault, Faults, Settings, read_one, variables};

pub(super) const WECHAT: &str = "WXMINT_WECHAT_URL";
const ISSUER: &str = "WXMINT_ISSUER";
pub(super) const APPID: &str = "WXMINT_APPID";
pub(super) const SECRET: &str = "WXMINT_APP_SECRET";
const REDIS: &str = "WXMINT_REDIS_URL";

/// The variables that are asked for. What is not shown comes last, because Ctrl-C no longer ends a question after it
/// ([`ask_hidden`]).
fn questions() -> [(&'static str, Said); 4] {
    let [appid, issuer] = [(APPID, said!(init_asks_for_appid)), (ISSUER, said!(init_asks_for_issuer))];
    [appid, issuer, (REDIS, said!(init_asks_for_redis)), (SECRET, said!(init_asks_for_secret))]
}

/// The form of an AppID for WeChat itself. That of a simulator may have any form.
const USUAL_FORM: &str =
    "the AppID that WeChat's console shows: wx and 16 hexadecimal digits; another one is taken with --demo";

/// By variable.
pub(super) type Values = BTreeMap<&'static str, String>;

/// Finds what is missing, and what `wxmint serve` would refuse or WeChat cannot have given.
fn faults_of(values: &Values) -> Vec<Fault> {
    let vars = || values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut faults = Settings::from_vars(vars()).map_or_else(|Faults(faults)| faults, |_| Vec::new());
    if !values.contains_key(WECHAT) && faults.iter().all(|fault| fault.variable != APPID) {
        let usual = |text: &str| text.parse::<AppId>().ok().filter(AppId::is_usual);
        let unusual = read_one(&variables::APPID.taking(USUAL_FORM, usual), vars()).err();
        faults.extend(unusual.into_iter().flat_map(|Faults(faults)| faults));
    }
    faults
}

/// Values with which `wxmint serve` would start. At a terminal it asks until nothing is wrong.
pub(super) fn gather(args: InitArgs, language: Language) -> Result<Values, Failure> {
    let nothing = language.tell(said!(nothing_was_written));
    let mut values = given(args)?;
    let files = [("WXMINT_KEYS", KEYS), ("WXMINT_VAULT_KEY_FILE", VAULT), ("WXMINT_ID_KEY_FILE", ID_KEY)];
    values.extend(files.map(|(name, file)| (name, file.to_owned())));
    loop {
        let faults = Faults(faults_of(&values));
        if faults.0.is_empty() {
            return Ok(values);
        }
        let fault_of = |name| faults.0.iter().find(|fault| fault.variable == name);
        let asked = questions().into_iter().find_map(|(name, question)| Some((name, question, fault_of(name)?)));
        let Some((name, question, fault)) = asked.filter(|_| stdin().is_terminal()) else {
            let (faults, how) = (language.tell(&faults), language.tell(said!(init_wants_options)));
            return Err(Failure::usage(format_args!("{nothing}\n\n{faults}\n{how}")));
        };
        if values.contains_key(name) {
            say(language.tell(fault));
        }
        let question = language.tell(question);
        let typed = if name == SECRET { ask_hidden(&question) } else { ask(&question).map(Zeroizing::new) };
        let typed = typed.map_err(|error| Failure::unfinished(format_args!("{error}; {nothing}")))?;
        values.insert(name, typed.trim().to_owned());
    }
}

fn ask(question: &str) -> io::Result<String> {
    let mut line = String::new();
    write!(io::stderr(), "{question}")?;
    match stdin().read_line(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

/// From options, the environment, and what `--demo` stands for.
fn given(args: InitArgs) -> Result<Values, Failure> {
    let from_environment = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let file = args.app_secret_file.or_else(|| from_environment("WXMINT_APP_SECRET_FILE").map(PathBuf::from));
    let secret = file.map(|path| read_secret(&path)).transpose()?;
    let options = [(APPID, args.appid), (SECRET, secret), (ISSUER, args.issuer), (REDIS, args.redis_url)];
    #[cfg(feature = "simulator")]
    if args.demo {
        return Ok(for_demo(options));
    }
    let value =
        |(name, option): (&'static str, Option<String>)| Some((name, option.or_else(|| from_environment(name))?));
    Ok(options.into_iter().filter_map(value).collect())
}

#[cfg(feature = "simulator")]
fn for_demo(options: [(&'static str, Option<String>); 4]) -> Values {
    let (appid, secret) = wxmint_simulator::DEFAULT_APP.split_once(':').unwrap_or_default();
    let of_demo = [appid, secret, "http://127.0.0.1:8080", "memory:"];
    let values = options.into_iter().zip(of_demo);
    let values = values.map(|((name, option), default)| (name, option.unwrap_or_else(|| default.to_owned())));
    values.chain([(WECHAT, format!("http://{}", wxmint_simulator::DEFAULT_ADDRESS))]).collect()
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") { io::read_to_string(stdin()) } else { fs::read_to_string(path) };
    let text = read.map_err(|error| Failure::usage(format_args!("--app-secret-file {}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
