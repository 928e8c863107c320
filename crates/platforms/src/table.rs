//! The table of calls that exchange a login code: one row for each platform, and one more for Douyin's
//! mini games. Sources: the platforms' pages named at each row, and public clients; `[?]` marks what
//! one source says or sources dispute.

use wxmint_ids::Platform;

/// How a platform exchanges a login code.
pub(crate) struct CodeCall {
    pub(crate) platform: Platform,
    /// Whether the call is for mini games.
    pub(crate) is_of_games: bool,
    /// The scheme and the host.
    pub(crate) origin: &'static str,
    pub(crate) path: &'static str,
    pub(crate) encoding: Encoding,
    /// The names of the AppID, the secret and the code.
    pub(crate) names: [&'static str; 3],
    /// Whether `grant_type=authorization_code` is sent.
    pub(crate) has_grant_type: bool,
    /// The members that hold error numbers. The first number that a list has counts, or the first one.
    pub(crate) numbers: &'static [&'static str],
    /// The number of a success.
    pub(crate) success: i64,
    /// Whether an answer without a number is a success if it names a person.
    pub(crate) may_lack_number: bool,
    /// Where the members of the person are.
    pub(crate) members: Members,
    /// The members that may name the person.
    pub(crate) persons: &'static [&'static str],
    /// The member of the unionid; `None` if the platform has none.
    pub(crate) unionid: Option<&'static str>,
    /// The numbers of a code that is wrong, used, expired, or another app's.
    pub(crate) of_client: &'static [i64],
    /// The numbers that the operator must mend.
    pub(crate) of_operator: &'static [i64],
    /// The numbers of a person who logs in too often.
    pub(crate) of_person: &'static [i64],
    /// The numbers of the platform's own trouble.
    pub(crate) of_platform: &'static [i64],
}

/// How the parameters of a call are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Query,
    Json,
    Form,
}

/// Where an answer has the members of the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    Top,
    /// In the object that this member holds.
    In(&'static str),
    /// In the claims of the token that this member holds (OpenID Connect). The token must be of this
    /// issuer and for the app. Its signature is not checked, because it comes from the issuer itself
    /// over TLS (OpenID Connect Core section 3.1.3.7).
    IdToken {
        member: &'static str,
        issuer: &'static str,
    },
}

pub(crate) const CALLS: [CodeCall; 6] = [
    // <https://developer.open-douyin.com/docs/resource/zh-CN/mini-app/develop/server/log-in/code-2-session>
    CodeCall {
        platform: Platform::Douyin,
        is_of_games: false,
        origin: "https://developer.toutiao.com",
        path: "/api/apps/v2/jscode2session",
        encoding: Encoding::Json,
        names: ["appid", "secret", "code"],
        has_grant_type: false,
        numbers: &["err_no"],
        success: 0,
        may_lack_number: false,
        members: Members::In("data"),
        persons: &["openid"],
        unionid: Some("unionid"),
        of_client: &[40018, 40019],
        of_operator: &[40014, 40015, 40017],
        of_person: &[],
        of_platform: &[-1],
    },
    // <https://developer.open-douyin.com/docs/resource/zh-CN/mini-game/develop/server/log-in/code-2-session>
    CodeCall {
        platform: Platform::Douyin,
        is_of_games: true,
        origin: "https://minigame.zijieapi.com",
        path: "/mgplatform/api/apps/jscode2session",
        encoding: Encoding::Query,
        names: ["appid", "secret", "code"],
        has_grant_type: false,
        // A failure has `errcode`, beside an `error` of another list.
        numbers: &["errcode", "error"],
        success: 0,
        may_lack_number: false,
        members: Members::Top,
        persons: &["openid"],
        unionid: Some("unionid"),
        of_client: &[40018, 40019],
        of_operator: &[40014, 40015, 40017],
        of_person: &[],
        of_platform: &[-1],
    },
    // <https://q.qq.com/wiki/develop/miniprogram/server/open_port/port_login.html>
    CodeCall {
        platform: Platform::Qq,
        is_of_games: false,
        origin: "https://api.q.qq.com",
        path: "/sns/jscode2session",
        encoding: Encoding::Query,
        names: ["appid", "secret", "js_code"],
        has_grant_type: true,
        numbers: &["errcode"],
        success: 0,
        may_lack_number: true,
        members: Members::Top,
        persons: &["openid"],
        unionid: Some("unionid"),
        // 40163 [?]: used
        of_client: &[40029, 40163],
        // 40125 [?]
        of_operator: &[40013, 40125],
        // over 100 a minute
        of_person: &[45011],
        of_platform: &[-1],
    },
    // <https://mp.kuaishou.com/docs/develop/server/code2Session.html>
    CodeCall {
        platform: Platform::Kuaishou,
        is_of_games: false,
        origin: "https://open.kuaishou.com",
        path: "/oauth2/mp/code2session",
        encoding: Encoding::Form,
        names: ["app_id", "app_secret", "js_code"],
        has_grant_type: false,
        numbers: &["result"],
        success: 1,
        may_lack_number: false,
        members: Members::Top,
        persons: &["open_id"],
        unionid: None,
        // The list is that of Kuaishou's OAuth2 [?].
        of_client: &[100_200_105],
        of_operator: &[100_200_100, 100_200_101, 100_200_102, 100_200_104],
        of_person: &[],
        of_platform: &[100_200_500],
    },
    // <https://miniapp.bilibili.com/small-app-doc/open/api/login>
    CodeCall {
        platform: Platform::Bilibili,
        is_of_games: false,
        origin: "https://miniapp.bilibili.com",
        path: "/api/sns/jscode2session",
        encoding: Encoding::Query,
        names: ["appid", "secret", "js_code"],
        has_grant_type: true,
        numbers: &["errcode"],
        success: 0,
        may_lack_number: true,
        members: Members::Top,
        persons: &["openid", "openId"],
        unionid: None,
        // All numbers [?].
        of_client: &[40029],
        of_operator: &[40013, 40125],
        of_person: &[],
        of_platform: &[-1],
    },
    // <https://developer.huawei.com/consumer/cn/doc/harmonyos-references/account-api-obtain-user-token>
    CodeCall {
        platform: Platform::Huawei,
        is_of_games: false,
        origin: "https://oauth-login.cloud.huawei.com",
        path: "/oauth2/v3/token",
        encoding: Encoding::Form,
        names: ["client_id", "client_secret", "code"],
        has_grant_type: true,
        numbers: &["sub_error", "error"],
        success: 0,
        may_lack_number: true,
        members: Members::IdToken {
            member: "id_token",
            issuer: "https://accounts.huawei.com",
        },
        persons: &["openid"],
        unionid: Some("sub"),
        of_client: &[20152, 20153, 20154, 20155, 20156, 20158, 1103],
        of_operator: &[12304, 20002, 20003, 20085, 20172, 1203, 12303],
        of_person: &[],
        of_platform: &[500, 100_300],
    },
];

/// Whether apps of this platform can be configured. Only Douyin has another call for mini games.
pub fn is_supported(platform: Platform, is_game: bool) -> bool {
    place_of(platform, is_game).is_some() || platform == Platform::Alipay && !is_game
}

/// Whether the platform gives unionids.
pub fn gives_unionids(platform: Platform) -> bool {
    let mut calls = CALLS.iter();
    platform == Platform::Alipay
        || calls.any(|call| call.platform == platform && call.unionid.is_some())
}

pub(crate) fn place_of(platform: Platform, is_game: bool) -> Option<usize> {
    CALLS
        .iter()
        .position(|call| call.platform == platform && call.is_of_games == is_game)
}
