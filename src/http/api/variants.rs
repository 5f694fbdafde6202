//! `/images/v1/variants`

use serde_json::{Map, Value, json};

use super::success;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::{Answer, App, Req, extract, wire};

/// `GET /images/v1/variants`
pub(in crate::http) async fn list(app: &App, account: Caller) -> Answer {
    let variants = app.service.variants(&account.id).await?;
    Ok(success(json!({ "variants": wire::variants(&variants) })))
}

/// `POST /images/v1/variants`
pub(in crate::http) async fn create(app: &App, request: Req, account: Caller) -> Answer {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    let name = extract::text(&object, "id")?;
    let name = name.ok_or_else(|| ApiError::bad_request("id must be sent"))?;
    let options = options(&object)?;
    let never = extract::boolean(&object, "neverRequireSignedURLs")?.unwrap_or(false);
    let created = app
        .service
        .create_variant(&account.id, name, &options, never)
        .await?;
    Ok(shown(&created))
}

/// `GET /images/v1/variants/{variant_id}`
pub(in crate::http) async fn get(app: &App, account: Caller, name: &str) -> Answer {
    Ok(shown(&app.service.variant(&account.id, name).await?))
}

/// `PATCH /images/v1/variants/{variant_id}`: the given options change, the others stay, since
/// Terraform sends only what differs (clients.md, section 3).
pub(in crate::http) async fn edit(app: &App, request: Req, account: Caller, name: &str) -> Answer {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    let options = options(&object)?;
    let never = extract::boolean(&object, "neverRequireSignedURLs")?;
    let edited = app
        .service
        .edit_variant(&account.id, name, &options, never)
        .await?;
    Ok(shown(&edited))
}

/// `DELETE /images/v1/variants/{variant_id}`
pub(in crate::http) async fn delete(app: &App, account: Caller, name: &str) -> Answer {
    app.service.delete_variant(&account.id, name).await?;
    Ok(success(json!({})))
}

fn options(object: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    match object.get("options") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(options)) => Ok(options.clone()),
        Some(_) => Err(ApiError::bad_request("options must be an object")),
    }
}

fn shown(variant: &model::Variant) -> crate::http::Response {
    success(json!({ "variant": wire::variant(variant) }))
}
