//! `wxmint init`: the signing keys, a vault key, the AppSecret and `.env` for a first `wxmint serve`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write, stdin};
use std::path::{Path, PathBuf};
use std::{env, os::unix::fs::DirBuilderExt};

use clap::Args;
use wxmint_ids::AppId;
use wxmint_keys::{PrivateJwk, StoredKeys, rotation::CLOCK_SKEW};
use wxmint_verify::Algorithm;
use zeroize::Zeroizing;

use super::keys::checked;
use super::output::{Language, ask_hidden, print, say};
use super::{Failure, key_line};
use crate::clock::now;
use crate::findings::Message;
use crate::secret_files::{create_private, one_value};
use crate::settings::env_file::{self, quoted};
use crate::settings::example::{self, Values};
use crate::settings::{Fault, Faults, Settings, read_one, variables};

const KEYS: &str = "keys.json";
const VAULT: &str = "vault.key";
const ID_KEY: &str = "id.key";
/// The folder of `WXMINT_APPS_DIR`, so that a second mini program is one more file.
const APPS: &str = "apps";
/// The files that git must not add: the files that `wxmint init` makes, those that README.md adds
/// to them, and the lock files of commands.
const SECRETS: [&str; 7] = [
    KEYS,
    VAULT,
    ID_KEY,
    "apps/",
    "admin.tokens",
    env_file::NAME,
    ".*.lock",
];

#[derive(Args)]
pub(super) struct InitArgs {
    /// The folder for keys.json, vault.key, id.key, apps and .env; it is made if it is missing
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
    /// The mini program's AppID; else WXMINT_APPID, else asked for
    #[arg(long, alias = "app-id")]
    appid: Option<String>,
    /// A file with the AppSecret, - for standard input; else WXMINT_APP_SECRET, else asked for and not shown
    #[arg(long, value_name = "PATH")]
    app_secret_file: Option<PathBuf>,
    /// The URL at which mini programs reach wxmint; else WXMINT_ISSUER, else asked for
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Where Redis is; else WXMINT_REDIS_URL, else asked for. A URL with a password is better in WXMINT_REDIS_URL
    #[arg(long, value_name = "URL", alias = "redis")]
    redis_url: Option<String>,
    /// The file of a third-party platform without an app of its own, whose AppID and AppSecret are then not asked for
    #[arg(long, value_name = "PATH")]
    platform_file: Option<PathBuf>,
    /// The language of the questions and of .env; else that of the locale
    #[arg(long, value_enum)]
    lang: Option<Language>,
    /// For a trial with `wxmint simulator` and without Redis: asks for nothing
    #[cfg(feature = "simulator")]
    #[arg(long, conflicts_with = "platform_file")]
    demo: bool,
}

pub(super) fn run(args: InitArgs) -> Result<(), Failure> {
    let folder = args.dir.clone();
    let language = args.lang.unwrap_or_else(Language::of_locale);
    refuse_existing(&folder, language)?;
    let mut settings = gather(args, language)?;
    let app = App::take_from(&mut settings);
    let contents = contents(app.as_ref(), &settings, language)?;
    let is_new = !folder.exists();
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    made.map_err(|error| Failure::from(error).at(folder.display()))?;
    // A new folder is removed again, which fails if there is something in it that is not ours.
    let written = write_all(&folder, &contents, app.is_some());
    written.inspect_err(|_| _ = is_new.then(|| fs::remove_dir(&folder)))?;
    let made = match app {
        Some(App { appid, .. }) => {
            message!(
                init_has_made,
                place(&folder),
                KEYS,
                VAULT,
                ID_KEY,
                APPS,
                appid,
                env_file::NAME
            )
        }
        None => message!(
            init_has_made_without_app,
            place(&folder),
            KEYS,
            VAULT,
            ID_KEY,
            env_file::NAME
        ),
    };
    print(language.tell(made));
    hide_from_git(&folder, language)?;
    introduce(&folder, settings.contains_key(WECHAT), language);
    Ok(())
}

/// The folder's name within a sentence.
fn place(folder: &Path) -> Message {
    if folder == Path::new(".") {
        message!(this_folder)
    } else {
        message!(folder_in_sentence, folder.display())
    }
}

/// Fails if one of the files exists, before anything is asked or written. So all files are new or
/// none is written. A dangling symbolic link counts as existing.
fn refuse_existing(folder: &Path, language: Language) -> Result<(), Failure> {
    let existing: Vec<_> = [KEYS, VAULT, ID_KEY, APPS, env_file::NAME]
        .into_iter()
        .filter(|name| fs::symlink_metadata(folder.join(name)).is_ok())
        .collect();
    let why = match existing.join(", ") {
        _ if folder.exists() && !folder.is_dir() => message!(init_wants_folder, folder.display()),
        none if none.is_empty() => return Ok(()),
        existing => message!(init_finds_these_already, place(folder), existing),
    };
    Err(Failure::usage(language.tell(why)))
}

/// An app with an AppSecret. A third-party platform need not have one.
struct App {
    appid: String,
    secret: Zeroizing<String>,
}

impl App {
    /// Takes the app out of the settings, and puts the folder of its file in its place.
    fn take_from(settings: &mut Values) -> Option<Self> {
        let appid = settings.remove(APPID)?;
        let secret = Zeroizing::new(settings.remove(SECRET).unwrap_or_default());
        settings.insert("WXMINT_APPS_DIR", APPS.to_owned());
        Some(Self { appid, secret })
    }
}

struct NewFile {
    /// The path relative to the folder.
    name: String,
    content: Zeroizing<Vec<u8>>,
}

impl NewFile {
    fn new(name: impl Into<String>, content: Zeroizing<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            content,
        }
    }
}

fn contents(
    app: Option<&App>,
    settings: &Values,
    language: Language,
) -> Result<Vec<NewFile>, Failure> {
    let keys = StoredKeys::of([PrivateJwk::generate(Algorithm::Es256, now() - CLOCK_SKEW)?]);
    checked(&keys)?;
    let example = language.pick([example::english, example::chinese]);
    let text = |text: String| Zeroizing::new(text.into_bytes());
    let mut files = vec![
        NewFile::new(KEYS, keys.content()),
        NewFile::new(VAULT, key_line()),
        NewFile::new(ID_KEY, key_line()),
    ];
    if let Some(App { appid, secret }) = app {
        files.push(NewFile::new(
            format!("{APPS}/{appid}"),
            text(format!("{}\n", secret.as_str())),
        ));
    }
    files.push(NewFile::new(env_file::NAME, text(example(Some(settings)))));
    Ok(files)
}

/// Writes all files or none.
fn write_all(folder: &Path, files: &[NewFile], has_app: bool) -> Result<(), Failure> {
    let apps = folder.join(APPS);
    if has_app {
        let made = DirBuilder::new().mode(0o700).create(&apps);
        made.map_err(|error| {
            Failure::from(error)
                .at(apps.display())
                .at(message!(nothing_was_written))
        })?;
    }
    for (index, NewFile { name, content }) in files.iter().enumerate() {
        if let Err(error) = create_private(&folder.join(name), content) {
            for written in &files[..index] {
                _ = fs::remove_file(folder.join(&written.name));
            }
            if has_app {
                _ = fs::remove_dir(&apps);
            }
            return Err(Failure::from(error).at(message!(nothing_was_written)));
        }
    }
    Ok(())
}

/// In a git work tree, writes `.gitignore`. If there is a `.gitignore`, says which lines it must
/// have.
fn hide_from_git(folder: &Path, language: Language) -> Result<(), Failure> {
    if !fs::canonicalize(folder)
        .unwrap_or_default()
        .ancestors()
        .any(|folder| folder.join(".git").exists())
    {
        return Ok(());
    }
    let path = folder.join(".gitignore");
    let lines: String = SECRETS.iter().flat_map(|name| [name, "\n"]).collect();
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file.write_all(lines.as_bytes())?,
        Err(_) => say(language.tell(message!(
            check_that_git_ignores,
            path.display(),
            SECRETS.join(" ")
        ))),
    }
    Ok(())
}

fn introduce(folder: &Path, is_demo: bool, language: Language) {
    let enter = format!("\n  cd {}", quoted(&folder.to_string_lossy()));
    let enter = if folder == Path::new(".") { "" } else { &enter };
    let before = if is_demo {
        "wxmint simulator &"
    } else {
        "wxmint doctor"
    };
    let advice = language.tell(message!(keep_copies_of_keys, KEYS, VAULT, ID_KEY));
    print(format_args!("{advice}{enter}\n  {before}\n  wxmint serve"));
}

const WECHAT: &str = "WXMINT_WECHAT_URL";
const ISSUER: &str = "WXMINT_ISSUER";
const APPID: &str = "WXMINT_APPID";
const SECRET: &str = "WXMINT_APP_SECRET";
const REDIS: &str = "WXMINT_REDIS_URL";
const PLATFORM_FILE: &str = "WXMINT_PLATFORM_FILE";

/// The form of an AppID of WeChat. A simulator's AppID may have any form.
const USUAL_FORM: &str = "the AppID that WeChat's console shows: wx and 16 hexadecimal digits; another one is taken with --demo";

/// Finds missing values, values that `wxmint serve` would refuse, and AppIDs that cannot be
/// WeChat's.
fn faults_of(values: &Values) -> Vec<Fault> {
    let vars = || {
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
    };
    let mut faults = match Settings::from_vars(vars()) {
        Ok(_) => Vec::new(),
        Err(Faults(faults)) => faults,
    };
    if values.contains_key(APPID)
        && !values.contains_key(WECHAT)
        && faults.iter().all(|fault| fault.variable != APPID)
    {
        let usual = |text: &str| text.parse::<AppId>().ok().filter(AppId::is_usual);
        let unusual = read_one(
            &variables::APPID.parsed_by(usual).in_form(USUAL_FORM),
            vars(),
        )
        .err();
        faults.extend(unusual.into_iter().flat_map(|Faults(faults)| faults));
    }
    faults
}

/// Gathers values with which `wxmint serve` would start. At a terminal, asks until every value is
/// right.
fn gather(args: InitArgs, language: Language) -> Result<Values, Failure> {
    let nothing = language.tell(message!(nothing_was_written));
    let mut values = given(args)?;
    let files = [
        ("WXMINT_KEYS", KEYS),
        ("WXMINT_VAULT_KEY_FILE", VAULT),
        ("WXMINT_ID_KEY_FILE", ID_KEY),
    ];
    values.extend(files.map(|(name, file)| (name, file.to_owned())));
    loop {
        let faults = Faults(faults_of(&values));
        if faults.0.is_empty() {
            return Ok(values);
        }
        let fault_of = |name| faults.0.iter().find(|fault| fault.variable == name);
        // The secret comes last and is not shown. Once it has been asked for, Ctrl-C no longer ends
        // a question ([`ask_hidden`]).
        let [appid, issuer] = [
            (APPID, message!(init_asks_for_appid)),
            (ISSUER, message!(init_asks_for_issuer)),
        ];
        let questions = [
            appid,
            issuer,
            (REDIS, message!(init_asks_for_redis)),
            (SECRET, message!(init_asks_for_secret)),
        ];
        let asked = questions
            .into_iter()
            .find_map(|(name, question)| Some((name, question, fault_of(name)?)));
        let Some((name, question, fault)) = asked.filter(|_| stdin().is_terminal()) else {
            let faults = language.tell(&faults);
            let how = language.tell(message!(init_wants_options));
            return Err(Failure::usage(format_args!("{nothing}\n\n{faults}\n{how}")));
        };
        if values.contains_key(name) {
            say(language.tell(fault));
        }
        let question = language.tell(question);
        let typed = if name == SECRET {
            ask_hidden(&question)
        } else {
            ask(&question).map(Zeroizing::new)
        };
        let typed =
            typed.map_err(|error| Failure::unfinished(format_args!("{error}; {nothing}")))?;
        values.insert(name, typed.trim().to_owned());
    }
}

fn ask(question: &str) -> io::Result<String> {
    write!(io::stderr(), "{question}")?;
    stdin()
        .lines()
        .next()
        .unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()))
}

/// The values from the options, the environment, and the defaults of `--demo`.
fn given(args: InitArgs) -> Result<Values, Failure> {
    let from_environment = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let file = args
        .app_secret_file
        .or_else(|| from_environment("WXMINT_APP_SECRET_FILE").map(PathBuf::from));
    let secret = file.map(|path| read_secret(&path)).transpose()?;
    let options = [
        (APPID, args.appid),
        (SECRET, secret),
        (ISSUER, args.issuer),
        (REDIS, args.redis_url),
    ];
    #[cfg(feature = "simulator")]
    if args.demo {
        return Ok(for_demo(options));
    }
    let platform_file = args
        .platform_file
        .map(|path| (PLATFORM_FILE, path.to_string_lossy().into_owned()));
    Ok(options
        .into_iter()
        .filter_map(|(name, given)| {
            let value = given.or_else(|| from_environment(name))?;
            Some((name, value))
        })
        .chain(platform_file)
        .collect())
}

#[cfg(feature = "simulator")]
fn for_demo(options: [(&'static str, Option<String>); 4]) -> Values {
    let (appid, secret) = wxmint_simulator::DEFAULT_APP
        .split_once(':')
        .unwrap_or_default();
    let values = options
        .into_iter()
        .zip([appid, secret, "http://127.0.0.1:8080", "memory:"]);
    let values = values
        .map(|((name, option), default)| (name, option.unwrap_or_else(|| default.to_owned())));
    values
        .chain([(
            WECHAT,
            format!("http://{}", wxmint_simulator::DEFAULT_ADDRESS),
        )])
        .collect()
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") {
        io::read_to_string(stdin())
    } else {
        fs::read_to_string(path)
    };
    let text = read.map_err(|error| {
        Failure::usage(format_args!(
            "--app-secret-file {}: {error}",
            path.display()
        ))
    })?;
    Ok(one_value(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn what_is_no_folder_is_refused_before_anything_is_asked() {
        let why = Failure::usage(
            "nothing was written, because /dev/null is not a folder. Name another one with --dir.",
        );
        assert_eq!(
            refuse_existing(Path::new("/dev/null"), Language::En),
            Err(why)
        );
    }

    #[derive(clap::Parser)]
    struct Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    }

    #[test]
    fn the_first_key_signs_also_on_a_replica_whose_clock_is_slow() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let words = ["keys", "generate", "--keys", path.to_str().expect("text")];
        keys::run(<Keys as clap::Parser>::parse_from(words).command).expect("made");
        let generated = fs::read(path).expect("there");
        let made = contents(None, &Values::new(), Language::En).expect("made");
        for file in [&generated[..], &made[0].content] {
            let lives = StoredKeys::parse(file)
                .expect("a set")
                .lives()
                .expect("lives");
            assert!(lives[0].nbf <= now() - CLOCK_SKEW, "{lives:?}");
        }
    }
}
