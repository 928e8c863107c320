//! The check of the doctor.

use wxmint_findings::{Finding, count};

use super::{CHECK, Scan, WORDS};
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
        let folder = issuer.settings.verify_files_dir.as_ref().filter(|path| !path.is_dir()).map(|path| {
            warning(
                said!(WORDS: verify_files_dir_is_not_folder, path.display()),
                said!(WORDS: name_folder_of_these_files),
            )
        });
        let mut found: Vec<_> = unknown.chain(numberless).chain(folder).collect();
        if found.is_empty() {
            let number = count(clients.iter().count(), ["client", "个客户端"]);
            found.push(Finding::ok(CHECK, said!(WORDS: may_ask_for_scan, number)));
        }
        found
    }
}
