//! The cost of verifying a token: the sidecar with new and with known tokens, beside Envoy's `jwt_authn` with and
//! without its cache, in the same run, with the same tokens and the same load.

use std::{iter, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use wxmint::clock::now;
use wxmint_keys::token::{ExtraClaims, Minter, new_token_id};
use wxmint_keys::{KeyRing, KeySet};
use wxmint_verify::TokenTyp;

use crate::load::{Codes, Outcome, Target, ask_each, saturate};
use crate::processes::{APP, Envoy, Service, Sidecar};
use crate::report::Report;
use crate::{Fault, Plan, Stage, envoy, is_ok, kernel};

const CONNECTIONS: usize = 64;
/// The number of people who come again and again.
const REGULARS: usize = 1_000;
/// The number of new tokens per second; more than any machine can verify.
const MOST_FIRST_SIGHTS_A_SECOND: usize = 60_000;
const A_MILLION: usize = 1_000_000;
/// The size of the cache in each of Envoy's workers, which has room for all of these people.
const ENVOY_CACHE: usize = 10 * REGULARS;

/// The measures of one program with one kind of tokens.
struct Measures {
    rate: &'static str,
    cpu: &'static str,
    p99: &'static str,
}

const FIRST: Measures = Measures {
    rate: "sidecar_first.rate",
    cpu: "sidecar_first.cpu_us",
    p99: "sidecar_first.p99_ms",
};
const CACHED: Measures = Measures {
    rate: "sidecar_cached.rate",
    cpu: "sidecar_cached.cpu_us",
    p99: "sidecar_cached.p99_ms",
};
const BARE: Measures = Measures {
    rate: "envoy_bare.rate",
    cpu: "envoy_bare.cpu_us",
    p99: "envoy_bare.p99_ms",
};
const ENVOY: Measures = Measures {
    rate: "envoy_jwt.rate",
    cpu: "envoy_jwt.cpu_us",
    p99: "envoy_jwt.p99_ms",
};
const ENVOY_CACHED: Measures = Measures {
    rate: "envoy_cached.rate",
    cpu: "envoy_cached.cpu_us",
    p99: "envoy_cached.p99_ms",
};

/// Signs tokens as the issuer does.
struct Tokens(Minter);

/// Starts and measures each program in turn.
pub(crate) fn peers(stage: &Stage, plan: &Plan, report: &mut Report) -> Result<(), Fault> {
    let phases = plan.phases(1, 4);
    let service = stage.service(&stage.prompt)?;
    let tokens = Tokens::of(stage, &service)?;

    let most = ((phases.warm_up + phases.measured).as_secs_f64()
        * MOST_FIRST_SIGHTS_A_SECOND as f64) as usize;
    let distinct: Vec<String> = (0..most).map(|_| tokens.mint()).collect::<Result<_, _>>()?;
    let regulars: Vec<String> = distinct[..REGULARS].to_vec();

    let sidecar = Sidecar::start(&stage.files, &service)?;
    let asked = |codes: Codes| saturate(sidecar_target(&sidecar), CONNECTIONS, codes, phases);
    CACHED.add(
        report,
        &asked(Box::new(regulars.clone().into_iter().cycle()))?,
    );
    FIRST.add(report, &asked(Box::new(distinct.into_iter()))?);
    report.compare("ratio.sidecar_first", FIRST.cpu, "machine.check_us");
    drop(sidecar);

    for (measures, jwt) in [
        (BARE, None),
        (ENVOY, Some(0)),
        (ENVOY_CACHED, Some(ENVOY_CACHE)),
    ] {
        let jwt = jwt.map(|cache| provider(service.public, cache));
        let envoy = Envoy::start(&stage.files, &envoy::configuration(&[service.public], jwt))?;
        let codes: Codes = Box::new(regulars.clone().into_iter().cycle());
        let target = Target {
            address: envoy.address,
            pids: vec![envoy.pid()],
            request: envoy_request,
            is_good,
        };
        measures.add(report, &saturate(target, CONNECTIONS, codes, phases)?);
    }
    Ok(())
}

/// A million distinct tokens, once each: the sidecar's memory after the first hundred thousand and at the end.
pub(crate) fn a_million_tokens(
    stage: &Stage,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Fault> {
    let service = stage.service(&stage.prompt)?;
    let tokens = Tokens::of(stage, &service)?;
    let sidecar = Sidecar::start(&stage.files, &service)?;
    let total = A_MILLION / plan.haste as usize;
    for (key, count) in [
        ("million.early_mb", total / 5),
        ("million.late_mb", total - total / 5),
    ] {
        let tokens = iter::from_fn(|| tokens.mint().ok()).take(count);
        ask_each(sidecar_target(&sidecar), CONNECTIONS, tokens)?;
        report.add(key, kernel::memory_mb(sidecar.pid())?);
    }
    Ok(())
}

impl Measures {
    fn add(&self, report: &mut Report, outcome: &Outcome) {
        report.add(self.rate, outcome.rate());
        report.add(self.cpu, outcome.cpu_us());
        report.add(self.p99, outcome.quantile_ms(0.99));
    }
}

impl Tokens {
    /// Signs with the key of `service` and with its `iss`.
    fn of(stage: &Stage, service: &Service) -> Result<Self, Fault> {
        let keys = KeyRing::new(KeySet::parse(&stage.files.signing_keys()?)?, now())?;
        let issuer = service.issuer();
        let day = Duration::from_hours(24);
        Ok(Self(Minter::new(
            issuer.clone(),
            vec![issuer],
            TokenTyp::AccessToken,
            day,
            Arc::new(keys),
        )))
    }

    fn mint(&self) -> Result<String, Fault> {
        let (user, app) = (
            "0193f5b2-9c5e-7cc0-8000-000000000000".parse()?,
            APP.parse()?,
        );
        let token = self.0.issued(user, app, new_token_id(), now());
        Ok(self
            .0
            .mint(&token, &ExtraClaims::default(), now())?
            .expose()
            .to_owned())
    }
}

fn sidecar_target(sidecar: &Sidecar) -> Target {
    let is_good = |answer: &str| is_ok(answer, "x-user-id: 0193f5b2-9c5e-7cc0-8000-000000000000");
    Target {
        address: sidecar.address,
        pids: vec![sidecar.pid()],
        request: |token| request("/verify", token),
        is_good,
    }
}

fn envoy_request(token: &str) -> String {
    request("/", token)
}

fn is_good(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ")
}

fn request(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// The settings of `jwt_authn`, with the given cache size.
fn provider(issuer: SocketAddr, cache: usize) -> Value {
    let mut provider = json!({
        "issuer": format!("http://{issuer}"),
        "audiences": [format!("http://{issuer}")],
        "require_expiration": true,
        "remote_jwks": {
            "http_uri": {"uri": envoy::JWKS_URL, "cluster": "issuer", "timeout": "1s"},
            "cache_duration": "300s",
            "async_fetch": {},
        },
    });
    if cache > 0 {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": cache});
    }
    provider
}
