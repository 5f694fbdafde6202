//! `/images/v1/keys`: all three calls answer with every key.

use model::SigningKey;
use serde_json::{Value, json};

use super::success;
use crate::http::auth::Caller;
use crate::http::{Answer, App, Response};

/// `GET /images/v1/keys`
pub(in crate::http) async fn list(app: &App, account: Caller) -> Answer {
    Ok(all(&app.service.signing_keys(&account.id).await?))
}

/// `PUT /images/v1/keys/{name}`: creates, or rotates.
pub(in crate::http) async fn put(app: &App, account: Caller, name: &str) -> Answer {
    Ok(all(&app.service.put_signing_key(&account.id, name).await?))
}

/// `DELETE /images/v1/keys/{name}`
pub(in crate::http) async fn delete(app: &App, account: Caller, name: &str) -> Answer {
    let keys = app.service.delete_signing_key(&account.id, name).await?;
    Ok(all(&keys))
}

fn all(keys: &[SigningKey]) -> Response {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "name": key.name.as_str(), "value": key.value }))
        .collect();
    success(json!({ "keys": keys }))
}
