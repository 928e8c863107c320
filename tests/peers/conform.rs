//! `wxmint conform` against the examples in Go, Node, Python and Lua, and Envoy with the module, as readers copy them.

use std::net::SocketAddr;

use crate::back_end::BackEnd;
use crate::envoy_module;
use crate::example::{Example, Started};
use crate::go;
use crate::openresty;
use crate::scripts::{express, fastapi};
use crate::support::{Ended, free_port, wxmint};
use tokio::task::spawn_blocking;

fn conforms(start: fn(SocketAddr, &[(&str, &str)]) -> Started) {
    let issuer = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let started = start(issuer, &[]);
    has_no_fault(issuer, &started.example, &[]);
}

/// `example` is set to the issuer at this address.
fn has_no_fault(issuer: SocketAddr, example: &Example, options: &[&str]) {
    let mut conform = wxmint();
    conform
        .env_clear()
        .args(["conform", "--listen", &issuer.to_string()])
        .args(options);
    let url = format!("http://{}{}", example.address, example.protected);
    let told = Ended::of(conform.args(["--url", &url]), "");
    assert!(
        told.code == Some(0) && !told.stdout.contains("FAULT"),
        "{}: {}{}",
        example.name,
        told.stdout,
        told.stderr
    );
}

#[test]
#[ignore = "slow; make nightly runs it"]
fn the_go_example_conforms() {
    conforms(go::start);
}

#[test]
#[ignore = "slow; make nightly runs it"]
fn the_node_example_conforms() {
    conforms(express);
}

#[test]
#[ignore = "slow; make nightly runs it"]
fn the_python_example_conforms() {
    conforms(fastapi);
}

#[test]
#[ignore = "slow; make nightly runs it"]
fn the_lua_example_conforms() {
    conforms(openresty::start);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn the_module_for_envoy_conforms_open_and_closed() {
    for (setting, options) in [
        ("public: []", &[][..]),
        (
            "revocations_fail: closed\n                          revocations_max_age: 15s",
            &["--closed", "--max-age", "15s"],
        ),
    ] {
        let issuer = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let back_end = BackEnd::start().await;
        let envoy = envoy_module::before(back_end.address, issuer, setting).await;
        let checked = spawn_blocking(move || has_no_fault(issuer, &envoy.example, options));
        checked.await.expect("no fault");
    }
}
