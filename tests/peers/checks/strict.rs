//! Bad tokens that few programs are given, for those that are told to refuse them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{Asked, Exceptions, tokens::undocumented};
use crate::{
    example::Example,
    forge::{Credentials, Forge},
    raw::Request,
    scene::Scene,
};

pub(crate) async fn strict_faults(scene: &Scene, example: &Example, exceptions: Exceptions<'_>) -> Vec<String> {
    let mut faults = undocumented(example, exceptions);
    let real = request(example, &Credentials::bearer(&scene.lin.token));
    for (name, credentials) in odd_tokens(scene) {
        let asked = Asked::send(scene, example, &request(example, &credentials)).await;
        let excepted = exceptions.iter().any(|(excepted, _)| *excepted == name);
        let refused = asked.seen.is_empty() && (400..500).contains(&asked.status());
        match (excepted, refused) {
            (true, true) => faults.push(format!("{name}: documented as accepted, but is refused: {}", asked.told())),
            (false, false) => faults.push(format!("{name}: {}", asked.told())),
            _ => {}
        }
    }
    let asked = Asked::send(scene, example, &real).await;
    faults.extend(asked.unlike(&scene.lin).map(|fault| format!("a real token: {fault}")));
    // Ours of several audiences say so in an array.
    let forge = scene.forge();
    let audiences = json!({"aud": ["https://one.example", forge.claims["aud"]]});
    let token = forge.by_issuer(&forge.header, &forge.claims_with(audiences));
    let asked = Asked::send(scene, example, &request(example, &Credentials::bearer(&token))).await;
    faults.extend(asked.unlike(&scene.lin).map(|fault| format!("one of several audiences: {fault}")));
    faults
}

fn request(example: &Example, credentials: &Credentials) -> Request {
    Request::get(example.protected).lines(credentials.0.iter().map(String::as_str))
}

fn odd_tokens(scene: &Scene) -> Vec<(&'static str, Credentials)> {
    let forge = scene.forge();
    let bearer = |(name, token): (&'static str, String)| (name, Credentials::bearer(&token));
    let mut odd: Vec<_> = odd_claims(&forge).into_iter().chain(odd_headers(&forge)).map(bearer).collect();
    odd.extend(odd_forms(&forge, &scene.lin.token).into_iter().map(bearer));
    let (lin, mei) = (&scene.lin.token, &scene.mei.token);
    odd.push(("two tokens in one header", Credentials(vec![format!("Authorization: Bearer {lin}, Bearer {mei}")])));
    odd.push((
        "a token and a password",
        Credentials(vec![format!("Authorization: Bearer {lin}"), "Authorization: Basic bGluOmxpbg==".to_owned()]),
    ));
    odd.push(("another scheme", Credentials(vec![format!("Authorization: Basic {lin}")])));
    odd
}

fn odd_claims(forge: &Forge<'_>) -> Vec<(&'static str, String)> {
    let (now, iss) = (forge.now, &forge.claims["iss"]);
    let odd = [
        ("exp 2^64-1", json!({"exp": u64::MAX})),
        ("exp in ten years", json!({"exp": now + 10 * 365 * 86_400})),
        ("exp as a string", json!({"exp": (now + 3600).to_string()})),
        ("iat as a string", json!({"iat": now.to_string()})),
        ("no iat", json!({"iat": null})),
        ("iss in an array", json!({"iss": [iss]})),
        ("no iss", json!({"iss": null})),
        ("no aud", json!({"aud": null})),
        ("aud in an object", json!({"aud": {"aud": iss}})),
        ("no sub", json!({"sub": null})),
        ("sub an object", json!({"sub": {"id": "lin"}})),
        ("sub empty", json!({"sub": ""})),
        ("sub with a line end", json!({"sub": "lin\r\nX-User-Id: mei"})),
        ("no client_id", json!({"client_id": null})),
        ("jti with a blank", json!({"jti": "a b"})),
        ("9 KiB", json!({"padding": "x".repeat(9 << 10)})),
    ];
    let mut odd: Vec<_> =
        odd.map(|(name, members)| (name, forge.by_issuer(&forge.header, &forge.claims_with(members)))).into();
    odd.push(("a member twice, once escaped", twice(forge, r#""s\u0075b":"mei""#)));
    odd.push(("a member twice, at the end", twice(forge, r#""sub":"mei""#)));
    odd.push(("a member twice, further in", twice(forge, r#""more":{"a":1,"a":2}"#)));
    odd
}

/// The claims and one more member, signed by the issuer.
fn twice(forge: &Forge<'_>, member: &str) -> String {
    let claims = forge.claims.to_string();
    let claims = format!("{},{member}}}", claims.strip_suffix('}').expect("an object"));
    forge.by_issuer_as_written(&forge.header.to_string(), &claims)
}

fn odd_headers(forge: &Forge<'_>) -> Vec<(&'static str, String)> {
    let odd = [
        ("alg of another family", json!({"alg": "RS256"})),
        ("alg of the same family", json!({"alg": "ES384"})),
        ("alg in lower case", json!({"alg": "es256"})),
        ("no alg", json!({"alg": null})),
        ("no kid", json!({"kid": null})),
        ("kid a number", json!({"kid": 1})),
        ("no typ", json!({"typ": null})),
        ("a status list", json!({"typ": "statuslist+jwt"})),
        ("crit empty", json!({"crit": []})),
        ("b64", json!({"b64": true})),
        ("compressed", json!({"zip": "DEF"})),
    ];
    let mut odd: Vec<_> =
        odd.map(|(name, members)| (name, forge.by_issuer(&forge.header_with(members), &forge.claims))).into();
    let header = forge.header.to_string().replacen('{', r#"{"alg":"none","#, 1);
    odd.push(("alg twice", forge.by_issuer_as_written(&header, &forge.claims.to_string())));
    odd
}

fn odd_forms(forge: &Forge<'_>, real: &str) -> Vec<(&'static str, String)> {
    let (signed, signature) = real.rsplit_once('.').expect("a token");
    // 64 bytes leave four bits of the last letter unused.
    let (last, rest) = (signature.chars().last().expect("a letter"), &signature[..signature.len() - 1]);
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let stray = letters.chars().nth(letters.find(last).expect("base64url") + 1).expect("not the last letter");
    vec![
        ("four parts", format!("{real}.e30")),
        ("two parts", signed.to_owned()),
        ("padding", format!("{real}==")),
        ("stray bits", format!("{signed}.{rest}{stray}")),
        ("half a signature", format!("{signed}.{}", &signature[..43])),
        ("claims that are no object", forge.by_issuer(&forge.header, &json!([forge.claims]))),
        ("claims that are no JSON", forge.by_issuer_as_written(&forge.header.to_string(), "sub=lin")),
        ("a header that is no JSON", format!("{}.{}", URL_SAFE_NO_PAD.encode("alg=none"), &real[real.len() / 2..])),
    ]
}
