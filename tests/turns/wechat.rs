//! The stand-in WeChat and the stand-in account service, on loopback, for all turns of the process.

use std::net::TcpListener;
use std::sync::{Arc, LazyLock, mpsc};
use std::{future::pending, thread};

use actix_web::{App, HttpRequest};
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

pub(crate) struct Around {
    pub(crate) world: Arc<World>,
    pub(crate) wechat: String,
    pub(crate) accounts: String,
}

/// They serve until the process ends.
pub(crate) static AROUND: LazyLock<Around> = LazyLock::new(|| {
    let secrets = [
        format!("{APPID}:{APP_SECRET}"),
        format!("{OTHER_APPID}:{OTHER_SECRET}"),
        format!("{ACCOUNT}:{APP_SECRET}:official_account"),
        format!("{MERCHANT}:{OTHER_SECRET}"),
    ];
    let apps = secrets.iter().map(|app| app.parse().expect("an app of the simulator")).collect();
    let platform = [PLATFORM, PLATFORM_SECRET, PLATFORM_TOKEN, PLATFORM_KEY].join(":");
    let platform = Some(platform.parse().expect("a platform of the simulator"));
    let world = World::with_options(apps, Options { no_journal: true, platform, ..Options::default() });
    let (told, addresses) = mpsc::channel();
    let (served, book) = (Arc::clone(&world), regulars_book());
    thread::spawn(move || actix_web::rt::System::new().block_on(stand_in(served, book, told)));
    let [wechat, accounts] = addresses.recv().expect("the stand-ins have begun");
    Around { world, wechat, accounts }
});

async fn stand_in(world: Arc<World>, book: Arc<AccountBook>, told: mpsc::Sender<[String; 2]>) {
    let [wechat, accounts] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
    let urls = [url(&wechat), url(&accounts)];
    let limits = || ServerLimits { workers: 1, connections: 1000, half_closed: false, ..ServerLimits::default() };
    let seen = Arc::clone(&world);
    let app = move || App::new().configure(account_routes(Arc::clone(&book), Arc::clone(&seen)));
    let accounts = serve(accounts, limits(), app, pending()).expect("a server");
    actix_web::rt::spawn(accounts);
    let app = move || App::new().configure(wxmint_simulator::routes(Arc::clone(&world), reset_on_close));
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
