//! After the last fault: everybody logs in once more, and what Redis has is compared with what the answers said.

use futures_util::{StreamExt, stream};

use crate::actions::{APP_IDS, Campaign};
use crate::model::{APPS, Standing};
use crate::support::prelude::*;
use crate::world::World;

const AT_ONCE: usize = 16;
/// Users whose lists are read.
const LISTS: usize = 500;

pub(crate) async fn finish(campaign: &Campaign, world: &World) {
    everybody_logs_in(campaign).await;
    compare_export(campaign, world).await;
    compare_lists(campaign, world).await;
    campaign.check_codes().await;
    world.read_logs(&campaign.books).await;
}

/// The answers of these logins are judged as all others are. Afterwards it is certain what everybody is.
async fn everybody_logs_in(campaign: &Campaign) {
    let people = campaign.model().people.len();
    let log_in = async |who: usize| {
        for app in 0..APPS {
            if campaign.model().people[who].standings[app] != [Standing::Fresh] {
                campaign.log_in(who, app).await;
            }
        }
    };
    stream::iter(0..people)
        .for_each_concurrent(AT_ONCE, log_in)
        .await;
    let model = campaign.model();
    let uncertain = model
        .people
        .iter()
        .filter(|person| person.standings.iter().any(|it| it.len() != 1))
        .count();
    if uncertain > 0 {
        campaign.books.find(format!(
            "{uncertain} people did not get a clear answer at the end"
        ));
    }
}

/// `wxmint bindings export` has everybody as the answers said, and nobody else.
async fn compare_export(campaign: &Campaign, world: &World) {
    let file = world.exports.path().join("bindings.ndjson");
    world
        .run(&["bindings", "export", "--out", &file.to_string_lossy()])
        .await;
    let export = fs::read_to_string(file).expect("an export");
    let lines = export
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named = lines.filter(|line| line["openid"].is_string());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut exported: BTreeMap<_, _> = named
        .map(|it| ((text(&it["appid"]), text(&it["openid"])), it))
        .collect();
    let model = campaign.model();
    for (who, person) in model.people.iter().enumerate() {
        for (app, appid) in APP_IDS.into_iter().enumerate() {
            let line = exported.remove(&(appid.to_owned(), person.identity.openids[app].clone()));
            let agrees = match (&person.standings[app][..], &line) {
                (_, line) if campaign.plan.is_computed() => line.is_none(),
                ([Standing::Fresh], None) => true,
                ([Standing::Bound(user)], Some(line)) => line["user_id"] == **user,
                ([Standing::Dissolved], Some(line)) => line["dissolved"] == true,
                _ => false,
            };
            if !agrees {
                let line = line.map(|line| [line["user_id"].clone(), line["dissolved"].clone()]);
                campaign.books.find(format!(
                    "person-{who} is {:?}, exported {line:?}",
                    person.standings[app]
                ));
            }
        }
    }
    if !exported.is_empty() {
        campaign.books.find(format!(
            "{} people are exported whom nobody has bound",
            exported.len()
        ));
    }
}

/// The lists of users, by which operators find people, agree with the bindings.
async fn compare_lists(campaign: &Campaign, world: &World) {
    let people = campaign.model().people.len();
    for who in (0..people).take(LISTS) {
        let (users, openids) = {
            let model = campaign.model();
            let person = &model.people[who];
            (
                [0, 1].map(|app| person.user_in(app).map(str::to_owned)),
                person.identity.openids.clone(),
            )
        };
        for (app, user) in users
            .iter()
            .enumerate()
            .filter_map(|(app, user)| Some((app, user.as_ref()?)))
        {
            let shown = world.show_user(user).await;
            let listed = shown["wechat"].as_array().cloned().unwrap_or_default();
            let wanted: Vec<_> = (0..APPS)
                .filter(|other| users[*other].as_ref() == Some(user))
                .collect();
            let has = |app: usize| {
                listed
                    .iter()
                    .any(|it| it["appid"] == APP_IDS[app] && it["openid"] == openids[app])
            };
            if listed.len() != wanted.len() || !has(app) {
                campaign.books.find(format!(
                    "the list of {user} is {listed:?}, wanted were {wanted:?}"
                ));
            }
        }
    }
}
