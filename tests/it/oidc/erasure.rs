//! After an erasure, nothing in Redis names the person or the user but what docs/operators.md lists, and that expires.

use wxmint_ids::UserId;

use super::*;
use crate::user_ids::ID_KEY;

/// The key has no life of its own: it is dropped with the entry of the stream, once no token is left that it names.
const WITH_THE_STREAM: i64 = i64::MAX;
/// Parts of the names of keys that may name a user whose data were erased, and for how long at most, in seconds.
const LEFT_OF_THE_USER: [(&str, i64); 9] = [
    // The second up to which the user's tokens were revoked: of a computed user a day longer than session keys.
    ("wxmint:user:{USER}", 32 * 86_400),
    ("wxmint:user:{USER}:struck:", 600),
    // These refuse the revoked tokens, until they have expired.
    ("wxmint:user:{USER}:end", WITH_THE_STREAM),
    ("wxmint:{wxmint:revoked}:put:", 60),
    // When the records of the user's revocations are looked at, and forgotten.
    ("wxmint:{wxmint:revoked}:kept", WITH_THE_STREAM),
    // Logins of sites, which have ended, until they could have been renewed.
    ("wxmint:oidc:", 31 * 86_400),
    // How often tokens were renewed, for the period of WXMINT_LIMIT_OPENID.
    ("wxmint:limit:eighths:oidc-renewals:", 400),
    // Scans.
    ("wxmint:device:", 13 * 60),
    ("wxmint:devices:", 13 * 60),
];
/// The same for keys that name the person. `wxmint:user:{USER}:struck:` is both.
const LEFT_OF_THE_PERSON: [(&str, i64); 3] = [
    ("wxmint:{PERSON}:binding", 600),
    ("wxmint:user:{USER}:struck:", 600),
    ("wxmint:{PERSON}:session", 31 * 86_400),
];

/// All that a key holds, as it is: DUMP compresses.
fn held(bed: &TestBed, key: &str) -> Vec<Vec<u8>> {
    let kind: String = bed.redis.command(&["TYPE", key]);
    let command: &[&str] = match kind.as_str() {
        "string" => {
            return vec![
                bed.redis
                    .command::<Option<Vec<u8>>>(&["GET", key])
                    .unwrap_or_default(),
            ];
        }
        "hash" => &["HGETALL", key],
        "zset" => &["ZRANGE", key, "0", "-1"],
        "set" => &["SMEMBERS", key],
        "stream" => {
            return vec![
                bed.redis
                    .command::<Vec<u8>>(&["EVAL", JOINED_STREAM, "1", key]),
            ];
        }
        "none" => return Vec::new(),
        other => panic!("{key} is a {other}"),
    };
    bed.redis.command(command)
}

const JOINED_STREAM: &str = "local all = {} \
    for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do \
    for _, text in ipairs(entry[2]) do table.insert(all, text) end end return table.concat(all, ' ')";

/// The keys whose name or content has one of these texts, but for the stream of revocations: each of its entries stays
/// until no token that it names is left, as docs/operators.md says.
fn keys_with(bed: &TestBed, texts: &[Vec<u8>]) -> BTreeSet<String> {
    let has = |whole: &[u8]| {
        texts
            .iter()
            .any(|text| whole.windows(text.len()).any(|part| part == text))
    };
    let keys: Vec<String> = bed.redis.command(&["KEYS", "*"]);
    let keys = keys.into_iter().filter(|key| key != "wxmint:revoked");
    keys.filter(|key| has(key.as_bytes()) || held(bed, key).iter().any(|value| has(value)))
        .collect()
}

fn expect_only(
    bed: &TestBed,
    found: &BTreeSet<String>,
    allowed: &[(&str, i64)],
    user: &str,
    person: &str,
    what: &str,
) {
    let mut wrong = Vec::new();
    for key in found {
        let left: i64 = bed.redis.command(&["TTL", key]);
        let is_allowed = |(part, longest): &(&str, i64)| {
            let part = part.replace("USER", user).replace("PERSON", person);
            let is_it = if part.ends_with('}') {
                *key == part
            } else {
                key.starts_with(&part)
            };
            is_it && (-2..=*longest).contains(&left) && (left != -1 || *longest == WITH_THE_STREAM)
        };
        if !allowed.iter().any(is_allowed) {
            let contents = held(bed, key)
                .iter()
                .map(|value| value.escape_ascii().to_string())
                .collect::<Vec<_>>();
            wrong.push(format!("{key} ({left} s): {contents:?}"));
        }
    }
    assert!(wrong.is_empty(), "{what}: {}", wrong.join("\n"));
}

/// The forms in which Redis may hold a user id.
fn forms_of_user(user: &str) -> Vec<Vec<u8>> {
    let uuid: Vec<u8> = user
        .replace('-', "")
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("a UUID"))
        .collect();
    user.parse::<UserId>().expect("a user id");
    vec![user.as_bytes().to_vec(), uuid]
}

fn forms_of_name(name: &str) -> Vec<Vec<u8>> {
    vec![
        name.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(name).expect("base64url"),
    ]
}

/// Everything that a person can do, so that each kind of key is there.
async fn lives_a_full_life(bed: &TestBed) -> String {
    let phone = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    let (user, token) = (phone.member("user_id"), phone.member("access_token"));
    bed.log_in_at(OTHER_APPID, "lin", json!({}))
        .await
        .expect_login();
    let ask = async |method: &str, path: &str, body: Value| {
        bed.service().ask(method, path, &token, &body).await
    };
    let wrong =
        json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==", "iv": "AAAAAAAAAAAAAAAAAAAAAA=="});
    ask("POST", "/wechat/userdata", wrong)
        .await
        .expect_problem(422, "decryption_failed");
    ask(
        "POST",
        "/wechat/phone",
        json!({"code": bed.wechat.mint_phone_code("lin").await}),
    )
    .await;
    ask("GET", "/wechat/session", Value::Null).await;
    let tokens = bed.log_in_site("lin").await;
    bed.renew(&tokens).await.expect_login();
    bed.let_in("tv", "lin").await;
    // A scan that nobody fetches, and one that is looked at alone.
    let waiting = bed.ask_as("tv").await;
    bed.approves(&phone, "lin", &waiting).await;
    let looked_at = bed.ask_as("tv").await;
    bed.look(&phone, &looked_at.user_code()).await;
    let left = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    bed.log_out(&left, false).await;
    user
}

async fn names_of(bed: &TestBed, person: &str) -> (Vec<Vec<u8>>, String) {
    let mut forms = Vec::new();
    let mut here = String::new();
    for app in [APPID, OTHER_APPID] {
        let account = bed.wechat.account_in(app, person).await;
        let openid = account["openid"].as_str().expect("an openid");
        forms.extend(forms_of_name(openid));
        if app == APPID {
            here = format!("{app}:{openid}");
        }
        forms.extend(forms_of_name(
            account["unionid"].as_str().expect("a unionid"),
        ));
    }
    (forms, here)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_nothing_in_redis_names_person_or_user_but_what_the_page_lists() {
    for kind in ["random", "openid", "unionid"] {
        let bed = builder()
            .two_apps()
            .user_ids(kind, ID_KEY)
            .operator()
            .start()
            .await;
        let user = lives_a_full_life(&bed).await;
        let (names, person) = names_of(&bed, "lin").await;
        let before = keys_with(&bed, &forms_of_user(&user));
        for kind_of_key in [
            ":clients",
            "wxmint:client:{",
            "wxmint:oidc:family:",
            "wxmint:device:",
        ] {
            assert!(
                before.iter().any(|key| key.contains(kind_of_key)),
                "{kind}: no {kind_of_key} in {before:?}"
            );
        }

        if kind == "openid" {
            // Each app has a user of its own.
            let other = bed
                .log_in_at(OTHER_APPID, "lin", json!({}))
                .await
                .expect_login()
                .member("user_id");
            bed.run(&["users", "erase", &other, "--yes"])
                .expect_success();
        }
        bed.run(&["users", "erase", &user, "--yes"])
            .expect_success();
        let left = keys_with(&bed, &forms_of_user(&user));
        expect_only(&bed, &left, &LEFT_OF_THE_USER, &user, &person, kind);
        let left = keys_with(&bed, &names);
        let struck = left
            .into_iter()
            .filter(|key| !key.contains(":struck:") && !key.ends_with(":binding"))
            .collect();
        expect_only(&bed, &struck, &LEFT_OF_THE_PERSON, &user, &person, kind);
    }
}

/// The user stays, who may have other people; of the person nothing does.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_erasure_of_a_person_nothing_names_the_person_nor_of_which_clients_the_user_had_tokens()
 {
    for kind in ["random", "openid", "unionid"] {
        let bed = builder()
            .two_apps()
            .user_ids(kind, ID_KEY)
            .operator()
            .start()
            .await;
        let user = lives_a_full_life(&bed).await;
        let (names, person) = names_of(&bed, "lin").await;
        for app in [APPID, OTHER_APPID] {
            let openid = bed.wechat.account_in(app, "lin").await["openid"]
                .as_str()
                .expect("an openid")
                .to_owned();
            assert_eq!(
                bed.operate("DELETE", &format!("/wechat/{app}/people/{openid}"))
                    .await
                    .status,
                204
            );
        }
        let left = keys_with(&bed, &names).into_iter();
        let left = left
            .filter(|key| !key.contains(":struck:") && !key.ends_with(":binding"))
            .collect();
        expect_only(&bed, &left, &LEFT_OF_THE_PERSON, &user, &person, kind);
        let of_user = keys_with(&bed, &forms_of_user(&user));
        let noted = of_user
            .iter()
            .find(|key| key.contains(":clients") || key.starts_with("wxmint:client:"));
        assert_eq!(noted, None, "{kind}");
    }
}

/// Nobody erases them: they are looked at once the first of the tokens has expired, and forgotten one by one.
#[tokio::test]
async fn of_which_clients_a_user_has_tokens_is_kept_no_longer_than_the_tokens() {
    let bed = builder().start().await;
    let user = bed.log_in("lin").await.expect_login().member("user_id");
    let token = bed.let_in("tv", "lin").await;
    let life = token.json()["expires_in"].as_i64().expect("seconds");
    let dated: i64 = bed
        .redis
        .command(&["ZSCORE", "wxmint:{wxmint:revoked}:kept", &user]);
    let left = dated - wxmint::clock::now().timestamp();
    assert!((life..=life + 300).contains(&left), "{left} s of {life}");
}
