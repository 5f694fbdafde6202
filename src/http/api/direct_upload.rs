//! `/images/v2/direct_upload` and its first version.

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use service::{NewDirectUpload, NewImage};

use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::form::{self, Form};
use crate::http::wire::Envelope;
use crate::http::{Answer, App, Req, extract, response};

/// `POST /images/v2/direct_upload`: a form, a form without parts, or nothing at all.
pub(in crate::http) async fn create_v2(app: &App, request: Req, account: Caller) -> Answer {
    let settings = app.service.settings();
    let limits = &settings.limits;
    let mut form = if request.body().is_empty() {
        Form::default()
    } else {
        Form::read(request, &app.service).await?
    };
    let image = NewImage {
        id: form.text("id").map(str::to_owned),
        metadata: form.metadata(settings.metadata_coercion, limits)?,
        creator: form.creator(limits)?.flatten(),
        require_signed_urls: form.boolean("requireSignedURLs")?.unwrap_or(false),
    };
    let expiry = form.expiry()?;
    create(app, &account, NewDirectUpload { image, expiry }).await
}

/// `POST /images/v1/direct_upload`, deprecated: as version 2, with a JSON body.
pub(in crate::http) async fn create_v1(app: &App, request: Req, account: Caller) -> Answer {
    if form::boundary(&request).is_some() {
        return create_v2(app, request, account).await;
    }
    let limits = &app.service.settings().limits;
    let object = extract::json_object(request, limits).await?;
    let image = NewImage {
        id: None,
        metadata: extract::metadata(&object, limits)?.flatten(),
        creator: None,
        require_signed_urls: extract::boolean(&object, "requireSignedURLs")?.unwrap_or(false),
    };
    let expiry = expiry(&object)?;
    create(app, &account, NewDirectUpload { image, expiry }).await
}

fn expiry(object: &Map<String, Value>) -> Result<Option<model::Timestamp>, ApiError> {
    let text = extract::text(object, "expiry")?;
    text.map(form::expiry).transpose()
}

async fn create(app: &App, account: &Caller, new: NewDirectUpload) -> Answer {
    let draft = app.service.create_direct_upload(account, new).await?;
    let result = json!({ "id": draft.id.as_str(), "uploadURL": draft.upload_url });
    let envelope = Envelope::of(result).with_info(json!(null));
    Ok(response::json(StatusCode::OK, &envelope))
}
