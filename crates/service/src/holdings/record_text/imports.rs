//! Buckets from which images are imported.

use model::{AccountId, ImportBucket, ImportSource, OpaqueId, Timestamp};
use serde::{Deserialize, Serialize};
use store::Vault;

#[derive(Serialize, Deserialize)]
pub(super) struct ImportSourceLine {
    id: String,
    name: String,
    bucket: String,
    endpoint: Option<String>,
    region: String,
    path_style: bool,
    access_key_id: String,
    /// Sealed as the keys are.
    sealed: String,
    created: i64,
}

fn import_context(account: &AccountId, id: &OpaqueId) -> String {
    format!("backup of the secret of import source {id} of account {account}")
}

pub(super) fn import_source_line(
    account: &AccountId,
    source: &ImportSource,
    vault: &Vault,
) -> ImportSourceLine {
    let ImportSource {
        id,
        name,
        bucket,
        created,
    } = source;
    let ImportBucket {
        name: bucket,
        endpoint,
        region,
        path_style,
        access_key_id,
        secret_access_key,
    } = bucket;
    let sealed = vault.seal(secret_access_key.as_bytes(), &import_context(account, id));
    ImportSourceLine {
        id: id.to_string(),
        name: name.clone(),
        bucket: bucket.clone(),
        endpoint: endpoint.clone(),
        region: region.clone(),
        path_style: *path_style,
        access_key_id: access_key_id.clone(),
        sealed: model::to_hex(&sealed),
        created: created.micros(),
    }
}

pub(super) fn import_source(
    account: &AccountId,
    line: ImportSourceLine,
    vault: &Vault,
) -> Option<ImportSource> {
    let id = OpaqueId::parse(&line.id)?;
    let sealed = model::from_hex(&line.sealed)?;
    let secret = vault.open(&sealed, &import_context(account, &id)).ok()?;
    Some(ImportSource {
        id,
        name: line.name,
        bucket: ImportBucket {
            name: line.bucket,
            endpoint: line.endpoint,
            region: line.region,
            path_style: line.path_style,
            access_key_id: line.access_key_id,
            secret_access_key: String::from_utf8(secret).ok()?,
        },
        created: Timestamp::from_micros(line.created),
    })
}
