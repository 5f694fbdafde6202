//! Records as lines of JSON, as backups hold them. Every field is named here, both ways, so that one
//! which is added and forgotten does not compile.

mod imports;
mod webhooks;

use model::{
    Account, AccountConfig, AccountHash, AccountId, ApiToken, BlobKey, Creator, Filename, Image,
    ImageId, KeyName, MediaType, Metadata, Permission, SigningKey, Source, Timestamp, TokenHash,
    TokenId, Variant, VariantName, VariantOptions, ZoneConfigs,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Vault;
use store::catalog::{AccountRecords, Record};

use imports::{ImportSourceLine, import_source, import_source_line};
use webhooks::{PendingLine, PolicyLine, WebhookLine};
use webhooks::{pending, pending_line, policy, policy_line, webhook, webhook_line};

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Account(AccountLine),
    Image(ImageLine),
}

#[derive(Serialize, Deserialize)]
struct AccountLine {
    id: String,
    hash: String,
    name: String,
    created: i64,
    last_uploaded: i64,
    flexible_variants: bool,
    browser_ttl: u32,
    preserve_content_credentials: bool,
    /// Backups of earlier versions have none.
    #[serde(default)]
    zones: Map<String, Value>,
    variants: Vec<VariantLine>,
    keys: Vec<KeyLine>,
    tokens: Vec<TokenLine>,
    #[serde(default)]
    webhooks: Vec<WebhookLine>,
    #[serde(default)]
    policies: Vec<PolicyLine>,
    #[serde(default)]
    import_sources: Vec<ImportSourceLine>,
    #[serde(default)]
    pending: Vec<PendingLine>,
}

#[derive(Serialize, Deserialize)]
struct VariantLine {
    name: String,
    options: Map<String, Value>,
    never_require_signed_urls: bool,
}

#[derive(Serialize, Deserialize)]
struct KeyLine {
    name: String,
    /// Sealed by the secret key of the server, as in its database.
    sealed: String,
}

#[derive(Serialize, Deserialize)]
struct TokenLine {
    id: String,
    hash: String,
    name: String,
    permission: String,
    created: i64,
    expires: Option<i64>,
    not_before: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct ImageLine {
    account: String,
    id: String,
    filename: Option<String>,
    /// JSON to the letter, hence as a text.
    metadata: Option<String>,
    creator: Option<String>,
    uploaded: i64,
    require_signed_urls: bool,
    source: Option<SourceLine>,
    draft_expires: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct SourceLine {
    blob: String,
    bytes: u64,
    sha256: String,
    format: String,
    width: u32,
    height: u32,
}

/// What a sealed key opens as.
fn context(account: &AccountId, name: &KeyName) -> String {
    format!(
        "backup of signing key {} of account {account}",
        name.as_str()
    )
}

/// The record as one line, without its end.
pub(super) fn write(record: &Record, vault: &Vault) -> serde_json::Result<String> {
    let line = match record {
        Record::Account(records) => Line::Account(account_line(records, vault)),
        Record::Image(account, image) => Line::Image(image_line(account, image)),
    };
    serde_json::to_string(&line)
}

/// The record of a line. `None` if it is none; `vault` opens its keys.
pub(super) fn read(line: &str, vault: &Vault) -> Option<Record> {
    match serde_json::from_str(line).ok()? {
        Line::Account(line) => Some(Record::Account(account(line, vault)?.into())),
        Line::Image(line) => {
            let owner = AccountId::try_from(line.account.as_str()).ok()?;
            Some(Record::Image(owner, image(line)?))
        }
    }
}

fn account_line(records: &AccountRecords, vault: &Vault) -> AccountLine {
    let AccountRecords {
        account,
        last_uploaded,
        variants,
        keys,
        tokens,
        webhooks,
        policies,
        import_sources,
        pending,
    } = records;
    let Account {
        id,
        hash,
        name,
        created,
        config,
    } = account;
    let AccountConfig {
        flexible_variants,
        browser_ttl,
        preserve_content_credentials,
        zones,
    } = config;
    AccountLine {
        id: id.as_str().to_owned(),
        hash: hash.as_str().to_owned(),
        name: name.clone(),
        created: created.micros(),
        last_uploaded: last_uploaded.micros(),
        flexible_variants: *flexible_variants,
        browser_ttl: *browser_ttl,
        preserve_content_credentials: *preserve_content_credentials,
        zones: zones.to_json(),
        variants: variants.iter().map(variant_line).collect(),
        keys: keys.iter().map(|key| key_line(id, key, vault)).collect(),
        tokens: tokens.iter().map(token_line).collect(),
        webhooks: webhooks
            .iter()
            .map(|webhook| webhook_line(id, webhook, vault))
            .collect(),
        policies: policies.iter().map(policy_line).collect(),
        import_sources: import_sources
            .iter()
            .map(|source| import_source_line(id, source, vault))
            .collect(),
        pending: pending.iter().map(pending_line).collect(),
    }
}

fn account(line: AccountLine, vault: &Vault) -> Option<AccountRecords> {
    let id = AccountId::try_from(line.id.as_str()).ok()?;
    let keys = line.keys.iter().map(|key| signing_key(&id, key, vault));
    let tokens = line.tokens.into_iter().map(|token| api_token(&id, token));
    let (keys, tokens) = (keys.collect::<Option<_>>()?, tokens.collect::<Option<_>>()?);
    let webhooks = line.webhooks.into_iter();
    let webhooks = webhooks.map(|line| webhook(&id, line, vault));
    let webhooks = webhooks.collect::<Option<_>>()?;
    let policies = line.policies.into_iter().map(policy);
    let sources = line.import_sources.into_iter();
    let sources = sources.map(|line| import_source(&id, line, vault));
    let import_sources = sources.collect::<Option<_>>()?;
    let pending = line.pending.into_iter().map(pending);
    Some(AccountRecords {
        account: Account {
            hash: AccountHash::try_from(line.hash.as_str()).ok()?,
            id,
            name: line.name,
            created: Timestamp::from_micros(line.created),
            config: AccountConfig {
                flexible_variants: line.flexible_variants,
                browser_ttl: line.browser_ttl,
                preserve_content_credentials: line.preserve_content_credentials,
                zones: ZoneConfigs::from_json(&line.zones)?,
            },
        },
        last_uploaded: Timestamp::from_micros(line.last_uploaded),
        variants: line.variants.iter().map(variant).collect::<Option<_>>()?,
        keys,
        tokens,
        webhooks,
        policies: policies.collect::<Option<_>>()?,
        import_sources,
        pending: pending.collect::<Option<_>>()?,
    })
}

fn variant_line(variant: &Variant) -> VariantLine {
    let Variant {
        name,
        options,
        never_require_signed_urls,
    } = variant;
    VariantLine {
        name: name.as_str().to_owned(),
        options: options.to_json(),
        never_require_signed_urls: *never_require_signed_urls,
    }
}

fn variant(line: &VariantLine) -> Option<Variant> {
    Some(Variant {
        name: VariantName::parse(&line.name)?,
        options: VariantOptions::from_json(&line.options).ok()?,
        never_require_signed_urls: line.never_require_signed_urls,
    })
}

fn key_line(account: &AccountId, key: &SigningKey, vault: &Vault) -> KeyLine {
    let SigningKey { name, value } = key;
    KeyLine {
        name: name.as_str().to_owned(),
        sealed: model::to_hex(&vault.seal(value.as_bytes(), &context(account, name))),
    }
}

fn signing_key(account: &AccountId, line: &KeyLine, vault: &Vault) -> Option<SigningKey> {
    let name = KeyName::parse(&line.name)?;
    let sealed = model::from_hex(&line.sealed)?;
    let value = vault.open(&sealed, &context(account, &name)).ok()?;
    Some(SigningKey {
        name,
        value: String::from_utf8(value).ok()?,
    })
}

fn token_line(token: &ApiToken) -> TokenLine {
    let ApiToken {
        id,
        hash,
        account: _,
        name,
        permission,
        created,
        expires,
        not_before,
    } = token;
    TokenLine {
        id: id.as_str().to_owned(),
        hash: model::to_hex(&hash.0),
        name: name.clone(),
        permission: permission.as_str().to_owned(),
        created: created.micros(),
        expires: expires.map(Timestamp::micros),
        not_before: not_before.map(Timestamp::micros),
    }
}

fn api_token(account: &AccountId, line: TokenLine) -> Option<ApiToken> {
    Some(ApiToken {
        id: TokenId::from(line.id),
        hash: TokenHash(model::from_hex(&line.hash)?.try_into().ok()?),
        account: account.clone(),
        name: line.name,
        permission: Permission::parse(&line.permission)?,
        created: Timestamp::from_micros(line.created),
        expires: line.expires.map(Timestamp::from_micros),
        not_before: line.not_before.map(Timestamp::from_micros),
    })
}

fn image_line(account: &AccountId, image: &Image) -> ImageLine {
    let Image {
        id,
        filename,
        metadata,
        creator,
        uploaded,
        require_signed_urls,
        source,
        draft_expires,
    } = image;
    ImageLine {
        account: account.as_str().to_owned(),
        id: id.as_str().to_owned(),
        filename: filename.as_ref().map(|text| text.as_str().to_owned()),
        metadata: metadata.as_ref().map(|text| text.as_json().to_owned()),
        creator: creator.as_ref().map(|text| text.as_str().to_owned()),
        uploaded: uploaded.micros(),
        require_signed_urls: *require_signed_urls,
        source: source.as_ref().map(source_line),
        draft_expires: draft_expires.map(Timestamp::micros),
    }
}

fn image(line: ImageLine) -> Option<Image> {
    let metadata = match line.metadata {
        Some(text) => Some(Metadata::from_stored(&text)?),
        None => None,
    };
    let source = match line.source {
        Some(line) => Some(source(&line)?),
        None => None,
    };
    // A draft which never expires would never be found.
    if line.id.is_empty() || (source.is_none() && line.draft_expires.is_none()) {
        return None;
    }
    Some(Image {
        id: ImageId::from_path(line.id),
        filename: line.filename.map(Filename::from_stored),
        metadata,
        creator: line.creator.and_then(Creator::from_stored),
        uploaded: Timestamp::from_micros(line.uploaded),
        require_signed_urls: line.require_signed_urls,
        source,
        draft_expires: line.draft_expires.map(Timestamp::from_micros),
    })
}

fn source_line(source: &Source) -> SourceLine {
    let Source {
        blob,
        bytes,
        sha256,
        format,
        width,
        height,
    } = source;
    SourceLine {
        blob: blob.to_string(),
        bytes: *bytes,
        sha256: model::to_hex(sha256),
        format: format.as_str().to_owned(),
        width: *width,
        height: *height,
    }
}

fn source(line: &SourceLine) -> Option<Source> {
    Some(Source {
        blob: BlobKey::parse(&line.blob)?,
        bytes: line.bytes,
        sha256: model::from_hex(&line.sha256)?.try_into().ok()?,
        format: MediaType::parse(&line.format)?,
        width: line.width,
        height: line.height,
    })
}

#[cfg(test)]
mod tests {
    use model::{
        ImportBucket, ImportSource, NotificationPolicy, OpaqueId, Pending, UploadEnd, Webhook,
    };

    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1_234_567_890_123_456);

    fn webhook(secret: Option<&str>, last: Option<Timestamp>) -> Webhook {
        Webhook {
            id: OpaqueId::generate(),
            name: "hook \u{e9}".to_owned(),
            url: "https://a.test/?x=1".to_owned(),
            secret: secret.map(str::to_owned),
            created: AT,
            last_success: last,
            last_failure: last.map(|last| last.before(std::time::Duration::from_secs(1))),
        }
    }

    fn source(endpoint: Option<&str>) -> ImportSource {
        ImportSource {
            id: OpaqueId::generate(),
            name: "old bucket".to_owned(),
            bucket: ImportBucket {
                name: "pictures".to_owned(),
                endpoint: endpoint.map(str::to_owned),
                region: "there".to_owned(),
                path_style: endpoint.is_some(),
                access_key_id: "AKIA".to_owned(),
                secret_access_key: "open sesame 2".to_owned(),
            },
            created: AT,
        }
    }

    fn records() -> AccountRecords {
        let webhooks = vec![
            webhook(Some("open sesame 1"), None),
            webhook(None, Some(AT)),
        ];
        let policy = |description: Option<&str>, enabled| NotificationPolicy {
            id: OpaqueId::generate(),
            name: "uploads".to_owned(),
            description: description.map(str::to_owned),
            enabled,
            webhooks: webhooks
                .iter()
                .rev()
                .map(|webhook| webhook.id.clone())
                .collect(),
            created: AT,
            modified: AT.after(std::time::Duration::from_secs(1)),
        };
        let policies = vec![policy(None, true), policy(Some("of users"), false)];
        let pending = |outcome: Result<Timestamp, String>, creator: Option<&str>| Pending {
            policy: policies[0].id.clone(),
            webhook: webhooks[1].id.clone(),
            end: UploadEnd {
                image: ImageId::from_path("a/\u{e9}".to_owned()),
                creator: creator.and_then(|text| Creator::from_stored(text.to_owned())),
                outcome,
                happened: AT,
            },
        };
        AccountRecords {
            account: Account {
                id: AccountId::generate(),
                hash: AccountHash::generate(),
                name: "account".to_owned(),
                created: AT,
                config: AccountConfig::default(),
            },
            last_uploaded: AT,
            variants: vec![Variant::public()],
            keys: vec![SigningKey::generate(KeyName::default_name())],
            tokens: Vec::new(),
            pending: vec![
                pending(Ok(AT), Some("x\0y")),
                pending(Err("no image".to_owned()), None),
            ],
            import_sources: vec![source(None), source(Some("https://s3.test"))],
            webhooks,
            policies,
        }
    }

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let vault = Vault::from_key([7; 32]);
        let record = Record::Account(records().into());
        let line = write(&record, &vault).unwrap();
        assert_eq!(read(&line, &vault), Some(record));
        assert!(!line.contains("open sesame"), "{line}");
        assert_eq!(read(&line, &Vault::from_key([8; 32])), None);
    }

    /// As versions before these kinds of records wrote it.
    #[test]
    fn a_line_of_an_earlier_version_is_read() {
        let vault = Vault::from_key([7; 32]);
        let mut records = records();
        let line = write(&Record::Account(records.clone().into()), &vault).unwrap();
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let fields = line.as_object_mut().unwrap();
        for later in ["zones", "webhooks", "policies", "import_sources", "pending"] {
            assert!(fields.remove(later).is_some(), "{later}");
        }
        records.webhooks.clear();
        records.policies.clear();
        records.import_sources.clear();
        records.pending.clear();
        let earlier = read(&line.to_string(), &vault);
        assert_eq!(earlier, Some(Record::Account(records.into())));
    }
}
