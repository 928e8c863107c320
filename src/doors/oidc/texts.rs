//! The texts of the pages.

use actix_web::http::StatusCode;
use wxmint_http::ProblemCode;

/// A text in English and Chinese.
pub(super) type Text = [&'static str; 2];

/// Why a page cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Client,
    Address,
    Logout,
    LogoutAddress,
    /// WeChat has sent back another browser, or a second time.
    State,
    NoWay,
    Login(ProblemCode),
}

pub(super) const LOG_IN: Text = ["Log in with WeChat", "微信登录"];
pub(super) const SCAN: Text = [
    "Scan with WeChat on your phone. The mini program opens; confirm there.",
    "请用手机微信扫码，在打开的小程序中确认登录。",
];
pub(super) const TAP: Text = ["On the phone, tap this number:", "请在手机上点击这个数字："];
pub(super) const PICTURE: Text = ["Mini-program code to scan with WeChat", "请用微信扫描的小程序码"];
pub(super) const NO_SCRIPT: Text = [
    "This page needs JavaScript, to learn when your phone has confirmed. Switch it on, then load the page again.",
    "本页需要 JavaScript，才能得知手机已确认。请启用后重新加载。",
];
pub(super) const AGAIN: Text = ["Try again", "重试"];
pub(super) const WEB: Text = ["Use WeChat's QR page instead", "改用微信的扫码页面"];
pub(super) const BACK: Text = ["Back to ", "返回 "];
pub(super) const NOT_POSSIBLE: Text = ["This login is not possible", "无法登录"];
pub(super) const LEFT: Text = ["You are logged out", "已退出登录"];
pub(super) const NOT_LEFT: Text = ["You are not logged out", "没有退出登录"];
pub(super) const CLOSE: Text = ["You may close this page.", "可以关闭本页。"];
/// By the states of the page's script.
pub(super) const STATES: [(&str, Text); 7] = [
    ("loading", ["Getting a code…", "正在获取小程序码…"]),
    ("wait", ["Waiting for your phone…", "等待手机扫码…"]),
    ("scanned", ["Scanned. Confirm on your phone.", "已扫码，请在手机上确认。"]),
    ("going", ["Confirmed. One moment…", "已确认，正在跳转…"]),
    (
        "denied",
        ["The phone has said no, or another number was tapped. Try again.", "手机上已拒绝，或点了另一个数字。请重试。"],
    ),
    ("busy", ["Not reachable, or too many tries. It goes on by itself.", "暂时无法连接或尝试过多，稍后会自动继续。"]),
    ("paused", ["The code has expired. Try again when you are ready.", "小程序码已过期，准备好后请重试。"]),
];

impl Why {
    pub(super) fn text(self) -> Text {
        match self {
            Self::Client => [
                "The website that has sent you here is not registered (client_id). Go back to it; its operator has to add it to the file of clients.",
                "把您带到这里的网站未登记（client_id）。请返回该网站；其运营者需要把它加入客户端文件。",
            ],
            Self::Address => [
                "The website asks for an answer at an address that is not registered (redirect_uri). Its operator has to add the address, exactly as it is, to the file of clients.",
                "该网站要求返回的地址未登记（redirect_uri）。其运营者需要把这个地址原样加入客户端文件。",
            ],
            Self::Logout => [
                "It is not clear which login is to end, so you are still logged in. Log out on the website again.",
                "无法确定要退出哪一次登录，您仍处于登录状态。请在网站上重新退出。",
            ],
            Self::LogoutAddress => [
                "You are logged out. The website's address after a logout is not registered (post_logout_redirect_uris), so this page stays.",
                "已退出登录。网站的退出后地址未登记（post_logout_redirect_uris），因此停留在本页。",
            ],
            Self::State => [
                "This login was begun in another browser, is older than ten minutes, or is finished. Begin again on the website.",
                "这次登录是在另一个浏览器中开始的，或已超过十分钟，或已经完成。请回到网站重新开始。",
            ],
            Self::NoWay => {
                ["This way to log in is not set up. Scan the code instead.", "未开通这种登录方式，请改用扫码。"]
            }
            Self::Login(ProblemCode::BindingRequired) => [
                "This WeChat is not linked to an account yet. Open the mini program and log in there once, then try again.",
                "这个微信还没有关联账号。请先打开小程序登录一次，再重试。",
            ],
            Self::Login(ProblemCode::UserBlocked) => {
                ["This account is not let in. Ask the business.", "该账号不能登录，请联系商家。"]
            }
            Self::Login(ProblemCode::SnapshotUser) => [
                "WeChat shows this page as a snapshot. Tap “Use full service” at its bottom, then try again.",
                "微信以快照方式打开了本页。请点击页面底部的“使用完整服务”，再重试。",
            ],
            Self::Login(ProblemCode::RateLimited) => {
                ["Too many tries. Wait a few minutes, then try again.", "尝试过多，请几分钟后重试。"]
            }
            Self::Login(_) => [
                "WeChat or this service does not answer as it should. Try again in a moment.",
                "微信或本服务暂时不可用，请稍后重试。",
            ],
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::LogoutAddress => StatusCode::OK,
            Self::Login(ProblemCode::UserBlocked | ProblemCode::BindingRequired) => StatusCode::FORBIDDEN,
            Self::Login(ProblemCode::RateLimited) => StatusCode::TOO_MANY_REQUESTS,
            Self::Login(ProblemCode::StoreUnavailable | ProblemCode::WechatUnavailable) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
