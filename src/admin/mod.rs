//! The admin listener. It has probes and metrics for everybody who reaches it. With a secret,
//! operators and peers can ask about users, and call WeChat in a user's name. All routes are on one
//! screen, except the probes and the console. Each requires a secret that has the right.

pub(crate) mod admin_request;
mod console;
pub(crate) mod tokens;
mod users;
pub(crate) mod wechat;

use actix_web::web::{Data, ServiceConfig};
use wxmint_http::ProblemCode::{self, *};
use wxmint_http::described::{BearerSecurity, Routes};
use wxmint_http::routes;
use wxmint_http::viewer::{self, Description};

pub use self::console::Panel;
pub use self::tokens::{AdminTokens, CurrentAdminTokens};
use self::{admin_request::Operating, console::LatestDiagnosis};
use crate::findings::Doctor;

pub(crate) const PATHS: &str = "\
    This listener has /livez, /readyz and /metrics, and if WXMINT_ADMIN_TOKENS_FILE is set, the console at /console and \
    what /docs describes.";

const ANY: &[ProblemCode] = &[
    InvalidRequest,
    InvalidToken,
    Forbidden,
    RateLimited,
    InternalError,
    StoreUnavailable,
    KeysUnavailable,
];

/// The problems of a route that does not use the store.
pub(crate) const SECRET: &[ProblemCode] = &[
    InvalidRequest,
    InvalidToken,
    Forbidden,
    RateLimited,
    InternalError,
    KeysUnavailable,
];
pub(crate) const APP: &[ProblemCode] = &[UnknownApp];
const PERSON: &[ProblemCode] = &[UnknownPerson];
const SESSION_KEY: &[ProblemCode] = &[SessionKeyMissing];
const WECHAT: &[ProblemCode] = &[PermissionMissing, WechatMisconfigured, WechatUnavailable];
/// Further problems of a call of WeChat's API for one person.
const OF_PERSON: &[ProblemCode] = &[UserBlocked];

/// The statuses of `invalid_request` besides 400. A listener on a loopback address answers 421 to
/// other host names.
pub(crate) const HEAD: &[u16] = &[421, 431];
pub(crate) const BODY: &[u16] = &[408, 413, 415, 421, 431];

routes! {
    #[openapi(
        info(
            title = "wxmint, the admin listener",
            description = "For operators and for services of the business, never for the public. Each request shows a secret of \
                           WXMINT_ADMIN_TOKENS_FILE that has the right which `security` names. User ids and openids are \
                           encoded for the URL. Times are seconds since 1970, or null. What changes something may be repeated. \
                           Errors are application/problem+json with a stable `code`; 429 and 503 carry Retry-After."
        ),
        tags((name = "users", description = "By the id that a user has in your own system"),
            (name = "wechat", description = "What takes a session key or the AppSecret, which never leave wxmint"),
            (name = "people", description = "By openid, for the receiver of WeChat's pushes"),
            (name = "duty", description = "For the person on duty, and the console"))
    )]
    READ "/users/{user_id}" users::show [ANY], HEAD;
    READ "/users/{user_id}/wechat" users::wechat_of_user [ANY], HEAD;
    DELETE "/users/{user_id}/wechat/{appid}" users::dissolve [ANY, APP], HEAD;
    POST "/users/{user_id}/revoke" users::end [ANY], HEAD;
    PUT "/users/{user_id}/block" users::block [ANY], HEAD;
    DELETE "/users/{user_id}/block" users::unblock [ANY], HEAD;
    POST "/users/{user_id}/wechat/{appid}/signature" wechat::sign [ANY, APP, PERSON, SESSION_KEY], BODY;
    POST "/users/{user_id}/wechat/{appid}/payment" wechat::sign_payment [ANY, APP, PERSON, SESSION_KEY], BODY;
    READ "/users/{user_id}/wechat/{appid}/encrypt-keys" wechat::encrypt_keys
        [ANY, APP, PERSON, SESSION_KEY, WECHAT, OF_PERSON], HEAD;
    READ "/wechat/{appid}/access-token" wechat::access_token [ANY, APP, WECHAT], HEAD;
    POST "/wechat/{appid}/access-token" wechat::replace_access_token [ANY, APP, WECHAT], BODY;
    READ "/wechat/{appid}/people/{openid}" users::look_up_person [ANY, APP, PERSON], HEAD;
    POST "/wechat/{appid}/people/{openid}/revoke" users::end_person [ANY, APP], HEAD;
    DELETE "/wechat/{appid}/people/{openid}" users::erase_person [ANY, APP], HEAD;
    READ "/whoami" console::whoami [SECRET], HEAD;
    READ "/doctor" console::doctor [SECRET], HEAD;
    READ "/find" users::find [ANY], HEAD;
    READ "/activity" users::activity [SECRET, APP], HEAD;
}

pub(crate) const SECURITY: BearerSecurity = BearerSecurity {
    format: "a secret of WXMINT_ADMIN_TOKENS_FILE",
    description: "A secret of the file of `WXMINT_ADMIN_TOKENS_FILE`: the second word of one of its lines. This page keeps it \
                  until it is closed or loaded again.",
};

/// Adds the routes for the holders of a secret, with the routes of the doors and their panels of
/// the console. `doctor` examines the configuration.
pub(crate) fn configure(
    config: &mut ServiceConfig,
    operating: Operating,
    doctor: Doctor,
    description: Data<Description>,
    of_doors: &[&Routes],
    panels: &[Panel],
) {
    config
        .app_data(Data::new(operating))
        .app_data(Data::new(LatestDiagnosis::of(doctor)))
        .app_data(description);
    for routes in [&&ROUTES].into_iter().chain(of_doors) {
        for path in routes.paths() {
            config.service(routes.resource(path, path));
        }
    }
    viewer::routes(config);
    console::pages(config, panels);
}

/// The admin listener's description of itself. It needs no secret, because it says nothing about
/// anybody.
pub(crate) fn description(of_doors: Vec<&'static Routes>) -> Description {
    Description::new(
        "admin",
        PATHS,
        [&ROUTES].into_iter().chain(of_doors).collect(),
        "/".to_owned(),
    )
}
