//! The check of the doctor.

use super::{CHECK, Scan, WORDS};
use wxmint_wechat::AppKind;

use crate::findings::{Finding, count};
use crate::issuer::Issuer;

impl Scan {
    /// Finds what the file of clients asks for and cannot have, or gives up.
    pub(super) fn findings(&self, issuer: &Issuer) -> Vec<Finding> {
        let (clients, apps) = (self.clients(), issuer.apps.all());
        let warning = |found, advice| Finding::warning(CHECK, found, advice);
        let unknown = clients.iter().filter(|client| apps.choose(Some(&client.app), None).is_err()).map(|client| {
            let found = said!(WORDS: appid_of_client_is_not_configured, client.id, client.app);
            warning(found, said!(WORDS: correct_appid_or_configure_appsecret))
        });
        let numberless = clients
            .iter()
            .filter(|client| !client.matches)
            .map(|client| warning(said!(WORDS: client_compares_no_number, client.id), said!(WORDS: leave_match_out)));
        let unknown_web = clients.iter().flat_map(|client| client.form.web_apps.iter().map(move |app| (client, app)));
        let unknown_web = unknown_web.filter(|(_, app)| {
            let app = app.parse().ok().and_then(|app| apps.choose(Some(&app), None).ok());
            app.is_none_or(|app| !matches!(app.kind, AppKind::OfficialAccount | AppKind::Website))
        });
        let unknown_web = unknown_web.map(|(client, app)| {
            (
                said!(WORDS: web_app_of_client_is_not_configured, client.id, app),
                said!(WORDS: add_file_of_this_app_or_take_it_out),
            )
        });
        let over_http = clients.iter().filter(|client| {
            client.is_back_end() && client.form.redirect_uris.iter().any(|address| address.starts_with("http://"))
        });
        let over_http = over_http.map(|client| {
            (
                said!(WORDS: redirect_uri_of_back_end_is_over_http, client.id),
                said!(WORDS: use_https_but_while_developing),
            )
        });
        let of_sites = unknown_web.chain(over_http).map(|(found, advice)| warning(found, advice));
        let folder = issuer.settings.verify_files_dir.as_ref().filter(|path| !path.is_dir()).map(|path| {
            warning(
                said!(WORDS: verify_files_dir_is_not_folder, path.display()),
                said!(WORDS: name_folder_of_these_files),
            )
        });
        let mut found: Vec<_> = unknown.chain(numberless).chain(of_sites).chain(folder).collect();
        if found.is_empty() {
            let number = count(clients.iter().count(), ["client", "个客户端"]);
            found.push(Finding::ok(CHECK, said!(WORDS: may_ask_for_scan, number)));
        }
        found
    }
}
