//! `/console`: a page for the person on duty. It holds no power: what it shows and does, it asks for with the secret
//! that the person types, by the routes that are here for everybody who has one.

use std::future::ready;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, body::MessageBody, web::ServiceConfig};
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::page::{CSS, EARLY, HTML, JS, LOOK, THEME, answer};
use wxmint_http::{Answer, Problem, private, readable};

use super::act::{Act, OperatingData};
use super::tokens::Right;

const FILES: [(&str, &str, &str); 9] = [
    ("/console", HTML, include_str!("console/index.html")),
    ("/console/early.js", JS, EARLY),
    ("/console/look.css", CSS, LOOK),
    ("/console/theme.js", JS, THEME),
    ("/console/console.css", CSS, include_str!("console/console.css")),
    ("/console/console.js", JS, include_str!("console/console.js")),
    ("/console/user.js", JS, include_str!("console/user.js")),
    ("/console/watch.js", JS, include_str!("console/watch.js")),
    ("/console/words.js", JS, include_str!("console/words.js")),
];

/// Beside the policy of every page: no script makes markup or code of a text.
const TRUSTED_TYPES: &str = "require-trusted-types-for 'script'; trusted-types 'none'";

/// The name of a script with a panel of the console, and the script.
pub type Panel = (&'static str, &'static str);

pub(super) fn pages(config: &mut ServiceConfig, panels: &[Panel]) {
    for (path, kind, content) in FILES {
        config.service(readable(path, move || ready(page(kind, content))));
    }
    let (mut imports, mut names) = (String::new(), Vec::new());
    for &(name, script) in panels {
        config.service(readable(&format!("/console/{name}.js"), move || ready(page(JS, script))));
        imports += &format!("import * as {name} from \"./{name}.js\";\n");
        names.push(name);
    }
    let doors = format!("{imports}export const doors = [{}];\n", names.join(", "));
    config.service(readable("/console/doors.js", move || ready(page(JS, doors.clone()))));
}

/// No cache keeps it, so that a browser does not bring it back as it was left, with what it showed.
fn page(kind: &'static str, content: impl MessageBody + 'static) -> HttpResponse {
    let mut page = answer(kind, content);
    page.headers_mut().append(CONTENT_SECURITY_POLICY, HeaderValue::from_static(TRUSTED_TYPES));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

/// The answer of `GET /whoami`.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretHolder {
    name: String,
    rights: Vec<String>,
}

/// Say whose secret this is
///
/// The console asks when somebody signs in.
#[utoipa::path(get, path = "/whoami", tag = "duty", security(("bearer" = [])),
    responses((status = 200, description = "The holder", body = SecretHolder)))]
pub(super) async fn whoami(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::<()>::begin("whoami", None::<Right>, &request, operating).await?;
    let (name, rights) = (act.by.name.clone(), act.by.rights.iter().map(Right::to_string).collect());
    Ok(private(act.done(Ok::<_, Problem>(SecretHolder { name, rights }))?))
}
