//! `wxmint conform` against the examples in Go, Node and Python, as readers copy them.

use std::net::SocketAddr;

use crate::example::Started;
use crate::go;
use crate::scripts::{express, fastapi};
use crate::support::{Ended, free_port, wxmint};

fn conforms(start: fn(SocketAddr, &[(&str, &str)]) -> Started) {
    let issuer = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let started = start(issuer, &[]);
    let example = &started.example;
    let mut conform = wxmint();
    conform
        .env_clear()
        .args(["conform", "--listen", &issuer.to_string()]);
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
