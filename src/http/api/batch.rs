//! Batch tokens and what they open (management-api.md, section 3.7).

use std::time::Instant;

use hyper::{Method, Request};
use serde_json::json;

use super::success;
use crate::http::auth::{self, Caller};
use crate::http::error::ApiError;
use crate::http::route::Resource;
use crate::http::{App, Response};

/// The methods of the batch host, for browsers which ask.
pub(in crate::http) const METHODS: &str = "GET, POST, PATCH, DELETE, OPTIONS";

/// `GET /images/v1/batch_token`
pub(in crate::http) fn token(app: &App, account: &Caller) -> Response {
    let minted = app.service.mint_batch_token(account);
    success(json!({
        "token": minted.token,
        "expiresAt": minted.expires.to_nanos_text(),
    }))
}

/// The account of a batch request whose token is valid and which the batch API has.
pub(in crate::http) async fn open<B>(
    app: &App,
    request: &Request<B>,
    resource: &Resource,
) -> Result<Caller, ApiError> {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let offered = match resource {
        Resource::Images => reading || request.method() == Method::POST,
        Resource::Image(_) => {
            reading || matches!(*request.method(), Method::PATCH | Method::DELETE)
        }
        Resource::ImagesV2 => reading,
        Resource::DirectUploadV2 => request.method() == Method::POST,
        _ => false,
    };
    if !offered {
        return Err(ApiError::forbidden_endpoint());
    }
    let token = auth::credentials(request)?;
    let account = app.service.open_batch_token(&token).await?;
    let account = account.ok_or_else(ApiError::unauthenticated)?;
    if app.batch_rates.allow(&token, Instant::now()) {
        Ok(account)
    } else {
        Err(ApiError::too_many_requests())
    }
}
