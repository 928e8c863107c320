//! The tags by which a token is told apart as a client's, to whom it is issued in place of the app.
//! At this issuer, such a token can only log out.

use wxmint_ids::{AppId, Person};
use wxmint_keys::token::Minter;
use wxmint_store::{Generation, short_digest};
use wxmint_verify::{Claims, Verified};

use super::issuance::binding_tag;

/// The tag of a person without a binding, because the user id is computed. An unbinding revokes the
/// user's tokens of the app, so there is no binding to look up.
pub(super) const OF_COMPUTED: &str = "computed";

/// Whether the token was issued to a client, even one that its file no longer names.
pub fn is_of_client(minter: &Minter, token: &Verified<Claims>) -> bool {
    minter.is_marked(&token.id, &client_tag(&token.app))
}

/// The tag of a binding, for records that must not reveal the openid.
pub(super) fn recipient_tag(person: &Person, generation: Generation) -> String {
    match generation {
        Generation::Computed => OF_COMPUTED.into(),
        Generation::Numbered(_) => short_digest(&binding_tag(person, generation)).to_string(),
    }
}

/// The tag of a client's tokens. It has a space, so that it cannot be the tag of a binding.
pub fn client_tag(client: &AppId) -> String {
    format!("client {client}")
}
