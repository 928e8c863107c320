//! The demo's peer: a service of the business, which verifies tokens as any service does. It knows the issuer by its URL
//! alone.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, ServiceConfig},
};
use serde_json::json;

use crate::{
    http::{Answer, OrProblem, bearer_token, now},
    verify::{
        Refused,
        peer::{NotVerified, Peer},
    },
};

/// `GET /demo/orders` for the page.
pub fn peer_routes(peer: Arc<Peer>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let orders = web::resource("/demo/orders").app_data(Data::from(peer));
        config.service(orders.route(web::get().to(OrProblem(orders_of_caller))));
    }
}

/// Says which user the token names, or why the token is refused. A real service logs the reason and does not send it.
async fn orders_of_caller(request: HttpRequest, peer: Data<Peer>) -> Answer {
    let token = bearer_token(&request)?;
    Ok(match peer.verify(token, now()).await {
        Ok(claims) => HttpResponse::Ok().json(json!({"user_id": claims.user.as_str(), "orders": 2})),
        Err(NotVerified::Refused(reason)) => {
            let ended = reason == Refused::Ended;
            HttpResponse::Unauthorized().json(json!({"ended": ended, "reason": reason.to_string()}))
        }
        Err(reason) => HttpResponse::ServiceUnavailable().json(json!({"ended": false, "reason": reason.to_string()})),
    })
}
