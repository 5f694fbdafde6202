//! `POST /upload/{hash}/{id}`: an end user's upload, without credentials, once
//! (management-api.md, section 3.6).

use hyper::{Method, StatusCode};
use model::{Account, AccountHash, ImageId};
use serde_json::json;

use super::error::ApiError;
use super::form::{self, Form};
use super::path::decode_segment;
use super::response::{self, Response};
use super::wire::{self, Envelope};
use super::{Answer, App, Req};

const METHODS: &str = "POST, OPTIONS";

/// Every answer can be read by scripts of any page: browsers are what this is for.
pub(super) async fn answer(app: &App, request: Req, path: &str) -> Response {
    let answer = match *request.method() {
        Method::OPTIONS => return response::preflight(&request, METHODS),
        Method::POST => upload(app, request, path).await,
        ref other => Err(ApiError::method_not_allowed(other, METHODS)),
    };
    response::readable_by_any_origin(answer.unwrap_or_else(ApiError::into_response))
}

async fn upload(app: &App, request: Req, path: &str) -> Answer {
    let (hash, id) = path.split_once('/').unwrap_or((path, ""));
    let segments: Vec<String> = id.split('/').map(decode_segment).collect();
    let id = ImageId::from_path(segments.join("/"));
    let hash =
        AccountHash::try_from(hash).map_err(|_| service::Error::ImageNotFound(id.clone()))?;
    let account = app.service.open_direct_upload(&hash, &id).await?;
    let filled = fill(app, request, &account, &id).await;
    if let Err(error) = &filled
        && let Some(reason) = error.reason_of_refusal()
    {
        app.service.note_refused_upload(&account, &id, reason).await;
    }
    filled
}

async fn fill(app: &App, request: Req, account: &Account, id: &ImageId) -> Answer {
    if form::boundary(&request).is_none() {
        return Err(ApiError::not_a_form());
    }
    let settings = app.service.settings();
    let mut form = Form::read(request, &app.service).await?;
    let file = form.file.take();
    let file = file.ok_or_else(|| ApiError::bad_request("the part 'file' must be sent"))?;
    let filled = app
        .service
        .fill_direct_upload(account, id, file.bytes, file.filename)
        .await?;
    let variants = app.service.variants(&account.id).await?;
    let names: Vec<_> = variants.into_iter().map(|variant| variant.name).collect();
    let image = wire::public_image(&filled, account, &names, &settings.addresses);
    let envelope = Envelope::of(image).with_info(json!(null));
    Ok(response::json(StatusCode::OK, &envelope))
}
