//! The cost of decrypting a person's data, with a token and the session key from Redis.

use serde_json::{Value, json};

use crate::load::{Target, saturate};
use crate::processes::{People, Service, StandIn, fetch};
use crate::report::Report;
use crate::{Fault, Plan, Stage, is_ok};

/// Concurrent requests belong to different people, because at most eight attempts of one person run at a time.
const PEOPLE: usize = 500;
const CONNECTIONS: usize = 32;
/// The rest of 1 KiB after WeChat's own members.
const FILLING: usize = 900;
const SEALED_BYTES: usize = 1024;

/// Data of 1 KiB, under full load.
pub(crate) fn user_data(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let phases = plan.phases(1, 4);
    let service = stage.service(&stage.prompt)?;
    let requests = requests(&stage.prompt, &service)?;
    let is_good = |answer: &str| is_ok(answer, r#"{"data":{"#);
    let target = Target {
        address: service.public,
        pids: vec![service.pid()],
        request: str::to_owned,
        is_good,
    };
    let outcome = saturate(
        target,
        CONNECTIONS,
        Box::new(requests.into_iter().cycle()),
        phases,
    )?;
    report.add("userdata.rate", outcome.rate());
    report.add("userdata.cpu_us", outcome.cpu_us());
    report.compare("ratio.userdata", "userdata.cpu_us", "saturated.cpu_us");
    report.add("userdata.p50_ms", outcome.quantile_ms(0.50));
    report.add("userdata.p99_ms", outcome.quantile_ms(0.99));
    Ok(())
}

/// One request for each person who has just logged in.
fn requests(stand_in: &StandIn, service: &Service) -> Result<Vec<String>, Fault> {
    let group = "opened";
    let codes = stand_in.mint_codes(
        PEOPLE,
        &People::Returning {
            group,
            number: PEOPLE,
        },
    )?;
    let people = codes
        .iter()
        .enumerate()
        .map(|(number, code)| (format!("{group}-{number}"), code));
    people
        .map(|(person, code)| request(stand_in, service, &person, code))
        .collect()
}

fn request(
    stand_in: &StandIn,
    service: &Service,
    person: &str,
    code: &str,
) -> Result<String, Fault> {
    let login = json_of(fetch(
        service.public,
        "POST",
        "/login",
        &json!({"code": code}).to_string(),
    )?)?;
    let token = login["access_token"]
        .as_str()
        .ok_or("a login without a token")?;
    let wanted =
        json!({"person": person, "kind": "share", "members": {"filling": "x".repeat(FILLING)}});
    let body = json_of(fetch(
        stand_in.address,
        "POST",
        "/_simulator/user-data",
        &wanted.to_string(),
    )?)?
    .to_string();
    let length = body.len();
    Ok(format!(
        "POST /wechat/userdata HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

/// The body of a successful response, and encrypted data of the measured size.
fn json_of((status, body): (u16, String)) -> Result<Value, Fault> {
    let answer: Value = serde_json::from_str(&body)?;
    let is_other_size = |sealed: &str| sealed.len() != SEALED_BYTES.div_ceil(3) * 4;
    if status != 200 || answer["encryptedData"].as_str().is_some_and(is_other_size) {
        return Err(format!("not what is to be measured: {status}: {body}").into());
    }
    Ok(answer)
}
