//! The part of the doctor's check of clients that is about sites.

use wxmint_findings::Finding;
use wxmint_wechat::{App, AppKind};

use super::{WORDS, clients};
use crate::issuer::Issuer;

/// Finds what sites ask for and cannot have, and what gives their codes away.
pub(super) fn findings(issuer: &Issuer) -> Vec<Finding> {
    let (clients, apps, mut found) = (clients(issuer), issuer.apps.all(), Vec::new());
    let is_for_web = |app: &App| matches!(app.kind, AppKind::OfficialAccount | AppKind::Website);
    let mut tell = |wrong, advice| found.push(Finding::warning("clients", wrong, advice));
    for client in clients.iter() {
        for app in &client.site.web_apps {
            if !apps.choose(Some(app), None).is_ok_and(is_for_web) {
                let wrong = said!(WORDS: web_app_of_client_is_not_configured, client.id, app);
                tell(wrong, said!(WORDS: add_file_of_this_app_or_take_it_out));
            }
        }
        if client.is_back_end() && client.site.redirect_uris.iter().any(|address| address.starts_with("http://")) {
            let wrong = said!(WORDS: redirect_uri_of_back_end_is_over_http, client.id);
            tell(wrong, said!(WORDS: use_https_but_while_developing));
        }
    }
    found
}
