//! Writes by redis-rs' own clients, confirmed by WAIT as well as they allow, and a watchdog that
//! replaces a client when the calls of a slot fail for a while.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisResult, Value, from_redis_value,
};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};
use wxmint_redis_link::{DEADLINE, member, slot_of};

use super::Replicas;

/// The same as in this crate.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
const CONFIRMED_WITHIN: u64 = 400;
/// How long the calls of a slot must fail before the watchdog replaces the client. With less, one
/// late call would be enough.
const WATCHED_FOR: Duration = Duration::from_millis(300);

/// How a client of redis-rs is made and used.
pub(crate) trait Connects: Clone + 'static {
    async fn connect(to: &Place) -> RedisResult<Self>;
    /// Sends a command to the primary of a slot.
    async fn send(&mut self, slot: u16, command: Cmd) -> RedisResult<Value>;
}

/// Where the servers are.
#[derive(Clone)]
pub(crate) struct Place {
    /// The ports of Sentinels, or of a Cluster's nodes.
    pub(crate) ports: Vec<u16>,
    /// The user, if there are Sentinels.
    pub(crate) user: Option<&'static str>,
    pub(crate) master: &'static str,
}

impl Place {
    fn urls(&self) -> Vec<String> {
        self.ports
            .iter()
            .map(|port| format!("redis://127.0.0.1:{port}"))
            .collect()
    }
}

impl Connects for ClusterConnection {
    /// Tuned, because by default the client waits 1.28 s after CLUSTERDOWN.
    async fn connect(to: &Place) -> RedisResult<Self> {
        let client = ClusterClient::builder(to.urls())
            .retries(3)
            .min_retry_wait(20)
            .max_retry_wait(200)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(RESPONSE_TIMEOUT)
            .overall_response_timeout(Some(DEADLINE))
            .tcp_settings(TcpSettings::default().set_nodelay(true));
        client.build()?.get_async_connection().await
    }

    async fn send(&mut self, slot: u16, command: Cmd) -> RedisResult<Value> {
        let primary = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
        self.route_command(command, RoutingInfo::SingleNode(primary))
            .await
    }
}

impl Connects for MultiplexedConnection {
    async fn connect(to: &Place) -> RedisResult<Self> {
        let user = to.user.expect("a user");
        let login = RedisConnectionInfo::default()
            .set_username(user)
            .set_password(user);
        let login = SentinelNodeConnectionInfo::default().set_redis_connection_info(login);
        let login = login.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let sentinels = to
            .urls()
            .into_iter()
            .map(IntoConnectionInfo::into_connection_info);
        let sentinels = sentinels.collect::<RedisResult<Vec<_>>>()?;
        let mut client = SentinelClient::build(
            sentinels,
            to.master.to_owned(),
            Some(login),
            SentinelServerType::Master,
        )?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let primary: Client = client.async_get_client().await?;
        primary
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    async fn send(&mut self, _: u16, command: Cmd) -> RedisResult<Value> {
        self.send_packed_command(&command).await
    }
}

/// A client that is replaced when its connection breaks, and by the watchdog.
pub(crate) struct Watched<C> {
    place: Place,
    has_watchdog: bool,
    waits_for: Replicas,
    client: RefCell<C>,
    /// Since when the calls of each slot have failed.
    failing: RefCell<HashMap<u16, Instant>>,
    is_being_made: Cell<bool>,
}

impl<C: Connects> Watched<C> {
    pub(crate) async fn start(place: Place, has_watchdog: bool, waits_for: Replicas) -> Rc<Self> {
        let client = RefCell::new(C::connect(&place).await.expect("a client of a sound Redis"));
        let (failing, is_being_made) = Default::default();
        Rc::new(Self {
            place,
            has_watchdog,
            waits_for,
            client,
            failing,
            is_being_made,
        })
    }

    /// Whether a write was answered and confirmed within the deadline.
    pub(crate) async fn write(self: &Rc<Self>, key: &str) -> bool {
        let (slot, client) = (slot_of(key.as_bytes()), self.client.borrow().clone());
        let outcome = timeout(DEADLINE, self.confirmed(client, slot, key)).await;
        let (is_broken, is_confirmed) = match &outcome {
            Ok(Ok(confirmed)) => (false, *confirmed),
            Ok(Err(error)) => (
                error.is_unrecoverable_error() || error.code() == Some("READONLY"),
                false,
            ),
            Err(_) => (false, false),
        };
        let failing_for = match is_confirmed {
            true => self
                .failing
                .borrow_mut()
                .remove(&slot)
                .map(|_| Duration::ZERO)
                .unwrap_or_default(),
            false => self
                .failing
                .borrow_mut()
                .entry(slot)
                .or_insert_with(Instant::now)
                .elapsed(),
        };
        if is_broken || self.has_watchdog && failing_for >= WATCHED_FOR {
            self.make_anew();
        }
        is_confirmed
    }

    async fn confirmed(&self, mut client: C, slot: u16, key: &str) -> RedisResult<bool> {
        let command = |name: &str, arguments: &[&str]| redis::cmd(name).arg(arguments).to_owned();
        let _: () = read(client.send(slot, command("SET", &[key, "1"])).await?)?;
        let replicas = match self.waits_for {
            Replicas::One => 1,
            Replicas::Named => {
                let said: String =
                    read(client.send(slot, command("INFO", &["replication"])).await?)?;
                member(&said, "connected_slaves")
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(0)
            }
        };
        if replicas == 0 {
            return Ok(true);
        }
        let wait = command(
            "WAIT",
            &[&replicas.to_string(), &CONFIRMED_WITHIN.to_string()],
        );
        Ok(read::<u32>(client.send(slot, wait).await?)? >= replicas)
    }

    /// Makes a new client in the background. Meanwhile calls go to the old client.
    fn make_anew(self: &Rc<Self>) {
        if self.is_being_made.replace(true) {
            return;
        }
        let watched = Rc::clone(self);
        spawn_local(async move {
            if let Ok(Ok(client)) = timeout(DEADLINE, C::connect(&watched.place)).await {
                watched.client.replace(client);
                watched.failing.borrow_mut().clear();
            }
            watched.is_being_made.set(false);
        });
    }
}

fn read<T: FromRedisValue>(answer: Value) -> RedisResult<T> {
    Ok(from_redis_value(answer.extract_error()?)?)
}
