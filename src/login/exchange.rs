//! How WeChat names the people of an app that has no AppSecret here: somebody acts for the app, by tokens of their own.
//! An app with an AppSecret needs none of this.

use async_trait::async_trait;
use wxmint_ids::LoginCode;
use wxmint_store::{AttemptId, Claim};
use wxmint_wechat::{App, CallError, FetchedAccessToken, Session};

use super::{AccessTokens, Attempt, HeldToken, LoginError, LoginWorker, Refused, Result};

/// Acts for apps. Its futures are boxed, so that no other login pays for their room.
#[async_trait(?Send)]
pub trait CodeExchanger {
    /// Why nobody can say yet that an app is unknown.
    fn apps_are_unread(&self) -> Option<LoginError>;

    /// Counts the address and claims the code, as [`wxmint_store::Store::claim_code`] does.
    async fn claim(&self, login: &LoginWorker, app: &App, code: &LoginCode, attempt: &Attempt<'_>) -> Result<Claim>;

    /// Asks WeChat about a code. Gives back one that was not sent, unless the error says so.
    async fn exchange(&self, login: &LoginWorker, app: &App, code: &LoginCode, attempt: &AttemptId) -> Result<Session>;

    /// The app by which this acts (WeChat's `component_appid`), whose access token peers may have too.
    fn own_app(&self) -> &App;

    /// The place of that app's token, which logins hold for a moment.
    fn held(&self) -> &HeldToken;

    /// Why no token of that app can be had before somebody has mended something.
    fn refusal(&self) -> Option<CallError>;

    async fn fetch(&self, tokens: &AccessTokens<'_>, refused: Option<&Refused>) -> Result<FetchedAccessToken>;

    /// Counts a peer's report that WeChat has refused this token, before anything is fetched.
    async fn count_report(&self, tokens: &AccessTokens<'_>, refused: &str) -> Result<()>;

    /// Takes note of the error of a call for the app.
    async fn note_error(&self, tokens: &AccessTokens<'_>, error: &LoginError);
}
