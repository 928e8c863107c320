//! The stand-in WeChat and the stand-in account service, on loopback, for all turns of a thread. A call of WeChat's API
//! can be lost, or its answer; or WeChat answers when somebody else has come.

use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::{future::pending, io, thread};

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::web::Bytes;
use actix_web::{App, Error, HttpRequest, HttpResponse};
use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::{FutureExt, stream};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wxmint_http::{ClientConnection, ServerLimits, serve};
use wxmint_simulator::{AccountBook, Options, World, account_routes, regulars_book};

pub(crate) const APPID: &str = "wx0123456789abcdef";
pub(crate) const APP_SECRET: &str = "00112233445566778899aabbccddeeff";
/// A second mini program, of the same owner.
pub(crate) const OTHER_APPID: &str = "wxfedcba9876543210";
pub(crate) const OTHER_SECRET: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
/// An official account of the same owner, through which sites log people in inside WeChat.
pub(crate) const ACCOUNT: &str = "wxaaaaaaaaaaaaaaaa";
/// A mini program of a merchant, which has no AppSecret at the service.
pub(crate) const MERCHANT: &str = "wx00000000000000e1";
pub(crate) const PLATFORM: &str = "wxc0ffee00000000ff";
pub(crate) const PLATFORM_SECRET: &str = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
pub(crate) const PLATFORM_TOKEN: &str = "platformtoken";
pub(crate) const PLATFORM_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

/// A fault at one call of WeChat's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection breaks before WeChat has read the request.
    Lost,
    /// WeChat does what it was asked for, and the connection breaks before it answers.
    AnswerLost,
    /// WeChat does what it was asked for, and answers when another use case has been done.
    Held,
}

/// The fault that is planned, and at which call.
struct Plan {
    number: usize,
    fault: Fault,
    /// The calls so far.
    calls: usize,
    /// The path of the call at which something has gone wrong.
    met: Option<String>,
    hold: Option<Hold>,
}

/// The call that is held says so, and waits.
struct Hold {
    is_held: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

type Planned = Arc<Mutex<Option<Plan>>>;

pub(crate) struct Around {
    pub(crate) world: Arc<World>,
    pub(crate) wechat: String,
    pub(crate) accounts: String,
    planned: Planned,
}

thread_local! {
    static AROUND: &'static Around = Around::open();
}

/// They serve until the process ends.
pub(crate) fn around() -> &'static Around {
    AROUND.with(|around| *around)
}

impl Around {
    fn open() -> &'static Self {
        let secrets = [
            format!("{APPID}:{APP_SECRET}"),
            format!("{OTHER_APPID}:{OTHER_SECRET}"),
            format!("{ACCOUNT}:{APP_SECRET}:official_account"),
            format!("{MERCHANT}:{OTHER_SECRET}"),
        ];
        let apps = secrets
            .iter()
            .map(|app| app.parse().expect("an app of the simulator"))
            .collect();
        let platform = [PLATFORM, PLATFORM_SECRET, PLATFORM_TOKEN, PLATFORM_KEY].join(":");
        let platform = Some(platform.parse().expect("a platform of the simulator"));
        let world = World::with_options(
            apps,
            Options {
                no_journal: true,
                platform,
                ..Options::default()
            },
        );
        let (told, addresses) = mpsc::channel();
        let (served, book, planned) = (Arc::clone(&world), regulars_book(), Planned::default());
        let plan = Arc::clone(&planned);
        thread::spawn(move || {
            actix_web::rt::System::new().block_on(stand_in(served, book, plan, told));
        });
        let [wechat, accounts] = addresses.recv().expect("the stand-ins have begun");
        Box::leak(Box::new(Self {
            world,
            wechat,
            accounts,
            planned,
        }))
    }

    /// Does `act` with this fault at that call of WeChat's API; where WeChat is held, `rival` comes meanwhile. Also
    /// returns the path of the call, if `act` has made so many.
    pub(crate) async fn with_fault<T>(
        &self,
        (number, fault): (usize, Fault),
        rival: Option<super::store::Rival>,
        act: impl Future<Output = T>,
    ) -> (T, Option<String>) {
        let (is_held, held) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let hold = Some(Hold { is_held, released });
        *self.planned.lock() = Some(Plan {
            number,
            fault,
            calls: 0,
            met: None,
            hold,
        });
        let meanwhile = pin!(async {
            if let (Ok(()), Some(rival)) = (held.await, rival) {
                rival().await;
            }
            // Nobody waits where nothing was held.
            let _ = release.send(());
        });
        let done = match select(pin!(act), meanwhile).await {
            Either::Left((done, _)) => done,
            Either::Right(((), act)) => act.await,
        };
        (done, self.planned.lock().take().and_then(|plan| plan.met))
    }
}

/// Counts the call. Returns what goes wrong at it.
fn come(planned: &Planned, path: &str) -> Option<(Fault, Option<Hold>)> {
    let mut planned = planned.lock();
    let plan = planned.as_mut().filter(|plan| plan.met.is_none())?;
    plan.calls += 1;
    if plan.calls != plan.number {
        return None;
    }
    plan.met = Some(path.to_owned());
    Some((plan.fault, plan.hold.take()))
}

fn answered<'a, S>(
    planned: &Planned,
    request: ServiceRequest,
    service: &S,
) -> LocalBoxFuture<'a, Answered>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error, Future: 'a>,
{
    match come(planned, request.path()) {
        None => service.call(request).boxed_local(),
        Some((Fault::Lost, _)) => async { Ok(request.into_response(broken())) }.boxed_local(),
        Some((Fault::AnswerLost, _)) => {
            let called = service.call(request);
            async { Ok(called.await?.into_response(broken())) }.boxed_local()
        }
        Some((Fault::Held, hold)) => {
            let called = service.call(request);
            async {
                let answer = called.await?;
                if let Some(Hold { is_held, released }) = hold {
                    // The use case may have given up.
                    let _ = is_held.send(());
                    let _ = released.await;
                }
                Ok(answer)
            }
            .boxed_local()
        }
    }
}

type Answered = Result<ServiceResponse<BoxBody>, Error>;

/// The connection breaks within it.
fn broken() -> HttpResponse {
    let ends = stream::iter([
        Ok(Bytes::from_static(b"{")),
        Err(io::Error::other("the connection breaks")),
    ]);
    HttpResponse::Ok().no_chunking(1000).streaming(ends)
}

async fn stand_in(
    world: Arc<World>,
    book: Arc<AccountBook>,
    planned: Planned,
    told: mpsc::Sender<[String; 2]>,
) {
    let [wechat, accounts] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let url =
        |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
    let urls = [url(&wechat), url(&accounts)];
    let limits = || ServerLimits {
        workers: 1,
        connections: 1000,
        half_closed: false,
        ..ServerLimits::default()
    };
    let seen = Arc::clone(&world);
    let app = move || App::new().configure(account_routes(Arc::clone(&book), Arc::clone(&seen)));
    let accounts = serve(accounts, limits(), app, pending()).expect("a server");
    actix_web::rt::spawn(accounts);
    let app = move || {
        let planned = Arc::clone(&planned);
        App::new()
            .wrap_fn(move |request, service| answered(&planned, request, service))
            .configure(wxmint_simulator::routes(Arc::clone(&world), reset_on_close))
    };
    let wechat = serve(wechat, limits(), app, pending()).expect("a server");
    told.send(urls).expect("somebody waits");
    wechat.await.expect("it serves until the process ends");
}

fn reset_on_close(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<Arc<ClientConnection>>() {
        // Fails only if the connection is closed already.
        let _ = connection.reset_on_close();
    }
}
