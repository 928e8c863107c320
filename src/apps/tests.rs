//! Folders and files that change step by step. No test waits.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use tempfile::TempDir;
use wxmint_wechat::{AppExchanger, AppSecret};

use super::*;

const ONE: &str = "wx0000000000000001";
const TWO: &str = "wx0000000000000002";
/// The component AppID of a third-party platform.
const PLATFORM: &str = "wx0000000000000003";
const SECRET: &str = "00112233445566778899aabbccddeeff";
const ROTATED: &str = "ffeeddccbbaa99887766554433221100";

/// A folder and the apps that were read from it.
struct Watched {
    folder: TempDir,
    current: CurrentApps,
}

impl Watched {
    fn with(ids: &[&str]) -> Self {
        let folder = folder(ids);
        let current = CurrentApps::read(AppsSource::Folder(folder.path().into())).expect("apps");
        Self { folder, current }
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).expect("written");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).expect("removed");
    }

    /// Looks at the files until two looks have found the same.
    fn look_twice(&self) -> Result<bool, String> {
        (0..2)
            .find_map(|_| self.current.reload().transpose())
            .expect("the second look decides")
    }

    /// Reads the files again. Returns the apps in use and the result.
    fn reloaded(&self) -> (Vec<(String, String)>, Result<bool, String>) {
        let told = self.look_twice();
        let apps = self.current.all();
        (
            apps.iter()
                .map(|app| {
                    (
                        app.id.to_string(),
                        app.secret().expect("a secret").expose().to_owned(),
                    )
                })
                .collect(),
            told,
        )
    }

    #[track_caller]
    fn expect(&self, apps: &[(&str, &str)], told: Result<bool, &str>) {
        let (found, said) = self.reloaded();
        assert_eq!(
            found,
            apps.iter()
                .map(|(id, secret)| (id.to_string(), secret.to_string()))
                .collect::<Vec<_>>()
        );
        match (said, told) {
            (Err(said), Err(part)) => {
                assert!(said.contains(part), "{said}");
                assert!(
                    !said.contains(&SECRET[..16]) && !said.contains(&ROTATED[..16]),
                    "{said}"
                );
            }
            (said, told) => assert_eq!(said, told.map_err(String::from)),
        }
    }
}

fn folder(ids: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for id in ids {
        fs::write(folder.path().join(id), format!("{SECRET}\n")).expect("written");
    }
    folder
}

fn id(text: &str) -> AppId {
    text.parse().expect("an AppID")
}

fn apps(ids: &[&str]) -> Apps {
    Apps::new(
        ids.iter()
            .map(|text| App::mini_program(id(text), SECRET.parse().expect("a secret")).into()),
    )
}

#[test]
fn an_app_is_chosen_by_name_then_by_hint_then_as_the_only_one() {
    use UnknownApp::{NotConfigured, Several};
    let (one, both) = (apps(&[ONE]), apps(&[ONE, TWO]));
    for (apps, wanted, hint, chosen) in [
        (&one, None, None, Ok(ONE)),
        (&one, None, Some(TWO), Ok(ONE)),
        (&one, Some(ONE), None, Ok(ONE)),
        (&one, Some(TWO), None, Err(NotConfigured)),
        (&one, Some(TWO), Some(ONE), Err(NotConfigured)),
        (&both, None, None, Err(Several)),
        (&both, None, Some(TWO), Ok(TWO)),
        (&both, None, Some("wx3"), Err(Several)),
        (&both, Some(ONE), Some(TWO), Ok(ONE)),
        (&both, Some("wx3"), Some(TWO), Err(NotConfigured)),
    ] {
        let [named, hinted] = [wanted, hint].map(|text| text.map(id));
        let found = apps
            .choose(named.as_ref(), hinted.as_ref())
            .map(|app| app.id.as_str());
        assert_eq!(found, chosen, "{} {wanted:?} {hint:?}", apps.names());
    }
}

#[test]
fn only_the_referer_of_a_mini_program_names_an_app() {
    for version in ["0", "devtools", "123"] {
        let referer = format!("https://servicewechat.com/{ONE}/{version}/page-frame.html");
        assert_eq!(app_of_referer(&referer), Some(id(ONE)));
    }
    for garbage in [
        "",
        "https://servicewechat.com/",
        "https://servicewechat.com/wx1/0/",
        "https://servicewechat.com/wx1/page-frame.html",
        "https://servicewechat.com/wx1//page-frame.html",
        "https://servicewechat.com//0/page-frame.html",
        "https://servicewechat.com/wx1/0/page-frame.html/",
        "https://servicewechat.com/wx1/0/page-frame.html?a",
        "https://servicewechat.com/wx1/0/0/page-frame.html",
        "https://servicewechat.com/wx1%2f/0/page-frame.html",
        "https://servicewechat.com/wx 1/0/page-frame.html",
        "https://servicewechat.com:443/wx1/0/page-frame.html",
        "https://servicewechat.com.evil.example/wx1/0/page-frame.html",
        "https://evil.example/https://servicewechat.com/wx1/0/page-frame.html",
        "http://servicewechat.com/wx1/0/page-frame.html",
        "HTTPS://servicewechat.com/wx1/0/page-frame.html",
        " https://servicewechat.com/wx1/0/page-frame.html",
    ] {
        assert_eq!(app_of_referer(garbage), None, "{garbage:?}");
    }
}

#[test]
fn the_start_fails_with_all_faults_of_the_folder() {
    let folder = folder(&[ONE]);
    let path = |name: &str| folder.path().join(name);
    fs::write(path("wx2"), "hunter2 is no secret").expect("written");
    fs::write(path("wx3"), "REPLACE-ME\n").expect("written");
    fs::write(path("wx4"), "").expect("written");
    fs::write(path("wx5"), b"\xff".repeat(32)).expect("written");
    fs::write(path("wx6"), "a".repeat(1 << 20)).expect("written");
    fs::create_dir(path("wx7")).expect("a folder");
    symlink("nowhere", path("wx8")).expect("a link");
    fs::write(path("notes.txt"), "hunter2").expect("written");
    fs::write(path("wx2~"), "hunter2").expect("written");
    fs::write(path(&"a7".repeat(16)), "wx0123456789abcdef")
        .expect("written, with name and content swapped");
    fs::write(path(".hidden"), "hunter2").expect("written");
    let said = CurrentApps::read(AppsSource::Folder(folder.path().into()))
        .err()
        .expect("faults")
        .to_string();
    for (name, wrong) in [
        ("wx2", "must hold the AppSecret"),
        ("wx3", "still holds its placeholder"),
        ("wx4", "must hold the AppSecret"),
        ("wx5", "must hold the AppSecret"),
        ("wx6", "must hold the AppSecret"),
        ("wx7", "cannot be read: it is not a regular file"),
        ("wx8", "cannot be read: No such file"),
        ("notes.txt", "is not named by an AppID"),
        ("…", "is not named by an AppID"),
    ] {
        assert!(
            said.contains(&format!("{} {wrong}", path(name).display())),
            "{name}: {said}"
        );
    }
    assert!(
        !said.contains("hunter2") && !said.contains(".hidden") && !said.contains(ONE),
        "{said}"
    );
    assert!(!said.contains("wx2~") && !said.contains("a7a7"), "{said}");
}

#[test]
fn the_start_fails_without_an_app_and_without_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |path: PathBuf| {
        CurrentApps::read(AppsSource::Folder(path))
            .err()
            .expect("refused")
            .to_string()
    };
    assert!(refused(folder.path().into()).contains("holds no app"));
    assert!(
        refused(folder.path().join("nowhere")).contains("nowhere cannot be read: No such file")
    );
}

#[test]
fn an_app_is_added_rotated_and_removed() {
    let watched = Watched::with(&[ONE]);
    watched.expect(&[(ONE, SECRET)], Ok(false));
    watched.write(TWO, SECRET);
    watched.expect(&[(ONE, SECRET), (TWO, SECRET)], Ok(true));
    watched.write(ONE, &format!("{ROTATED}\r\n"));
    watched.expect(&[(ONE, ROTATED), (TWO, SECRET)], Ok(true));
    watched.remove(ONE);
    watched.expect(&[(TWO, SECRET)], Ok(true));
    watched.expect(&[(TWO, SECRET)], Ok(false));
}

#[test]
fn an_app_with_an_invalid_file_keeps_its_secret_and_does_not_affect_the_others() {
    let watched = Watched::with(&[ONE, TWO]);
    for (content, wrong) in [
        ("", "must hold the AppSecret"),
        (&ROTATED[..8], "must hold the AppSecret"),
        (&ROTATED[..16], "as if only half had been written"),
        (&ROTATED[..31], "as if only half had been written"),
        ("REPLACE-ME", "placeholder"),
    ] {
        watched.write(ONE, content);
        watched.expect(&[(ONE, SECRET), (TWO, SECRET)], Err(&format!("{ONE} ")));
        watched.expect(&[(ONE, SECRET), (TWO, SECRET)], Err(wrong));
    }
    watched.write(TWO, ROTATED);
    watched.write("wx3", SECRET);
    watched.write("wx4", "half");
    watched.expect(
        &[(ONE, SECRET), (TWO, ROTATED), ("wx3", SECRET)],
        Err("wx4 must hold the AppSecret"),
    );
    watched.write(ONE, ROTATED);
    watched.remove("wx4");
    watched.expect(&[(ONE, ROTATED), (TWO, ROTATED), ("wx3", SECRET)], Ok(true));
}

#[test]
fn half_of_a_new_file_is_no_app_and_a_file_that_is_gone_for_a_moment_stays_one() {
    let watched = Watched::with(&[ONE]);
    let look = || (watched.current.reload(), watched.current.all().names());
    assert_eq!(watched.look_twice(), Ok(false));
    watched.write(TWO, &ROTATED[..16]);
    assert_eq!(look(), (Ok(None), ONE.into()), "it may be half of one");
    watched.write(TWO, ROTATED);
    assert_eq!(look(), (Ok(None), ONE.into()));
    watched.expect(&[(ONE, SECRET), (TWO, ROTATED)], Ok(true));
    watched.remove(ONE);
    assert_eq!(look(), (Ok(None), format!("{ONE} {TWO}")));
    watched.write(ONE, SECRET);
    watched.expect(&[(ONE, SECRET), (TWO, ROTATED)], Ok(false));
}

#[test]
fn copies_that_editors_leave_are_no_apps_and_keep_nothing_from_starting() {
    let folder = folder(&[ONE]);
    let copies = [
        "#wx0000000000000001#",
        "wx0000000000000001.bak",
        "wx0000000000000001.swp",
        "wx0000000000000001~",
    ];
    for name in copies {
        fs::write(folder.path().join(name), "half").expect("written");
    }
    let source = AppsSource::Folder(folder.path().into());
    let current = CurrentApps::read(source.clone()).expect("apps");
    assert_eq!(current.all().names(), ONE);
    let watched = Watched { folder, current };
    watched.expect(&[(ONE, SECRET)], Ok(false));
    let is_copy = |path: &PathBuf| path.file_name().is_some_and(is_copy);
    let found: Vec<_> = source
        .files_in_folder()
        .into_iter()
        .filter(is_copy)
        .collect();
    assert_eq!(found, copies.map(|name| watched.folder.path().join(name)));
    watched.write("notes", "half");
    watched.expect(&[(ONE, SECRET)], Err("notes must hold the AppSecret"));
}

#[test]
fn the_last_app_is_never_removed() {
    let watched = Watched::with(&[ONE]);
    watched.remove(ONE);
    watched.expect(&[(ONE, SECRET)], Err("holds no app"));
    watched.write(TWO, "half");
    watched.expect(&[(ONE, SECRET)], Err("must hold the AppSecret"));
    fs::remove_dir_all(watched.folder.path()).expect("removed");
    watched.expect(&[(ONE, SECRET)], Err("cannot be read: No such file"));
    fs::create_dir(watched.folder.path()).expect("a folder");
    watched.write(TWO, SECRET);
    watched.expect(&[(TWO, SECRET)], Ok(true));
}

#[test]
fn a_secret_that_kubernetes_mounts_and_swaps_is_read_through_its_links() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let version = |name: &str, secret: &str| {
        fs::create_dir(path(name)).expect("a folder");
        fs::write(path(name).join(ONE), secret).expect("written");
    };
    version("..1", SECRET);
    symlink("..1", path("..data")).expect("a link");
    symlink(format!("..data/{ONE}"), path(ONE)).expect("a link");
    let current = CurrentApps::read(AppsSource::Folder(folder.path().into())).expect("apps");
    version("..2", ROTATED);
    symlink("..2", path("..data_tmp")).expect("a link");
    fs::rename(path("..data_tmp"), path("..data")).expect("renamed");
    let watched = Watched { folder, current };
    watched.expect(&[(ONE, ROTATED)], Ok(true));
}

#[test]
fn the_secret_file_of_a_single_app_is_read_again_and_an_invalid_one_changes_nothing() {
    let folder = folder(&["secret"]);
    let app = App::mini_program(id(ONE), SECRET.parse().expect("a secret"));
    let source = AppsSource::One {
        app: app.clone(),
        secret_file: Some(folder.path().join("secret")),
    };
    let watched = Watched {
        current: CurrentApps::read(source).expect("an app"),
        folder,
    };
    assert!(watched.current.may_change());
    watched.expect(&[(ONE, SECRET)], Ok(false));
    watched.write("secret", ROTATED);
    watched.expect(&[(ONE, ROTATED)], Ok(true));
    watched.write("secret", "");
    watched.expect(&[(ONE, ROTATED)], Err("secret must hold"));
    watched.remove("secret");
    watched.expect(&[(ONE, ROTATED)], Err("secret cannot be read"));

    let fixed = CurrentApps::read(AppsSource::One {
        app,
        secret_file: None,
    })
    .expect("an app");
    assert!(!fixed.may_change());
}

#[test]
fn given_apps_never_change() {
    let app = |name| App::mini_program(id(name), SECRET.parse().expect("a secret"));
    let given = CurrentApps::read(AppsSource::Given(vec![app(TWO), app(ONE)])).expect("apps");
    assert_eq!(given.all().names(), format!("{ONE} {TWO}"));
    assert!(!given.may_change());
}

/// The merchant's own AppSecret counts before the right that the merchant has given to the platform.
#[test]
fn an_app_with_a_secret_that_is_also_a_merchants_keeps_its_secret_when_files_are_read_again() {
    let watched = Watched::with(&[ONE]);
    let merchant = |name| App {
        id: id(name),
        kind: AppKind::MiniProgram,
        exchanger: AppExchanger::Component(id(PLATFORM)),
    };
    watched
        .current
        .from_elsewhere_are([merchant(ONE), merchant(TWO)]);
    let expect = |wanted: [(&str, Option<&str>); 2], is_changed: bool| {
        let told = watched.look_twice();
        let apps = watched.current.all();
        let found: Vec<_> = apps
            .iter()
            .map(|app| (app.id.as_str(), app.secret().map(AppSecret::expose)))
            .collect();
        assert_eq!(found, wanted);
        assert_eq!(told, Ok(is_changed));
    };
    expect([(ONE, Some(SECRET)), (TWO, None)], false);
    watched.write(ONE, ROTATED);
    expect([(ONE, Some(ROTATED)), (TWO, None)], true);
    watched.write(TWO, SECRET);
    expect([(ONE, Some(ROTATED)), (TWO, Some(SECRET))], true);
    watched.remove(ONE);
    expect([(ONE, None), (TWO, Some(SECRET))], true);
}

#[test]
fn an_app_of_another_platform_stays_when_merchants_come_and_is_named_by_its_file() {
    let watched = Watched::with(&[ONE]);
    let file = format!(r#"{{"platform":"qq","secret":"{SECRET}+/=","unionid_scope":"shops"}}"#);
    watched.write("1112223334", &file);
    assert_eq!(watched.look_twice(), Ok(true));
    watched.current.from_elsewhere_are([]);
    let apps = watched.current.all();
    let app = apps.choose(Some(&id("1112223334")), None).expect("the app");
    assert_eq!(app.platform(), Platform::Qq);
    assert!(app.secret().is_none(), "no AppSecret of WeChat");
    let scopes: Vec<_> = apps.union_scopes().iter().map(UnionScope::prefix).collect();
    assert_eq!(scopes, ["", "qq/shops:"]);
    for (members, told) in [
        (
            r#""platform":"wecom","secret":"hunter2-hunter2","corpid":"ww1""#,
            "none of wechat, douyin",
        ),
        (
            r#""platform":"QQ","secret":"hunter2-hunter2""#,
            "none of wechat, douyin",
        ),
        (
            r#""platform":"qq","secret":"hunter2""#,
            "8 to 256 visible ASCII",
        ),
        (
            r#""platform":"qq","secret":"hunter2 hunter2""#,
            "8 to 256 visible ASCII",
        ),
        (
            r#""platform":"qq","secret":"hunter2-hunter2","game":true"#,
            "only apps of Douyin",
        ),
        (
            r#""platform":"qq","secret":"hunter2-hunter2","kind":"website""#,
            "`unionid_scope`: see line 1",
        ),
        (
            r#""platform":"qq","secret":"hunter2-hunter2","unionid_scope":"a:b""#,
            "has a `unionid_scope`",
        ),
        (
            r#""platform":"qq","secret":"hunter2-hunter2","origins":["*"]"#,
            "has in `origins`",
        ),
        (
            r#""platform":"kuaishou","secret":"hunter2-hunter2","unionid_required":true"#,
            "gives no unionids",
        ),
        (r#""platform":7,"secret":"hunter2-hunter2""#, "see line 1"),
    ] {
        watched.write("1112223334", &format!("{{{members}}}"));
        let fault = watched.look_twice().expect_err(members);
        assert!(
            fault.contains(told) && !fault.contains("hunter2"),
            "{members}: {fault}"
        );
        let apps = watched.current.all();
        let app = apps.choose(Some(&id("1112223334")), None).expect("the app");
        assert_eq!(app.platform(), Platform::Qq, "it stays as it was");
    }
}

#[test]
fn a_login_in_flight_keeps_its_apps() {
    let watched = Watched::with(&[ONE]);
    let kept = watched.current.all();
    watched.write(ONE, ROTATED);
    watched.expect(&[(ONE, ROTATED)], Ok(true));
    assert_eq!(
        kept.choose(None, None)
            .expect("an app")
            .secret()
            .expect("a secret")
            .expose(),
        SECRET
    );
}

#[test]
fn a_json_file_names_kind_and_sites_and_a_mistake_in_it_changes_nothing_and_repeats_nothing() {
    let watched = Watched::with(&[ONE]);
    let site = "https://m.example.com";
    let good = format!(r#""secret":"{SECRET}""#);
    watched.write(
        TWO,
        &format!("{{\"kind\":\"website\",{good},\"origins\":[\"{site}\"]}}\n"),
    );
    assert_eq!(watched.look_twice(), Ok(true));
    let is_as_before = || {
        let apps = watched.current.all();
        let two = apps.choose(Some(&id(TWO)), None).expect("the app");
        let may_read =
            [Some(id(TWO)), None, Some(id(ONE))].map(|of| apps.have_origin(of.as_ref(), site));
        two.kind == AppKind::Website
            && two.secret().expect("a secret").expose() == SECRET
            && may_read == [true, true, false]
    };
    assert!(is_as_before() && watched.current.all().names() == format!("{ONE} {TWO} (website)"));
    for (members, told) in [
        (
            format!(r#""kind":"hunter2",{good}"#),
            "`kind` is official_account, website, mobile_app",
        ),
        (
            format!(r#""kind":"website",{good},"hunter2":[]"#),
            "see line 1",
        ),
        (r#""kind":"website""#.into(), "see line 1"),
        (
            r#""kind":"website","secret":"hunter2""#.into(),
            "has a `secret` that must be the AppSecret",
        ),
        (
            r#""kind":"website","secret":"hunter2""#.into(),
            "hexadecimal digits: see line 1",
        ),
        (
            "\n\"kind\":\"website\",\n\"secret\":\n\"hunter2\"\n".into(),
            "hexadecimal digits: see line 4",
        ),
        (
            format!("\"kind\":\"website\",\n\n{good},\n\"origins\":[\"{site}\",\n\"*\"]\n"),
            "see line 5",
        ),
        (
            r#""kind":"website","secret":["hunter2"]"#.into(),
            "see line 1",
        ),
        (
            format!(r#""kind":"website",{good},"origins":["*"]"#),
            "has in `origins`",
        ),
        (
            format!(r#""kind":"website",{good},"origins":["{site}/"]"#),
            "has in `origins`",
        ),
        (
            format!(r#""kind":"website",{good},"origins":[""#),
            "see line 1",
        ),
    ] {
        watched.write(TWO, &format!("{{{members}}}"));
        let fault = watched.look_twice().expect_err(&members);
        assert!(fault.contains(told) && is_as_before(), "{members}: {fault}");
        assert!(
            !fault.contains("hunter2") && !fault.contains(SECRET),
            "{fault}"
        );
    }
}
