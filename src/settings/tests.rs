//! Settings from a table of variables, spoiled one at a time.

use std::{collections::HashMap, fs};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::variable::RENAMED;
use super::*;
use crate::secret_files::Settled;

fn valid() -> HashMap<String, String> {
    let pairs = [
        ("WXMINT_ISSUER", "https://login.example.com"),
        ("WXMINT_APPID", "wx0123456789abcdef"),
        ("WXMINT_APP_SECRET", "0123456789abcdef0123456789abcdef"),
        ("WXMINT_REDIS_URL", "redis://127.0.0.1:6379"),
        ("WXMINT_KEYS", "keys.json"),
        ("WXMINT_VAULT_KEY_FILE", "vault.key"),
    ];
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn with(name: &str, value: &str) -> Result<Settings, Faults> {
    let mut vars = valid();
    vars.insert(name.into(), value.into());
    Settings::from_vars(vars)
}

#[test]
fn six_variables_are_enough_and_the_rest_has_the_designs_defaults() {
    let settings = Settings::from_vars(valid()).expect("settings");
    assert_eq!(settings.audience, ["https://login.example.com"]);
    assert_eq!(
        (
            settings.listen.to_string(),
            settings.admin_listen.to_string()
        ),
        ("127.0.0.1:8080".into(), "127.0.0.1:9090".into())
    );
    assert_eq!(settings.token_ttl, Duration::from_hours(24));
    assert_eq!(settings.session_key_ttl, Duration::from_hours(30 * 24));
    assert_eq!(settings.token_typ, TokenTyp::AccessToken);
    assert_eq!(settings.wechat_url.as_str(), "https://api.weixin.qq.com/");
}

#[test]
fn all_faults_are_reported_at_once() {
    let Err(Faults(faults)) = Settings::from_vars(HashMap::new()) else {
        panic!("faults")
    };
    let named: Vec<_> = faults.iter().map(|fault| fault.variable).collect();
    let required = [
        "ISSUER",
        "APPID",
        "APP_SECRET",
        "REDIS_URL",
        "KEYS",
        "VAULT_KEY_FILE",
    ];
    assert_eq!(named, required.map(|name| format!("WXMINT_{name}")));
}

#[test]
fn a_fault_hides_no_other() {
    let wrong = ["WXMINT_ACCOUNTS", "WXMINT_WECHAT_URL", "WXMINT_LOG_FORMAT"]
        .map(|name| (name.to_owned(), "?".to_owned()));
    let Err(Faults(faults)) = Settings::from_vars(valid().into_iter().chain(wrong)) else {
        panic!("faults")
    };
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn a_path_that_wxmint_answers_itself_is_named_beside_other_faults_and_a_fault_is_told_once() {
    for (paths, wrong, faults) in [
        (
            "/login",
            "WXMINT_TOKEN_TTL",
            vec!["TOKEN_TTL", "LOGIN_PATHS"],
        ),
        ("/a,/login", "WXMINT_TOKEN_TYP", vec!["LOGIN_PATHS"]),
        ("wrong", "WXMINT_TOKEN_TYP", vec!["LOGIN_PATHS"]),
        ("/a", "WXMINT_TOKEN_TYP", vec![]),
    ] {
        let vars = [("WXMINT_LOGIN_PATHS", paths), (wrong, "JWT")]
            .map(|(name, value)| (name.into(), value.into()));
        let settings = Settings::serving(valid().into_iter().chain(vars), |path| path != "/login");
        let told = settings.map_or_else(|Faults(told)| told, |_| Vec::new());
        let named: Vec<_> = told.iter().map(|fault| fault.variable).collect();
        assert_eq!(
            named.iter().map(|name| &name[7..]).collect::<Vec<_>>(),
            faults,
            "{paths}"
        );
        let text = told.iter().map(ToString::to_string).collect::<String>();
        assert_eq!(
            text.contains("example: WXMINT_LOGIN_PATHS=/user/login"),
            faults.contains(&"LOGIN_PATHS"),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_value_is_named_with_an_example_and_not_repeated() {
    for (name, value) in [
        ("WXMINT_ISSUER", "http://login.example.com"),
        ("WXMINT_ISSUER", "https://login.example.com/"),
        ("WXMINT_ISSUER", "https://login.example.com?wrong"),
        ("WXMINT_AUDIENCE", "one,,two"),
        ("WXMINT_APPID", "wx wrong"),
        ("WXMINT_APP_SECRET", "wrong-hunter2"),
        ("WXMINT_REDIS_URL", "http://user:wrong@host"),
        ("WXMINT_REDIS_URL", "redis://:wrong@host:notaport"),
        ("WXMINT_REDIS_URL", "redis+cluster://:wrong@a,b/1"),
        ("WXMINT_REDIS_CONFIRM", "wrong"),
        ("WXMINT_REDIS_CONFIRM", "6"),
        ("WXMINT_REDIS_CA_FILE", "wrong.crt"),
        ("WXMINT_REDIS_CERT_FILE", "wrong.crt"),
        ("WXMINT_LISTEN", "localhost:wrong"),
        ("WXMINT_TOKEN_TTL", "30d1wrong"),
        ("WXMINT_TOKEN_TTL", "59s"),
        ("WXMINT_TOKEN_TTL", "31d"),
        ("WXMINT_TOKEN_TYP", "wrong"),
        ("WXMINT_SESSION_KEY_TTL", "0d"),
        ("WXMINT_ACCOUNTS", "wrong"),
        ("WXMINT_ACCOUNTS", "file:"),
        ("WXMINT_ACCOUNTS", "http://wrong.example"),
        ("WXMINT_ACCOUNTS", "https://wrong.example/?a"),
        ("WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP", "wrong"),
        ("WXMINT_AUTO_PROVISION", "wrong"),
        ("WXMINT_ACCOUNTS_CHECK", "wrong"),
        ("WXMINT_BINDINGS_PER_USER", "0"),
        ("WXMINT_LOGIN_PATHS", "wrong"),
        ("WXMINT_LOGIN_PATHS", "/a wrong"),
        ("WXMINT_LOGIN_PATHS", "/{wrong}"),
        ("WXMINT_LOGIN_PATHS", "/a,/a"),
        ("WXMINT_TOKEN_ALIASES", "token,user_id"),
        ("WXMINT_TOKEN_ALIASES", "wrong-name"),
        ("WXMINT_DANGEROUS_PASSWORD_IN_QUERY", "wrong"),
        ("WXMINT_TRUSTED_PROXIES", "10.0.0.0/8,wrong"),
        ("WXMINT_TRUSTED_PROXIES", "private,,wrong"),
        ("WXMINT_TRUSTED_PROXIES", "none,192.0.2.1"),
        ("WXMINT_LIMIT_IP", "0/5m"),
        ("WXMINT_LIMIT_OPENID", "wrong/5m"),
        ("WXMINT_LIMIT_USERNAME", "10"),
        ("WXMINT_LIMIT_OPEN_REQUESTS", "0"),
        ("WXMINT_USER_DATA_MAX_AGE", "wrong"),
        ("WXMINT_WECHAT_URL", "http://wrong.example"),
        ("WXMINT_WECHAT_PROXY", "wrong:3128"),
        ("WXMINT_WECHAT_PROXY", "socks5://wrong:1080"),
        ("WXMINT_WECHAT_PROXY", "http://wrong/path"),
        ("WXMINT_WECHAT_PROXY", "http://wrong?a"),
        ("WXMINT_WECHAT_PROXY", "http://u:wrong@:3128"),
        ("WXMINT_LOG_FORMAT", "wrong"),
        ("WXMINT_LOG_ADDRESSES", "wrong"),
        ("WXMINT_AUDIT", "wrong"),
        ("WXMINT_AUDIT", "file:"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "wrong:4317"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://user:wrong@collector",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc-wrong"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization Bearer wrong"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s-wrong"),
        ("OTEL_TRACES_SAMPLER", "wrong"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN-wrong"),
    ] {
        let Err(faults) = with(name, value) else {
            panic!("{name}={value} was accepted")
        };
        let text = faults.to_string();
        let example = format!("example: {}", &name[..=name.find('_').expect("a prefix")]);
        assert!(text.starts_with(name) && text.contains(&example), "{text}");
        assert!(!text.contains("wrong"), "{text}");
        assert_eq!(faults.0.len(), 1, "{text}");
    }
}

#[test]
fn a_value_out_of_range_or_in_another_form_is_answered_with_both() {
    let span = "one number and one unit, s, m, h or d (90m, not 1h30m), from";
    let rate = "a number from 1 to 1000000, a slash and a time from 1s to 30d (600/5m)";
    for (name, values, wanted) in [
        (
            "WXMINT_LIMIT_IP",
            vec!["1000000000/1m", "0/1m", "10/31d", "10/7200", "600"],
            rate.to_owned(),
        ),
        (
            "WXMINT_TOKEN_TTL",
            vec!["59s", "31d", "7200", "1h30m"],
            format!("{span} 1m to 30d"),
        ),
        (
            "WXMINT_KEY_PREPUBLISH",
            vec!["400d", "8d", "0s", "7200"],
            format!("{span} 1s to 7d"),
        ),
        (
            "WXMINT_SESSION_KEY_TTL",
            vec!["5y", "366d", "0d", "1h30m"],
            format!("{span} 1s to 365d"),
        ),
        (
            "WXMINT_USER_DATA_MAX_AGE",
            vec!["31d", "10"],
            format!("{span} 1s to 30d"),
        ),
        (
            "WXMINT_ISSUER",
            vec!["https://login.example.com/"],
            "or a slash at the end, since verifiers compare".into(),
        ),
        (
            "WXMINT_APPID",
            vec!["0123456789abcdef0123456789abcdef"],
            "wx and 16 hexadecimal digits".into(),
        ),
    ] {
        for value in values {
            let text = with(name, value).expect_err(value).to_string();
            assert!(
                text.starts_with(name) && text.contains(&wanted),
                "{name}={value}: {text}"
            );
        }
    }
    assert_eq!(
        with("WXMINT_TOKEN_TTL", "30d")
            .expect("the longest")
            .token_ttl,
        wxmint_verify::LONGEST_LIFE
    );
    assert!(
        with("WXMINT_KEY_PREPUBLISH", "7d").is_ok()
            && with("WXMINT_LIMIT_IP", "1000000/30d").is_ok()
    );
}

#[test]
fn the_two_listeners_have_an_address_each() {
    for (public, admin, is_good) in [
        ("127.0.0.1:9090", "", false),
        ("10.0.0.1:8080", "10.0.0.1:8080", false),
        ("0.0.0.0:8080", "127.0.0.1:8080", false),
        ("[::1]:8080", "[::]:8080", false),
        ("127.0.0.1:8080", "127.0.0.2:8080", true),
        ("127.0.0.1:8080", "127.0.0.1:8081", true),
        ("127.0.0.1:0", "127.0.0.1:0", true),
    ] {
        let vars = [
            ("WXMINT_LISTEN", public),
            ("WXMINT_SIDECAR_LISTEN", public),
            ("WXMINT_ADMIN_LISTEN", admin),
        ];
        let vars = vars.into_iter().chain([
            ("WXMINT_JWKS_URL", "https://a.example/jwks"),
            ("WXMINT_AUDIENCE", "a"),
        ]);
        let vars: HashMap<_, _> = valid()
            .into_iter()
            .chain(vars.map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        let serve = Settings::from_vars(vars.clone())
            .map_or_else(|faults| faults.to_string(), |_| String::new());
        let sidecar = SidecarSettings::from_vars(vars)
            .map_or_else(|faults| faults.to_string(), |_| String::new());
        for (text, other) in [(serve, "WXMINT_LISTEN"), (sidecar, "WXMINT_SIDECAR_LISTEN")] {
            let said = format!(
                "WXMINT_ADMIN_LISTEN takes the address of {other}: give it another port\n    wanted: "
            );
            assert!(
                text.starts_with(&said) != is_good && text.is_empty() == is_good,
                "{public} {admin}: {text}"
            );
        }
    }
}

#[test]
fn one_app_or_a_folder_of_them_and_not_both() {
    let mut vars = valid();
    vars.insert("WXMINT_APPS_DIR".into(), "apps".into());
    for without in ["", "WXMINT_APPID", "WXMINT_APP_SECRET"] {
        let some = vars.clone().into_iter().filter(|(name, _)| name != without);
        let both = Settings::from_vars(some).expect_err(without).to_string();
        assert!(
            both.starts_with("WXMINT_APPS_DIR is set beside WXMINT_APPID"),
            "{without}: {both}"
        );
    }
    vars.retain(|name, _| !name.starts_with("WXMINT_APP") || name == "WXMINT_APPS_DIR");
    let settings = Settings::from_vars(vars).expect("settings");
    assert!(
        matches!(settings.apps, AppsSource::Folder(path) if path == std::path::Path::new("apps"))
    );
}

#[test]
fn only_an_account_service_can_be_asked_at_each_login() {
    let settings = |accounts: &str, check: &str| {
        let vars = [
            ("WXMINT_ACCOUNTS", accounts),
            ("WXMINT_ACCOUNTS_CHECK", check),
        ];
        Settings::from_vars(
            valid()
                .into_iter()
                .chain(vars.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        )
    };
    let checks = |accounts, check| settings(accounts, check).expect("settings").accounts_check;
    assert!(checks("https://accounts.example.com", "true"));
    assert!(
        !checks("https://accounts.example.com", "false")
            && !checks("auto", "false")
            && !checks("file:users", "false")
    );
    for accounts in ["auto", "file:users"] {
        let Err(Faults(faults)) = settings(accounts, "true") else {
            panic!("a fault")
        };
        assert_eq!(
            faults
                .iter()
                .map(|fault| fault.variable)
                .collect::<Vec<_>>(),
            ["WXMINT_ACCOUNTS_CHECK"]
        );
    }
}

#[test]
fn files_for_tls_need_rediss_and_a_certificate_needs_its_key() {
    let settings = |url: &str, files: &[&str]| {
        let url = ("WXMINT_REDIS_URL".to_owned(), url.to_owned());
        let files = files
            .iter()
            .map(|name| (format!("WXMINT_REDIS_{name}_FILE"), format!("{name}.pem")));
        Settings::from_vars(valid().into_iter().chain([url]).chain(files))
    };
    for (url, files, fault) in [
        (
            "redis://h",
            vec!["CA"],
            "WXMINT_REDIS_CA_FILE is set, but WXMINT_REDIS_URL does not begin with rediss",
        ),
        ("memory:", vec!["CA"], "WXMINT_REDIS_CA_FILE is set, but"),
        (
            "redis+cluster://h",
            vec!["CERT", "KEY"],
            "WXMINT_REDIS_CERT_FILE is set, but",
        ),
        (
            "rediss://h",
            vec!["CERT"],
            "WXMINT_REDIS_KEY_FILE is not set, but WXMINT_REDIS_CERT_FILE is",
        ),
        (
            "rediss://h",
            vec!["CA", "KEY"],
            "WXMINT_REDIS_CERT_FILE is not set, but WXMINT_REDIS_KEY_FILE is",
        ),
        (
            "rediss://h:x",
            vec!["CA"],
            "WXMINT_REDIS_URL cannot be read",
        ),
    ] {
        let Err(faults) = settings(url, &files) else {
            panic!("{url} {files:?}")
        };
        assert!(
            faults.to_string().starts_with(fault) && faults.0.len() == 1,
            "{faults}"
        );
    }
    let tls = settings("rediss+sentinel://h/m", &["CA", "CERT", "KEY"])
        .expect("settings")
        .store
        .tls;
    assert_eq!(
        (tls.ca, tls.client),
        (
            Some("CA.pem".into()),
            Some(("CERT.pem".into(), "KEY.pem".into()))
        )
    );
}

#[test]
fn lists_networks_and_rates_are_read() {
    let settings =
        with("WXMINT_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,fd00::/8").expect("settings");
    let networks: Vec<_> = settings
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]);
    assert_eq!(
        with("WXMINT_TRUSTED_PROXIES", "none")
            .expect("settings")
            .trusted_proxies,
        []
    );
    let bursts = [
        settings.limit_ip,
        settings.limit_openid,
        settings.limit_username,
    ]
    .map(|rate| rate.burst);
    assert_eq!(
        (bursts, settings.limit_ip.period),
        ([600, 30, 10], Duration::from_mins(5))
    );
    let settings = with("WXMINT_LOGIN_PATHS", "/user/login,/v1/login.php").expect("settings");
    assert_eq!(settings.login_paths, ["/user/login", "/v1/login.php"]);
    let file = with("WXMINT_ACCOUNTS", "file:/etc/wxmint/users")
        .expect("settings")
        .accounts;
    assert_eq!(file, AccountsSource::File("/etc/wxmint/users".into()));
}

/// These networks are not routed on the internet. The addresses next to them are.
#[test]
fn proxies_are_trusted_by_default_where_nobody_comes_over_the_internet() {
    let trusts = |settings: &Settings, address: &str| {
        let address = address.parse().expect("an address");
        settings
            .trusted_proxies
            .iter()
            .any(|network| network.contains::<&std::net::IpAddr>(&address))
    };
    let [default, more] = ["", "private, 192.0.2.0/28"]
        .map(|value| with("WXMINT_TRUSTED_PROXIES", value).expect("settings"));
    for inside in
        "127.0.0.1 127.255.255.255 ::1 10.0.0.0 172.16.0.0 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 \
                   169.254.169.254 fe80::1 fc00::1 fdff::1"
            .split(' ')
    {
        assert!(trusts(&default, inside) && trusts(&more, inside), "{inside}");
    }
    for outside in
        "0.0.0.0 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 \
                    100.128.0.0 169.253.255.255 203.0.113.1 :: ::2 fbff::1 fe00::1 fec0::1 2001:db8::1 ::ffff:8.8.8.8"
            .split(' ')
    {
        assert!(!trusts(&default, outside) && !trusts(&more, outside), "{outside}");
    }
    assert!(!trusts(&default, "192.0.2.1") && trusts(&more, "192.0.2.1"));
}

/// The issuer refuses paths that wxmint has itself.
#[test]
fn a_login_path_is_one_that_no_proxy_resolves() {
    for odd in [
        "//revocations",
        "/./revocations",
        "/a/../revocations",
        "/%72evocations",
        "",
    ] {
        let text = with("WXMINT_LOGIN_PATHS", &format!("/a,{odd}"))
            .map(|_| ())
            .expect_err(odd)
            .to_string();
        assert!(
            text.starts_with("WXMINT_LOGIN_PATHS is not valid"),
            "{odd}: {text}"
        );
    }
    for good in [
        "/login/wechat",
        "/user/login/",
        "/revocations.php",
        "/documents",
    ] {
        assert_eq!(
            with("WXMINT_LOGIN_PATHS", good).expect(good).login_paths,
            [good]
        );
    }
}

#[test]
fn the_account_service_is_called_over_http_on_this_machine_or_where_danger_was_asked_for() {
    let url = |url: &str, danger: &str| {
        let changes = [
            ("WXMINT_ACCOUNTS", url),
            ("WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP", danger),
        ];
        let changes = changes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Settings::from_vars(valid().into_iter().chain(changes)).is_ok()
    };
    for (address, allowed) in [
        ("http://127.0.0.1:8000/wxmint", [true, true]),
        (
            "http://accounts.shop.svc.cluster.local/wxmint",
            [false, true],
        ),
        ("https://accounts.example.com/wxmint", [true, true]),
        ("http://accounts.shop.svc/wxmint?a=b", [false, false]),
        ("http://user:secret@accounts.shop.svc/", [false, false]),
        ("ftp://accounts.shop.svc/", [false, false]),
        ("auto", [true, true]),
    ] {
        assert_eq!(
            [url(address, "false"), url(address, "true")],
            allowed,
            "{address}"
        );
    }
}

#[test]
fn durations_have_a_number_and_a_unit() {
    for (text, seconds) in [
        ("90s", 90),
        ("30m", 1800),
        ("24h", 86_400),
        ("30d", 2_592_000),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)));
    }
    for wrong in [
        "",
        "s",
        "30",
        "1w",
        "-1s",
        "1.5h",
        "+ 5m",
        "99999999d",
        "３0m",
    ] {
        assert_eq!(parse_duration(wrong), None, "{wrong}");
    }
}

#[test]
fn http_issuers_are_for_loopback() {
    for good in [
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[::1]:1",
        "https://a.example/wxmint",
        "HTTPS://A.Example:443/a@b,c",
        "https://登录.example",
    ] {
        assert!(IssuerUrl::parse(good).is_ok(), "{good}");
    }
    assert!(IssuerUrl::parse("http://127.0.0.1.example").is_err());
}

#[test]
fn each_fault_of_an_issuer_has_a_sentence_of_its_own() {
    for (wrong, said) in [
        (
            "login.example.com",
            "WXMINT_ISSUER is not a URL; it must begin with https://",
        ),
        (
            "//login.example.com",
            "is not a URL; it must begin with https://",
        ),
        (
            "https://",
            "is not a URL; it must begin with https:// and a host",
        ),
        (
            "https:/login.example.com",
            "is not a URL; it must begin with https:// and a host",
        ),
        (
            "https:login.example.com",
            "is not a URL; it must begin with https:// and a host",
        ),
        (
            "https:///login.example.com",
            "is not a URL; it must begin with https:// and a host",
        ),
        (
            "https:\\\\login.example.com",
            "is not a URL; it must begin with https:// and a host",
        ),
        ("https://login.example.com\\auth", "has a backslash"),
        (
            "https://a.example,https://b.example",
            "a second URL behind a comma",
        ),
        (
            "https://@login.example.com",
            "has a user name or a password",
        ),
        (
            "ftp://login.example.com",
            "is not a URL that begins with https://",
        ),
        ("localhost:8080", "is not a URL that begins with https://"),
        (
            "http://login.example.com",
            "is not an https URL; http is for loopback only",
        ),
        (
            "https://user:pw@login.example.com",
            "has a user name or a password",
        ),
        ("https://login.example.com?a=b", "has a query or a fragment"),
        ("https://login.example.com#", "has a query or a fragment"),
        ("https://login.example.com/", "has a slash at its end"),
        (
            " https://login.example.com",
            "has a blank or another character that nobody sees",
        ),
        (
            "https://login.example.com\r",
            "has a blank or another character that nobody sees",
        ),
        ("https://login.example.com/a b", "has a blank"),
    ] {
        let text = with("WXMINT_ISSUER", wrong).expect_err(wrong).to_string();
        assert!(
            text.starts_with("WXMINT_ISSUER ") && text.contains(said),
            "{wrong:?}: {text}"
        );
        assert!(!text.contains("user:pw") && !text.contains("a=b"), "{text}");
    }
}

#[test]
fn a_secret_comes_from_its_file_or_from_the_variable_and_not_from_both() {
    let file = std::env::temp_dir().join(format!("wxmint-secret-{}", std::process::id()));
    fs::write(&file, "fedcba9876543210fedcba9876543210\n").expect("written");
    let path = file.to_str().expect("UTF-8").to_owned();
    let both = with("WXMINT_APP_SECRET_FILE", &path)
        .expect_err("both")
        .to_string();
    let mut vars = valid();
    vars.remove("WXMINT_APP_SECRET");
    vars.insert("WXMINT_APP_SECRET_FILE".into(), path);
    let settings = Settings::from_vars(vars.clone()).expect("settings");
    fs::remove_file(&file).expect("removed");
    let AppsSource::One { app, secret_file } = settings.apps else {
        panic!("one app")
    };
    assert_eq!(
        (
            app.secret().expect("a secret").expose(),
            secret_file.as_ref()
        ),
        ("fedcba9876543210fedcba9876543210", Some(&file))
    );
    assert!(both.contains("both set"), "{both}");
    let gone = Settings::from_vars(vars).expect_err("no file").to_string();
    assert!(
        gone.starts_with("WXMINT_APP_SECRET_FILE names a file whose content cannot be read: "),
        "{gone}"
    );
}

#[test]
fn a_problem_is_said_in_chinese_alone() {
    let fault = with("WXMINT_REDIS_URL", "http://redis:6379")
        .expect_err("no URL of Redis")
        .0
        .remove(0);
    let (said, problem) = (format!("{fault:#}"), fault.problem.to_string());
    assert!(
        !said.contains(&problem) && said.contains(&format!("{:#}", fault.problem)),
        "{said}"
    );
}

#[test]
fn a_fault_in_a_file_is_said_of_the_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    for (name, content, said) in [
        ("WXMINT_APP_SECRET", "", "is empty"),
        ("WXMINT_APP_SECRET", "\n", "is empty"),
        ("WXMINT_APP_SECRET", "hunter2\n", "is not valid"),
        (
            "WXMINT_APP_SECRET",
            "REPLACE-ME",
            "still holds its placeholder",
        ),
        ("WXMINT_REDIS_URL", "\n", "is empty"),
        (
            "WXMINT_REDIS_URL",
            "redis://h:hunter2",
            "cannot be read: it is redis://user:password@host:port/database, with a port from 1 to 65535, an IPv6 address in \
             brackets ([2001:db8::1]), and in user and password %40 for @, %3A for :, %2F for /, %25 for %",
        ),
    ] {
        fs::write(file.path(), content).expect("written");
        let mut vars = valid();
        vars.remove(name);
        vars.insert(format!("{name}_FILE"), path.into());
        let text = Settings::from_vars(vars).expect_err(content).to_string();
        assert!(
            text.starts_with(&format!("{name}_FILE names a file whose content {said}\n")),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_missing_variable_names_the_unknown_one_that_was_probably_meant() {
    for (name, misspelt, meant) in [
        ("WXMINT_ISSUER", "WXMINT_ISUER", "WXMINT_ISSUER"),
        ("WXMINT_ISSUER", "wxmint_issuer", "WXMINT_ISSUER"),
        ("WXMINT_APPID", "WXMINT_APP_ID", "WXMINT_APPID"),
        ("WXMINT_APP_SECRET", "WXMINT_APPSECRET", "WXMINT_APP_SECRET"),
        (
            "WXMINT_APP_SECRET",
            "WXMINT_APP_SECRETFILE",
            "WXMINT_APP_SECRET_FILE",
        ),
        ("WXMINT_REDIS_URL", "WXMINT_REDIS", "WXMINT_REDIS_URL"),
        ("WXMINT_KEYS", "WXMINT_KEY", "WXMINT_KEYS"),
        (
            "WXMINT_VAULT_KEY_FILE",
            "WXMINT_VAULT_KEY",
            "WXMINT_VAULT_KEY_FILE",
        ),
    ] {
        let mut vars = valid();
        let value = vars.remove(name).expect("set");
        vars.insert(misspelt.into(), value.clone());
        let text = Settings::from_vars(vars.clone())
            .expect_err(name)
            .to_string();
        let said = format!(
            "{name} is not set, but {misspelt} is, which wxmint does not know: did you mean {meant}?"
        );
        assert!(text.starts_with(&said), "{text}");
        vars.insert(name.into(), value);
        assert!(
            Settings::from_vars(vars).is_ok(),
            "an unknown variable beside the right one is no fault"
        );
    }
    let injected = [
        ("WXMINT_SERVICE_HOST", "10.0.0.1"),
        ("WXMINT_PORT", "tcp://10.0.0.1:80"),
        ("PATH", "/bin"),
    ];
    let text = Settings::from_vars(injected.map(|(name, value)| (name.into(), value.into())))
        .expect_err("nothing")
        .to_string();
    assert!(!text.contains("did you mean"), "{text}");
}

#[test]
fn a_former_name_of_a_variable_is_refused_with_the_name_of_today() {
    for (former, name) in RENAMED {
        let faults = with(former, "true").expect_err(former);
        assert_eq!(
            faults
                .0
                .iter()
                .map(|fault| fault.variable)
                .collect::<Vec<_>>(),
            [name]
        );
        let said = format!("{former} is called {name} now: set it by this name\n    wanted: ");
        assert!(faults.to_string().starts_with(&said), "{faults}");
        assert_eq!(
            nearest_to_unknown(former),
            None,
            "no warning beside the fault"
        );
        assert!(with(former, "").is_ok(), "an empty variable is not set");
    }
}

#[test]
fn an_unknown_variable_is_named_with_its_nearest_and_not_read() {
    let names = [
        "WXMINT_ISUER",
        "WXMINT_SERVICE_HOST",
        "WXMINT_PORT_8080_TCP",
        "WXMINT_ISSUER",
        "PATH",
    ];
    assert_eq!(
        names
            .into_iter()
            .filter_map(nearest_to_unknown)
            .collect::<Vec<_>>(),
        ["WXMINT_ISSUER"]
    );
    assert!(with("WXMINT_Listen", "not an address").is_ok());
}

#[test]
fn a_url_of_redis_that_is_read_again_is_one_that_a_start_would_accept() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let with = |more: &[(&str, &str)]| {
        let more = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::from_vars(valid().into_iter().chain(more))
            .expect("settings")
            .store
    };
    let read = |settings: &StoreSettings, url: &str| {
        std::fs::write(&file, url).expect("written");
        let mut seen = Settled::default();
        let first = settings.read_again(file.path(), &mut seen)?;
        assert!(first.is_none(), "half of it may be there");
        settings
            .read_again(file.path(), &mut seen)
            .map(|url| assert!(url.is_some()))
    };
    let plain = with(&[("WXMINT_REDIS_URL", "redis://one")]);
    let tls = with(&[
        ("WXMINT_REDIS_URL", "rediss://one"),
        ("WXMINT_REDIS_CA_FILE", "ca.pem"),
    ]);
    assert_eq!(
        (read(&plain, "redis://two\n"), read(&tls, "rediss://two")),
        (Ok(()), Ok(()))
    );
    assert!(
        read(&tls, "redis://two")
            .is_err_and(|refused| refused.contains("does not begin with rediss"))
    );
    assert!(read(&plain, "memory:").is_err_and(|refused| refused.contains("only a new start")));
    let pipe = file.path().with_added_extension("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    // Opening the pipe would block forever.
    let (sender, answer) = std::sync::mpsc::channel();
    let read_pipe = pipe.clone();
    std::thread::spawn(move || {
        sender.send(
            plain
                .read_again(&read_pipe, &mut Settled::default())
                .map(drop),
        )
    });
    let refused = answer
        .recv_timeout(Duration::from_secs(10))
        .expect("an answer at once")
        .expect_err("a pipe");
    assert!(refused.contains("it is not a regular file"), "{refused}");
    std::fs::remove_file(pipe).expect("removed");
}
