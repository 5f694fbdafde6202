//! `/livez`: the process answers. `/readyz`, `/health`: the database does, too.

use hyper::StatusCode;
use serde::Serialize;

use super::App;
use super::response::{self, Response};
use super::route::Check;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
}

pub(super) async fn answer(app: &App, check: Check) -> Response {
    let healthy = match check {
        Check::Live => true,
        Check::Ready => match app.service.ping().await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "not ready");
                false
            }
        },
    };
    let (code, status) = if healthy {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    let version = env!("CARGO_PKG_VERSION");
    response::json(code, &Health { status, version })
}
