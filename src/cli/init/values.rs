//! What `wxmint init` must know: from options, from the environment, or from whoever sits at the terminal.

use std::{
    env,
    fs::File,
    io::{self, ErrorKind, IsTerminal, Read, Write, stdin},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{Failure, InitArgs, KEYS, VAULT, ask_hidden, say};
use crate::{ids::AppId, settings::Settings, wechat::UNUSUAL_APPID};

pub(super) const WECHAT: &str = "WXMINT_WECHAT_URL";
const ISSUER: &str = "WXMINT_ISSUER";
const APPID: &str = "WXMINT_APPID";
const SECRET: &str = "WXMINT_APP_SECRET";
const REDIS: &str = "WXMINT_REDIS_URL";

/// The variables that are asked for, each with its question. What is not shown comes last, because Ctrl-C no longer ends a
/// question after it ([`ask_hidden`]).
const QUESTIONS: [(&str, &str); 4] = [
    (APPID, "AppID of the mini program (mp.weixin.qq.com, 开发管理)"),
    (ISSUER, "URL at which mini programs reach wxmint, for example https://login.example.com"),
    (REDIS, "URL of Redis, for example redis://127.0.0.1:6379, or memory: for a trial"),
    (SECRET, "AppSecret of the mini program (not shown)"),
];

const HOW: &str = "Give --appid, --app-secret-file, --issuer and --redis-url, or set the variables, or run wxmint init at a \
                   terminal, which asks.";

type Values = Vec<(&'static str, String)>;

/// Values with which `wxmint serve` would start. At a terminal it asks until they are such.
pub(super) fn gather(args: InitArgs) -> Result<Values, Failure> {
    let has_password = args.redis_url.as_ref().is_some_and(|url| url.contains('@'));
    if has_password || args.app_secret.is_some() {
        say(
            "warning: every user of this machine sees arguments (ps), and your shell keeps them. Give an AppSecret that is in \
             use by --app-secret-file PATH (- for standard input) or WXMINT_APP_SECRET, a URL with a password by \
             WXMINT_REDIS_URL, or type them at a terminal.",
        );
    }
    let mut values = given(args)?;
    values.extend([("WXMINT_KEYS", KEYS.to_owned()), ("WXMINT_VAULT_KEY_FILE", VAULT.to_owned())]);
    loop {
        let vars = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let Err(faults) = Settings::from_vars(vars) else {
            let appid = values.iter().find_map(|(name, value)| (*name == APPID).then_some(value));
            if appid.and_then(|appid| appid.parse::<AppId>().ok()).is_some_and(|appid| !appid.is_usual()) {
                say(format_args!("warning: {UNUSUAL_APPID}"));
            }
            return Ok(values);
        };
        let fault_of = |name| faults.0.iter().find(|fault| fault.variable == name);
        let asked = QUESTIONS.iter().find_map(|&(name, question)| Some((name, question, fault_of(name)?)));
        let Some((name, question, fault)) = asked.filter(|_| stdin().is_terminal()) else {
            return Err(Failure::usage(format_args!("nothing was written\n\n{faults}\n{HOW}")));
        };
        if values.iter().any(|(known, _)| *known == name) {
            say(fault);
        }
        values.retain(|(known, _)| *known != name);
        let typed =
            if name == SECRET { ask_hidden(&format!("{question}: ")) } else { ask(question).map(Zeroizing::new) };
        let typed = typed.map_err(|error| Failure::unfinished(format_args!("{error}; nothing was written")))?;
        values.push((name, typed.trim().to_owned()));
    }
}

fn ask(question: &str) -> io::Result<String> {
    let mut line = String::new();
    write!(io::stderr(), "{question}: ")?;
    match stdin().read_line(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

/// From options, the environment, and what `--demo` stands for.
fn given(args: InitArgs) -> Result<Values, Failure> {
    let from_environment = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let file = args.app_secret_file.or_else(|| from_environment("WXMINT_APP_SECRET_FILE").map(PathBuf::from));
    let secret = match args.app_secret {
        None => file.map(|path| read_secret(&path)).transpose()?,
        given => given,
    };
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
    let (mut text, longest) = (String::new(), 4096);
    let read = match path == Path::new("-") {
        true => stdin().take(longest).read_to_string(&mut text),
        false => File::open(path).and_then(|file| file.take(longest).read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::usage(format_args!("--app-secret-file {}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
