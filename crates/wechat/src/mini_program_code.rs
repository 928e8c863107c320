//! Mini-program codes: pictures that open a page of a mini program when a phone scans them.

use serde_json::{Value, json};

use super::{Api, ByToken, CallError, Result, client::read};

/// The first bytes of every JPEG.
const JPEG: [u8; 3] = [0xff, 0xd8, 0xff];

impl ByToken<'_> {
    /// Draws a mini-program code (`POST /wxa/getwxacodeunlimit`), a JPEG of 430 pixels. It opens
    /// `page`, without a slash in front, or the mini program's first page. The page gets `scene` as
    /// `options.scene`: at most 32 characters. `env_version` is `release`, `trial` or `develop`.
    pub async fn mini_program_code(
        self,
        scene: &str,
        page: Option<&str>,
        env_version: &str,
    ) -> Result<Vec<u8>> {
        self.post(
            Api::MiniProgramCode,
            &wanted(scene, page, env_version),
            picture,
        )
        .await
    }
}

fn wanted(scene: &str, page: Option<&str>, env_version: &str) -> Value {
    // WeChat checks the page against the published version, but other versions may have pages that
    // are not published yet.
    let mut wanted =
        json!({"scene": scene, "env_version": env_version, "check_path": env_version == "release"});
    if let Some(page) = page {
        wanted["page"] = page.into();
    }
    wanted
}

fn picture(body: &[u8]) -> Result<Vec<u8>> {
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
        let refused = picture(
            br#"{"errcode":41030,"errmsg":"invalid page rid: 66739db2-198c0024-24f28ce1"}"#,
        );
        assert_eq!(
            refused.expect_err("refused").verdict(),
            Some(Verdict::Misconfigured)
        );
        for body in [
            &b""[..],
            b"{}",
            b"<html>502</html>",
            b"\x89PNG",
            br#"{"errcode":0,"errmsg":"ok"}"#,
        ] {
            assert!(
                matches!(picture(body), Err(CallError::Unanswered { .. })),
                "{body:?}"
            );
        }
    }

    #[test]
    fn only_a_published_page_is_checked_against_the_published_version() {
        let scene = wanted("WDJBMJHT", Some("pages/scan/index"), "release");
        assert_eq!(scene["page"], "pages/scan/index");
        assert_eq!(
            (&scene["scene"], &scene["check_path"]),
            (&"WDJBMJHT".into(), &true.into())
        );
        let trial = wanted("WDJBMJHT", None, "trial");
        assert_eq!(
            (&trial["check_path"], trial.get("page")),
            (&false.into(), None)
        );
    }
}
