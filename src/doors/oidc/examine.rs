//! The part of the doctor's check of clients that is about sites.

use wxmint_findings::Finding;
use wxmint_wechat::{App, AppKind};

use super::{Oidc, WORDS, scan_of};
use crate::doors::scan::Scan;
use crate::issuer::Issuer;

impl Oidc {
    /// Finds what sites ask for and cannot have, and what gives their codes away.
    pub(super) fn findings(issuer: &Issuer) -> Vec<Finding> {
        let clients = scan_of(issuer).map(Scan::clients).unwrap_or_default();
        let apps = issuer.apps.all();
        let web_apps = clients.iter().flat_map(|client| client.site.web_apps.iter().map(move |app| (client, app)));
        let unknown = web_apps.filter(|(_, app)| {
            let is_for_web = |app: &App| matches!(app.kind, AppKind::OfficialAccount | AppKind::Website);
            !apps.choose(Some(*app), None).is_ok_and(is_for_web)
        });
        let unknown = unknown.map(|(client, app)| {
            let found = said!(WORDS: web_app_of_client_is_not_configured, client.id, app);
            (found, said!(WORDS: add_file_of_this_app_or_take_it_out))
        });
        let over_http = clients.iter().filter(|client| {
            client.is_back_end() && client.site.redirect_uris.iter().any(|address| address.starts_with("http://"))
        });
        let over_http = over_http.map(|client| {
            let found = said!(WORDS: redirect_uri_of_back_end_is_over_http, client.id);
            (found, said!(WORDS: use_https_but_while_developing))
        });
        unknown.chain(over_http).map(|(found, advice)| Finding::warning("clients", found, advice)).collect()
    }
}
