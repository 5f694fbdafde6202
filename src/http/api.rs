//! The management API, a file per resource. A handler translates: typed values come in, one use
//! case is called, a wire type goes out.

pub(super) mod alerting;
pub(super) mod batch;
pub(super) mod config;
pub(super) mod direct_upload;
pub(super) mod images;
pub(super) mod imports;
pub(super) mod keys;
pub(super) mod purge;
pub(super) mod user;
pub(super) mod variants;
pub(super) mod zones;

use hyper::StatusCode;
use model::{Account, AccountId, VariantName};
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use super::query;
use super::response::{self, Response};
use super::wire::Envelope;

/// The account in a path. Routing is judged before authentication (management-api.md, 1.4).
pub(super) async fn known_account(app: &App, id: &str, path: &str) -> Result<Account, ApiError> {
    let id = AccountId::try_from(id).map_err(|_| ApiError::no_route(path))?;
    let account = app.service.account(&id).await?;
    account.ok_or_else(|| ApiError::no_route(path))
}

/// A success with this result.
fn success(result: impl serde::Serialize) -> Response {
    response::json(StatusCode::OK, &Envelope::of(result))
}

/// All there is, on the first page. Those behind it are empty: the pagers of SDKs go on until one is.
fn page(query: Option<&str>, all: Vec<Value>) -> Response {
    let asked = query::pairs(query);
    let asked = asked.iter().find(|(name, _)| name == "page");
    let number = asked.and_then(|(_, number)| number.parse().ok());
    let number: u64 = number.unwrap_or(1).max(1);
    let total = all.len();
    let shown = if number == 1 { all } else { Vec::new() };
    let info = json!({
        "page": number,
        "per_page": total.max(20),
        "count": shown.len(),
        "total_count": total,
        "total_pages": 1,
    });
    let envelope = Envelope::of(shown).with_info(info);
    response::json(StatusCode::OK, &envelope)
}

/// The names which `variants[]` of an image lists.
async fn variant_names(app: &App, account: &Account) -> Result<Vec<VariantName>, ApiError> {
    let variants = app.service.variants(&account.id).await?;
    Ok(variants.into_iter().map(|variant| variant.name).collect())
}
