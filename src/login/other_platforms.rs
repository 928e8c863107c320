//! Exchanges the login codes of apps of other platforms than WeChat.

use async_trait::async_trait;
use wxmint_ids::LoginCode;
use wxmint_platforms::{Meaning, PlatformError, Platforms};
use wxmint_store::AttemptId;
use wxmint_wechat::{AppExchanger, Session};

use super::{AccessTokens, AppCallError, CodeExchanger, PlatformRefusal, Unavailable};
use crate::apps::UnknownApp;

/// The other platforms, for one worker thread.
pub struct OtherPlatforms(pub Platforms);

#[async_trait(?Send)]
impl CodeExchanger for OtherPlatforms {
    fn apps_are_unread(&self) -> Option<AppCallError> {
        None
    }

    async fn exchange(
        &self,
        tokens: &AccessTokens<'_>,
        code: &LoginCode,
        _attempt: &AttemptId,
    ) -> Result<Session, AppCallError> {
        let app = &tokens.app.id;
        let AppExchanger::Platform(of_platform) = &tokens.app.exchanger else {
            return Err(UnknownApp::NotConfigured.into());
        };
        let exchanged = self.0.exchange(app, of_platform, code).await;
        exchanged.map_err(|error| match &error {
            PlatformError::Refused { meaning, .. } => match meaning {
                Meaning::CodeInvalid => PlatformRefusal::CodeInvalid.into(),
                Meaning::Misconfigured => PlatformRefusal::Misconfigured {
                    error,
                    app: app.clone(),
                }
                .into(),
                Meaning::Unknown => {
                    tracing::warn!(%app, %error, "a platform's error number is in no list of wxmint");
                    Unavailable::Platform(error).into()
                }
                Meaning::Busy | Meaning::SlowDown => Unavailable::Platform(error).into(),
            },
            PlatformError::OtherIdentity { .. } => PlatformRefusal::Misconfigured {
                error,
                app: app.clone(),
            }
            .into(),
            PlatformError::NotSent { .. }
            | PlatformError::Unanswered { .. }
            | PlatformError::Unusable { .. } => Unavailable::Platform(error).into(),
        })
    }
}
