//! Nobody learns from a refused password whether there is a user of that name: unknown names, wrong passwords, disabled
//! users and the longest names get one answer, byte for byte, after the same work.

use crate::support::prelude::*;
use std::time::Instant;

/// The fields that are sent beside the code: names and passwords that are all refused.
fn refused() -> [(String, &'static str); 4] {
    [
        ("nobody".to_owned(), PASSWORD),
        ("alice".to_owned(), WRONG_PASSWORD),
        ("bob".to_owned(), PASSWORD),
        ("名".repeat(512), PASSWORD),
    ]
}

async fn attempt(bed: &TestBed, service: &Service, (name, password): &(String, &str)) -> Answer {
    let body = json!({"code": bed.mint_code("lin").await, "username": name, "password": password});
    service.log_in_with(&body).await
}

/// In KiB: nearly all that a hash takes here. A larger one may take more than a password's 3 s.
const HASH: u64 = 25 * 1024;

/// The commands of Redis that a refusal costs, if the machine lets it have an answer. Each is the first of a service of
/// its own, so that the memory of its hash is seen.
async fn cost(bed: &TestBed, refused: &(String, &str)) -> Option<BTreeMap<String, u64>> {
    let service = bed.another().await;
    let silent = service.login(&bed.mint_code("lin").await).await;
    let (memory, before) = (service.peak_memory(), bed.redis.calls());
    let answer = attempt(bed, &service, refused).await;
    if silent.status == 503 || answer.status == 503 {
        return None;
    }
    answer.expect_problem(403, "invalid_credentials");
    let grown = service.peak_memory() - memory;
    assert!(grown > HASH, "{refused:?}: {grown} KiB");
    Some(bed.redis.calls_since(&before))
}

/// On a busy machine a command is repeated now and then, so the least of several tries counts.
#[tokio::test]
async fn refused_passwords_have_one_answer_byte_for_byte_and_cost_the_memory_of_a_hash_and_the_same_commands_of_redis()
 {
    let users = UsersFile::of(&["alice", "bob", "carol"]);
    users.change(&["disable", "bob"]);
    let bed = TestBed::builder()
        .users_file(users)
        .env("WXMINT_LIMIT_USERNAME", "1000000/1s")
        .start()
        .await;
    let mut answers = BTreeSet::new();
    for refused in refused().iter().cycle().take(8) {
        let answer = attempt(&bed, bed.service(), refused).await;
        answers.insert(answer.expect_problem(403, "invalid_credentials").told());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");

    let path = bed.users().path();
    let file = fs::read_to_string(&path).expect("the users file");
    fs::write(&path, file.replace("m=19456", "m=32768")).expect("our file");
    let mut least: [Option<BTreeMap<String, u64>>; 4] = Default::default();
    let late = Instant::now() + 12 * PATIENCE;
    while least[0].is_none() || least.iter().any(|calls| *calls != least[0]) {
        assert!(Instant::now() < late, "not the same commands: {least:#?}");
        for (refused, least) in refused().iter().zip(&mut least) {
            let tries = [least.take(), cost(&bed, refused).await];
            *least = tries
                .into_iter()
                .flatten()
                .min_by_key(|calls| calls.values().sum::<u64>());
        }
    }
}
