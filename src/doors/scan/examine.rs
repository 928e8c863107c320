//! The check of the doctor.

use super::{CHECK, Scan};
use crate::{
    findings::{Finding, count},
    issuer::Issuer,
};

impl Scan {
    /// Finds what the file of clients asks for and cannot have, or gives up.
    pub(super) fn findings(&self, issuer: &Issuer) -> Vec<Finding> {
        let (clients, apps) = (self.clients(), issuer.apps.all());
        let warning = |found, advice| Finding::warning(CHECK, found, advice);
        let unknown = clients.iter().filter(|client| apps.choose(Some(&client.app), None).is_err()).map(|client| {
            let found = format!(
                "the `appid` of {}, {}, is not configured, so its requests are answered with unauthorized_client",
                client.id, client.app
            );
            warning(found, "correct the `appid`, or configure the AppSecret of this mini program")
        });
        let numberless = clients.iter().filter(|client| !client.matches).map(|client| {
            let found = format!(
                "{} has `match` false: nobody compares a number, so whoever is sent the code of somebody else's page and \
                 confirms logs that page in",
                client.id
            );
            warning(found, "leave `match` out if the page can show a number")
        });
        let folder = issuer.settings.verify_files_dir.as_ref().filter(|path| !path.is_dir()).map(|path| {
            let found = format!(
                "WXMINT_VERIFY_FILES_DIR: {} is not a folder that can be read, so WeChat's console finds no check file",
                path.display()
            );
            warning(found, "name the folder that has these files")
        });
        let mut found: Vec<_> = unknown.chain(numberless).chain(folder).collect();
        if found.is_empty() {
            found.push(Finding::ok(CHECK, format!("{} may ask for a scan", count(clients.iter().count(), "client"))));
        }
        found
    }
}
