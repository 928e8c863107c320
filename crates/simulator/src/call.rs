//! A request to WeChat: its endpoint and its parameters.

use actix_web::{
    http::Method,
    web::{self, Bytes},
};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Code2Session,
    StableToken,
    CheckSession,
    ResetSessionKey,
    PhoneNumber,
    EncryptKeys,
    MiniProgramCode,
    UserBalance,
}

impl Endpoint {
    pub(super) const ALL: [Self; 8] = [
        Self::Code2Session,
        Self::StableToken,
        Self::CheckSession,
        Self::ResetSessionKey,
        Self::PhoneNumber,
        Self::EncryptKeys,
        Self::MiniProgramCode,
        Self::UserBalance,
    ];

    /// Its path at `api.weixin.qq.com`.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Code2Session => "/sns/jscode2session",
            Self::StableToken => "/cgi-bin/stable_token",
            Self::CheckSession => "/wxa/checksession",
            Self::ResetSessionKey => "/wxa/resetusersessionkey",
            Self::PhoneNumber => "/wxa/business/getuserphonenumber",
            Self::EncryptKeys => "/wxa/business/getuserencryptkey",
            Self::MiniProgramCode => "/wxa/getwxacodeunlimit",
            Self::UserBalance => "/xpay/query_user_balance",
        }
    }

    /// The media type of its answers that are JSON, in WeChat's spelling.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Code2Session => "text/plain",
            _ => "application/json; encoding=utf-8",
        }
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::Code2Session | Self::CheckSession | Self::ResetSessionKey => Method::GET,
            _ => Method::POST,
        }
    }

    /// The text between an error's message and its `rid`.
    pub(super) fn rid_separator(self) -> &'static str {
        match self {
            Self::Code2Session => ", rid: ",
            _ => " rid: ",
        }
    }
}

/// The parameters of a query string, percent-decoded, in the order given.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(query: &str) -> Self {
        Self(web::Query::from_query(query).map(web::Query::into_inner).unwrap_or_default())
    }

    /// The first value with that name, unless it is empty.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        (!value.is_empty()).then_some(value)
    }

    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

pub(super) struct Call<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) method: &'a Method,
    pub(super) params: &'a Params,
    pub(super) body: &'a [u8],
    pub(super) now: DateTime<Utc>,
}

/// What WeChat answers with status 200.
pub(super) struct Answer {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(endpoint: Endpoint, body: String) -> Self {
        Self { content_type: endpoint.content_type(), body: body.into() }
    }
}

/// An answer with this errcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) i32);
