//! The services, and how each writes the settings that a test replaces.

use std::net::SocketAddr;

use crate::checks::{Exceptions, LOOKS_AT_THE_FEED};
use crate::example::Started;
use crate::go::OFTEN;
use crate::scripts::{express, fastapi};

pub(super) type Setting = (&'static str, &'static str);

pub(super) struct Service {
    pub(super) start: fn(SocketAddr, &[(&str, &str)]) -> Started,
    /// Takes what `checks::tokens` calls so.
    pub(super) exceptions: Exceptions<'static>,
    /// Notices soon that the issuer is there.
    pub(super) eager: &'static [Setting],
    /// At most, for forty unknown keys.
    pub(super) fetches: u64,
    /// Looks for keys every second, or asks for them again and again where it never stops looking.
    pub(super) looks: &'static [Setting],
    /// How it writes the address of its keys, and another one in the place of URL.
    pub(super) jwks: Setting,
    pub(super) algorithms: &'static [&'static str],
    /// Puts its clock two days ahead while the folder has a file of the name `ahead`, and ten minutes back while it has
    /// one of the name `behind`.
    pub(super) clock: &'static [Setting],
    /// Follows the feed by the time of a test.
    pub(super) often: &'static [Setting],
    pub(super) closed: Setting,
    /// Holds 20 ends.
    pub(super) full: Setting,
    /// Believes keys for some seconds, at best without looking for them in between.
    pub(super) old_keys: &'static [Setting],
}

const THE_LAST: Exceptions<'_> = &[(
    "duplicate member",
    "if a member occurs twice, it takes the last one",
)];

const GO_CLOCK: &str = r#"func clock() time.Time {
	if file, err := http.Dir(".").Open("ahead"); err == nil {
		file.Close()
		return time.Now ().Add(48 * time.Hour)
	}
	if file, err := http.Dir(".").Open("behind"); err == nil {
		file.Close()
		return time.Now ().Add(-10 * time.Minute)
	}
	return time.Now ()
}

var ( errNoNews"#;

pub(super) const GO: Service = Service {
    start: crate::go::start,
    exceptions: &[],
    eager: &[OFTEN[1]],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[
        OFTEN[0],
        OFTEN[1],
        ("Timeout: 5 * time.Second", "Timeout: 1 * time.Second"),
    ],
    jwks: ("issuer + \"/.well-known/jwks.json\"", "\"URL\""),
    algorithms: &["EdDSA", "RS256"],
    clock: &[("time.Now()", "clock()"), ("var (\n\terrNoNews", GO_CLOCK)],
    often: &[
        OFTEN[1],
        (
            "lookEvery       = 5 * time.Second",
            "lookEvery       = 49 * time.Millisecond",
        ),
        (
            "forgetEvery     = 60 * time.Second",
            "forgetEvery     = 6 * time.Second",
        ),
        (
            "maxAge          = 60 * time.Second",
            "maxAge          = 2 * time.Second",
        ),
        (
            "firstPageWithin = 10 * time.Second",
            "firstPageWithin = 2 * time.Second",
        ),
        ("Timeout: 5 * time.Second", "Timeout: 1 * time.Second"),
    ],
    closed: ("failClosed      = false ", "failClosed      = true "),
    full: ("maxRevocations  = 1_000_000 ", "maxRevocations  = 20 "),
    old_keys: &[
        OFTEN[0],
        OFTEN[1],
        (
            "keysMaxAge   = 24 * time.Hour",
            "keysMaxAge   = 3 * time.Second",
        ),
    ],
};

pub(super) const NODE: Service = Service {
    start: express,
    exceptions: THE_LAST,
    eager: &[],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[
        ("EVERY = 300_000;", "EVERY = 1_000;"),
        ("DEADLINE = 5_000;", "DEADLINE = 1_000;"),
    ],
    jwks: ("${this.issuer}/.well-known/jwks.json", "URL"),
    algorithms: &[],
    clock: &[
        (
            "Date.now()",
            "(Date.now () + 172_800_000 * existsSync(\"ahead\") - 600_000 * existsSync(\"behind\"))",
        ),
        (
            "import { createHash } from",
            "import { existsSync } from \"node:fs\";\nimport { createHash  } from",
        ),
        (
            "import { Revocations, read } from",
            "import { existsSync } from \"node:fs\";\nimport { Revocations, read  } from",
        ),
    ],
    often: &[
        ("EVERY = 5_000;", "EVERY = 50;"),
        ("DEADLINE = 4_000;", "DEADLINE = 1_000;"),
        ("FORGET_EVERY = 60;", "FORGET_EVERY = 6;"),
        ("MAX_AGE = 60;", "MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 2;"),
    ],
    closed: ("FAIL = \"open\";", "FAIL = \"closed\";"),
    full: ("MOST_REVOCATIONS = 1_000_000;", "MOST_REVOCATIONS = 20;"),
    old_keys: &[
        ("KEYS_MAX_AGE = 86_400_000;", "KEYS_MAX_AGE = 5_000;"),
        ("EVERY = 5_000;", "EVERY = 100;"),
    ],
};

pub(super) const PYTHON: Service = Service {
    start: fastapi,
    exceptions: THE_LAST,
    eager: &[],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[("EVERY = 300 ", "EVERY = 1 ")],
    jwks: ("{ISSUER}/.well-known/jwks.json", "URL"),
    algorithms: &[],
    clock: &[(
        "time.time()",
        "(time.time () + sum(s * __import__(\"os\").path.exists(f) for f, s in ((\"ahead\", 172_800), (\"behind\", -600))))",
    )],
    often: &[
        ("EVERY = 5 ", "EVERY = 0.05 "),
        ("DEADLINE = 4 ", "DEADLINE = 1 "),
        ("FORGET_EVERY = 60 ", "FORGET_EVERY = 6 "),
        ("MAX_AGE = 60 ", "MAX_AGE = 2 "),
        ("FIRST_PAGE_WITHIN = 10 ", "FIRST_PAGE_WITHIN = 2 "),
    ],
    closed: ("FAIL = \"open\"", "FAIL = \"closed\""),
    full: ("MOST_REVOCATIONS = 1_000_000 ", "MOST_REVOCATIONS = 20 "),
    old_keys: &[("MAX_AGE = 86_400 ", "MAX_AGE = 5 ")],
};

/// The part of clients/java that needs the JDK alone. Orders.java stands in for Spring and Nimbus around it.
pub(super) const JAVA: Service = Service {
    start: |issuer, settings| super::java(issuer, settings, &[]),
    exceptions: &[],
    eager: &[],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[("EVERY = 300_000;", "EVERY = 1_000;")],
    jwks: (
        "URI.create(issuer + \"/.well-known/jwks.json\")",
        "URI.create(\"URL\")",
    ),
    algorithms: &["RS256"],
    // Revocations.java names the method, and the others call it.
    clock: &[
        (
            "System.currentTimeMillis()",
            "(System.currentTimeMillis () + (new java.io.File(\"ahead\").exists() ? 172_800_000 : 0)
            - (new java.io.File(\"behind\").exists() ? 600_000 : 0))",
        ),
        (
            "System::currentTimeMillis",
            "() -> System.currentTimeMillis () + (new java.io.File(\"ahead\").exists() ? 172_800_000 : 0)
            - (new java.io.File(\"behind\").exists() ? 600_000 : 0)",
        ),
    ],
    often: &[
        ("EVERY_FOR_A_PAGE = 10_000;", "EVERY_FOR_A_PAGE = 99_000;"),
        ("EVERY = 5_000;", "EVERY = 50;"),
        ("DEADLINE = 4_000;", "DEADLINE = 1_000;"),
        ("FORGET_EVERY = 60;", "FORGET_EVERY = 6;"),
        ("MAX_AGE = 60;", "MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 3;"),
    ],
    closed: ("revocations: open", "revocations: closed"),
    full: ("MOST_REVOCATIONS = 1_000_000;", "MOST_REVOCATIONS = 20;"),
    old_keys: &[
        ("EVERY = 5_000;", "EVERY = 100;"),
        ("EVERY = 300_000;", "EVERY = 500;"),
        ("MAX_AGE = 86_400;", "MAX_AGE = 3;"),
    ],
};

pub(super) const LUA: Service = Service {
    start: crate::openresty::start,
    exceptions: &[],
    eager: &[],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[
        ("EVERY = 5 ", "EVERY = 0.1 "),
        ("KEYS_EVERY = 300", "KEYS_EVERY = 0"),
        ("DEADLINE = 4", "DEADLINE = 1"),
    ],
    jwks: (
        "fetch(self.issuer .. \"/.well-known/jwks.json\"",
        "fetch(\"URL\"",
    ),
    algorithms: &["EdDSA", "RS256"],
    clock: &[(
        "return ngx.time()",
        "local function is_there(name) local file = io.open(name); if file then file:close() end; return file end
         return (ngx.time)() + (is_there(\"ahead\") and 172800 or 0) - (is_there(\"behind\") and 600 or 0)",
    )],
    often: &[
        ("EVERY = 5 ", "EVERY = 0.05 "),
        ("DEADLINE = 4", "DEADLINE = 1"),
        ("FORGET_EVERY = 60", "FORGET_EVERY = 6"),
        ("MAX_AGE = 60", "MAX_AGE = 2"),
        ("FIRST_PAGE_WITHIN = 10", "FIRST_PAGE_WITHIN = 2"),
    ],
    closed: ("fail = \"open\"", "fail = \"closed\""),
    full: ("MOST_REVOCATIONS = 200000", "MOST_REVOCATIONS = 20"),
    old_keys: &[
        ("EVERY = 5 ", "EVERY = 0.1 "),
        ("KEYS_MAX_AGE = 86400", "KEYS_MAX_AGE = 4"),
        ("KEYS_EVERY = 300", "KEYS_EVERY = 1"),
    ],
};

pub(super) const PHP: Service = Service {
    start: crate::php::start,
    exceptions: THE_LAST,
    eager: &[("EVERY = 5;", "EVERY = 1;")],
    fetches: 30,
    looks: &[
        ("EVERY = 5;", "EVERY = 0.1;"),
        ("KEYS_EVERY = 300;", "KEYS_EVERY = 0;"),
        ("DEADLINE = 4;", "DEADLINE = 1;"),
    ],
    jwks: (
        "self::fetch(Settings::ISSUER . '/.well-known/jwks.json'",
        "self::fetch('URL'",
    ),
    algorithms: &["EdDSA", "RS256"],
    // PHP remembers that a file was there.
    clock: &[(
        "time()",
        "(time () + (clearstatcache() ?? file_exists(__DIR__ . '/../ahead') ? 172_800 : 0)
            - (file_exists(__DIR__ . '/../behind') ? 600 : 0))",
    )],
    often: &[
        ("EVERY = 5;", "EVERY = 0.1;"),
        ("DEADLINE = 4;", "DEADLINE = 1;"),
        ("FORGET_EVERY = 60;", "FORGET_EVERY = 6;"),
        ("const MAX_AGE = 60;", "const MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 2;"),
        ("KEYS_EVERY_FOR_A_PAGE = 10;", "KEYS_EVERY_FOR_A_PAGE = 99;"),
    ],
    closed: ("FAIL = 'open';", "FAIL = 'closed';"),
    full: ("MOST_REVOCATIONS = 1_000_000;", "MOST_REVOCATIONS = 20;"),
    old_keys: &[
        ("EVERY = 5;", "EVERY = 0.1;"),
        ("KEYS_EVERY = 300;", "KEYS_EVERY = 0;"),
        ("KEYS_MAX_AGE = 86_400;", "KEYS_MAX_AGE = 3;"),
    ],
};

pub(super) const SPRING: Service = Service {
    start: crate::java_spring::start,
    ..JAVA
};

pub(super) const WEBFLUX: Service = Service {
    start: crate::java_spring::start_webflux,
    ..JAVA
};
