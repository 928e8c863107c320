//! Paths, problems and statuses that several files declare for their routes.

use crate::http::{
    ProblemCode::{self, *},
    described::BearerSecurity,
};

pub(super) const LOGIN: &str = "/login";
pub(super) const LOGOUT: &str = "/logout";
pub(super) const BINDING: &str = "/binding";
pub(super) const JWKS: &str = "/.well-known/jwks.json";
pub(super) const METADATA: &str = "/.well-known/openid-configuration";
/// The same as `/.well-known/openid-configuration`, by its name in RFC 8414.
pub(super) const OAUTH_SERVER: &str = "/.well-known/oauth-authorization-server";

/// The problems of every route with a handler that asks the store.
pub(super) const ANY: &[ProblemCode] = &[InvalidRequest, InternalError, StoreUnavailable];
pub(super) const STORE: &[ProblemCode] = &[InternalError, StoreUnavailable];
pub(super) const IDENTITY: &[ProblemCode] = &[
    CredentialsInQuery,
    AppRequired,
    SnapshotUser,
    UnionidMissing,
    SessionKeyMissing,
    BindingRequired,
    InvalidCredentials,
    AlreadyBound,
    AccountsUnavailable,
];
pub(super) const TOKEN: &[ProblemCode] = &[InvalidToken];
pub(super) const LIMIT: &[ProblemCode] = &[RateLimited];
/// A phone number costs the app something.
pub(super) const BILLED: &[ProblemCode] = &[PhoneNumbersSpent];
/// The problems of a call of WeChat's API for one person.
pub(super) const WECHAT: &[ProblemCode] =
    &[UnknownApp, UserBlocked, PermissionMissing, WechatMisconfigured, WechatUnavailable];

/// Statuses of `invalid_request` beside 400. 431 is possible on every route.
pub(super) const HEAD: &[u16] = &[431];
pub(super) const BODY: &[u16] = &[408, 413, 415, 431];

pub(super) const SECURITY: BearerSecurity = BearerSecurity {
    format: "JWT",
    description: "The `access_token` of an answer of `POST /login`: the text that begins with eyJ, without the word Bearer. A \
                  login that you send from this page fills it in.",
};

/// Tells clients that ask for an unknown path where the API is described.
pub(super) const PLACE: &str = "The API is described at /docs.";
