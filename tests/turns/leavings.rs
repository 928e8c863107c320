//! Everything that names a person or a user after each way to leave, and after time has passed: all keys of the store
//! are walked, and a table says which may be left, for how long, and which line of the pages says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wxmint::login::Operator;
use wxmint_ids::{Person, Platform, packed};

use crate::house::{House, PASSWORD, RECEIVER, Setup, control};
use crate::laws::{Kept, kept};
use crate::store::{self, directly, later};
use crate::wechat::{APPID, OTHER_APPID};
use crate::{pages, sites};

/// A kind of keys.
struct Kind {
    /// A `*` stands for at least one character but colons, a `**` for anything.
    pattern: &'static str,
    /// A name of the table in crates/store/src/redis/name.rs, a text in the source that begins with `wxmint:`, or a
    /// kind of what is kept of sites; several are separated by blanks.
    made_by: &'static str,
    /// Its name in the table of docs/redis.md.
    page: &'static str,
}

const fn kind(pattern: &'static str, made_by: &'static str, page: &'static str) -> Kind {
    Kind {
        pattern,
        made_by,
        page,
    }
}

const OIDC: &str = "wxmint:oidc:…";
const ENDED: &str = "wxmint:{wxmint:revoked}:{kid}";
const LIMITS: &str = "wxmint:limit:…";
const OF_PERSON: &str = "wxmint:{appid:openid}:limit:…";

/// A key is of the first kind that fits.
const KINDS: &[Kind] = &[
    kind(
        "wxmint:{wxmint-readiness:*}:**",
        "",
        "wxmint:{wxmint-readiness:N}:…",
    ),
    kind(
        "wxmint:{platform:*}",
        "wxmint:{{platform:{platform}}}",
        "wxmint:{platform:APPID}",
    ),
    kind(
        "wxmint:{platform:*}:push:*",
        "",
        "wxmint:{platform:APPID}:push:DIGEST",
    ),
    kind("wxmint:revoked", "wxmint:revoked", "wxmint:revoked"),
    kind(
        "wxmint:{wxmint:revoked}:put:**",
        "put",
        "wxmint:{wxmint:revoked}:put:…",
    ),
    kind(
        "wxmint:{wxmint:revoked}:kept",
        "wxmint:{wxmint:revoked}:kept",
        "wxmint:{wxmint:revoked}:kept",
    ),
    kind(
        "wxmint:{wxmint:revoked}:lives",
        "wxmint:{wxmint:revoked}:lives",
        "…:lives",
    ),
    kind(
        "wxmint:{wxmint:revoked}:renewals",
        "wxmint:{wxmint:revoked}:renewals",
        "…:renewals",
    ),
    kind(
        "wxmint:{wxmint:revoked}:mark",
        "wxmint:{wxmint:revoked}:mark",
        "…:mark",
    ),
    kind(
        "wxmint:{wxmint:revoked}:doubt",
        "wxmint:{wxmint:revoked}:doubt",
        "…:doubt",
    ),
    kind(
        "wxmint:{wxmint:revoked}:turn",
        "wxmint:{wxmint:revoked}:turn",
        "…:turn",
    ),
    kind("wxmint:{wxmint:revoked}:*", "revoked_key", ENDED),
    kind(
        "wxmint:{*:*}:binding",
        "binding",
        "wxmint:{appid:openid}:binding",
    ),
    kind(
        "wxmint:{*:*}:session",
        "session",
        "wxmint:{appid:openid}:session",
    ),
    kind("wxmint:{*:*}:left", "left", "wxmint:{appid:openid}:left"),
    kind("wxmint:{*:*}:limit:tries", "tries", OF_PERSON),
    kind("wxmint:{*:*}:limit:eighths:logins", "logins", OF_PERSON),
    kind("wxmint:{*:*}:limit:eighths:*", "limit_of_person", OF_PERSON),
    kind(
        "wxmint:{*}:limit:eighths:*:**",
        "limit_of_app",
        "wxmint:{APPID}:limit:…",
    ),
    kind("wxmint:limit:eighths:oidc-renewals:**", "limit", LIMITS),
    kind("wxmint:limit:eighths:logouts:*", "limit", LIMITS),
    kind("wxmint:limit:eighths:*:**", "limit", LIMITS),
    kind(
        "wxmint:{*}:access-token",
        "access_token",
        "wxmint:{APPID}:access-token",
    ),
    kind("wxmint:user:{*}", "wxmint:user:{", "wxmint:user:{user_id}"),
    kind("wxmint:user:{*}:gone", "gone", "wxmint:user:{user_id}:gone"),
    kind("wxmint:user:{*}:struck:*:*", "struck", "…:struck:…"),
    kind(
        "wxmint:user:{*}:ends",
        "revocations",
        "wxmint:user:{user_id}:ends",
    ),
    kind(
        "wxmint:user:{*}:ended:*",
        "revoked_token",
        "wxmint:user:{user_id}:ended:{jti}",
    ),
    kind(
        "wxmint:user:{*}:clients",
        "clients",
        "wxmint:user:{ID}:clients",
    ),
    kind("wxmint:client:{*}", "users_of_client", "wxmint:client:{ID}"),
    kind("wxmint:union:{*}", "union", "wxmint:union:{unionid}"),
    kind(
        "wxmint:union:{*}:users",
        "shared",
        "wxmint:union:{unionid}:users",
    ),
    kind("wxmint:id-key", "wxmint:id-key", "wxmint:id-key"),
    kind(
        "wxmint:code:phone:{*}",
        "wxmint:code:phone:{{{}}}",
        "wxmint:code:…",
    ),
    kind("wxmint:code:{*}", "code", "wxmint:code:…"),
    kind("wxmint:ticket:{*}", "ticket", "wxmint:ticket:…"),
    kind(
        "wxmint:receiver:*",
        "wxmint:receiver:",
        "wxmint:receiver:NAME",
    ),
    kind(
        "wxmint:device:{*}",
        "wxmint:device:{{{code}}}",
        "wxmint:device:{CODE}",
    ),
    kind(
        "wxmint:devices:**",
        "wxmint:devices:",
        "wxmint:devices:ADDRESS",
    ),
    kind(
        "wxmint:share:{*}:open",
        "wxmint:share:{{{app}}}:{}",
        "wxmint:share:{APPID}:open",
    ),
    kind(
        "wxmint:share:{*}:codes",
        "wxmint:share:{{{app}}}:{}",
        "wxmint:share:{APPID}:codes",
    ),
    kind(
        "wxmint:share:{*}:open:**",
        "wxmint:share:{{{app}}}:{}",
        ":ADDRESS",
    ),
    kind(
        "wxmint:share:{*}:codes:**",
        "wxmint:share:{{{app}}}:{}",
        ":ADDRESS",
    ),
    kind("wxmint:oidc:logout-turn", "wxmint:oidc:logout-turn", OIDC),
    kind(
        "wxmint:oidc:logout-cursor",
        "wxmint:oidc:logout-cursor",
        OIDC,
    ),
    kind("wxmint:oidc:code:*", "oidc:code", OIDC),
    kind("wxmint:oidc:used:*", "oidc:used", OIDC),
    kind("wxmint:oidc:used-state:*", "oidc:used-state", OIDC),
    kind("wxmint:oidc:family:*", "oidc:family", OIDC),
    kind("wxmint:oidc:families:*:*", "oidc:families", OIDC),
    kind("wxmint:oidc:rotation:*:*", "oidc:rotation", OIDC),
    kind("wxmint:oidc:last:*", "oidc:last", OIDC),
    kind("wxmint:oidc:tokens:*", "oidc:tokens", OIDC),
    kind("wxmint:oidc:sid:*", "oidc:sid", OIDC),
    kind("wxmint:oidc:logouts:*", "oidc:logouts", OIDC),
];

/// Texts of the source that begin as the name of a key, and are none.
const NO_NAMES: &[(&str, &str)] = &[
    (
        "wxmint:{",
        "of_person makes the names of a person's keys, which are in the table, and walks look for them",
    ),
    ("wxmint:{{{app}:*", "a walk looks for it"),
    ("wxmint:{*", "a walk looks for it"),
    ("wxmint:{*}:binding", "a walk looks for it"),
    ("wxmint:{*}:session", "a walk looks for it"),
    ("wxmint:user:{*}", "a walk looks for it"),
    ("wxmint:union:{", "an erasure looks for it"),
    ("wxmint:union:{*}", "an erasure looks for it"),
    ("wxmint:*", "an erasure looks for it"),
    (
        "wxmint:oidc:{kind}:{name}",
        "the kinds of it are in the table",
    ),
    (
        "wxmint:{{doctor{number}}}",
        "the doctor asks with it for rights, and writes nothing",
    ),
];

/// Kinds that nobody here has keys of.
const NOT_MET: &[(&str, &str)] = &[
    ("wxmint:{wxmint-readiness:*}:**", "readiness is not asked"),
    (
        "wxmint:{platform:*}",
        "src/doors/platform/store/conformance.rs",
    ),
    (
        "wxmint:{platform:*}:push:*",
        "src/doors/platform/store/conformance.rs",
    ),
    (
        "wxmint:{wxmint:revoked}:turn",
        "background tasks do not run",
    ),
    ("wxmint:oidc:logout-turn", "background tasks do not run"),
    ("wxmint:oidc:logout-cursor", "background tasks do not run"),
    ("wxmint:{wxmint:revoked}:*", "no key was revoked"),
    (
        "wxmint:union:{*}:users",
        "nobody is in conflict: tests/it/binding/moved_apps.rs",
    ),
    (
        "wxmint:oidc:used-state:*",
        "the hash of a random text: src/doors/oidc/wechat.rs",
    ),
];

/// The forms in which a key can name somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// The openid.
    Person,
    /// A hash of the person, with the app and perhaps the number of the binding.
    PersonHashed,
    Unionid,
    User,
    /// A hash of the user, perhaps with an app or a client.
    UserHashed,
}
use Named::{Person as P, PersonHashed as PH, Unionid as N, User as U, UserHashed as UH};

/// Ways to leave. Each has a letter in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    /// Nobody does anything.
    Nothing,
    /// Each token is logged out.
    LogOut,
    End,
    Unbind,
    Dissolve,
    /// The user is erased.
    Forget,
    /// The people are erased.
    Erase,
    /// Whoever has left is erased later: the user, or the people.
    UnbindAndForget,
    UnbindAndErase,
    /// The user is blocked first, as docs/operators.md advises.
    BlockAndForget,
}

impl Act {
    const ALL: [(Self, char); 10] = [
        (Self::Nothing, 'n'),
        (Self::LogOut, 'l'),
        (Self::End, 'e'),
        (Self::Unbind, 'u'),
        (Self::Dissolve, 'd'),
        (Self::Forget, 'F'),
        (Self::Erase, 'P'),
        (Self::UnbindAndForget, 'f'),
        (Self::UnbindAndErase, 'p'),
        (Self::BlockAndForget, 'b'),
    ];
}

/// Kinds of user ids, each with its letter in the table: random, of openids, of unionids, those of a users file.
const SETUPS: [(Setup, char); 4] = [
    (Setup::Plain, 'r'),
    (Setup::OfOpenid, 'o'),
    (Setup::OfUnionid, 'n'),
    (Setup::File, 'f'),
];

/// For how long something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    /// Expires by the clock of the store within so many seconds, and not much earlier.
    Seconds(i64),
    /// Never expires by itself, and goes with the revocation.
    Revocation,
    /// Stays for good.
    ForGood,
}
use Life::{ForGood, Revocation, Seconds};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Something that names somebody after an act.
struct Left {
    kind: &'static str,
    named: Named,
    /// The letters of the kinds of user ids, and of the acts after which it is left.
    setups: &'static str,
    acts: &'static str,
    life: Life,
    /// A page, and a text of it that says so.
    why: (&'static str, &'static str),
}

const fn left(
    kind: &'static str,
    named: Named,
    [setups, acts]: [&'static str; 2],
    life: Life,
    why: (&'static str, &'static str),
) -> Left {
    Left {
        kind,
        named,
        setups,
        acts,
        life,
        why,
    }
}

const REDIS: &str = "redis.md";
const OPERATORS: &str = "operators.md";
const EVERY: &str = "nleudFPfpb";
const ERASURES: &str = "FPfpb";
const LIMIT: (&str, &str) = (REDIS, "the period of the limit");
const NUMBERS: (&str, &str) = (
    OPERATORS,
    "The numbers of the binding and of the user stay for 10 min",
);
const UNTIL_LEFT: (&str, &str) = (REDIS, "until the person is unbound or erased");
const UNTIL_ERASED: (&str, &str) = (
    REDIS,
    "The number of the last binding, and the link of a unionid to a user whom wxmint did not make, are kept until the \
     erasure",
);
const OF_USER: (&str, &str) = (
    REDIS,
    "the user's WeChat identities, block and last revocation",
);
const GONE_FROM: (&str, &str) = (REDIS, "the WeChat identities that have left the user");
const ABANDONED: (&str, &str) = (
    REDIS,
    "If wxmint made the user, and nobody is bound to it any more, the key is kept for 30 days",
);
const COMPUTED: (&str, &str) = (
    REDIS,
    "The key of a computed user is kept a day longer than session keys",
);
const FORMER: (&str, &str) = (
    REDIS,
    "the users that the person has left, the users that did not admit the person, and the person's unionids",
);
const REVOKED: (&str, &str) = (
    REDIS,
    "Each revocation is kept until the last token that it names has expired",
);
const RECORDS: (&str, &str) = (
    REDIS,
    "as long as the entry in the stream. If the user has logged in at",
);
const SESSIONS: (&str, &str) = (REDIS, "after the last login, which is 30 days by default");
const CLIENTS: (&str, &str) = (
    REDIS,
    "until nobody of the user is bound in this mini program any more, or until an erasure",
);
const SITES: (&str, &str) = (
    REDIS,
    "A login with its last two refresh tokens is kept as long as they can be renewed",
);
const SITES_LEFT: (&str, &str) = (
    OPERATORS,
    "have ended, but their records stay as long as the logins could have been renewed. These records hold the user id",
);
const SITES_OF_PERSON: (&str, &str) = (
    OPERATORS,
    "keep a hash of the openid for as long as they could have been renewed",
);
const COUNTS: (&str, &str) = (
    OPERATORS,
    "Counts of a person who had dissolved the binding to a computed user before stay for 27 h",
);
const CODES: (&str, &str) = (REDIS, "An authorization code is kept for 11 minutes");
const SCANS: (&str, &str) = (
    OPERATORS,
    "[Scans](scan-login.md) that the user approved stay for 13 min",
);
const TICKETS: (&str, &str) = (
    OPERATORS,
    "Bind tickets stay for 5 min. They hold the openid and the sealed session key",
);
const RENEWALS: (&str, &str) = (
    OPERATORS,
    "The number of renewals stays for the period of `WXMINT_LIMIT_OPENID`",
);
/// Limits of ten minutes, which are kept an eighth longer.
const PERIOD: i64 = 10 * MINUTE * 9 / 8;

const LEFT: &[Left] = &[
    left(
        "wxmint:{*:*}:binding",
        P,
        ["rf", "nle"],
        ForGood,
        UNTIL_LEFT,
    ),
    left(
        "wxmint:{*:*}:binding",
        P,
        ["rf", "ud"],
        ForGood,
        UNTIL_ERASED,
    ),
    left(
        "wxmint:{*:*}:binding",
        P,
        ["rf", ERASURES],
        Seconds(10 * MINUTE),
        NUMBERS,
    ),
    left(
        "wxmint:{*:*}:binding",
        N,
        ["rf", "nle"],
        ForGood,
        UNTIL_LEFT,
    ),
    left(
        "wxmint:{*:*}:binding",
        U,
        ["rf", "nle"],
        ForGood,
        UNTIL_LEFT,
    ),
    left("wxmint:union:{*}", N, ["rf", "nle"], ForGood, UNTIL_LEFT),
    left("wxmint:union:{*}", U, ["rf", "nle"], ForGood, UNTIL_LEFT),
    left("wxmint:union:{*}", N, ["f", "ud"], ForGood, UNTIL_ERASED),
    left("wxmint:union:{*}", U, ["f", "ud"], ForGood, UNTIL_ERASED),
    left("wxmint:{*:*}:left", P, ["rf", "ud"], ForGood, FORMER),
    left("wxmint:{*:*}:left", N, ["rf", "ud"], ForGood, FORMER),
    left("wxmint:{*:*}:left", U, ["rf", "ud"], ForGood, FORMER),
    left("wxmint:user:{*}", P, ["rf", "nle"], ForGood, OF_USER),
    left(
        "wxmint:user:{*}",
        P,
        ["on", "nle"],
        Seconds(31 * DAY),
        COMPUTED,
    ),
    left("wxmint:user:{*}", U, ["rf", "nle"], ForGood, OF_USER),
    left(
        "wxmint:user:{*}",
        U,
        ["r", "ud"],
        Seconds(30 * DAY),
        ABANDONED,
    ),
    left("wxmint:user:{*}", U, ["f", "ud"], Revocation, OF_USER),
    left(
        "wxmint:user:{*}",
        U,
        ["rf", "FPfp"],
        Seconds(10 * MINUTE),
        NUMBERS,
    ),
    left(
        "wxmint:user:{*}",
        U,
        ["on", "nleudFPfp"],
        Seconds(31 * DAY),
        COMPUTED,
    ),
    left(
        "wxmint:user:{*}",
        U,
        ["ronf", "b"],
        ForGood,
        (OPERATORS, "A block stays until you lift it"),
    ),
    left(
        "wxmint:user:{*}:gone",
        P,
        ["r", "ud"],
        Seconds(30 * DAY),
        ABANDONED,
    ),
    left(
        "wxmint:user:{*}:gone",
        U,
        ["r", "ud"],
        Seconds(30 * DAY),
        ABANDONED,
    ),
    left("wxmint:user:{*}:gone", P, ["f", "ud"], ForGood, GONE_FROM),
    left("wxmint:user:{*}:gone", U, ["f", "ud"], ForGood, GONE_FROM),
    left(
        "wxmint:user:{*}:struck:*:*",
        P,
        ["rf", ERASURES],
        Seconds(10 * MINUTE),
        NUMBERS,
    ),
    left(
        "wxmint:user:{*}:struck:*:*",
        U,
        ["rf", ERASURES],
        Seconds(10 * MINUTE),
        NUMBERS,
    ),
    left("wxmint:revoked", U, ["ronf", EVERY], Revocation, REVOKED),
    left(
        "wxmint:{wxmint:revoked}:put:**",
        U,
        ["ronf", EVERY],
        Seconds(MINUTE),
        (REDIS, "what wxmint has just put into the stream"),
    ),
    left(
        "wxmint:user:{*}:ended:*",
        U,
        ["ronf", EVERY],
        Revocation,
        RECORDS,
    ),
    left(
        "wxmint:user:{*}:ends",
        U,
        ["ronf", "eudFPfpb"],
        Revocation,
        RECORDS,
    ),
    left(
        "wxmint:user:{*}:ends",
        U,
        ["ronf", "nl"],
        Seconds(2 * DAY + HOUR),
        RECORDS,
    ),
    left(
        "wxmint:{*:*}:session",
        P,
        ["rf", "n"],
        Seconds(30 * DAY),
        SESSIONS,
    ),
    left(
        "wxmint:{*:*}:session",
        P,
        ["on", "nle"],
        Seconds(30 * DAY),
        SESSIONS,
    ),
    left(
        "wxmint:{*:*}:session",
        U,
        ["on", "nle"],
        Seconds(30 * DAY),
        SESSIONS,
    ),
    left(
        "wxmint:{*:*}:limit:tries",
        P,
        ["ronf", "nleud"],
        Seconds(10 * MINUTE),
        LIMIT,
    ),
    left(
        "wxmint:{*:*}:limit:eighths:logins",
        P,
        ["rf", "nleud"],
        Seconds(PERIOD),
        LIMIT,
    ),
    left(
        "wxmint:{*:*}:limit:eighths:logins",
        P,
        ["on", "ud"],
        Seconds(PERIOD),
        LIMIT,
    ),
    left(
        "wxmint:{*:*}:limit:eighths:*",
        P,
        ["ronf", "nleud"],
        Seconds(27 * HOUR),
        (
            REDIS,
            "Unbindings and phone numbers are counted for 27 hours",
        ),
    ),
    left(
        "wxmint:{*:*}:limit:tries",
        P,
        ["on", "f"],
        Seconds(10 * MINUTE),
        COUNTS,
    ),
    left(
        "wxmint:{*:*}:limit:eighths:logins",
        P,
        ["on", "f"],
        Seconds(PERIOD),
        COUNTS,
    ),
    left(
        "wxmint:{*:*}:limit:eighths:*",
        P,
        ["on", "f"],
        Seconds(27 * HOUR),
        COUNTS,
    ),
    left(
        "wxmint:limit:eighths:logouts:*",
        UH,
        ["ronf", "l"],
        Seconds(PERIOD),
        LIMIT,
    ),
    left(
        "wxmint:limit:eighths:oidc-renewals:**",
        U,
        ["ronf", EVERY],
        Seconds(PERIOD),
        RENEWALS,
    ),
    left(
        "wxmint:ticket:{*}",
        P,
        ["f", EVERY],
        Seconds(5 * MINUTE),
        TICKETS,
    ),
    left(
        "wxmint:ticket:{*}",
        N,
        ["f", EVERY],
        Seconds(5 * MINUTE),
        TICKETS,
    ),
    left(
        "wxmint:user:{*}:clients",
        U,
        ["ronf", "nle"],
        Revocation,
        CLIENTS,
    ),
    left("wxmint:client:{*}", U, ["ronf", "nle"], Revocation, CLIENTS),
    left(
        "wxmint:{wxmint:revoked}:kept",
        U,
        ["ronf", EVERY],
        Revocation,
        RECORDS,
    ),
    left(
        "wxmint:device:{*}",
        PH,
        ["ronf", EVERY],
        Seconds(13 * MINUTE),
        SCANS,
    ),
    left(
        "wxmint:device:{*}",
        U,
        ["ronf", EVERY],
        Seconds(13 * MINUTE),
        SCANS,
    ),
    left(
        "wxmint:oidc:code:*",
        PH,
        ["rf", EVERY],
        Seconds(11 * MINUTE),
        CODES,
    ),
    left(
        "wxmint:oidc:code:*",
        U,
        ["ronf", EVERY],
        Seconds(11 * MINUTE),
        CODES,
    ),
    left(
        "wxmint:oidc:family:*",
        PH,
        ["rf", "neudFfb"],
        Seconds(30 * DAY),
        SITES,
    ),
    left(
        "wxmint:oidc:family:*",
        PH,
        ["rf", "Pp"],
        Seconds(30 * DAY),
        SITES_OF_PERSON,
    ),
    left(
        "wxmint:oidc:family:*",
        U,
        ["ronf", "neud"],
        Seconds(30 * DAY),
        SITES,
    ),
    left(
        "wxmint:oidc:family:*",
        U,
        ["ronf", ERASURES],
        Seconds(30 * DAY),
        SITES_LEFT,
    ),
    left(
        "wxmint:oidc:families:*:*",
        U,
        ["ronf", "neud"],
        Seconds(30 * DAY),
        (REDIS, "The list of a user's logins is kept for 30 days"),
    ),
    left(
        "wxmint:oidc:families:*:*",
        U,
        ["ronf", ERASURES],
        Seconds(30 * DAY),
        SITES_LEFT,
    ),
    left(
        "wxmint:oidc:rotation:*:*",
        U,
        ["ronf", "neud"],
        Seconds(30 * DAY),
        SITES,
    ),
    left(
        "wxmint:oidc:rotation:*:*",
        U,
        ["ronf", ERASURES],
        Seconds(30 * DAY),
        SITES_LEFT,
    ),
    left(
        "wxmint:oidc:logouts:*",
        U,
        ["ronf", "l"],
        Seconds(2 * HOUR),
        (REDIS, "kept for 2 hours, with the user id and the token id"),
    ),
];

/// Kinds that an installation keeps for good which has no people any more, and a new one need not have.
const INSTALLED: &[(&str, (&str, &str))] = &[
    (
        "wxmint:id-key",
        (
            REDIS,
            "the kind of user ids and the fingerprint of the id key, or the word `random`",
        ),
    ),
    (
        "wxmint:{wxmint:revoked}:renewals",
        (REDIS, "the lives of the refresh tokens that renew them"),
    ),
];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()))
}

/// Whether a name is of a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        return (0..=name.len()).any(|at| name.is_char_boundary(at) && fits(rest, &name[at..]));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        let longest = name.find(':').unwrap_or(name.len());
        return (1..=longest).any(|at| name.is_char_boundary(at) && fits(rest, &name[at..]));
    }
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some(first), Some(own)) => {
            first == own && fits(&pattern[first.len_utf8()..], &name[own.len_utf8()..])
        }
        _ => false,
    }
}

fn kind_of(name: &str) -> Option<&'static str> {
    KINDS
        .iter()
        .map(|kind| kind.pattern)
        .find(|pattern| fits(pattern, name))
}

/// Somebody who has done everything.
struct Lived {
    people: Vec<Person>,
    users: BTreeSet<String>,
    unionids: BTreeSet<String>,
    /// The token of each app.
    tokens: Vec<(&'static str, String)>,
}

impl Lived {
    /// Texts that name somebody, as a key shows them.
    fn forms(&self) -> Vec<(Named, String)> {
        let mut forms = Vec::new();
        let mut add = |named, bytes: &[u8]| forms.push((named, bytes.escape_ascii().to_string()));
        for Person { app, openid, .. } in &self.people {
            let text = openid.as_str();
            add(P, text.as_bytes());
            add(
                P,
                &URL_SAFE_NO_PAD
                    .decode(text)
                    .expect("an openid of the usual form"),
            );
            let whole = format!("{app}:{text}");
            let numbered = (0..9).map(|number| format!("{whole}:{number}"));
            for text in [text.to_owned(), whole.clone()].into_iter().chain(numbered) {
                for hash in &hashes(&text) {
                    add(PH, hash);
                }
            }
        }
        for unionid in &self.unionids {
            add(N, unionid.as_bytes());
            add(
                N,
                &URL_SAFE_NO_PAD
                    .decode(unionid)
                    .expect("a unionid of the usual form"),
            );
            for hash in &hashes(unionid) {
                add(N, hash);
            }
        }
        for user in &self.users {
            add(U, user.as_bytes());
            // Without the mark of a packed form.
            let packed = packed::user(&user.parse().expect("a user id"));
            add(U, packed.strip_prefix(&[1]).unwrap_or(&packed));
            for hash in &hashes(user) {
                add(UH, hash);
            }
            for app in [APPID, OTHER_APPID, "shop-web", "grafana"] {
                for hash in &hashes(&format!("{app} {user}")) {
                    add(UH, hash);
                }
            }
        }
        forms
    }
}

/// The first 12 bytes of a hash of a text, in each form in which the store could have them.
fn hashes(text: &str) -> [Vec<u8>; 3] {
    let hash = &digest(&SHA256, text.as_bytes()).as_ref()[..12].to_vec();
    let hex = const_hex::encode(hash);
    [
        hash.clone(),
        URL_SAFE_NO_PAD.encode(hash).into_bytes(),
        hex.into_bytes(),
    ]
}

/// Everything that a person can do, so that each kind of keys is there.
#[expect(
    clippy::cognitive_complexity,
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn live(house: &House, setup: Setup) -> Lived {
    let mut body = json!({});
    if setup == Setup::File {
        // A ticket that nobody redeems, and failed passwords.
        let asked = house.log_in_with(APPID, "lin", json!({})).await;
        assert_eq!(asked.code(), "binding_required", "{asked:?}");
        let wrong = house
            .log_in_with(
                APPID,
                "lin",
                json!({"username": "alice", "password": "wrong"}),
            )
            .await;
        assert_eq!(wrong.code(), "invalid_credentials", "{wrong:?}");
        body = json!({"username": "alice", "password": PASSWORD});
    }
    let mut tokens = Vec::new();
    for app in [OTHER_APPID, APPID] {
        let login = house.log_in_with(app, "lin", body.clone()).await.done();
        tokens.push((app, login.member("access_token"), login.member("user_id")));
    }
    let (token, user) = (tokens[1].1.clone(), tokens[1].2.clone());
    let by =
        async |method: &str, path: &str, body: Value| house.by(&token, method, path, body).await;
    let wrong =
        json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==", "iv": "AAAAAAAAAAAAAAAAAAAAAA=="});
    let failed = by("POST", "/wechat/userdata", wrong).await;
    assert_eq!(failed.code(), "decryption_failed", "{failed:?}");
    let told = control(
        "POST",
        "phone-codes",
        json!({"person": house.person("lin"), "appid": APPID}),
    )
    .await;
    by("POST", "/wechat/phone", json!({"code": told["code"]}))
        .await
        .done();
    by("GET", "/wechat/session", Value::Null).await.done();
    by("POST", "/wechat/session/reset", Value::Null)
        .await
        .done();
    house
        .operate(
            "GET",
            &format!("/users/{user}/wechat/{APPID}/encrypt-keys"),
            Value::Null,
        )
        .await
        .done();
    house
        .operate("GET", &format!("/wechat/{APPID}/access-token"), Value::Null)
        .await
        .done();

    // Sites: a login that was renewed, and a code that nobody redeems.
    sites::renewed(house).await;
    sites::coded(house).await;
    // Scans: one fetched, one approved, one looked at, one denied, one with a picture.
    let (_, fetched) = pages::approved(house).await;
    pages::fetch(house, &fetched).await.done();
    pages::approved(house).await;
    let (whose, looked_at) = pages::waiting(house).await;
    house
        .by(
            &whose.token,
            "GET",
            &format!("/device/{}", looked_at.user_code),
            Value::Null,
        )
        .await
        .done();
    house
        .json(
            "GET",
            &format!("/device/{}/code.jpg", looked_at.user_code),
            Value::Null,
        )
        .await
        .done();
    let (whose, denied) = pages::waiting(house).await;
    house
        .by(
            &whose.token,
            "POST",
            &format!("/device/{}/deny", denied.user_code),
            Value::Null,
        )
        .await
        .done();

    // A token that is logged out, so that there are revocations, which a receiver acknowledges.
    house
        .by(&whose.token, "POST", "/logout", Value::Null)
        .await
        .done();
    let poll = async |body: Value| house.by(RECEIVER, "POST", "/ssf/poll", body).await.done();
    let sets = poll(json!({"returnImmediately": true})).await.json()["sets"].take();
    let ids: Vec<_> = sets.as_object().expect("events").keys().cloned().collect();
    poll(json!({"returnImmediately": true, "maxEvents": 0, "ack": ids})).await;
    // The session key is there again.
    tokens[1].1 = house.log_in("lin").await;

    let (mut people, mut unionids) = (Vec::new(), BTreeSet::new());
    for (app, ..) in &tokens {
        let account = house.account(app, "lin").await;
        let openid = account["openid"]
            .as_str()
            .expect("an openid")
            .parse()
            .expect("an openid");
        people.push(Person {
            platform: Platform::WeChat,
            app: app.parse().expect("an AppID"),
            openid,
        });
        unionids.insert(account["unionid"].as_str().expect("a unionid").to_owned());
    }
    let users = tokens.iter().map(|(_, _, user)| user.clone()).collect();
    Lived {
        people,
        users,
        unionids,
        tokens: tokens
            .into_iter()
            .map(|(app, token, _)| (app, token))
            .collect(),
    }
}

async fn leave(house: &House, lived: &Lived, act: Act) {
    match act {
        Act::Nothing => {}
        Act::LogOut => {
            for token in house.tokens() {
                house
                    .by(&token, "POST", "/logout", Value::Null)
                    .await
                    .done();
            }
        }
        Act::End => {
            for user in &lived.users {
                house
                    .operate("POST", &format!("/users/{user}/revoke"), Value::Null)
                    .await
                    .done();
            }
        }
        Act::Unbind => {
            for (_, token) in &lived.tokens {
                house
                    .by(token, "DELETE", "/binding", Value::Null)
                    .await
                    .done();
            }
        }
        Act::UnbindAndForget | Act::UnbindAndErase => {
            let then = if act == Act::UnbindAndForget {
                Act::Forget
            } else {
                Act::Erase
            };
            for act in [Act::Unbind, then] {
                Box::pin(leave(house, lived, act)).await;
            }
        }
        Act::BlockAndForget => {
            for user in &lived.users {
                house
                    .operate("PUT", &format!("/users/{user}/block"), Value::Null)
                    .await
                    .done();
            }
            Box::pin(leave(house, lived, Act::Forget)).await;
        }
        Act::Dissolve => {
            for (user, app) in lived
                .users
                .iter()
                .flat_map(|user| lived.tokens.iter().map(move |(app, _)| (user, app)))
            {
                house
                    .operate(
                        "DELETE",
                        &format!("/users/{user}/wechat/{app}"),
                        Value::Null,
                    )
                    .await
                    .done();
            }
        }
        Act::Forget => {
            for user in &lived.users {
                let store = directly();
                let erased = Operator { store: &store }
                    .erase_user(&user.parse().expect("a user id"))
                    .await;
                assert!(erased.expect("the store answers").complete);
            }
        }
        Act::Erase => {
            for Person { app, openid, .. } in &lived.people {
                let path = format!("/wechat/{app}/people/{}", openid.as_str());
                house.operate("DELETE", &path, Value::Null).await.done();
            }
        }
    }
}

/// For each kind of keys and each form in which one of them names somebody: the longest life in milliseconds, -1 if
/// one of them stays for ever.
type Found = BTreeMap<(&'static str, Named), i64>;

fn found(all: &[Kept], forms: &[(Named, String)]) -> Found {
    let mut found = Found::new();
    for Kept {
        name,
        content,
        life,
    } in all
    {
        let kind = kind_of(name).unwrap_or_else(|| panic!("a key of no kind: {name}"));
        // A name of a key shows text as it is.
        let names = forms
            .iter()
            .filter(|(_, text)| content.contains(text) || name.contains(text));
        for named in names.map(|(named, _)| *named).collect::<BTreeSet<_>>() {
            let longest = found.entry((kind, named)).or_insert(*life);
            *longest = if *longest == -1 || *life == -1 {
                -1
            } else {
                (*longest).max(*life)
            };
        }
    }
    found
}

/// The processes have looked after the revocations, as src/revocation/follow.rs does.
async fn old_revocations_are_forgotten() {
    let store = directly().at(later());
    let mut from = None;
    loop {
        from = store
            .revocation_stream
            .purge(from.as_deref(), 500)
            .await
            .expect("the store answers")
            .next;
        if from.is_none() {
            break;
        }
    }
    while store
        .revocation_stream
        .purge_kept_records(500)
        .await
        .expect("the store answers")
        == 500
    {}
}

/// All lives pass: first those of tokens, after which records are kept alone that sites need.
async fn all_expires(kinds: &mut BTreeSet<&'static str>) {
    for days in [2, 100] {
        store::let_pass(days * DAY);
        old_revocations_are_forgotten().await;
        kinds.extend(kept().await.iter().filter_map(|key| kind_of(&key.name)));
    }
}

/// Names of keys that there are, but for a stream without entries, which remembers its last id.
fn names(all: &[Kept]) -> BTreeSet<&str> {
    all.iter()
        .filter(|key| key.name != "wxmint:revoked" || !key.content.is_empty())
        .map(|key| &*key.name)
        .collect()
}

/// A row of the table that was met, as `kind named`, with setup and act.
type Met = (&'static str, Named, char, char);

/// Does an act, and returns what is left of its person at once and once all has expired, with all names of keys then.
async fn after(setup: Setup, act: Act) -> ([Found; 2], BTreeSet<&'static str>, BTreeSet<String>) {
    store::begin_in_memory();
    let house = House::open(setup).await;
    let lived = live(&house, setup).await;
    let forms = lived.forms();
    let before = kept().await;
    leave(&house, &lived, act).await;
    let at_once = kept().await;
    let mut kinds = before
        .iter()
        .chain(&at_once)
        .filter_map(|key| kind_of(&key.name))
        .collect();
    all_expires(&mut kinds).await;
    let later = kept().await;
    let others = names(&later).into_iter().map(str::to_owned).collect();
    (
        [found(&at_once, &forms), found(&later, &forms)],
        kinds,
        others,
    )
}

/// The names of keys that an installation has which nobody has ever used.
async fn without_people(setup: Setup) -> BTreeSet<String> {
    store::begin_in_memory();
    House::open(setup).await;
    all_expires(&mut BTreeSet::new()).await;
    names(&kept().await)
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// How long something is left: for good, if it is there once all has expired.
fn life(millis: i64, is_there_later: bool) -> Life {
    match (millis, is_there_later) {
        (_, true) => ForGood,
        (-1, false) => Revocation,
        (millis, false) => Seconds(millis / 1000),
    }
}

/// Whether this life is the one of the table. A key that lives for a while less than half as long is of another kind.
fn is_so(found: Life, told: Life) -> bool {
    match (found, told) {
        (Seconds(found), Seconds(told)) => found <= told && 2 * found >= told,
        (found, told) => found == told,
    }
}

#[actix_web::test]
async fn what_is_left_of_a_person_and_a_user_after_each_way_to_leave_is_in_the_table() {
    let (mut wrong, mut met, mut kinds) = (Vec::new(), BTreeSet::<Met>::new(), BTreeSet::new());
    for (setup, setup_letter) in SETUPS {
        let bare = without_people(setup).await;
        for (act, act_letter) in Act::ALL {
            let ([at_once, later], seen, others) = after(setup, act).await;
            kinds.extend(seen);
            for ((kind, named), millis) in &at_once {
                let life = life(*millis, later.contains_key(&(*kind, *named)));
                let is_it = |row: &&Left| {
                    let is_of_act =
                        row.setups.contains(setup_letter) && row.acts.contains(act_letter);
                    row.kind == *kind && row.named == *named && is_of_act && is_so(life, row.life)
                };
                if LEFT.iter().any(|row| is_it(&row)) {
                    met.insert((kind, *named, setup_letter, act_letter));
                } else {
                    wrong.push(format!(
                        "{kind}\t{named:?}\t{setup_letter}\t{act_letter}\t{life:?}\tno row lets it"
                    ));
                }
            }
            let unknown = later.keys().filter(|key| !at_once.contains_key(*key));
            wrong.extend(unknown.map(|key| {
                format!("{key:?} ({setup:?}, {act:?}) is there later, and was not before")
            }));
            let names_nobody = |name: &&String| {
                let kind = kind_of(name).unwrap_or("no kind");
                !later.keys().any(|(other, _)| *other == kind)
                    && !INSTALLED.iter().any(|(other, _)| *other == kind)
            };
            let more = others.difference(&bare).filter(names_nobody);
            wrong.extend(more.map(|name| {
                format!("{name} ({setup:?}, {act:?}): a new installation does not have it")
            }));
            wrong.extend(
                bare.difference(&others)
                    .map(|name| format!("{name} ({setup:?}, {act:?}): has gone")),
            );
        }
    }
    for row in LEFT {
        for (setup, act) in row
            .setups
            .chars()
            .flat_map(|setup| row.acts.chars().map(move |act| (setup, act)))
        {
            if !met.contains(&(row.kind, row.named, setup, act)) {
                wrong.push(format!(
                    "{}\t{:?}\t{setup}\t{act}\t{:?}\tis not left",
                    row.kind, row.named, row.life
                ));
            }
        }
    }
    for Kind { pattern, .. } in KINDS {
        if kinds.contains(pattern) == NOT_MET.iter().any(|(kind, _)| kind == pattern) {
            wrong.push(format!(
                "{pattern}: there was a key of it: {}",
                kinds.contains(pattern)
            ));
        }
    }
    wrong.sort();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn each_row_of_the_table_is_of_a_kind_and_quotes_a_page() {
    let reasons = LEFT
        .iter()
        .map(|row| (row.kind, row.why))
        .chain(INSTALLED.iter().copied());
    for (kind, (name, said)) in reasons {
        assert!(
            KINDS.iter().any(|it| it.pattern == kind),
            "{kind} is no kind"
        );
        assert!(
            said.len() > 10 && page(name).contains(said),
            "docs/{name} does not say: {said}"
        );
    }
}

/// The names of keys in the first column of the table of docs/redis.md.
fn documented() -> BTreeSet<String> {
    let page = page("redis.md");
    let (_, table) = page.split_once("## What is kept").expect("the section");
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1);
    let first = rows
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(1));
    first
        .flat_map(|cell| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn each_kind_of_keys_is_in_the_table_of_the_page_and_the_page_has_no_other() {
    let kinds: BTreeSet<_> = KINDS.iter().map(|kind| kind.page.to_owned()).collect();
    assert_eq!(kinds, documented());
}

/// Files of the source below a folder, without those of tests, as far as their tests.
fn sources(folder: &Path, into: &mut Vec<(String, String)>) {
    let all = fs::read_dir(folder).unwrap_or_else(|wrong| panic!("{}: {wrong}", folder.display()));
    for path in all.map(|entry| entry.expect("an entry").path()) {
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() && !name.ends_with("/conformance") {
            sources(&path, into);
        } else if name.ends_with(".rs") && !OF_TESTS.iter().any(|end| name.ends_with(end)) {
            let text = fs::read_to_string(&path).expect("readable");
            into.push((name, without_tests(&text).to_owned()));
        }
    }
}

/// The text before the first module of tests within it.
fn without_tests(text: &str) -> &str {
    let begin = "#[cfg(test)]\nmod ";
    let is_within = |at: &usize| {
        text[at + begin.len()..]
            .lines()
            .next()
            .is_some_and(|line| line.ends_with('{'))
    };
    text.match_indices(begin)
        .map(|(at, _)| at)
        .find(is_within)
        .map_or(text, |at| &text[..at])
}

const OF_TESTS: [&str; 5] = [
    "tests.rs",
    "conformance.rs",
    "test_fixture.rs",
    "simulated.rs",
    "servers.rs",
];

/// The makers of names of keys in the source.
fn makers() -> BTreeSet<String> {
    let (root, mut files, mut found) = (
        Path::new(env!("CARGO_MANIFEST_DIR")),
        Vec::new(),
        BTreeSet::new(),
    );
    for folder in ["src", "crates/store/src"] {
        sources(&root.join(folder), &mut files);
    }
    for (name, mut text) in files {
        if name.ends_with("redis/name.rs") {
            let (before, table) = text.split_once("\nnames! {\n").expect("the table");
            let (table, behind) = table.split_once("\n}\n").expect("its end");
            let entries = table
                .lines()
                .filter_map(|line| line.strip_prefix("    ").filter(|it| !it.starts_with(' ')));
            found.extend(
                entries
                    .filter_map(|entry| entry.split_once('('))
                    .map(|(name, _)| name.to_owned()),
            );
            text = [before, behind].concat();
        }
        let texts = text
            .split("\"wxmint:")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        found.extend(
            texts
                .filter(|text| !text.starts_with(' '))
                .map(|text| format!("wxmint:{text}")),
        );
        if name.contains("/doors/oidc/") {
            let kinds = text.replace("contains_key", "");
            let kinds = kinds
                .split("key(\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next());
            found.extend(kinds.map(|kind| format!("oidc:{kind}")));
        }
    }
    found
}

#[test]
fn each_name_of_keys_that_the_source_makes_is_of_a_kind_in_the_table() {
    let known = KINDS
        .iter()
        .flat_map(|kind| kind.made_by.split(' '))
        .filter(|name| !name.is_empty());
    let known: BTreeSet<_> = known
        .chain(NO_NAMES.iter().map(|(name, _)| *name))
        .map(str::to_owned)
        .collect();
    let made = makers();
    let new: Vec<_> = made.difference(&known).collect();
    let gone: Vec<_> = known.difference(&made).collect();
    assert_eq!(
        (new, gone),
        (vec![], vec![]),
        "names without a row, and rows without a name"
    );
}
