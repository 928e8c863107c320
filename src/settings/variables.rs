//! Every variable, declared once. `.env.example` is written from this file and has the same order: after a change, run
//! `UPDATE_DOCS=1 cargo test --lib settings`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use reqwest::Url;

use super::{
    AccountsSource, StoreUrl,
    forms::{self, IssuerUrl, RATE, form, list, number, optional, parsed, path, span},
    redis,
    variable::{About, Form, Presence, Variable, variables},
};
use crate::{
    ids::AppId,
    limits::Rate,
    path_rules::{PathSource, Prefix},
    store::Confirm,
    telemetry::{Audit, LogFormat},
    verify::{TokenTyp, peer::WhenStale},
    wechat::AppSecret,
};

const FLAG: Form<bool> = form("true or false", parsed);

variables! { SERVE:
    /// The token's `iss`.
    ISSUER: Result<IssuerUrl, &'static str>, Required("https://login.example.com"), form(
        "the https URL at which clients reach this service (http only on loopback), without query, fragment, \
         or a slash at the end, since verifiers compare it byte for byte",
        |text| Some(IssuerUrl::parse(text)),
    );

    /// The token's `aud`. Default: the issuer.
    AUDIENCE: Vec<String>, Optional("https://api.example.com"), form(
        "the names of the services that accept the tokens, separated by commas",
        forms::audiences,
    );

    /// The mini program.
    APPID: AppId, Required("wx0123456789abcdef"), form(
        "the AppID that WeChat's console shows: wx and 16 hexadecimal digits",
        forms::appid,
    );

    /// The mini program's secret.
    APP_SECRET: AppSecret, Secret("0123456789abcdef0123456789abcdef"), form(
        "the AppSecret that WeChat's console shows: 32 letters and digits",
        parsed,
    );

    /// For several mini programs, instead of WXMINT_APPID and WXMINT_APP_SECRET. wxmint reads the folder again when it changes.
    APPS_DIR: Option<PathBuf>, Optional("/run/secrets/apps"), form(
        "a folder with a file for each mini program, named by its AppID, with the AppSecret in it",
        |text| optional(text, path),
    );

    /// Where codes, session keys and bindings are kept. Set `maxmemory-policy noeviction` in Redis, because bindings are
    /// kept nowhere else (docs/redis.md). If the URL is in a file, wxmint reads the file again when it changes.
    REDIS_URL: Result<StoreUrl, &'static str>, Secret("redis://127.0.0.1:6379"), form(
        "redis://[user:password@]host:port[/db], redis+cluster://[user:password@]host:port,host:port, or \
         redis+sentinel://[user:password@]host:port,host:port/MASTER[/db]; with TLS: rediss://, rediss+cluster://, \
         rediss+sentinel://; or memory: for a store that is lost when the process ends",
        |text| Some(redis::parse(text)),
    );

    /// The authorities that may sign the certificate of Redis, instead of those that the system trusts. Only with rediss. wxmint
    /// reads this file and the two below again for each new connection.
    REDIS_CA_FILE: Option<PathBuf>, Optional("/run/secrets/redis/ca.crt"), form(
        "a file with one or more certificates in PEM",
        |text| optional(text, path),
    );

    /// The certificate that wxmint shows to Redis, if Redis wants one (tls-auth-clients). Only with rediss.
    REDIS_CERT_FILE: Option<PathBuf>, Optional("/run/secrets/redis/tls.crt"), form(
        "a file with a certificate in PEM, and the certificates between it and its authority",
        |text| optional(text, path),
    );

    /// The private key of that certificate.
    REDIS_KEY_FILE: Option<PathBuf>, Optional("/run/secrets/redis/tls.key"), form(
        "a file with a private key in PEM, which only its owner can read",
        |text| optional(text, path),
    );

    /// How many replicas must have a new binding, a logout or an unbinding before wxmint answers. auto: every replica that
    /// could take over, by the word of the Sentinels, of the Cluster's other primaries, or of the primary itself. 0: none, so
    /// a failover may lose them.
    REDIS_CONFIRM: Confirm, Default("auto"), form("auto, or a number from 0 to 5", parsed);

    /// The signing keys.
    KEYS: PathBuf, Required("keys.json"), form(
        "the file of the private JWK Set; make one with: wxmint keys generate --keys keys.json",
        path,
    );

    /// The vault keys, which seal session keys, newest first. `wxmint vault rotate` adds one (docs/vault.md).
    VAULT_KEY_FILE: PathBuf, Required("vault.key"), form(
        "a file with base64 of 32 bytes a line; make one with: (umask 077; openssl rand -base64 32 > vault.key)",
        path,
    );

    /// The public listener.
    LISTEN: SocketAddr, Default("127.0.0.1:8080"), form("an address and a port", parsed);

    /// The listener for probes and metrics.
    ADMIN_LISTEN: SocketAddr, Default("127.0.0.1:9090"), form("an address and a port that the public cannot reach", parsed);

    /// For operators: the secrets with which the admin listener answers below /users (docs/operators.md). wxmint reads the file
    /// again when it changes. Without it the admin listener has no such paths.
    ADMIN_TOKENS_FILE: Option<PathBuf>, Optional("admin.tokens"), form(
        "a file with a name, a blank and a secret of at least 32 characters a line, which only its owner can read",
        |text| optional(text, path),
    );

    /// How many connections the public listener accepts at once. While all are taken, each answer closes its connection, and a
    /// new client takes the place of the connection that has waited longest for its client.
    // Measured with 2,900 connections: an idle one takes about 12 KiB. 2000 take at most 64 of the 128 MiB in k8s/base. The
    // process of `wxmint serve` takes 25 and two passwords that are being hashed take 38; the tokens that `wxmint sidecar`
    // remembers take 32.
    MAX_CONNECTIONS: usize, Default("2000"), number!(1 to 1_000_000, "; each connection takes up to 32 KiB");

    /// How long a token is valid.
    // A token that lives less than a minute can expire before it is used. One that lives for months stays valid long after
    // its user was removed.
    TOKEN_TTL: Duration, Default("24h"), span!("1m" to "30d");

    /// The `typ` in the header of a token.
    TOKEN_TYP: TokenTyp, Default("at+jwt"), form("at+jwt, or JWT for verifiers that accept no other", parsed);

    /// How long a key is published before it signs (docs/keys.md).
    // Caches may keep the JWKS for a sixth of this time, and with it a key that was retired in an emergency.
    KEYS_LEAD: Duration, Default("30m"), span!("1s" to "7d", ", and longer than any verifier waits between two fetches of the keys");

    /// How long a sealed session_key is kept after the last login.
    SESSION_KEY_TTL: Duration, Default("30d"), span!("1s" to "365d");

    /// Who knows the business users. auto: the first login of a person makes a user. file: the file that `wxmint users add`
    /// writes. https: see docs/accounts.md.
    ACCOUNTS: AccountsSource, Default("auto"), form(
        "auto, file:PATH, or the https URL of your own account service (http only on loopback, or with \
         WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP=true)",
        forms::accounts,
    );

    /// Whether your account service may be called over http on another machine. Whoever can read that network then reads
    /// users' passwords and phone numbers, and whoever can change its traffic can log in as any user.
    DANGEROUS_ACCOUNTS_OVER_HTTP: bool, Default("false"), FLAG;

    /// With file: and https: whether a person who is bound to no user gets a new user (true) or is asked for a password
    /// (false).
    AUTO_PROVISION: bool, Default("false"), FLAG;

    /// With https: whether your account service is asked at each login if the user may log in, and for claims of the token.
    ACCOUNTS_CHECK: bool, Default("false"), FLAG;

    /// How many WeChat identities one user may have in one mini program.
    BINDINGS_PER_USER: u32, Default("1"), number!(1 to 1000);

    /// Whether a login ends the user's earlier tokens of the same mini program, so that each user has one device at a time. A
    /// login then costs two more round trips to Redis.
    ONE_LOGIN: bool, Default("false"), FLAG;

    /// For mini programs that were written for another back end: further paths of the login.
    LOGIN_PATHS: Vec<String>, Optional("/user/login,/api/login"), form(
        "paths that wxmint does not use itself, separated by commas",
        forms::login_paths,
    );

    /// For the same mini programs: further names of the token in the answer to a login.
    TOKEN_ALIASES: Vec<String>, Optional("sessionId,token"), form(
        "names of letters, digits and _ that the answer does not contain yet, separated by commas",
        forms::token_aliases,
    );

    /// For the same mini programs: whether a password may stand in the URL of a GET, where logs keep it.
    DANGEROUS_PASSWORD_IN_QUERY: bool, Default("false"), FLAG;

    /// Whose X-Forwarded-For wxmint believes. The client, by whose address logins are counted, is the rightmost address that is
    /// no such proxy. private: loopback, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, link-local and fc00::/7. Any
    /// machine there that reaches wxmint, or a proxy before it, can then choose the address by which it is counted.
    TRUSTED_PROXIES: Vec<IpNet>, Default("private"), form(
        "addresses or networks of your proxies (192.0.2.0/28,2001:db8::/64) and private, separated by commas; or none alone",
        forms::proxies,
    );

    /// The limit of logins from one address.
    LIMIT_IP: Rate, Default("600/5m"), RATE;

    /// The limit of logins of one person.
    LIMIT_OPENID: Rate, Default("30/5m"), RATE;

    /// The limit of wrong passwords that one person sends for one user name.
    LIMIT_USERNAME: Rate, Default("10/5m"), RATE;

    /// The greatest age, by its watermark, of user data that a mini program sends for decryption.
    WATERMARK_MAX_AGE: Duration, Default("10m"), span!("1s" to "30d");

    /// WeChat's API, or a stand-in such as `wxmint simulator`.
    WECHAT_URL: Url, Default("https://api.weixin.qq.com"), form("an https URL (http only on loopback)", forms::wechat_url);

    /// How log lines look. RUST_LOG sets their levels (default: info).
    LOG_FORMAT: LogFormat, Default("json"), form("json, or text for a terminal", forms::log_format);

    /// Where operators' acts are noted (docs/operators.md).
    AUDIT: Audit, Default("log"), form("log, off, or file:PATH for a file to which JSON lines are appended", forms::audit);
}

variables! { SIDECAR:
    /// Required. Where the issuers publish their keys.
    JWKS_URL: Vec<Url>, Required("https://login.example.com/.well-known/jwks.json"), form(
        "the https URL of each issuer's JWKS (http only on loopback), in the order of WXMINT_ISSUER, separated by commas",
        |text| list(text, forms::jwks_url),
    );

    /// Where the last good keys are kept, so that the sidecar can verify after a restart while the issuer is unreachable.
    JWKS_CACHE: Option<PathBuf>, Optional("/var/cache/wxmint"), form(
        "a folder that nobody else can write",
        |text| optional(text, path),
    );

    /// How long the sidecar believes the keys after the issuer last confirmed them. Then it answers 503.
    // Keys are fetched again every 10 minutes at the latest. With the default WXMINT_TOKEN_TTL no token is left after a day.
    JWKS_MAX_AGE: Duration, Default("24h"), span!("15m" to "30d");

    /// Where the issuers publish what has been ended (docs/verify.md). Default: /revocations at the origin of WXMINT_JWKS_URL.
    REVOCATIONS_URL: Vec<Option<Url>>, Optional("https://login.example.com/revocations"), form(
        "the http or https URL of each issuer's feed, or off, in the order of WXMINT_ISSUER, separated by commas; or off alone, \
         to follow none",
        |text| list(text, forms::feed_url),
    );

    /// How old the newest page of the feed may be.
    REVOCATIONS_MAX_AGE: Duration, Default("60s"), span!("15s" to "30d");

    /// What happens to tokens while the newest page is older: accept those that no known end names (open), or answer 503
    /// (closed).
    REVOCATIONS_FAIL: WhenStale, Default("open"), form("open or closed", forms::when_stale);

    /// Where the proxy asks: /verify.
    SIDECAR_LISTEN: SocketAddr, Default("127.0.0.1:8181"), form("an address and a port that only the proxy can reach", parsed);

    /// Which audience a token must name below a path, in addition to one of WXMINT_AUDIENCE.
    SIDECAR_AUDIENCES: Vec<(Prefix, String)>, Optional("/orders=https://orders.example.com,/pay=https://pay.example.com"), form(
        "paths of ASCII letters, digits and signs such as - . _ ~, each with the audience that a token must name below it, \
         separated by commas",
        |text| list(text, forms::audience_rule),
    );

    /// Where a request needs no token.
    SIDECAR_ANONYMOUS: Vec<Prefix>, Optional("/public,/health"), form(
        "paths of ASCII letters, digits and signs such as - . _ ~ below which no token is needed, separated by commas",
        |text| list(text, Prefix::parse),
    );

    /// Required if one of the two variables above is set: where the sidecar finds the requested path.
    SIDECAR_PATH_HEADER: Option<PathSource>, Optional("X-Forwarded-Uri"), form(
        "the header in which your proxy itself sends the requested path (X-Forwarded-Uri for Traefik and Caddy, \
         X-Original-URI for nginx as in our example), or path: what follows /verify (Envoy)",
        |text| optional(text, PathSource::parse),
    );

    /// Claims that the sidecar hands on as headers, beside X-User-Id, X-Client-Id and X-Token-Id. The proxy must replace the
    /// client's headers of these names, as it does for X-User-Id.
    SIDECAR_CLAIMS: Vec<(String, String)>, Optional("roles=X-User-Roles,tenant=X-Tenant"), form(
        "claims, each with a header of its own that begins with X-, separated by commas",
        forms::claim_headers,
    );

    /// Whether keys may come over http from another machine. Whoever can answer in the issuer's place can then sign tokens.
    DANGEROUS_JWKS_OVER_HTTP: bool, Default("false"), FLAG;
}
