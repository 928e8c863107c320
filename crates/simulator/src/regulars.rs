//! The demo's regular customers: people with accounts, some of whom have logged in before the
//! visitor comes.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{AccountBook, World, now, people::Purpose};

/// The demo's mini programs, in the order of its world. The page has the same AppIDs, in people.js.
pub const DEMO_APPS: [&str; 2] = ["wxc0ffee0000000001", "wxc0ffee0000000002"];
const TEA_ROOM: usize = 0;
const BAKERY: usize = 1;

#[derive(Clone, Copy)]
struct Regular {
    name: &'static str,
    /// Shown on the page.
    password: &'static str,
    /// Known to WeChat and to the business.
    phone: &'static str,
}

const LIN: Regular = Regular {
    name: "lin",
    password: "jasmine",
    phone: "13800138001",
};
const CHEN: Regular = Regular {
    name: "chen",
    password: "oolong",
    phone: "13800138002",
};
/// Zhou never uses the demo's phone. His account is there as an account that is bound to somebody
/// else.
const ZHOU: Regular = Regular {
    name: "zhou",
    password: "puer",
    phone: "13800138003",
};
const REGULARS: [Regular; 3] = [LIN, CHEN, ZHOU];

/// The logins before the visitor comes. Lin is bound, so that the first login that a visitor sees
/// asks for nothing. Chen is not bound, and will be asked.
const VISITS: [(Regular, usize); 3] = [(LIN, TEA_ROOM), (ZHOU, TEA_ROOM), (ZHOU, BAKERY)];

/// The account book with the regular customers.
pub fn regulars_book() -> Arc<AccountBook> {
    AccountBook::with(REGULARS.map(
        |Regular {
             name,
             password,
             phone,
         }| (name, password, phone),
    ))
}

/// The request bodies of these logins. Also tells WeChat the people's phone numbers.
pub fn regulars_logins(world: &World) -> Vec<Value> {
    for Regular { name, phone, .. } in REGULARS {
        world.change_person(name, None, Some(phone.to_owned()));
    }
    let login = |(Regular { name, password, .. }, app): (Regular, usize)| {
        let code = world.mint_codes(Purpose::Login, &[name.to_owned()], app, now());
        json!({"appid": DEMO_APPS[app], "code": code[0], "username": name, "password": password})
    };
    VISITS.map(login).into()
}
