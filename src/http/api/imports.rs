//! `/images/import`: buckets and what is imported from them. An extension: the live service has this in
//! its dashboard alone (management-api.md, section 8.4).

use hyper::StatusCode;
use model::{ImportBucket, ImportJob, ImportSource, Timestamp};
use serde_json::{Value, json};
use service::{NewImport, NewImportSource};

use super::{page, success};
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::response;
use crate::http::wire::Envelope;
use crate::http::{Answer, App, Req, extract, query};

/// `GET /images/import/sources`
pub(in crate::http) async fn list_sources(app: &App, request: &Req, account: Caller) -> Answer {
    let sources = app.service.import_sources(&account.id).await?;
    let shown = sources.iter().map(source_object).collect();
    Ok(page(request.uri().query(), shown))
}

/// `POST /images/import/sources`
pub(in crate::http) async fn create_source(app: &App, request: Req, account: Caller) -> Answer {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    let text = |name: &str| -> Result<Option<String>, ApiError> {
        let text = extract::text(&object, name)?;
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let required = |name: &str| -> Result<String, ApiError> {
        text(name)?.ok_or_else(|| ApiError::bad_request(format!("{name} must be sent")))
    };
    let endpoint = text("endpoint")?;
    let is_elsewhere = endpoint.is_some();
    let new = NewImportSource {
        name: required("name")?,
        bucket: ImportBucket {
            name: required("bucket")?,
            endpoint,
            region: text("region")?.unwrap_or_else(|| "us-east-1".to_owned()),
            // As most stores but Amazon's want it.
            path_style: extract::boolean(&object, "path_style")?.unwrap_or(is_elsewhere),
            access_key_id: required("access_key_id")?,
            secret_access_key: required("secret_access_key")?,
        },
    };
    let created = app.service.create_import_source(&account.id, new).await?;
    Ok(success(source_object(&created)))
}

/// `GET /images/import/sources/{source_id}`
pub(in crate::http) async fn get_source(app: &App, account: Caller, id: &str) -> Answer {
    let source = app.service.import_source(&account.id, id).await?;
    Ok(success(source_object(&source)))
}

/// `PATCH /images/import/sources/{source_id}`: another name.
pub(in crate::http) async fn rename_source(
    app: &App,
    request: Req,
    account: Caller,
    id: &str,
) -> Answer {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    if let Some(other) = object.keys().find(|name| *name != "name") {
        let sentence = format!("{other} cannot be changed: make another source");
        return Err(ApiError::bad_request(sentence));
    }
    let name = extract::text(&object, "name")?;
    let name = name.ok_or_else(|| ApiError::bad_request("name must be sent"))?;
    let renamed = app.service.rename_import_source(&account.id, id, name);
    Ok(success(source_object(&renamed.await?)))
}

/// `DELETE /images/import/sources/{source_id}`
pub(in crate::http) async fn delete_source(app: &App, account: Caller, id: &str) -> Answer {
    app.service.delete_import_source(&account.id, id).await?;
    Ok(success(Value::Null))
}

/// `GET /images/import/jobs`
pub(in crate::http) async fn list_jobs(app: &App, request: &Req, account: Caller) -> Answer {
    let jobs = app.service.imports(&account.id).await?;
    let shown = jobs.iter().map(job_object).collect();
    Ok(page(request.uri().query(), shown))
}

/// `POST /images/import/jobs`
pub(in crate::http) async fn create_job(app: &App, request: Req, account: Caller) -> Answer {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    let text = |name: &str| -> Result<String, ApiError> {
        Ok(extract::text(&object, name)?.unwrap_or_default().to_owned())
    };
    let new = NewImport {
        source: text("source_id")?,
        root: text("root_path")?,
        prefix: text("prefix")?,
        overwrite: extract::boolean(&object, "overwrite")?.unwrap_or(false),
    };
    let created = app.service.create_import(&account.id, new).await?;
    Ok(success(job_object(&created)))
}

/// `GET /images/import/jobs/{job_id}`
pub(in crate::http) async fn get_job(app: &App, account: Caller, id: &str) -> Answer {
    let job = app.service.import(&account.id, id).await?;
    Ok(success(job_object(&job)))
}

/// `POST /images/import/jobs/{job_id}/abort`
pub(in crate::http) async fn abort_job(app: &App, account: Caller, id: &str) -> Answer {
    let aborted = app.service.abort_import(&account.id, id).await?;
    Ok(success(job_object(&aborted)))
}

/// `GET /images/import/jobs/{job_id}/log`: lines in their order, after the one of `cursor`.
pub(in crate::http) async fn log(app: &App, request: &Req, account: Caller, id: &str) -> Answer {
    let (mut after, mut limit) = (0, LOG_PAGE_MAX);
    let limit_max = LOG_PAGE_MAX;
    for (name, value) in query::pairs(request.uri().query()) {
        let wrong = || ApiError::bad_request(format!("{name} must be a whole number"));
        match name.as_str() {
            "cursor" if !value.is_empty() => after = value.parse().map_err(|_| wrong())?,
            "per_page" if !value.is_empty() => limit = value.parse().map_err(|_| wrong())?,
            _ => {}
        }
    }
    if !(1..=limit_max).contains(&limit) {
        let sentence = format!("per_page must be 1 to {limit_max}");
        return Err(ApiError::bad_request(sentence));
    }
    let lines = app.service.import_log(&account.id, id, after, limit);
    let lines = lines.await?;
    let last = lines.last().map(|(number, _)| number.to_string());
    let cursor = last.filter(|_| lines.len() == limit as usize);
    let shown: Vec<Value> = lines
        .iter()
        .map(|(_, entry)| {
            json!({
                "key": entry.key,
                "outcome": entry.outcome.as_str(),
                "reason": entry.reason,
            })
        })
        .collect();
    let info = json!({ "count": shown.len(), "cursor": cursor });
    let envelope = Envelope::of(shown).with_info(info);
    Ok(response::json(StatusCode::OK, &envelope))
}

/// Lines of a log on one page, each with a key of a kilobyte at most.
const LOG_PAGE_MAX: u32 = 1_000;

/// Without what opens the bucket.
fn source_object(source: &ImportSource) -> Value {
    json!({
        "id": source.id.as_str(),
        "name": source.name,
        "bucket": source.bucket.name,
        "endpoint": source.bucket.endpoint,
        "region": source.bucket.region,
        "path_style": source.bucket.path_style,
        "created": source.created.to_string(),
    })
}

fn job_object(job: &ImportJob) -> Value {
    let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    json!({
        "id": job.id.as_str(),
        "source_id": job.source.as_str(),
        "root_path": job.root,
        "prefix": job.prefix,
        "overwrite": job.overwrite,
        "status": job.state.as_str(),
        "found": job.counts.found,
        "imported": job.counts.imported,
        "skipped": job.counts.skipped,
        "failed": job.counts.failed,
        "error": job.error,
        "created": job.created.to_string(),
        "started": moment(job.started),
        "finished": moment(job.finished),
    })
}
