//! Batch tokens: JSON Web Tokens (RFC 7519, HS256) which open one account on the batch host.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Account, AccountHash, BatchClaims, Timestamp};
use ring::hmac;
use serde_json::{Value, json};

use crate::{Error, Service};

/// A batch token with its end.
#[derive(Clone, Debug)]
pub struct MintedBatchToken {
    /// The token.
    pub token: String,
    /// From when on it is refused.
    pub expires: Timestamp,
}

impl Service {
    /// Mints a batch token for an account.
    pub fn mint_batch_token(&self, account: &Account) -> MintedBatchToken {
        let expires = self.catalog.now().after(self.settings.batch_token_ttl);
        let header = json!({"typ": "JWT", "alg": "HS256", "kid": "batch"});
        let claims = json!({"sub": account.hash.as_str(), "exp": expires.seconds()});
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let tag = hmac::sign(&self.secrets.batch_token, signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        MintedBatchToken { token, expires }
    }

    /// The account which a batch token opens; `None` if it opens nothing.
    pub async fn open_batch_token(&self, token: &str) -> Result<Option<Account>, Error> {
        match verified(&self.secrets.batch_token, token) {
            Some(claims) if self.catalog.now() < claims.expires => {
                Ok(self.catalog.account_by_hash(&claims.account).await?)
            }
            _ => Ok(None),
        }
    }
}

fn verified(key: &hmac::Key, token: &str) -> Option<BatchClaims> {
    let (signed, tag) = token.rsplit_once('.')?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    // The algorithm is ours and never the token's word.
    hmac::verify(key, signed.as_bytes(), &tag).ok()?;
    let (_, claims) = signed.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Some(BatchClaims {
        account: AccountHash::try_from(claims.get("sub")?.as_str()?).ok()?,
        expires: Timestamp::from_seconds(claims.get("exp")?.as_i64()?),
    })
}
