//! The demo's peer: a service of the business, which verifies tokens as any service does. It knows
//! only the issuer's URL.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use wxmint_verify::peer::{NotVerified, Peer};
use wxmint_verify::{Refused, bearer};

use super::now;

/// `GET /demo/orders` for the page.
pub fn peer_routes(peer: Arc<Peer>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let orders = web::resource("/demo/orders").app_data(Data::from(peer));
        config.service(orders.route(web::get().to(orders_of_caller)));
    }
}

/// Answers the user of the token, or why the token is rejected. A real service logs the reason and
/// does not send it.
async fn orders_of_caller(request: HttpRequest, peer: Data<Peer>) -> HttpResponse {
    let token = match bearer(
        request
            .headers()
            .get_all(AUTHORIZATION)
            .map(HeaderValue::as_bytes),
    ) {
        Ok(token) => token,
        Err(reason) => {
            return HttpResponse::Unauthorized()
                .json(json!({"ended": false, "reason": reason.to_string()}));
        }
    };
    match peer.verify(token, now()).await {
        Ok(claims) => {
            HttpResponse::Ok().json(json!({"user_id": claims.user.as_str(), "orders": 2}))
        }
        Err(NotVerified::Refused(reason)) => {
            let is_revoked = reason == Refused::Revoked;
            HttpResponse::Unauthorized()
                .json(json!({"ended": is_revoked, "reason": reason.to_string()}))
        }
        Err(reason) => HttpResponse::ServiceUnavailable()
            .json(json!({"ended": false, "reason": reason.to_string()})),
    }
}
