//! `/images/v1/config`

use model::AccountConfig;
use serde_json::{Value, json};
use service::accounts::ConfigEdit;

use super::success;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::{Answer, App, Req, Response, extract};

/// `GET /images/v1/config`
pub(in crate::http) fn get(account: &Caller) -> Response {
    shown(&account.config)
}

/// `PATCH /images/v1/config`
pub(in crate::http) async fn edit(app: &App, request: Req, account: Caller) -> Answer {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    let browser_ttl = match object.get("browser_ttl") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let seconds = value.as_f64().filter(|number| number.fract() == 0.0);
            let within = seconds.filter(|number| (0.0..=f64::from(u32::MAX)).contains(number));
            let seconds = within.map(|number| number as u32);
            let words = "browser_ttl must be a whole number of seconds";
            Some(seconds.ok_or_else(|| ApiError::bad_request(words))?)
        }
    };
    let edit = ConfigEdit {
        flexible_variants: extract::boolean(&object, "flexible_variants")?,
        browser_ttl,
        preserve_content_credentials: extract::boolean(&object, "preserve_content_credentials")?,
    };
    let config = app.service.edit_config(&account.id, edit).await?;
    Ok(shown(&config))
}

fn shown(config: &AccountConfig) -> Response {
    success(json!({
        "flexible_variants": config.flexible_variants,
        "browser_ttl": config.browser_ttl,
        "preserve_content_credentials": config.preserve_content_credentials,
    }))
}
