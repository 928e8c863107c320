use std::time::Duration;

use super::*;

fn app(id: &str) -> AppId {
    id.parse().expect("an AppID")
}

fn at(hour: &Hour, minute: u64) -> (Instant, DateTime<Utc>) {
    (
        hour.begun + Duration::from_secs(60 * minute),
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute as i64),
    )
}

#[test]
fn each_minute_of_the_last_hour_has_its_logins_and_no_earlier_ones() {
    let mut hour = Hour::default();
    let minutes = |hour: &mut Hour, minute, outcome| {
        let found = hour
            .until(at(hour, minute), None)
            .logins
            .into_iter()
            .find(|found| found.outcome == outcome);
        let minutes = found.map(|found| found.minutes).unwrap_or_default();
        let counted = minutes.iter().enumerate().filter(|(_, count)| **count > 0);
        (
            minutes.len(),
            counted
                .map(|(index, count)| (index, *count))
                .collect::<Vec<_>>(),
        )
    };
    let count =
        |hour: &mut Hour, minute, app, outcome| hour.count(at(hour, minute).0, app, outcome);
    let ok = |hour: &mut Hour, minute| count(hour, minute, Some(app("wx1")), OK);
    ok(&mut hour, 0);
    ok(&mut hour, 0);
    count(&mut hour, 1, None, "invalid_request");
    ok(&mut hour, 2);
    assert_eq!(minutes(&mut hour, 2, OK), (3, vec![(0, 2), (2, 1)]));
    assert_eq!(minutes(&mut hour, 2, "invalid_request"), (3, vec![(1, 1)]));
    ok(&mut hour, 61);
    assert_eq!(minutes(&mut hour, 61, OK), (60, vec![(0, 1), (59, 1)]));
    assert_eq!(
        minutes(&mut hour, 61, "invalid_request"),
        (0, vec![]),
        "an hour ago"
    );
    assert_eq!(minutes(&mut hour, 120, OK), (60, vec![(0, 1)]));
    let LastHour {
        since,
        logins,
        apps,
    } = hour.until(at(&hour, 121), None);
    assert_eq!((since, logins, apps), (60 * 62, vec![], vec![]));
    // After hours without a login, counting begins anew.
    ok(&mut hour, 1000);
    assert_eq!(minutes(&mut hour, 1000, OK), (60, vec![(59, 1)]));
}

#[test]
fn logins_are_told_apart_by_mini_program_and_one_that_is_gone_takes_no_memory_for_long() {
    let mut hour = Hour::default();
    for (id, outcome) in [
        ("wx1", OK),
        ("wx1", "code_used"),
        ("wx1", "code_used"),
        ("wx2", OK),
    ] {
        hour.count(at(&hour, 7).0, Some(app(id)), outcome);
    }
    hour.count(at(&hour, 7).0, None, "invalid_request");
    let of = |id: &str, ok, refused| LoginsOfApp {
        appid: Some(app(id)),
        ok,
        refused,
    };
    let nameless = LoginsOfApp {
        appid: None,
        ok: 0,
        refused: 1,
    };
    assert_eq!(
        hour.until(at(&hour, 7), None).apps,
        [nameless, of("wx1", 1, 2), of("wx2", 1, 0)]
    );
    let LastHour { logins, apps, .. } = hour.until(at(&hour, 7), Some(&app("wx1")));
    assert_eq!((logins.len(), apps), (2, vec![of("wx1", 1, 2)]));
    hour.count(at(&hour, 67).0, Some(app("wx3")), OK);
    assert_eq!(hour.minutes.len(), 1);
}
