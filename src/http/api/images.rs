//! `/images/v1`, `/images/v2`: upload, lists, details, edit, delete, blob, stats.

use hyper::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, StatusCode};
use model::{Filename, ImageId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use service::{NewImage, PageRequest, Upload, WalkRequest};
use store::catalog::{ImageEdit, Order};

use super::{success, variant_names};
use crate::http::auth::Caller;
use crate::http::caching::{self, Conditions};
use crate::http::error::ApiError;
use crate::http::extract::{self, ListParameters};
use crate::http::form::{self, Form};
use crate::http::wire::{self, Envelope};
use crate::http::{Answer, App, Req, response};

/// `POST /images/v1`
pub(in crate::http) async fn upload(app: &App, request: Req, account: Caller) -> Answer {
    let settings = app.service.settings();
    let limits = &settings.limits;
    let mut form = Form::read(request, &app.service).await?;
    let new = NewImage {
        id: form.text("id").map(str::to_owned),
        metadata: form.metadata(settings.metadata_coercion, limits)?,
        creator: form.creator(limits)?.flatten(),
        require_signed_urls: form.boolean("requireSignedURLs")?.unwrap_or(false),
    };
    let upload = match (form.file.take(), form.text("url")) {
        (Some(file), None) => Upload::File {
            bytes: file.bytes,
            filename: file.filename,
        },
        (None, Some(url)) => Upload::Url(url.to_owned()),
        _ => {
            let sentence = "exactly one of the parts 'file' and 'url' must be sent";
            return Err(ApiError::bad_request(sentence));
        }
    };
    let image = app.service.upload(&account.id, new, upload).await?;
    let variants = variant_names(app, &account).await?;
    let image = wire::image(&image, &account, &variants, &settings.addresses);
    let envelope = Envelope::of(image).with_info(json!(null));
    Ok(response::json(StatusCode::OK, &envelope))
}

/// `GET /images/v1`
pub(in crate::http) async fn list_v1<B>(
    app: &App,
    request: &Request<B>,
    account: Caller,
) -> Answer {
    let settings = app.service.settings();
    let parameters = ListParameters::read(request.uri().query(), &settings.limits)?;
    let asked = PageRequest {
        page: parameters.page,
        per_page: parameters.per_page,
        creator: parameters.creator,
    };
    let page = app.service.page(&account.id, &asked).await?;
    let variants = variant_names(app, &account).await?;
    let images = wire::images(&page.images, &account, &variants, &settings.addresses);
    let info = json!({
        "page": asked.page,
        "per_page": asked.per_page,
        "count": images.len(),
        "total_count": page.total,
    });
    let result = wire::PageByNumber::new(&images, app.settings.list_v1_items);
    let envelope = Envelope::of(result).with_info(info);
    Ok(response::json(StatusCode::OK, &envelope))
}

/// `GET /images/v2`
pub(in crate::http) async fn list_v2<B>(
    app: &App,
    request: &Request<B>,
    account: Caller,
) -> Answer {
    let settings = app.service.settings();
    let parameters = ListParameters::read(request.uri().query(), &settings.limits)?;
    let order = match parameters.sort_order.as_deref() {
        None | Some("" | "desc") => Order::Descending,
        Some("asc") => Order::Ascending,
        Some(_) => return Err(ApiError::bad_request("sort_order must be asc or desc")),
    };
    let asked = WalkRequest {
        continuation_token: parameters.continuation_token,
        per_page: parameters.per_page,
        order,
        creator: parameters.creator,
        filter: parameters.filter,
    };
    let walk = app.service.walk(&account.id, asked).await?;
    let variants = variant_names(app, &account).await?;
    let images = wire::images(&walk.images, &account, &variants, &settings.addresses);
    Ok(success(wire::PageByToken {
        images,
        continuation_token: walk.continuation_token,
    }))
}

/// `GET /images/v1/{image_id}`
pub(in crate::http) async fn get(app: &App, account: Caller, id: ImageId) -> Answer {
    let image = app.service.image(&account.id, &id).await?;
    shown(app, &account, image).await
}

/// `PATCH /images/v1/{image_id}`, as JSON or, from Terraform, as a form.
pub(in crate::http) async fn edit(app: &App, request: Req, account: Caller, id: ImageId) -> Answer {
    let settings = app.service.settings();
    let limits = &settings.limits;
    let edit = if form::boundary(&request).is_some() {
        let mut form = Form::read(request, &app.service).await?;
        let metadata = form.has_metadata();
        ImageEdit {
            metadata: if metadata {
                Some(form.metadata(settings.metadata_coercion, limits)?)
            } else {
                None
            },
            creator: form.creator(limits)?,
            require_signed_urls: form.boolean("requireSignedURLs")?,
        }
    } else {
        let object = extract::json_object(request, limits).await?;
        let creator = if object.contains_key("creator") {
            let text = extract::text(&object, "creator")?.unwrap_or_default();
            Some(form::creator(text, limits)?)
        } else {
            None
        };
        ImageEdit {
            metadata: extract::metadata(&object, limits)?,
            creator,
            require_signed_urls: extract::boolean(&object, "requireSignedURLs")?,
        }
    };
    let image = app.service.edit_image(&account.id, &id, edit).await?;
    shown(app, &account, image).await
}

async fn shown(app: &App, account: &Caller, image: model::Image) -> Answer {
    let variants = variant_names(app, account).await?;
    let addresses = &app.service.settings().addresses;
    Ok(success(wire::image(&image, account, &variants, addresses)))
}

/// `DELETE /images/v1/{image_id}`
pub(in crate::http) async fn delete(app: &App, account: Caller, id: ImageId) -> Answer {
    app.service.delete_image(&account.id, &id).await?;
    Ok(success(json!({})))
}

/// `GET /images/v1/{image_id}/blob`
pub(in crate::http) async fn blob<B>(
    app: &App,
    request: &Request<B>,
    account: Caller,
    id: ImageId,
) -> Answer {
    let blob = app.service.blob(&account.id, &id).await?;
    let etag = caching::source_etag(&blob.source);
    let conditions = Conditions {
        etag: &etag,
        modified: blob.uploaded,
        by_date: true,
    };
    let format = blob.source.format.as_str();
    let mut answer = conditions.answer(request, format, blob.bytes);
    // The source may be an SVG with scripts, which must not run with the rights of this host.
    response::set(
        &mut answer,
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; sandbox",
    );
    response::set(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response::set(&mut answer, CACHE_CONTROL, "private, no-cache");
    let disposition = disposition(blob.filename.as_ref());
    response::set_text(&mut answer, CONTENT_DISPOSITION, &disposition);
    Ok(answer)
}

/// `GET /images/v1/stats`
pub(in crate::http) async fn stats(app: &App, account: Caller) -> Answer {
    let stats = app.service.stats(&account.id).await?;
    let count = json!({ "current": stats.current, "allowed": stats.allowed });
    Ok(success(json!({ "count": count })))
}

/// The characters of RFC 8187 which a filename may hold unencoded.
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn disposition(filename: Option<&Filename>) -> String {
    match filename {
        Some(name) => {
            let name = utf8_percent_encode(name.as_str(), ATTRIBUTE);
            format!("inline; filename*=UTF-8''{name}")
        }
        None => "inline".to_owned(),
    }
}
