//! The ways to log in, each as an example that the viewer can send.

use std::sync::Arc;

use actix_web::web::Data;
use serde_json::{Map, Value, json};
use utoipa::{
    Modify,
    openapi::{
        Content, OpenApi, RefOr,
        example::{Example, ExampleBuilder},
    },
};

use crate::issuer::Routes;

/// The values of the examples. A code works once, so only the demo's stand-in of WeChat has codes that work.
pub struct LoginExamples {
    /// The AppID, if a code alone does not tell which mini program it belongs to.
    pub appid: Option<String>,
    pub code: Box<dyn Fn() -> String + Send + Sync>,
    /// A code of the button getPhoneNumber.
    pub phone_code: Box<dyn Fn() -> String + Send + Sync>,
    pub account: [&'static str; 2],
}

impl Default for LoginExamples {
    fn default() -> Self {
        Self {
            appid: None,
            code: Box::new(|| "0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h".into()),
            phone_code: Box::new(|| "bf7a7e8e3a1d4c0d9f6b2e5c8a7d4f10".into()),
            account: ["lin", "jasmine"],
        }
    }
}

/// Name of the example, summary, and fields. The viewer shows the alphabetically first name first.
type Way = (&'static str, &'static str, &'static [&'static str]);

const WAYS: [Way; 5] = [
    ("code", "A code of wx.login", &["code"]),
    ("code of an app", "Where several mini programs are configured", &["code", "appid"]),
    ("code, with password", "To bind the person to an account by its password", &["code", "username", "password"]),
    ("code, with phone number", "To log in by phone number", &["code", "phone_code"]),
    ("ticket, with password", "After binding_required", &["bind_ticket", "username", "password"]),
];

impl LoginExamples {
    pub fn into_routes(self) -> Routes {
        let examples = Data::new(self);
        Arc::new(move |config| {
            config.app_data(Data::clone(&examples));
        })
    }

    fn value(&self, field: &str) -> String {
        match field {
            "code" => (self.code)(),
            "phone_code" => (self.phone_code)(),
            "appid" => self.appid.clone().unwrap_or_else(|| "wx0123456789abcdef".into()),
            "username" => self.account[0].into(),
            "password" => self.account[1].into(),
            _ => "3q2-7wAAAAAAAAAAAAAAAA".into(),
        }
    }

    fn example(&self, summary: &str, fields: &[&str]) -> RefOr<Example> {
        let of_an_app = self.appid.as_ref().filter(|_| fields.contains(&"code")).map(|_| &"appid");
        let members: Map<_, _> =
            fields.iter().chain(of_an_app).map(|field| ((*field).into(), self.value(field).into())).collect();
        ExampleBuilder::new().summary(summary).value(Some(Value::Object(members))).into()
    }
}

impl Modify for LoginExamples {
    fn modify(&self, api: &mut OpenApi) {
        for content in bodies(api, "/login") {
            let examples = WAYS.map(|(name, summary, fields)| (name.into(), self.example(summary, fields)));
            content.examples.extend(examples);
        }
        for content in bodies(api, "/wechat/phone") {
            content.example = Some(json!({"code": (self.phone_code)()}));
        }
    }
}

/// The bodies of `POST PATH`, one for each media type.
fn bodies<'a>(api: &'a mut OpenApi, path: &str) -> impl Iterator<Item = &'a mut Content> {
    let operation = api.paths.paths.get_mut(path).and_then(|item| item.post.as_mut());
    let body = operation.and_then(|operation| operation.request_body.as_mut());
    let contents = body.into_iter().filter_map(|body| if let RefOr::T(body) = body { Some(body) } else { None });
    let contents = contents.flat_map(|body| body.content.values_mut());
    contents.filter_map(|content| if let RefOr::T(content) = content { Some(content) } else { None })
}
