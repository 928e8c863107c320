//! On a Cluster each step of a request is confirmed where its key lies: that primary's replicas are frozen, others
//! confirm.

use crate::support::prelude::*;

/// Not where the stream of revocations lies ([`STREAM_AT`]), whose entry waits for replicas, too.
const USERS_AT: usize = 0;
const STREAM_AT: usize = 1;
const PEOPLE_AT: usize = 2;

/// The request, the node whose replica is frozen, and the step that must wait for it.
const ASKED: [(&str, usize, &str); 11] = [
    ("first login", USERS_AT, "admit"),
    ("first login", PEOPLE_AT, "settle"),
    ("logout", USERS_AT, "revoke_token"),
    ("logout everywhere", USERS_AT, "revoke_user"),
    ("unbinding", USERS_AT, "unlist_and_revoke"),
    ("unbinding", PEOPLE_AT, "leave"),
    ("block", PEOPLE_AT, "note_block"),
    ("unblock of a user without people", USERS_AT, "set_blocked"),
    ("end in one app", USERS_AT, "revoke_in_app"),
    (
        "login with a unionid that is new",
        PEOPLE_AT,
        "note_unionid",
    ),
    (
        "erasure of a person who has left",
        PEOPLE_AT,
        "erase_person",
    ),
];

struct Scene {
    bed: TestBed<RedisCluster>,
    /// The names of users whose keys lie at [`USERS_AT`].
    names: Vec<String>,
}

/// Somebody whose keys lie at [`PEOPLE_AT`], and a user whose keys lie at [`USERS_AT`].
#[derive(Default)]
struct Pair {
    person: String,
    openid: String,
    name: String,
    token: String,
}

/// The node that has the keys with this tag.
fn lies_at(cluster: &RedisCluster, tag: &str) -> Option<usize> {
    cluster.primary_of(cluster.slot(&format!("{{{tag}}}")))
}

impl Scene {
    async fn start() -> Self {
        let cluster = RedisCluster::start().await;
        // Nobody takes a frozen replica for dead.
        let patient = ["CONFIG", "SET", "cluster-node-timeout", "60000"];
        (0..cluster.nodes()).for_each(|node| cluster.node(node).command(&patient));
        let is_there =
            |name: &String| lies_at(&cluster, &format!("id-of-{name}")) == Some(USERS_AT);
        let names: Vec<_> = (0..)
            .map(|n| format!("user-{n}"))
            .filter(is_there)
            .take(ASKED.len())
            .collect();
        let users: Vec<_> = names.iter().map(String::as_str).collect();
        let builder = TestBed::builder().users(&users).operator();
        Self {
            bed: builder.start_on(cluster).await,
            names,
        }
    }

    /// They are bound, unless the binding is what is asked for.
    async fn pair(&self, number: usize, what: &str) -> Pair {
        let mut pair = Pair {
            name: self.names[number].clone(),
            ..Pair::default()
        };
        self.bed.wechat.names_unionids(APPID, true).await;
        for attempt in 0.. {
            pair.person = format!("person-{number}-{attempt}");
            self.bed.mint_code(&pair.person).await;
            let account = self.bed.wechat.account(&pair.person).await;
            let [openid, unionid] =
                ["openid", "unionid"].map(|name| account[name].as_str().expect("a text"));
            let is_there = |tag: &str| lies_at(&self.bed.redis, tag) == Some(PEOPLE_AT);
            if is_there(&format!("{APPID}:{openid}")) && !is_there(unionid) {
                openid.clone_into(&mut pair.openid);
                break;
            }
        }
        self.bed.wechat.names_unionids(APPID, false).await;
        if !["first login", "unblock of a user without people"].contains(&what) {
            let login = self
                .bed
                .log_in_with(&pair.person, password_of(&pair.name))
                .await;
            pair.token = login.expect_login().member("access_token");
        }
        pair
    }

    async fn ask(&self, what: &str, pair: &Pair) -> Answer {
        let (
            service,
            Pair {
                person,
                openid,
                name,
                token,
            },
        ) = (self.bed.service(), pair);
        let log_out = async |body: Value| service.ask("POST", "/logout", token, &body).await;
        let operate = async |method, path: String| self.bed.operate(method, &path).await;
        match what {
            "first login" => self.bed.log_in_with(person, password_of(name)).await,
            "logout" => log_out(Value::Null).await,
            "logout everywhere" => log_out(json!({"everywhere": true})).await,
            "unbinding" => service.unbind(token).await,
            "block" => operate("PUT", format!("/users/id-of-{name}/block")).await,
            "unblock of a user without people" => {
                operate("DELETE", format!("/users/id-of-{name}/block")).await
            }
            "end in one app" => {
                operate("POST", format!("/wechat/{APPID}/people/{openid}/revoke")).await
            }
            "erasure of a person who has left" => {
                operate("DELETE", format!("/wechat/{APPID}/people/{openid}")).await
            }
            _ => self.bed.log_in(person).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_answered_once_the_replicas_of_its_own_primary_have_it() {
    let scene = Scene::start().await;
    assert_eq!(lies_at(&scene.bed.redis, "wxmint:revoked"), Some(STREAM_AT));
    for (number, (what, node, step)) in ASKED.into_iter().enumerate() {
        let pair = scene.pair(number, what).await;
        scene
            .bed
            .wechat
            .names_unionids(APPID, step == "note_unionid")
            .await;
        if step == "erase_person" {
            assert_eq!(scene.ask("unbinding", &pair).await.status, 204);
        }
        let replica = scene.bed.redis.replicas_of(node)[0];
        scene.bed.redis.node(replica).freeze();
        scene
            .ask(what, &pair)
            .await
            .expect_problem(503, "store_unavailable");
        let ends = redis_keys::revocations_of(&format!("id-of-{}", pair.name));
        let exist: i64 = scene.bed.redis.node(USERS_AT).command(&["EXISTS", &ends]);
        assert!(
            step != "leave" || exist == 0,
            "what comes after it has not begun"
        );
        assert_eq!(
            scene.ask(what, &pair).await.status,
            503,
            "{what}, repeated: {step}"
        );
        scene.bed.redis.node(replica).thaw();
        until(what, PATIENCE, async || {
            scene.ask(what, &pair).await.status < 300
        })
        .await;
    }
}
