//! The cost of 2,000 merchants of a third-party platform: until they are known, at rest, in memory and in Redis, and at
//! a login.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kernel::{self, CpuTime};
use crate::load::{Codes, Phases, Target, saturate};
use crate::processes::{APP, SECRET, Service, StandIn, fetch};
use crate::report::Report;
use crate::{
    Fault, LOGIN_CONNECTIONS, MOST_LOGINS_A_SECOND, Plan, Stage, is_ok, needed, post_login,
};

const MERCHANTS: usize = 2000;
const TOKEN: &str = "platformtoken";
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
/// Few, because the stand-in keeps an account of each person in each app.
const PEOPLE: usize = 200;
/// All merchants must be known by then.
const PATIENCE: Duration = Duration::from_mins(2);
const REST: Duration = Duration::from_secs(10);
static RUNS: AtomicU64 = AtomicU64::new(0);
/// Nobody's app.
const STRANGER: &str = "wx00000000000000aa";

pub(crate) fn platform(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    // A platform of its own in each run, so that Redis knows nothing of it.
    let component = format!("wxc0{:014x}", RUNS.fetch_add(1, Ordering::Relaxed));
    let merchants: Vec<String> = (0..MERCHANTS)
        .map(|number| format!("wx{:016x}", 0xa000 + number))
        .collect();
    let apps = merchants
        .iter()
        .map(|id| format!("{id}:{SECRET}"))
        .chain([format!("{APP}:{SECRET}")]);
    let wechat = StandIn::start_platform(apps, &[&*component, SECRET, TOKEN, KEY].join(":"))?;
    let file = json!({
        "component_appid": component, "component_appsecret": SECRET, "token": TOKEN, "encoding_aes_key": KEY,
    });
    let file = stage.files.write(&component, &file.to_string())?;
    let open = |platform: &str| {
        let variables = [("WXMINT_PLATFORM_FILE", platform)];
        let service = Service::start_with(
            &stage.files,
            &stage.redis,
            &wechat,
            &variables[..usize::from(!platform.is_empty())],
        )?;
        service.started()?;
        Ok::<_, Fault>(service)
    };
    let (without, memory_without) = at_rest(stage, &open("")?)?;

    let path = file.to_string_lossy();
    let service = open(&path)?;
    for id in &merchants {
        control(
            &wechat,
            "POST",
            "/platform/merchants",
            &json!({"appid": id, "push": false}),
        )?;
    }
    let push_to = format!("http://{}/wechat/platform/{component}", service.public);
    control(
        &wechat,
        "PUT",
        "/platform",
        &json!({"push_to": push_to, "pushing": false}),
    )?;
    control(&wechat, "POST", "/platform/ticket", &json!({}))?;
    report.add(
        "platform.first_s",
        until_compared(service.public)?.as_secs_f64(),
    );
    let (with, memory) = at_rest(stage, &service)?;
    report.add("platform.rest_us", with[0]);
    report.add("platform.rest_without_us", without[0]);
    report.add("platform.rest_redis_us", with[1] - without[1]);
    report.add("platform.memory_mb", memory - memory_without);
    report.add(
        "platform.redis_bytes",
        stage
            .redis
            .size_of(&format!("wxmint:{{platform:{component}}}"))?
            / MERCHANTS as f64,
    );

    let phases = plan.phases(2, 6);
    let of_merchant = logins(&service, &wechat, &merchants[7], phases)?;
    let own = logins(&service, &wechat, APP, phases)?;
    report.add("platform.login_us", of_merchant);
    report.add("ratio.merchant", of_merchant / own);
    drop(service);
    let again = open(&path)?;
    report.add(
        "platform.again_s",
        until_compared(again.public)?.as_secs_f64(),
    );
    Ok(())
}

fn control(wechat: &StandIn, method: &str, path: &str, body: &Value) -> Result<(), Fault> {
    match fetch(
        wechat.address,
        method,
        &format!("/_simulator{path}"),
        &body.to_string(),
    )? {
        (200, _) => Ok(()),
        (status, said) => Err(format!("{path}: {status} {said}").into()),
    }
}

/// An app that is nobody's is unknown once all merchants are known.
fn until_compared(service: SocketAddr) -> Result<Duration, Fault> {
    let (began, asked) = (
        Instant::now(),
        json!({"code": "0".repeat(32), "appid": STRANGER}).to_string(),
    );
    while fetch(service, "POST", "/login", &asked)?.0 != 400 {
        if began.elapsed() > PATIENCE {
            return Err("the list of merchants was not compared".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(began.elapsed())
}

/// The CPU time of wxmint and of Redis in µs a second, and wxmint's memory.
fn at_rest(stage: &Stage, service: &Service) -> Result<([f64; 2], f64), Fault> {
    let times = || [service.pid(), stage.redis.pid()].map(CpuTime::of_family);
    let before = times();
    thread::sleep(REST);
    let mut used = [0.0; 2];
    for ((after, before), used) in times().into_iter().zip(before).zip(&mut used) {
        *used = after?.since(&before?)?.as_secs_f64() * 1e6 / REST.as_secs_f64();
    }
    Ok((used, kernel::memory_mb(service.pid())?))
}

/// Silent logins in an app, CPU µs each.
fn logins(service: &Service, wechat: &StandIn, app: &str, phases: Phases) -> Result<f64, Fault> {
    wechat.forget_codes()?;
    let mut codes = Vec::new();
    while codes.len() < needed(MOST_LOGINS_A_SECOND, phases) {
        codes.extend(
            wechat
                .mint_in(app, "bench", PEOPLE)?
                .into_iter()
                .map(|code| format!(r#"{{"code":"{code}","appid":"{app}"}}"#)),
        );
    }
    let is_good = |answer: &str| is_ok(answer, r#""access_token":"eyJ"#);
    let target = Target {
        address: service.public,
        pids: vec![service.pid()],
        request: post_login,
        is_good,
    };
    let codes: Codes = Box::new(codes.into_iter());
    Ok(saturate(target, LOGIN_CONNECTIONS, codes, phases)?.cpu_us())
}
