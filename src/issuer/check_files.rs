//! The check files by which WeChat's console sees that an address is the operator's
//! (`WXMINT_VERIFY_FILES_DIR`).

use std::path::{Path, PathBuf};

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, http::header};
use wxmint_http::{Answer, not_found, readable};

use super::route_constants::PLACE;
use crate::secret_files::read_file;

/// WeChat's check files have a few bytes.
const MOST_BYTES: u64 = 4096;

pub(super) fn check_files(config: &mut ServiceConfig, folder: &Path) {
    // In the folder of the rule, or at the top: the console says which.
    for path in [
        "/device/{file:[A-Za-z0-9_-]{1,64}\\.txt}",
        "/{file:[A-Za-z0-9_-]{1,64}\\.txt}",
    ] {
        let folder = folder.to_owned();
        config.service(readable(path, move |name: web::Path<String>| {
            check_file(folder.join(name.as_str()))
        }));
    }
}

/// Serves a file of one name without a slash, so that no path leads out of the folder.
async fn check_file(path: PathBuf) -> Answer {
    let read = web::block(move || read_file(&path, MOST_BYTES + 1)).await;
    let content = read
        .ok()
        .and_then(Result::ok)
        .filter(|content| content.len() as u64 <= MOST_BYTES);
    let content = content.ok_or_else(|| not_found(PLACE))?.to_vec();
    let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(HttpResponse::Ok()
        .insert_header(kind)
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(content))
}
