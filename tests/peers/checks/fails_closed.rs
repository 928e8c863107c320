//! A sidecar that is away, silent or out of its mind.

use super::Asked;
use crate::example::Example;
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::{Answering, Breakable, Manner, PATIENCE, Step, until};

/// A sidecar never says this.
const ANSWERS: &[(&str, &str)] = &[
    (
        "500",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "503",
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    ),
    ("404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    (
        "a redirect",
        "HTTP/1.1 302 Found\r\nLocation: /orders\r\nContent-Length: 0\r\n\r\n",
    ),
    ("garbage", "+OK 200 200 200\r\n\r\n"),
    ("half an answer", "HTTP/1.1 200 OK\r\nX-User-Id: for"),
    ("nothing", ""),
];

pub(crate) async fn fails_closed_faults(
    scene: &Scene,
    example: &Example,
    sidecar: &Breakable,
) -> Vec<String> {
    let mut faults = Vec::new();
    sidecar.cut().await;
    faults.extend(passage(scene, example, "dead").await);
    sidecar.restore().await;
    sidecar.stall().await;
    faults.extend(passage(scene, example, "silent").await);
    sidecar.restore().await;

    let real = sidecar.target();
    for (what, answer) in ANSWERS {
        let mad = mad(answer).await;
        sidecar.lead_to(mad.address);
        sidecar.hang_up().await;
        faults.extend(passage(scene, example, what).await);
    }
    // It says yes, and not to whom.
    let mad = mad("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    sidecar.lead_to(mad.address);
    sidecar.hang_up().await;
    faults.extend(forgery(scene, example).await);

    sidecar.lead_to(real);
    sidecar.hang_up().await;
    until("it lets a real token through again", PATIENCE, async || {
        let asked = Asked::send(scene, example, &request(scene, example)).await;
        asked.unlike(&scene.lin).is_none()
    })
    .await;
    faults
}

fn request(scene: &Scene, example: &Example) -> Request {
    Request::get(example.protected).bearer(&scene.lin.token)
}

async fn passage(scene: &Scene, example: &Example, what: &str) -> Option<String> {
    let asked = Asked::send(scene, example, &request(scene, example)).await;
    // A redirect may reach the client, who then asks elsewhere.
    let closed = asked.seen.is_empty() && asked.status() >= 300;
    (!closed).then(|| {
        format!(
            "sidecar, {what}: {}; the back end sees {:?}",
            asked.told(),
            asked.seen
        )
    })
}

async fn forgery(scene: &Scene, example: &Example) -> Option<String> {
    let forged = request(scene, example).lines([
        "X-User-Id: forged",
        "X-Client-Id: forged",
        "X-Token-Id: forged",
    ]);
    let asked = Asked::send(scene, example, &forged).await;
    let closed = asked.seen.iter().all(super::Seen::is_of_nobody);
    (!closed).then(|| {
        format!(
            "sidecar, a yes without a name: the back end sees {:?}",
            asked.seen
        )
    })
}

/// A sidecar that gives each request the same answer and closes the connection.
async fn mad(answer: &'static str) -> Answering {
    let server = Answering::start();
    server.otherwise(Manner::does(vec![Step::Send(answer.into())]));
    server
}
