//! `/zones`: which zones there are, and the settings of their remote images (clients.md, section
//! 2.3). Everything is shown to tokens of the account which owns them, and to no others.

use hyper::Method;
use model::{Account, AllowedOrigins, Permission, Timestamp, Zone, ZoneConfigs};
use serde_json::{Map, Value, json};
use service::ZoneEdit;

use super::{page, success};
use crate::http::error::ApiError;
use crate::http::{Answer, App, Req, Response, auth, extract, query};

/// A setting, under the name which it has in paths.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    AllowedOrigins,
    ContentCredentials,
}

impl Setting {
    const ALL: [Self; 2] = [Self::AllowedOrigins, Self::ContentCredentials];

    fn parse(name: &str) -> Option<Self> {
        match name {
            "transformations_allowed_origins" => Some(Self::AllowedOrigins),
            "transformations_c2pa" => Some(Self::ContentCredentials),
            _ => None,
        }
    }

    /// The id in answers, which the SDKs declare.
    const fn id(self) -> &'static str {
        match self {
            Self::AllowedOrigins => "image_resizing_allowed_origins",
            Self::ContentCredentials => "image_resizing_c2pa",
        }
    }
}

/// `GET /zones`, `/zones/{zone_id}`, `/zones/{zone_id}/settings`;
/// `GET` and `PATCH /zones/{zone_id}/settings/{setting}`
pub(in crate::http) async fn answer(app: &App, request: Req, segments: &[String]) -> Answer {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let no_route = ApiError::no_route(request.uri().path());
    let zone = |id: &str| {
        app.service
            .zones()
            .iter()
            .find(|zone| zone.id().as_str() == id)
    };
    match *segments.as_slice() {
        [] => {
            let owner = owner(app, &request, "GET, HEAD").await?;
            Ok(list(app, &request, owner.as_ref()))
        }
        [id] => match (owner(app, &request, "GET, HEAD").await?, zone(id)) {
            (Some(owner), Some(zone)) => Ok(success(zone_object(zone, &owner))),
            _ => Err(no_route),
        },
        [id, "settings"] => match (owner(app, &request, "GET, HEAD").await?, zone(id)) {
            (Some(owner), Some(zone)) => {
                let shown = |setting| setting_object(setting, zone, &owner.config.zones);
                Ok(success(Setting::ALL.map(shown)))
            }
            _ => Err(no_route),
        },
        [id, "settings", name] => {
            let Some(setting) = Setting::parse(name) else {
                return Err(no_route);
            };
            let owner = owner(app, &request, "GET, HEAD, PATCH").await?;
            let (Some(owner), Some(zone)) = (owner, zone(id)) else {
                return Err(no_route);
            };
            if *request.method() != Method::PATCH {
                let told = &owner.config.zones;
                return Ok(success(setting_object(setting, zone, told)));
            }
            let object = extract::json_object(request, &app.service.settings().limits).await?;
            let edit = edit(setting, &object)?;
            let told = app.service.edit_zone(&owner.id, zone, edit).await?;
            Ok(success(setting_object(setting, zone, &told)))
        }
        _ => Err(no_route),
    }
}

/// The owner of the zones, if the token is one of its; `methods` are there.
async fn owner(app: &App, request: &Req, methods: &str) -> Result<Option<Account>, ApiError> {
    let permission = match *request.method() {
        Method::GET | Method::HEAD => Permission::Read,
        Method::PATCH if methods.ends_with("PATCH") => Permission::Write,
        ref other => return Err(ApiError::method_not_allowed(other, methods)),
    };
    let token = auth::credentials(request)?;
    let access = app.service.authenticate(&token).await?;
    let access = access.ok_or_else(ApiError::unauthenticated)?;
    if !access.permission.allows(permission) {
        return Err(ApiError::forbidden());
    }
    let owner = app.service.zone_owner().await?;
    Ok(owner.filter(|owner| owner.id == access.account))
}

/// All zones, or the one of a `name`, on one page.
fn list(app: &App, request: &Req, owner: Option<&Account>) -> Response {
    let wanted = query::pairs(request.uri().query());
    let wanted = wanted.iter().find(|(name, _)| name == "name");
    let named = |zone: &&Zone| wanted.is_none_or(|(_, name)| name == zone.host());
    let zones = app.service.zones().iter().filter(named);
    let shown = owner.map(|owner| zones.map(|zone| zone_object(zone, owner)).collect());
    page(request.uri().query(), shown.unwrap_or_default())
}

fn zone_object(zone: &Zone, owner: &Account) -> Value {
    let since = owner.created.to_string();
    json!({
        "id": zone.id().as_str(),
        "name": zone.host(),
        "status": "active",
        "paused": false,
        "type": "full",
        "development_mode": 0,
        "name_servers": [],
        "original_dnshost": null,
        "original_name_servers": null,
        "original_registrar": null,
        "activated_on": since,
        "created_on": since,
        "modified_on": since,
        "account": { "id": owner.id.as_str(), "name": owner.name },
        "owner": { "id": owner.id.as_str(), "name": owner.name, "type": "organization" },
        "meta": {},
        "plan": {},
        "permissions": [],
    })
}

fn setting_object(setting: Setting, zone: &Zone, told: &ZoneConfigs) -> Value {
    let told = told.of(zone);
    let (value, modified): (Value, Option<Timestamp>) = match setting {
        Setting::AllowedOrigins => match told.and_then(|told| told.allowed_origins.as_ref()) {
            Some((allowed, modified)) => (allowed.as_str().into(), Some(*modified)),
            None => (zone.origins().to_string().into(), None),
        },
        Setting::ContentCredentials => match told.and_then(|told| told.content_credentials) {
            Some((kept, modified)) => (if kept { "on" } else { "off" }.into(), Some(modified)),
            None => ("off".into(), None),
        },
    };
    json!({
        "id": setting.id(),
        "value": value,
        "editable": true,
        "modified_on": modified.map(|modified| modified.to_string()),
    })
}

/// `value` of a body; `null` is as the server is configured.
fn edit(setting: Setting, object: &Map<String, Value>) -> Result<ZoneEdit, ApiError> {
    let value = object
        .get("value")
        .ok_or_else(|| ApiError::bad_request("value is missing"))?;
    match (setting, value) {
        (Setting::AllowedOrigins, Value::Null) => Ok(ZoneEdit::AllowedOrigins(None)),
        (Setting::AllowedOrigins, Value::String(list)) => {
            let allowed = AllowedOrigins::parse(list).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "value must be `*`, `zone`, or domains separated by commas, such as \
                     `b.com`, `*.b.com` or `b.com/themes`, in {} bytes at most",
                    AllowedOrigins::BYTES_MAX
                ))
            })?;
            Ok(ZoneEdit::AllowedOrigins(Some(allowed)))
        }
        (Setting::AllowedOrigins, _) => Err(ApiError::bad_request("value must be a string")),
        (Setting::ContentCredentials, Value::Null) => Ok(ZoneEdit::ContentCredentials(None)),
        (Setting::ContentCredentials, value) => match value.as_str() {
            Some("on") => Ok(ZoneEdit::ContentCredentials(Some(true))),
            Some("off") => Ok(ZoneEdit::ContentCredentials(Some(false))),
            _ => Err(ApiError::bad_request("value must be `on` or `off`")),
        },
    }
}
