//! Proves the checker: each kind of defect is planted, and found.

use std::time::{Duration, Instant};

use crate::books::{Books, Part};
use crate::model::{Identity, Life, Message, Model, Standing, Token, Way};
use crate::plan::Plan;

const SILENT: Way = Way::Silent;
/// The second in which everything happens that is planted here.
const NOW: i64 = 1_800_000_000;

fn login(user: &str, is_new: bool) -> Message {
    let (user, token) = (user.to_owned(), format!("token of {user}"));
    Message::Login {
        user,
        is_new,
        token,
        issued_at: NOW,
        expires_at: NOW + 300,
    }
}

fn problem(status: u16, code: &str) -> Message {
    Message::Problem {
        status,
        code: code.to_owned(),
    }
}

fn by_phone(user: &str) -> Way {
    Way::Phone(Some(user.to_owned()))
}

/// A person who has logged in as `user-1`, with the token.
fn somebody() -> (Model, usize, Token) {
    let mut model = Model::default();
    let who = model.add(Identity::default());
    model
        .login(who, 0, &SILENT, &login("user-1", true), true)
        .expect("a first login");
    let token = model.people[who].tokens[0].clone();
    (model, who, token)
}

#[track_caller]
fn found<T: std::fmt::Debug>(judged: Result<T, String>, words: &str) {
    let law = judged.expect_err("a defect that is found");
    assert!(law.contains(words), "{law}");
}

#[test]
fn a_binding_that_moves_or_is_lost_and_a_unionid_that_leads_to_another_user_are_found() {
    for (app, said, words) in [
        (0, login("user-2", true), "user-2 is answered"),
        (0, problem(403, "binding_required"), "somebody is asked"),
        (1, login("user-2", true), "user-2 is answered"),
    ] {
        let (mut model, who, _) = somebody();
        found(model.login(who, app, &SILENT, &said, true), words);
    }
}

/// The order of the answers says nothing about the order of the logins.
#[test]
fn two_users_of_one_unionid_are_found_unless_an_order_of_the_two_logins_explains_them() {
    let half_made = || vec![Standing::Dissolved, Standing::Bound("user-1".into())];
    for (standings, can_be) in [
        ([vec![Standing::Fresh], half_made()], true),
        ([half_made(), vec![Standing::Fresh]], true),
        (
            [
                vec![Standing::Fresh],
                vec![Standing::Bound("user-1".into())],
            ],
            false,
        ),
        ([vec![Standing::Fresh], vec![Standing::Fresh]], false),
    ] {
        let fresh = usize::from(standings[1] == [Standing::Fresh]);
        let mut said = [login("user-1", false), login("user-1", false)];
        said[fresh] = login("user-2", true);
        let mut model = Model::default();
        let who = model.add(Identity::default());
        model.people[who].standings = standings;
        let order = model.order_of_two(who, [&said[0], &said[1]]);
        let mut judged = order
            .map(|app| model.login(who, app, &SILENT, &said[app], false))
            .into_iter();
        assert_eq!(
            judged.all(|law| law.is_ok()),
            can_be,
            "{:?}",
            model.people[who].standings
        );
    }
}

#[test]
fn a_user_of_two_people_and_one_who_is_new_twice_or_never_are_found() {
    let (mut model, who, _) = somebody();
    found(
        model.login(who, 0, &SILENT, &login("user-1", true), true),
        "for the second time",
    );
    let other = model.add(Identity::default());
    found(
        model.login(other, 0, &SILENT, &login("user-1", false), true),
        "the user of two people",
    );
    found(
        model.login(other, 0, &SILENT, &login("user-2", false), true),
        "is not new_user",
    );
}

#[test]
fn a_dissolved_binding_that_comes_back_is_found() {
    let (mut model, who, token) = somebody();
    model
        .unbind(who, &token, &Message::Done, NOW)
        .expect("an unbinding");
    found(
        model.login(who, 0, &SILENT, &login("user-1", false), true),
        "user-1 is answered",
    );
}

#[test]
fn a_phone_number_that_leads_to_another_user_is_found() {
    let (mut model, who, token) = somebody();
    found(
        model.login(who, 0, &by_phone("user-9"), &login("user-9", true), true),
        "user-9 is answered",
    );
    model
        .unbind(who, &token, &Message::Done, NOW)
        .expect("an unbinding");
    found(
        model.login(who, 0, &by_phone("user-9"), &login("user-8", true), true),
        "user-8 is answered",
    );
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    let (mut model, who, _) = somebody();
    found(
        model.login(
            who,
            0,
            &by_phone("user-1"),
            &problem(409, "already_bound"),
            true,
        ),
        "already_bound",
    );
    found(
        model.login(who, 0, &SILENT, &problem(409, "already_bound"), true),
        "a silent login is already_bound",
    );
}

#[test]
fn a_revoked_token_that_is_accepted_is_found() {
    let (mut model, who, token) = somebody();
    model
        .logout(who, &token, false, &Message::Done, NOW)
        .expect("a logout");
    let token = &model.people[who].tokens[0];
    found(
        model.used(token, &Message::Done),
        "accepts a token that was ended",
    );
    let knows_until = Instant::now() + Duration::from_secs(1);
    found(
        Model::verified(token, Ok("user-1"), knows_until),
        "a verifier accepts",
    );
    let knew_until = Instant::now()
        .checked_sub(Duration::from_secs(9))
        .expect("this machine has run for longer");
    Model::verified(token, Ok("user-1"), knew_until).expect("it cannot know yet");
}

#[test]
fn a_token_that_is_refused_without_a_revocation_is_found() {
    let (mut model, who, token) = somebody();
    let refused = problem(401, "invalid_token");
    found(
        model.used(&token, &refused),
        "refuses a token that nobody has ended",
    );
    found(
        model.logout(who, &token, false, &refused, NOW),
        "refuses a token that nobody has ended",
    );
    found(
        Model::verified(&token, Err("it was ended"), Instant::now()),
        "refuses a token that nobody has ended",
    );
    found(
        Model::verified(&token, Ok("user-2"), Instant::now()),
        "is verified as user-2's",
    );
}

#[test]
fn an_answer_that_was_lost_leaves_both_ways_open_until_another_one_decides() {
    let (mut model, who, token) = somebody();
    model
        .unbind(who, &token, &Message::Nothing("cut".into()), NOW)
        .expect("no answer");
    assert_eq!(model.people[who].standings[0].len(), 2);
    assert_eq!(model.people[who].tokens[0].life, Life::Unsure);
    model
        .login(who, 0, &SILENT, &login("user-1", false), true)
        .expect("it was not carried out");
    assert_eq!(
        model.people[who].standings[0],
        [Standing::Bound("user-1".into())]
    );
    found(
        model.login(who, 0, &SILENT, &problem(403, "binding_required"), true),
        "somebody is asked",
    );
}

/// wxmint asks the account service after the client's connection was cut.
#[test]
fn a_login_by_phone_without_an_answer_may_bind_to_a_user_who_is_made_later() {
    let (mut model, who, token) = somebody();
    model
        .unbind(who, &token, &Message::Done, NOW)
        .expect("an unbinding");
    model
        .login(
            who,
            0,
            &Way::Phone(None),
            &Message::Nothing("cut".into()),
            true,
        )
        .expect("no answer");
    model
        .login(who, 0, &SILENT, &login("user-2", false), true)
        .expect("it was carried out");
    assert_eq!(
        model.people[who].standings[0],
        [Standing::Bound("user-2".into())]
    );
}

#[test]
fn a_computed_user_who_changes_is_found_also_after_a_loss_which_excuses_what_redis_alone_knew() {
    let mut model = Model::of(&Plan::from_env("openid"));
    let who = model.add(Identity::default());
    model
        .login(who, 0, &SILENT, &login("user-1", true), true)
        .expect("a first login");
    found(
        model.login(who, 1, &SILENT, &login("user-1", true), true),
        "user-1 is answered",
    );
    let token = Token {
        issued_at: 1,
        ..model.people[who].tokens[0].clone()
    };
    let refused = problem(401, "invalid_token");
    found(model.used(&token, &refused), "nobody has ended");
    model
        .unbind(who, &token, &Message::Done, NOW)
        .expect("an unbinding");
    model.begin_loss(true);
    model.used(&token, &refused).expect("its person is unknown");
    model.end_loss(true);
    assert_eq!(model.people[who].tokens[0].life, Life::Unsure);
    found(
        model.login(who, 0, &SILENT, &login("user-2", true), true),
        "user-2 is answered",
    );
}

#[test]
fn an_improper_answer_without_a_fault_is_found_and_one_with_a_fault_is_put_down_to_it() {
    let plan = Plan {
        grace: Duration::ZERO,
        ..Plan::from_env("random")
    };
    let books = Books::open(&plan);
    let unavailable = problem(503, "store_unavailable");
    assert!(!books.enter("login", &unavailable, Instant::now()));
    assert_eq!(books.pages().unexplained.len(), 1);

    let fault = books.begin("a fault of WeChat's", Part::WeChat);
    books.enter("login", &unavailable, Instant::now());
    assert_eq!(
        books.pages().unexplained.len(),
        2,
        "WeChat excuses nothing of Redis"
    );
    books.end(fault);
    let fault = books.begin("a fault of Redis", Part::Redis);
    books.enter("login", &unavailable, Instant::now());
    books.end(fault);
    books.enter("login", &unavailable, Instant::now());
    let pages = books.pages();
    assert_eq!(
        (pages.unexplained.len(), pages.played[1].refused.len()),
        (3, 1)
    );
}
