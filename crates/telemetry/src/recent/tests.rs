use std::time::Duration;

use super::*;

fn app(id: &str) -> AppId {
    id.parse().expect("an AppID")
}

fn person(openid: &str) -> Person {
    Person { app: app("wx1"), openid: openid.parse().expect("an openid") }
}

fn event(event: &'static str, outcome: &'static str) -> UserEvent {
    UserEvent { at: DateTime::UNIX_EPOCH, event, appid: None, outcome, by: None }
}

fn at(hour: &Hour, minute: u64) -> (Instant, DateTime<Utc>) {
    (hour.begun + Duration::from_secs(60 * minute), DateTime::UNIX_EPOCH + TimeDelta::minutes(minute as i64))
}

#[test]
fn each_minute_of_the_last_hour_has_its_logins_and_no_earlier_ones() {
    let mut hour = Hour::default();
    let minutes = |hour: &mut Hour, minute, outcome| {
        let found = hour.until(at(hour, minute), None).logins.into_iter().find(|found| found.outcome == outcome);
        let minutes = found.map(|found| found.minutes).unwrap_or_default();
        let counted = minutes.iter().enumerate().filter(|(_, count)| **count > 0);
        (minutes.len(), counted.map(|(index, count)| (index, *count)).collect::<Vec<_>>())
    };
    let count = |hour: &mut Hour, minute, app, outcome| hour.count(at(hour, minute).0, app, outcome);
    let ok = |hour: &mut Hour, minute| count(hour, minute, Some(app("wx1")), OK);
    ok(&mut hour, 0);
    ok(&mut hour, 0);
    count(&mut hour, 1, None, "invalid_request");
    ok(&mut hour, 2);
    assert_eq!(minutes(&mut hour, 2, OK), (3, vec![(0, 2), (2, 1)]));
    assert_eq!(minutes(&mut hour, 2, "invalid_request"), (3, vec![(1, 1)]));
    ok(&mut hour, 61);
    assert_eq!(minutes(&mut hour, 61, OK), (60, vec![(0, 1), (59, 1)]));
    assert_eq!(minutes(&mut hour, 61, "invalid_request"), (0, vec![]), "an hour ago");
    assert_eq!(minutes(&mut hour, 120, OK), (60, vec![(0, 1)]));
    let LastHour { since, logins, apps } = hour.until(at(&hour, 121), None);
    assert_eq!((since, logins, apps), (60 * 62, vec![], vec![]));
    // A count that has been silent for hours begins anew.
    ok(&mut hour, 1000);
    assert_eq!(minutes(&mut hour, 1000, OK), (60, vec![(59, 1)]));
}

#[test]
fn logins_are_told_apart_by_mini_program_and_one_that_is_gone_takes_no_memory_for_long() {
    let mut hour = Hour::default();
    for (id, outcome) in [("wx1", OK), ("wx1", "code_used"), ("wx1", "code_used"), ("wx2", OK)] {
        hour.count(at(&hour, 7).0, Some(app(id)), outcome);
    }
    hour.count(at(&hour, 7).0, None, "invalid_request");
    let of = |id: &str, ok, refused| LoginsOfApp { appid: Some(app(id)), ok, refused };
    let nameless = LoginsOfApp { appid: None, ok: 0, refused: 1 };
    assert_eq!(hour.until(at(&hour, 7), None).apps, [nameless, of("wx1", 1, 2), of("wx2", 1, 0)]);
    let LastHour { logins, apps, .. } = hour.until(at(&hour, 7), Some(&app("wx1")));
    assert_eq!((logins.len(), apps), (2, vec![of("wx1", 1, 2)]));
    hour.count(at(&hour, 67).0, Some(app("wx3")), OK);
    assert_eq!(hour.minutes.len(), 1);
}

/// Whoever is refused, logs out or acts without end makes nothing else forgotten.
#[test]
fn no_flood_of_one_kind_of_event_makes_another_kind_forgotten() {
    let (recent, user) = (Recent::default(), "u".parse::<UserId>().expect("a user"));
    let act = UserEvent { by: Some("alice".into()), ..event("block", OK) };
    let kinds = [act, event("logout", OK), event("login", OK), event("login", "user_blocked")];
    let told = |people: &[Person]| {
        let told = recent.events_of(&user, people, DateTime::UNIX_EPOCH + TimeDelta::hours(1)).events;
        told.into_iter().map(|event| (event.event, event.outcome)).collect::<Vec<_>>()
    };
    let all: Vec<_> = kinds.iter().map(|event| (event.event, event.outcome)).collect();
    for spared in 0..kinds.len() {
        for kind in &kinds {
            recent.keep(Whose::User(user.clone()), None, kind.clone());
        }
        let others = kinds.iter().enumerate().filter(|(number, _)| *number != spared);
        for (_, kind) in others {
            (0..MOST).for_each(|_| recent.keep(Whose::User("other".parse().expect("a user")), None, kind.clone()));
        }
        for whose in [Whose::Person(person("oStranger")), Whose::Nobody] {
            (0..MOST).for_each(|_| recent.keep(whose.clone(), None, event("logout", "invalid_token")));
        }
        assert_eq!(told(&[]), [all[spared]]);
        (0..MOST).for_each(|_| recent.keep(Whose::User("other".parse().expect("a user")), None, kinds[spared].clone()));
        assert_eq!(told(&[]), []);
    }
    assert!(recent.rooms.iter().all(|room| room.lock().len() == MOST));
}

#[test]
fn a_user_has_the_refusals_of_a_person_before_the_binding_and_is_told_from_when_on_all_is_known() {
    let (recent, user, lin) = (Recent::default(), "u".parse::<UserId>().expect("a user"), person("oLin"));
    let at = |second: i64| DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a date");
    recent.keep(Whose::Person(lin.clone()), None, UserEvent { at: at(1), ..event("login", "binding_required") });
    recent.keep(Whose::User(user.clone()), None, UserEvent { at: at(2), ..event("login", OK) });
    recent.keep(Whose::Person(person("oChen")), None, UserEvent { at: at(3), ..event("login", "binding_required") });
    let told = |people: &[Person]| {
        let UserEvents { events, known_since } = recent.events_of(&user, people, at(60));
        (events.iter().map(|event| event.at.timestamp() - at(0).timestamp()).collect::<Vec<_>>(), known_since)
    };
    assert_eq!(told(&[]).0, [2]);
    let (events, known_since) = told(std::slice::from_ref(&lin));
    assert_eq!(events, [2, 1], "newest first");
    assert!(known_since <= at(60).timestamp());
    for _ in 0..MOST {
        recent.keep(Whose::Nobody, None, UserEvent { at: at(100), ..event("unbind", "invalid_token") });
    }
    assert!(told(&[]).1 < at(100).timestamp(), "what strangers without a name do pushes out nothing of a user");
    // The process began just now, and yet does not know all that it has seen.
    for _ in 0..MOST {
        recent.keep(Whose::User(user.clone()), None, UserEvent { at: at(100), ..event("login", OK) });
    }
    let (events, known_since) = told(&[lin]);
    assert_eq!((events.len(), known_since), (MOST_TOLD, at(100).timestamp()));
}

#[test]
fn a_request_is_found_by_its_id_also_if_nobody_is_known() {
    let recent = Recent::default();
    let of = |id: &str| Some(id.to_owned());
    let user = Whose::User("u".parse::<UserId>().expect("a user"));
    recent.keep(user.clone(), of("r-1"), event("bind", OK));
    recent.keep(user.clone(), of("r-1"), event("login", OK));
    recent.keep(Whose::Nobody, of("r-2"), event("login", "code_invalid"));
    recent.keep(user.clone(), None, event("login", OK));
    assert_eq!(recent.of_request("r-1"), [(user.clone(), event("bind", OK)), (user, event("login", OK))]);
    assert_eq!(recent.of_request("r-2"), [(Whose::Nobody, event("login", "code_invalid"))]);
    assert_eq!(recent.of_request("r-3"), []);
}
