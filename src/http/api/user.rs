//! What command-line clients ask before they begin: whose token is this, and which accounts does
//! it open (management-api.md, section 2.3; clients.md, section 4).

use hyper::{Method, Request, StatusCode};
use model::{Account, ApiToken, Timestamp, TokenState};
use serde_json::{Value, json};

use super::{page, success};
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::wire::Envelope;
use crate::http::{Answer, App, Response, response};

/// `GET /user`, `/user/tokens/verify`, `/accounts`, `/memberships`
pub(in crate::http) async fn answer<B>(app: &App, request: &Request<B>, path: &str) -> Answer {
    reading(request)?;
    if path == "user/tokens/verify" {
        let token = known_token(app, request).await?;
        return Ok(verified(&token, app.service.now()));
    }
    let secret = auth::credentials(request)?;
    let access = app.service.authenticate(&secret).await?;
    let access = access.ok_or_else(ApiError::unauthenticated)?;
    let account = app.service.account(&access.account).await?;
    let account = account.ok_or_else(ApiError::unauthenticated)?;
    let query = request.uri().query();
    Ok(match path {
        "accounts" => page(query, vec![account_object(&account)]),
        "memberships" => page(
            query,
            vec![json!({
                "id": account.id.as_str(),
                "status": "accepted",
                "account": account_object(&account),
                "roles": ["Images"],
                "permissions": {},
            })],
        ),
        _ => success(json!({
            "id": account.id.as_str(),
            "email": "",
            "first_name": null,
            "last_name": null,
            "username": account.name,
        })),
    })
}

/// `GET /accounts/{account_id}`
pub(in crate::http) fn account(account: &Account) -> Response {
    success(account_object(account))
}

/// `GET /accounts/{account_id}/tokens/verify`
pub(in crate::http) async fn verify_account_token<B>(
    app: &App,
    request: &Request<B>,
    account: &Account,
) -> Answer {
    reading(request)?;
    let token = known_token(app, request).await?;
    if token.account == account.id {
        Ok(verified(&token, app.service.now()))
    } else {
        Err(ApiError::invalid_token())
    }
}

fn reading<B>(request: &Request<B>) -> Result<(), ApiError> {
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        ref other => Err(ApiError::method_not_allowed(other, "GET, HEAD")),
    }
}

async fn known_token<B>(app: &App, request: &Request<B>) -> Result<ApiToken, ApiError> {
    let secret = auth::credentials(request)?;
    let token = app.service.token(&secret).await?;
    token.ok_or_else(ApiError::invalid_token)
}

fn verified(token: &ApiToken, now: Timestamp) -> Response {
    let state = token.state(now);
    let status = match state {
        TokenState::Active => "active",
        TokenState::Expired => "expired",
    };
    let mut result = json!({ "id": token.id.as_str(), "status": status });
    if let Some(expires) = token.expires {
        result["expires_on"] = expires.to_string().into();
    }
    if let Some(not_before) = token.not_before {
        result["not_before"] = not_before.to_string().into();
    }
    let mut envelope = Envelope::of(result);
    if state == TokenState::Active {
        let message = json!({
            "code": 10_000,
            "message": "This API Token is valid and active",
            "type": null,
        });
        envelope.messages.push(message);
    }
    response::json(StatusCode::OK, &envelope)
}

fn account_object(account: &Account) -> Value {
    json!({
        "id": account.id.as_str(),
        "name": account.name,
        "type": "standard",
        "created_on": account.created.to_string(),
        "settings": {},
    })
}
