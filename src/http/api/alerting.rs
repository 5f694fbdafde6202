//! `/alerting/v3`: webhooks, and policies of what they are told (management-api.md, section 8.3).

use model::{NotificationPolicy, OpaqueId, Webhook};
use serde_json::{Map, Value, json};
use service::{NewPolicy, NewWebhook, PolicyEdit};

use super::{page, success};
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::{Answer, App, Req, Response, extract};

/// `GET /alerting/v3/destinations/webhooks`
pub(in crate::http) async fn list_webhooks(app: &App, request: &Req, account: Caller) -> Answer {
    let webhooks = app.service.webhooks(&account.id).await?;
    let shown = webhooks.iter().map(webhook_object).collect();
    Ok(page(request.uri().query(), shown))
}

/// `POST /alerting/v3/destinations/webhooks`
pub(in crate::http) async fn create_webhook(app: &App, request: Req, account: Caller) -> Answer {
    let new = new_webhook(app, request).await?;
    Ok(named(&app.service.create_webhook(&account.id, new).await?))
}

/// `GET /alerting/v3/destinations/webhooks/{webhook_id}`
pub(in crate::http) async fn get_webhook(app: &App, account: Caller, id: &str) -> Answer {
    let webhook = app.service.webhook(&account.id, id).await?;
    Ok(success(webhook_object(&webhook)))
}

/// `PUT /alerting/v3/destinations/webhooks/{webhook_id}`
pub(in crate::http) async fn replace_webhook(
    app: &App,
    request: Req,
    account: Caller,
    id: &str,
) -> Answer {
    // An unknown one is the first thing to say.
    app.service.webhook(&account.id, id).await?;
    let new = new_webhook(app, request).await?;
    let replaced = app.service.replace_webhook(&account.id, id, new);
    Ok(named(&replaced.await?))
}

/// `DELETE /alerting/v3/destinations/webhooks/{webhook_id}`
pub(in crate::http) async fn delete_webhook(app: &App, account: Caller, id: &str) -> Answer {
    app.service.delete_webhook(&account.id, id).await?;
    Ok(success(Value::Null))
}

/// `GET /alerting/v3/policies`
pub(in crate::http) async fn list_policies(app: &App, request: &Req, account: Caller) -> Answer {
    let policies = app.service.policies(&account.id).await?;
    let shown = policies.iter().map(policy_object).collect();
    Ok(page(request.uri().query(), shown))
}

/// `POST /alerting/v3/policies`
pub(in crate::http) async fn create_policy(app: &App, request: Req, account: Caller) -> Answer {
    let edit = policy_edit(app, request).await?;
    let missing = |name: &str| ApiError::bad_request(format!("{name} must be sent"));
    let new = NewPolicy {
        name: edit.name.ok_or_else(|| missing("name"))?,
        description: edit.description.flatten(),
        enabled: edit.enabled.ok_or_else(|| missing("enabled"))?,
        webhooks: edit.webhooks.ok_or_else(|| missing("mechanisms"))?,
    };
    Ok(named(&app.service.create_policy(&account.id, new).await?))
}

/// `GET /alerting/v3/policies/{policy_id}`
pub(in crate::http) async fn get_policy(app: &App, account: Caller, id: &str) -> Answer {
    let policy = app.service.policy(&account.id, id).await?;
    Ok(success(policy_object(&policy)))
}

/// `PUT /alerting/v3/policies/{policy_id}`: what is not sent stays, since SDKs take every member for
/// optional.
pub(in crate::http) async fn edit_policy(
    app: &App,
    request: Req,
    account: Caller,
    id: &str,
) -> Answer {
    app.service.policy(&account.id, id).await?;
    let edit = policy_edit(app, request).await?;
    let edited = app.service.edit_policy(&account.id, id, edit);
    Ok(named(&edited.await?))
}

/// `DELETE /alerting/v3/policies/{policy_id}`
pub(in crate::http) async fn delete_policy(app: &App, account: Caller, id: &str) -> Answer {
    app.service.delete_policy(&account.id, id).await?;
    Ok(success(Value::Null))
}

fn named(id: &OpaqueId) -> Response {
    success(json!({ "id": id.as_str() }))
}

fn webhook_object(webhook: &Webhook) -> Value {
    let moment = |moment: Option<model::Timestamp>| moment.map(|moment| moment.to_string());
    json!({
        "id": webhook.id.as_str(),
        "name": webhook.name,
        "url": webhook.url,
        "type": "generic",
        "created_at": webhook.created.to_string(),
        "last_success": moment(webhook.last_success),
        "last_failure": moment(webhook.last_failure),
    })
}

fn policy_object(policy: &NotificationPolicy) -> Value {
    let webhooks: Vec<Value> = policy
        .webhooks
        .iter()
        .map(|id| json!({ "id": id.as_str() }))
        .collect();
    json!({
        "id": policy.id.as_str(),
        "name": policy.name,
        "description": policy.description.as_deref().unwrap_or_default(),
        "enabled": policy.enabled,
        "alert_type": NotificationPolicy::ALERT_TYPE,
        "mechanisms": { "webhooks": webhooks },
        "filters": {},
        "created": policy.created.to_string(),
        "modified": policy.modified.to_string(),
    })
}

async fn new_webhook(app: &App, request: Req) -> Result<NewWebhook, ApiError> {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    let text = |name: &str| -> Result<Option<String>, ApiError> {
        Ok(extract::text(&object, name)?.map(str::to_owned))
    };
    let required = |name: &str| -> Result<String, ApiError> {
        text(name)?.ok_or_else(|| ApiError::bad_request(format!("{name} must be sent")))
    };
    Ok(NewWebhook {
        name: required("name")?,
        url: required("url")?,
        secret: text("secret")?,
    })
}

/// The members of a policy. What could only be ignored is refused.
async fn policy_edit(app: &App, request: Req) -> Result<PolicyEdit, ApiError> {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    if let Some(alert_type) = extract::text(&object, "alert_type")?
        && alert_type != NotificationPolicy::ALERT_TYPE
    {
        let only = NotificationPolicy::ALERT_TYPE;
        let sentence = format!("alert_type must be {only}: this server tells of nothing else");
        return Err(ApiError::bad_request(sentence));
    }
    if is_given(object.get("alert_interval")) {
        let sentence = "alert_interval is not there for this alert_type";
        return Err(ApiError::bad_request(sentence));
    }
    if is_given(object.get("filters")) {
        let sentence = "filters are not there for this alert_type";
        return Err(ApiError::bad_request(sentence));
    }
    Ok(PolicyEdit {
        name: extract::text(&object, "name")?.map(str::to_owned),
        description: if object.contains_key("description") {
            let text = extract::text(&object, "description")?;
            let text = text.filter(|text| !text.is_empty());
            Some(text.map(str::to_owned))
        } else {
            None
        },
        enabled: extract::boolean(&object, "enabled")?,
        webhooks: mechanisms(&object)?,
    })
}

/// The ids of `mechanisms.webhooks`.
fn mechanisms(object: &Map<String, Value>) -> Result<Option<Vec<String>>, ApiError> {
    let mechanisms = match object.get("mechanisms") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(mechanisms)) => mechanisms,
        Some(_) => return Err(ApiError::bad_request("mechanisms must be an object")),
    };
    let other = mechanisms
        .iter()
        .find(|(name, value)| name.as_str() != "webhooks" && is_given(Some(value)));
    if let Some((name, _)) = other {
        let sentence = format!("mechanisms.{name} is not there: this server tells webhooks alone");
        return Err(ApiError::bad_request(sentence));
    }
    let malformed = || {
        let sentence = "mechanisms.webhooks must be an array of objects with an id";
        ApiError::bad_request(sentence)
    };
    let webhooks = match mechanisms.get("webhooks") {
        None | Some(Value::Null) => return Ok(Some(Vec::new())),
        Some(Value::Array(webhooks)) => webhooks,
        Some(_) => return Err(malformed()),
    };
    let id = |webhook: &Value| webhook.get("id")?.as_str().map(str::to_owned);
    let ids = webhooks.iter().map(id).collect::<Option<Vec<_>>>();
    ids.map(Some).ok_or_else(malformed)
}

/// Whether a member says anything.
fn is_given(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(array)) => !array.is_empty(),
        Some(Value::Object(object)) => object.values().any(|value| is_given(Some(value))),
        Some(_) => true,
    }
}
