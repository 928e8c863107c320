//! Mini-program codes: `getwxacodeunlimit`, as strict as WeChat. Only WeChat can read a real code,
//! so this one is an ordinary QR code whose text says what WeChat would open.
//!
//! The rules are from WeChat's page. It has also been reported that WeChat widens a picture that is
//! too narrow, reads numbers that are texts, and refuses `null` with 47001. The order of the checks
//! is a guess.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jpeg_encoder::{ColorType, Encoder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::{Color, QrCode};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use super::call::{Call, Refusal};
use super::endpoints::text;
use super::world::World;

/// The most calls of an app in a minute.
const MOST_IN_MINUTE: u32 = 5_000;
const LONGEST_SCENE: usize = 32;
/// The characters that a scene may have besides letters and digits.
const SCENE_MARKS: &str = "!#$&'()*+,/:;=?@-._~";
const VERSIONS: [&str; 3] = ["release", "trial", "develop"];
/// The white border of a QR code, in modules.
const BORDER: u32 = 4;
const QUALITY: u8 = 90;
const WHITE: [u8; 3] = [255; 3];
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const BAD_VERSION: Refusal = Refusal(40097);
const BAD_SCENE: Refusal = Refusal(40129);
const BAD_LENGTH: Refusal = Refusal(40169);
const BAD_PAGE: Refusal = Refusal(41030);
const TOO_MANY: Refusal = Refusal(45009);
const BAD_FORM: Refusal = Refusal(47001);

/// The members besides `scene`. `is_hyaline` has no effect, because a JPEG has no transparent
/// background.
#[derive(Deserialize)]
#[serde(default)]
struct Wanted {
    page: String,
    check_path: bool,
    env_version: String,
    #[serde(deserialize_with = "number")]
    width: f64,
    auto_color: bool,
    line_color: LineColor,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            page: String::new(),
            check_path: true,
            env_version: VERSIONS[0].to_owned(),
            width: 430.0,
            auto_color: false,
            line_color: LineColor::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LineColor {
    #[serde(deserialize_with = "number")]
    r: f64,
    #[serde(deserialize_with = "number")]
    g: f64,
    #[serde(deserialize_with = "number")]
    b: f64,
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| D::Error::custom("not a number"))
}

impl Wanted {
    fn width(&self) -> u32 {
        self.width.clamp(280.0, 1280.0) as u32
    }

    /// The app has no main colour, so `auto_color` gives black.
    fn color(&self) -> [u8; 3] {
        let LineColor { r, g, b } = self.line_color;
        if self.auto_color {
            [0; 3]
        } else {
            [r, g, b].map(|part| part as u8)
        }
    }
}

#[derive(Default)]
pub(super) struct CallsInMinute {
    minute: i64,
    calls: BTreeMap<usize, u32>,
}

impl CallsInMinute {
    /// Counts a call. Returns whether the call is within the quota.
    fn count(&mut self, app: usize, now: DateTime<Utc>) -> bool {
        let minute = now.timestamp() / 60;
        if self.minute != minute {
            *self = Self {
                minute,
                calls: BTreeMap::new(),
            };
        }
        let calls = self.calls.entry(app).or_default();
        *calls += 1;
        *calls <= MOST_IN_MINUTE
    }
}

/// Whether WeChat accepts a text as the path of a page, published or not.
pub(super) fn is_page_path(page: &str) -> bool {
    !page.starts_with('/') && !page.contains('?')
}

impl World {
    pub(super) fn mini_program_code(&self, call: &Call<'_>) -> Result<Vec<u8>, Refusal> {
        let app = self.app_of_token(call)?;
        if !self.code_calls.lock().count(app, call.now) {
            return Err(TOO_MANY);
        }
        let members: Map<String, Value> =
            serde_json::from_slice(call.body).map_err(|_| BAD_LENGTH)?;
        let scene = text(&members, "scene")
            .filter(|scene| scene.chars().count() <= LONGEST_SCENE)
            .ok_or(BAD_LENGTH)?;
        if !scene
            .chars()
            .all(|mark| mark.is_ascii_alphanumeric() || SCENE_MARKS.contains(mark))
        {
            return Err(BAD_SCENE);
        }
        let scene = scene.to_owned();
        let wanted: Wanted = serde_json::from_value(members.into()).map_err(|_| BAD_FORM)?;
        if !VERSIONS.contains(&wanted.env_version.as_str()) {
            return Err(BAD_VERSION);
        }
        let page = self.opened_page(app, &wanted).ok_or(BAD_PAGE)?;
        let [page, scene] = [&page, &scene].map(|value| utf8_percent_encode(value, ENCODED));
        let (appid, version) = (&self.apps[app].id, &wanted.env_version);
        let opened = format!(
            "https://wxa.simulated/{appid}?page={page}&scene={scene}&env_version={version}"
        );
        drawn(&opened, wanted.width(), wanted.color()).ok_or(BAD_PAGE)
    }

    fn opened_page(&self, app: usize, wanted: &Wanted) -> Option<String> {
        let page = &wanted.page;
        let published = &self.terms.of(app).pages;
        if page.is_empty() {
            return published.first().cloned();
        }
        (is_page_path(page) && (!wanted.check_path || published.contains(page)))
            .then(|| page.clone())
    }
}

/// A JPEG of the text as a QR code; `None` if the text is too long.
fn drawn(text: &str, width: u32, color: [u8; 3]) -> Option<Vec<u8>> {
    let code = QrCode::new(text).ok()?;
    let modules = code.width() as u32;
    let pixels = width / (modules + 2 * BORDER);
    let start = (width - pixels * modules) / 2;
    let module =
        |pixel: u32| Some(pixel.checked_sub(start)? / pixels).filter(|module| *module < modules);
    let pixel = |x, y| match (module(x), module(y)) {
        (Some(x), Some(y)) if code[(x as usize, y as usize)] == Color::Dark => color,
        _ => WHITE,
    };
    let picture: Vec<u8> = (0..width)
        .flat_map(|y| (0..width).flat_map(move |x| pixel(x, y)))
        .collect();
    let side = width.try_into().ok()?;
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, QUALITY)
        .encode(&picture, side, side, ColorType::Rgb)
        .ok()?;
    Some(jpeg)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::http::Method;
    use chrono::TimeDelta;
    use rqrr::PreparedImage;
    use serde_json::json;
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;

    use super::super::access_tokens::Bad;
    use super::super::call::{Answer, Endpoint, Params};
    use super::*;
    use crate::{App, apps::Kind, now};

    const APPID: &str = "wx0123456789abcdef";
    const OPENED: &str = "https://wxa.simulated/wx0123456789abcdef?page=pages%2Fscan%2Findex&scene=WDJBMJHT&env_version=release";

    fn world() -> (Arc<World>, String) {
        let app = |id: &str| App {
            id: id.parse().expect("an AppID"),
            secret: "5ec2e7".to_owned(),
            unionid: true,
            kind: Kind::default(),
        };
        let world = World::new(vec![app(APPID), app("wxfedcba9876543210")], 0);
        let token = access_token(&world, 0);
        (world, token)
    }

    fn access_token(world: &World, app: usize) -> String {
        world
            .access_tokens
            .lock()
            .issue(app, false, now())
            .expect("a token")
            .0
    }

    fn good() -> Value {
        json!({"scene": "WDJBMJHT", "page": "pages/scan/index"})
    }

    fn ask(world: &World, token: &str, body: &[u8], now: DateTime<Utc>) -> Answer {
        let params = Params::parse(&format!("access_token={token}"));
        let call = Call {
            endpoint: Endpoint::MiniProgramCode,
            method: &Method::POST,
            params: &params,
            content_type: None,
            body,
            now,
        };
        world.answer(&call)
    }

    fn errcode(answer: &Answer) -> Value {
        let refused: Value = serde_json::from_slice(&answer.body).expect("a refusal");
        assert_eq!(answer.content_type, "application/json; encoding=utf-8");
        refused["errcode"].clone()
    }

    /// The red, green and blue of each pixel, read by an independent decoder, and the width of the
    /// picture.
    fn decoded(answer: &Answer) -> (Vec<u8>, usize) {
        assert_eq!(answer.content_type, "image/jpeg", "{:?}", answer.body);
        let mut decoder = JpegDecoder::new(ZCursor::new(&answer.body));
        let pixels = decoder.decode().expect("a JPEG");
        let (width, height) = decoder.dimensions().expect("a width");
        assert_eq!((width, pixels.len()), (height, 3 * width * height));
        (pixels, width)
    }

    /// The text of the QR code, read by an independent reader, and the width of the picture.
    fn read(answer: &Answer) -> (String, usize) {
        let (pixels, width) = decoded(answer);
        let green = |x, y| pixels[3 * (y * width + x) + 1];
        let mut prepared = PreparedImage::prepare_from_greyscale(width, width, green);
        let grids = prepared.detect_grids();
        assert_eq!(grids.len(), 1, "one QR code");
        (grids[0].decode().expect("a text").1, width)
    }

    /// The answer if these members are added to valid members.
    fn answer(members: Value) -> Answer {
        let (world, token) = world();
        let mut body = good();
        body.as_object_mut()
            .expect("an object")
            .extend(members.as_object().expect("an object").clone());
        ask(&world, &token, body.to_string().as_bytes(), now())
    }

    #[test]
    fn a_code_says_what_wechat_would_open() {
        assert_eq!(read(&answer(json!({}))), (OPENED.to_owned(), 430));
        let home = OPENED.replace("scan", "index");
        assert_eq!(read(&answer(json!({"page": ""}))).0, home);
        for version in ["trial", "develop"] {
            let opened = OPENED.replace("release", version);
            assert_eq!(read(&answer(json!({"env_version": version}))).0, opened);
        }
    }

    #[test]
    fn a_scene_is_1_to_32_of_wechats_characters() {
        let encoded = "%21%23%24%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40-._~azAZ09876543";
        let scene = "!#$&'()*+,/:;=?@-._~azAZ09876543";
        assert_eq!(scene.len(), 32);
        let opened = OPENED.replace("WDJBMJHT", encoded);
        for width in [280, 1280] {
            assert_eq!(
                read(&answer(json!({"scene": scene, "width": width}))),
                (opened.clone(), width)
            );
        }
        for (scene, expected) in [
            (json!(""), 40169),
            (Value::Null, 40169),
            (json!(7), 40169),
            (json!(format!("{scene}2")), 40169),
            (json!("a b"), 40129),
            (json!("100%"), 40129),
            (json!("a\"b"), 40129),
            (json!("登录"), 40129),
        ] {
            assert_eq!(
                errcode(&answer(json!({"scene": scene}))),
                expected,
                "{scene}"
            );
        }
    }

    #[test]
    fn a_body_that_is_no_json_object_is_40169_and_a_member_of_a_wrong_type_is_47001() {
        let (world, token) = world();
        for body in [
            "",
            "scene=WDJBMJHT&page=pages/scan/index",
            "[]",
            "\"scene\"",
        ] {
            assert_eq!(
                errcode(&ask(&world, &token, body.as_bytes(), now())),
                40169,
                "{body}"
            );
        }
        for (member, value) in [
            ("line_color", Value::Null),
            ("line_color", json!({"r": "red"})),
            ("page", json!(1)),
            ("check_path", json!("no")),
            ("auto_color", json!(1)),
            ("width", json!("wide")),
        ] {
            assert_eq!(
                errcode(&answer(json!({member: value}))),
                47001,
                "{member} {value}"
            );
        }
    }

    #[test]
    fn a_page_is_published_unless_check_path_is_false() {
        for page in [
            "pages/none/index",
            "/pages/scan/index",
            "pages/scan/index?a=1",
        ] {
            assert_eq!(errcode(&answer(json!({"page": page}))), 41030, "{page}");
            let unchecked = answer(json!({"page": page, "check_path": false}));
            match page {
                "pages/none/index" => {
                    assert_eq!(read(&unchecked).0, OPENED.replace("scan", "none"));
                }
                _ => assert_eq!(errcode(&unchecked), 41030, "{page}"),
            }
        }
        let endless = "a".repeat(5000);
        assert_eq!(
            errcode(&answer(json!({"page": endless, "check_path": false}))),
            41030
        );
    }

    #[test]
    fn the_pages_of_an_app_are_published_by_the_control_api() {
        let (world, token) = world();
        let publish = |pages: Value| {
            let change = serde_json::from_value(json!({"pages": pages})).expect("a change");
            assert_eq!(world.change_app(0, change)["pages"], pages);
        };
        let ask = |body: Value| ask(&world, &token, body.to_string().as_bytes(), now());
        publish(json!(["pages/home", "pages/more"]));
        assert_eq!(errcode(&ask(good())), 41030);
        let home = OPENED.replace("scan%2Findex", "home");
        assert_eq!(read(&ask(json!({"scene": "WDJBMJHT"}))).0, home);
        publish(json!([]));
        assert_eq!(
            errcode(&ask(json!({"scene": "WDJBMJHT"}))),
            41030,
            "there is no home page"
        );
    }

    #[test]
    fn an_unknown_version_is_40097() {
        for version in ["", "Release", "test"] {
            assert_eq!(
                errcode(&answer(json!({"env_version": version}))),
                40097,
                "{version}"
            );
        }
    }

    #[test]
    fn a_picture_is_280_to_1280_pixels_wide_and_has_the_colour_that_was_asked_for() {
        for (asked, width) in [(json!(100), 280), (json!(5000), 1280), (json!("300"), 300)] {
            assert_eq!(
                read(&answer(json!({"width": asked}))),
                (OPENED.to_owned(), width),
                "{asked}"
            );
        }
        let green = json!({"r": "0", "g": 120, "b": "0"});
        let is_green = |auto: bool| {
            let answer =
                answer(json!({"line_color": green, "auto_color": auto, "is_hyaline": true}));
            assert_eq!(read(&answer).0, OPENED);
            decoded(&answer)
                .0
                .chunks_exact(3)
                .any(|pixel| pixel[0] < 30 && pixel[2] < 30 && pixel[1] > 90)
        };
        assert_eq!([is_green(false), is_green(true)], [true, false]);
    }

    #[test]
    fn an_access_token_is_missing_wrong_or_expired() {
        let (world, token) = world();
        let body = good().to_string();
        let asked = |token: &str| errcode(&ask(&world, token, body.as_bytes(), now()));
        assert_eq!([asked(""), asked("x")], [41001, 40001]);
        world.access_tokens.lock().end(None, Bad::Expired, now());
        assert_eq!(asked(&token), 42001);
    }

    #[test]
    fn an_app_has_5000_calls_in_a_minute() {
        let (world, token) = world();
        let start = DateTime::from_timestamp(now().timestamp() / 60 * 60, 0).expect("a time");
        let (end, next) = (
            start + TimeDelta::seconds(59),
            start + TimeDelta::seconds(60),
        );
        for _ in 0..5000 {
            assert_eq!(errcode(&ask(&world, &token, b"{}", start)), 40169);
        }
        let body = good().to_string();
        let asked = |token: &str, now| ask(&world, token, body.as_bytes(), now);
        assert_eq!(errcode(&asked(&token, end)), 45009);
        read(&asked(&access_token(&world, 1), end));
        read(&asked(&token, next));
    }
}
