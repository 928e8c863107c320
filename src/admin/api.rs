//! `/openapi.json` of the admin listener, the same in Chinese, and `/docs`. They need no secret, because they say nothing of anybody.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Path},
};
use utoipa::{OpenApi, openapi::Server};

use super::{console, doctor, people, recent, users, wechat};
use crate::http::{
    ProblemCode::{self, *},
    ProblemDocument,
    described::{BearerSecurity, Chinese, DELETE, DescribedRoute, GET, POST, PUT, RouteProblems},
    not_found, viewer,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wxmint, the admin listener",
        description = "For operators and for services of the business, never for the public. Each request shows a secret of \
                       WXMINT_ADMIN_TOKENS_FILE that has the right which `security` names. User ids and openids are \
                       encoded for the URL. Times are seconds since 1970, or null. What changes something may be repeated. \
                       Errors are application/problem+json with a stable `code`; 429 and 503 carry Retry-After."
    ),
    modifiers(&SECURITY, &PROBLEMS),
    paths(users::show, users::wechat_of_user, users::dissolve, users::end, users::block, users::unblock,
        wechat::sign, wechat::encrypt_keys, wechat::access_token, wechat::replace_access_token,
        people::look_up, people::end, people::erase, console::whoami, doctor::doctor,
        recent::find, recent::events, recent::activity),
    components(schemas(ProblemDocument)),
    tags((name = "users", description = "By the id that a user has in your own system"),
        (name = "wechat", description = "What takes a session key or the AppSecret, which never leave wxmint"),
        (name = "people", description = "By openid, for the receiver of WeChat's pushes"),
        (name = "duty", description = "For the person on duty, and the console"))
)]
struct AdminDescription;

const SECURITY: BearerSecurity = BearerSecurity {
    format: "a secret of WXMINT_ADMIN_TOKENS_FILE",
    description: "A secret of the file of `WXMINT_ADMIN_TOKENS_FILE`: the second word of one of its lines. This page keeps it \
                  until it is closed or loaded again.",
};
const CHINESE: Chinese = Chinese {
    tags: &[("users", "用户"), ("wechat", "微信"), ("people", "微信身份"), ("duty", "值班")],
    paragraphs: include_str!("chinese.json"),
};
const PROBLEMS: RouteProblems = RouteProblems(&ROUTES);

/// The problems of every route.
const ANY: &[ProblemCode] = &[InvalidRequest, InvalidToken, Forbidden, RateLimited, InternalError, StoreUnavailable];

/// Of a route that asks no store.
const SECRET: &[ProblemCode] = &[InvalidRequest, InvalidToken, Forbidden, RateLimited, InternalError];
const APP: &[ProblemCode] = &[UnknownApp];
const PERSON: &[ProblemCode] = &[UnknownPerson];
const SESSION_KEY: &[ProblemCode] = &[SessionKeyMissing];
/// Of a call of WeChat's API.
const WECHAT: &[ProblemCode] = &[WechatMisconfigured, WechatUnavailable];
/// The same for one person.
const OF_PERSON: &[ProblemCode] = &[UserBlocked];

/// Statuses of `invalid_request` beside 400. A listener on a loopback address answers 421 to other host names.
const HEAD: &[u16] = &[421, 431];
const BODY: &[u16] = &[408, 413, 421, 431];

const ROUTES: [DescribedRoute; 18] = [
    ("/users/{user_id}", GET, &[ANY], HEAD),
    ("/users/{user_id}/wechat", GET, &[ANY], HEAD),
    ("/users/{user_id}/wechat/{appid}", DELETE, &[ANY, APP], HEAD),
    ("/users/{user_id}/end", POST, &[ANY], HEAD),
    ("/users/{user_id}/block", PUT, &[ANY], HEAD),
    ("/users/{user_id}/block", DELETE, &[ANY], HEAD),
    ("/users/{user_id}/wechat/{appid}/signature", POST, &[ANY, APP, PERSON, SESSION_KEY], BODY),
    ("/users/{user_id}/wechat/{appid}/encrypt-keys", GET, &[ANY, APP, PERSON, SESSION_KEY, WECHAT, OF_PERSON], HEAD),
    ("/wechat/{appid}/access-token", GET, &[ANY, APP, WECHAT], HEAD),
    ("/wechat/{appid}/access-token", POST, &[ANY, APP, WECHAT], BODY),
    ("/wechat/{appid}/people/{openid}", GET, &[ANY, APP, PERSON], HEAD),
    ("/wechat/{appid}/people/{openid}/end", POST, &[ANY, APP], HEAD),
    ("/wechat/{appid}/people/{openid}", DELETE, &[ANY, APP], HEAD),
    ("/find", GET, &[ANY], HEAD),
    ("/users/{user_id}/events", GET, &[ANY], HEAD),
    ("/activity", GET, &[SECRET, APP], HEAD),
    ("/whoami", GET, &[SECRET], HEAD),
    ("/doctor", GET, &[SECRET], HEAD),
];

fn described() -> String {
    let mut api = AdminDescription::openapi();
    api.servers = Some(vec![Server::new("/")]);
    api.to_json().expect("a description that is known when compiling serializes")
}

static ENGLISH_DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| described().into());
static CHINESE_DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| CHINESE.of(&described()).into());

/// `GET /openapi.json`
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(ENGLISH_DOCUMENT.clone())
}

/// `GET /openapi.zh-CN.json`
pub(super) async fn openapi_in_chinese() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(CHINESE_DOCUMENT.clone())
}

/// `GET /docs/…`
pub(super) async fn docs_file(request: HttpRequest, path: Path<String>) -> HttpResponse {
    match viewer::file(&path, "admin") {
        Some(file) => file,
        None => not_found(super::PATHS)(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::described::chinese_tests;

    #[test]
    fn every_word_is_said_in_chinese_too_and_nothing_else_differs() {
        chinese_tests::says_everything(&described(), &CHINESE);
        chinese_tests::changes_nothing_else(&described(), &CHINESE);
    }
}
