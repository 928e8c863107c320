//! The cost of pages that wait for a phone, and of a login beside them (scan to log in).

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Outcome, Target, pace, saturate};
use crate::processes::{APP, Service, fetch_as};
use crate::report::Report;
use crate::{Fault, LOGIN_CONNECTIONS, MOST_LOGINS_A_SECOND, Plan, Stage, logins, mint};

/// Each of which asks every two seconds.
const PAGES: u32 = 1000;
const RATE: u32 = PAGES / 2;
/// An address has at most so many open requests.
const OF_ONE_ADDRESS: u32 = 20;
const FORM: &str = "application/x-www-form-urlencoded";
const SECRET: &str = "bench";
const SECRET_SHA256: &str = "1b32c28cb38c05480eccc1bd60ff97029b57a05c96718b96dad7e9d84894f549";

/// Polls of 1,000 pages, and then silent logins with the door and without, in turn.
pub(crate) fn polls(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let client = json!({"client_id": "bench", "name": "bench", "appid": APP, "secret_sha256": SECRET_SHA256});
    let clients = stage
        .files
        .write("clients.json", &json!({"clients": [client]}).to_string())?;
    let open = || {
        let service =
            Service::start_with_clients(&stage.files, &stage.redis, &stage.prompt, &clients)?;
        service.started()?;
        Ok::<_, Fault>(service)
    };
    let phases = plan.phases(2, 8);
    let service = open()?;
    let pages = (0..PAGES)
        .map(|page| page_of(&service, page))
        .collect::<Result<Vec<_>, _>>()?;
    let is_good = |answer: &str| answer.contains(r#"{"error":"authorization_pending""#);
    let pids = vec![service.pid(), stage.redis.pid()];
    let target = Target {
        address: service.public,
        pids,
        request: str::to_owned,
        is_good,
    };
    let outcome: Outcome = pace(target, RATE, Box::new(pages.into_iter().cycle()), phases)?;
    report.add("polls.cpu_us", outcome.us_each(outcome.cpu[0]));
    report.add("polls.redis_us", outcome.us_each(outcome.cpu[1]));
    report.add(
        "polls.cores",
        outcome.cpu.iter().map(Duration::as_secs_f64).sum::<f64>() / outcome.took.as_secs_f64(),
    );
    report.add("polls.p99_ms", outcome.quantile_ms(0.99));
    drop(service);

    let run = |service: &Service| {
        let codes = mint(&stage.prompt, MOST_LOGINS_A_SECOND, phases)?;
        Ok::<_, Fault>(saturate(logins(service), LOGIN_CONNECTIONS, codes, phases)?.cpu_us())
    };
    let (without, with) = (run(&stage.service(&stage.prompt)?)?, run(&open()?)?);
    report.add("ratio.door", with / without);
    Ok(())
}

/// The poll of a page that has just asked.
fn page_of(service: &Service, page: u32) -> Result<String, Fault> {
    // Those of the run before are open still.
    let address = format!(
        "10.{}.{}.{}",
        service.pid() / 256 % 256,
        service.pid() % 256,
        page / OF_ONE_ADDRESS
    );
    let asked = format!("client_id=bench&client_secret={SECRET}&browser_address={address}");
    let (status, body) = fetch_as(
        FORM,
        service.public,
        "POST",
        "/device_authorization",
        &asked,
    )?;
    let asked: Value = serde_json::from_str(&body)?;
    let code = asked["device_code"]
        .as_str()
        .ok_or_else(|| format!("no device code, but {status}: {body}"))?;
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let form =
        format!("grant_type={grant}&client_id=bench&client_secret={SECRET}&device_code={code}");
    let length = form.len();
    Ok(format!(
        "POST /token HTTP/1.1\r\nHost: bench\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n{form}"
    ))
}
