//! Mini-program codes: pictures that open a page of a mini program when a phone scans them.

use serde::Serialize;
use serde_json::Value;

use super::{Api, App, AppAccessToken, CallError, WeChat, call::read, client::Endpoint};

/// Every JPEG begins with this.
const JPEG: [u8; 3] = [0xff, 0xd8, 0xff];

/// The page that a mini-program code opens.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Scene<'a> {
    /// The page gets this as `options.scene`: at most 32 characters.
    pub scene: &'a str,
    /// The page, without a slash in front; the mini program's first page if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<&'a str>,
    /// `release`, `trial` or `develop`.
    pub env_version: &'a str,
    /// Whether the page must be in the published version: other versions may have pages that are not there yet.
    check_path: bool,
}

impl<'a> Scene<'a> {
    pub fn new(scene: &'a str, page: Option<&'a str>, env_version: &'a str) -> Self {
        Self { scene, page, env_version, check_path: env_version == "release" }
    }
}

impl WeChat {
    /// Draws a mini-program code (`POST /wxa/getwxacodeunlimit`), a JPEG of 430 pixels.
    pub async fn mini_program_code(
        &self,
        app: &App,
        token: &AppAccessToken,
        scene: Scene<'_>,
    ) -> Result<Vec<u8>, CallError> {
        let request = |endpoint: &Endpoint| endpoint.post([("access_token", token.expose())], &scene);
        self.call(Api::MiniProgramCode, app, request, picture).await
    }
}

fn picture(body: &[u8]) -> Result<Vec<u8>, CallError> {
    if body.starts_with(&JPEG) {
        return Ok(body.to_vec());
    }
    read::<Value>(Api::MiniProgramCode, body)?;
    Err(CallError::unanswered("neither an errcode nor a JPEG"))
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn an_answer_is_a_jpeg_or_an_errcode() {
        let jpeg = [&JPEG[..], b"picture"].concat();
        assert_eq!(picture(&jpeg), Ok(jpeg.clone()));
        let refused = picture(br#"{"errcode":41030,"errmsg":"invalid page rid: 66739db2-198c0024-24f28ce1"}"#);
        assert_eq!(refused.expect_err("refused").verdict(), Some(Verdict::Misconfigured));
        for body in [&b""[..], b"{}", b"<html>502</html>", b"\x89PNG", br#"{"errcode":0,"errmsg":"ok"}"#] {
            assert!(matches!(picture(body), Err(CallError::Unanswered { .. })), "{body:?}");
        }
    }

    #[test]
    fn only_a_published_page_is_checked_against_the_published_version() {
        let json = |scene: Scene<'_>| serde_json::to_value(scene).expect("JSON");
        let scene = json(Scene::new("WDJBMJHT", Some("pages/scan/index"), "release"));
        assert_eq!(scene["page"], "pages/scan/index");
        assert_eq!((&scene["scene"], &scene["check_path"]), (&"WDJBMJHT".into(), &true.into()));
        let trial = json(Scene::new("WDJBMJHT", None, "trial"));
        assert_eq!((&trial["check_path"], trial.get("page")), (&false.into(), None));
    }
}
