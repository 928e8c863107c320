//! Paths, problems and statuses that several files declare for their routes.

use wxmint_http::ProblemCode::{self, *};
use wxmint_http::described::BearerSecurity;

pub(crate) const LOGIN: &str = "/login";
pub(crate) const LOGOUT: &str = "/logout";
pub(crate) const TOKEN_PATH: &str = "/token";
pub(crate) const BINDING: &str = "/binding";
pub(crate) const JWKS: &str = "/.well-known/jwks.json";
pub(crate) const METADATA: &str = "/.well-known/openid-configuration";
/// The same as `/.well-known/openid-configuration`, by its name in RFC 8414.
pub(crate) const OAUTH_SERVER: &str = "/.well-known/oauth-authorization-server";

/// The problems of every route with a handler that asks the store.
pub(crate) const ANY: &[ProblemCode] = &[InvalidRequest, InternalError, StoreUnavailable];
pub(crate) const STORE: &[ProblemCode] = &[InternalError, StoreUnavailable];
pub(crate) const IDENTITY: &[ProblemCode] = &[
    CredentialsInQuery,
    AppRequired,
    SnapshotUser,
    UnionidMissing,
    UnionidChanged,
    SessionKeyMissing,
    BindingRequired,
    InvalidCredentials,
    AlreadyBound,
    AccountsUnavailable,
];
pub(crate) const TOKEN: &[ProblemCode] = &[InvalidToken];
/// The problems of a token on routes that refuse the tokens of clients.
pub(crate) const OWN_TOKEN: &[ProblemCode] = &[InvalidToken, Forbidden];
pub(crate) const LIMIT: &[ProblemCode] = &[RateLimited];
/// A phone number costs the app something.
pub(crate) const BILLED: &[ProblemCode] = &[PhoneNumbersSpent];
/// The problems of a call of WeChat's API for one person.
pub(crate) const WECHAT: &[ProblemCode] = &[
    UnknownApp,
    UserBlocked,
    PermissionMissing,
    WechatMisconfigured,
    WechatUnavailable,
];

/// The statuses of `invalid_request` besides 400. 431 is possible on every route.
pub(crate) const HEAD: &[u16] = &[431];
pub(crate) const BODY: &[u16] = &[408, 413, 415, 431];

pub(crate) const SECURITY: BearerSecurity = BearerSecurity {
    format: "JWT",
    description: "The `access_token` of an answer of `POST /login`: the text that begins with eyJ, without the word Bearer. A \
                  login that you send from this page fills it in.",
};

/// Tells clients that ask for an unknown path where the API is described.
pub(crate) const PLACE: &str = "The API is described at /docs.";
