//! Checks whether the account backend answers as it should. The requests change nothing: they send
//! a password that nobody has.

use wxmint_ids::{AppId, UserId};
use wxmint_store::AttemptId;

use crate::accounts::{Accounts, AccountsError};
use crate::findings::Finding;
use crate::issuer::Issuer;
use crate::settings::{AccountsSource, Settings};

const NAME: &str = "accounts";
const NOBODY: &str = "wxmint-doctor";

pub(super) async fn examine(issuer: Option<&Issuer>, settings: &Settings) -> Option<Finding> {
    let issuer = issuer?;
    Some(
        match (
            &settings.accounts,
            issuer.users.as_ref().map(|(_, users)| users.count()),
        ) {
            (AccountsSource::Auto, _) => Finding::ok(NAME, message!(auto_first_login_makes_user)),
            (AccountsSource::File(path), Some(0)) if !settings.auto_provision => Finding::warning(
                NAME,
                message!(has_no_user, path.display()),
                message!(run_users_add, path.display()),
            ),
            (AccountsSource::File(_), users) => Finding::ok(
                NAME,
                message!(number_of_user_names, users.unwrap_or_default()),
            ),
            (AccountsSource::Service(_), _) => match issuer.accounts() {
                Ok(backend) => match ask(&*backend, &an_app(issuer), settings.accounts_check).await
                {
                    Ok(user) => answered(user),
                    Err(why) => unanswered(&why),
                },
                Err(error) => Finding::unchecked(NAME, error),
            },
        },
    )
}

/// The first app that is configured. Without one, an AppID that no app has.
fn an_app(issuer: &Issuer) -> AppId {
    let apps = issuer.apps.all();
    let first = apps.iter().next().map(|app| app.id.clone());
    first.unwrap_or_else(|| NOBODY.parse().expect("an AppID"))
}

async fn ask(
    accounts: &dyn Accounts,
    app: &AppId,
    checks_logins: bool,
) -> Result<Option<UserId>, AccountsError> {
    let password = format!("nobody has this {}", AttemptId::random())
        .parse()
        .expect("a password");
    let user = accounts
        .check_password(app, &NOBODY.parse().expect("a name"), &password, "")
        .await?;
    if user.is_none() && checks_logins {
        accounts
            .check_login(app, &NOBODY.parse().expect("a user id"))
            .await?;
    }
    Ok(user)
}

fn answered(user: Option<UserId>) -> Finding {
    match user {
        None => Finding::ok(NAME, message!(service_refuses_wrong_password)),
        Some(_) => Finding::fault(
            NAME,
            message!(service_takes_random_password, NOBODY),
            message!(have_it_answer_null),
        ),
    }
}

fn unanswered(AccountsError { reason, cure, .. }: &AccountsError) -> Finding {
    Finding::fault(
        NAME,
        message!(service_gave_no_usable_answer, reason),
        cure.clone(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::accounts::Unusable;
    use crate::findings::Status;

    #[tokio::test]
    async fn where_a_file_cannot_be_used_the_checks_of_files_tell_it_alone() {
        let names = [
            "ISSUER",
            "APPID",
            "APP_SECRET",
            "REDIS_URL",
            "KEYS",
            "VAULT_KEY_FILE",
        ];
        let values = [
            "https://a.example",
            "wx0123456789abcdef",
            &"0".repeat(32),
            "memory:",
            "k",
            "v",
        ];
        let vars = names
            .iter()
            .zip(values)
            .map(|(name, value)| (format!("WXMINT_{name}"), value.to_owned()));
        assert_eq!(
            examine(None, &Settings::from_vars(vars).expect("settings")).await,
            None
        );
    }

    #[test]
    fn each_wrong_answer_has_its_advice() {
        for (unusable, advice) in [
            (Unusable::Status(404), "the URL below which"),
            (Unusable::Status(302), "the final URL"),
            (Unusable::Status(401), "the audience"),
            (Unusable::Status(500), "log of the service"),
            (Unusable::Status(429), "raise the limit"),
            (Unusable::NotJson(3), "docs/accounts.openapi.yaml"),
            (Unusable::Contradiction, "docs/accounts.openapi.yaml"),
        ] {
            let (reason, cure) = ((&unusable).into(), unusable.cure());
            let found = unanswered(&AccountsError {
                reason,
                cure,
                retry_after: Duration::ZERO,
            });
            assert!(
                found.status == Status::Fault && found.advice.contains(advice),
                "{found:?}"
            );
        }
        let [yes, no] =
            [Some("u-1".parse().expect("a user id")), None].map(|user| answered(user).status);
        assert_eq!([yes, no], [Status::Fault, Status::Ok]);
    }
}
