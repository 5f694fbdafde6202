//! Accounts, their tokens and their settings.

use model::{
    Access, Account, AccountConfig, AccountHash, AccountId, ApiToken, KeyName, Permission,
    SigningKey, Timestamp, TokenHash, TokenId, TokenState, Variant, random_secret,
};
use store::Catalog;

use crate::{Error, Service};

/// What a new account is to be; what is not given is minted.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// Its name in API paths.
    pub id: Option<AccountId>,
    /// Its name in delivery addresses.
    pub hash: Option<AccountHash>,
    /// What its owner calls it.
    pub name: String,
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What its owner calls it.
    pub name: String,
    /// What it allows.
    pub permission: Permission,
    /// The token itself; minted if not given.
    pub secret: Option<String>,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
}

/// Creates an account with the variant `public` and the signing key `default`.
pub async fn create_account(catalog: &dyn Catalog, new: NewAccount) -> Result<Account, Error> {
    let account = Account {
        id: new.id.unwrap_or_else(AccountId::generate),
        hash: new.hash.unwrap_or_else(AccountHash::generate),
        name: new.name,
        created: catalog.now(),
        config: AccountConfig::default(),
    };
    let key = SigningKey::generate(KeyName::default_name());
    catalog
        .create_account(&account, &Variant::public(), &key)
        .await
        .map_err(|error| match error {
            store::Error::Taken => Error::Taken(format!("account {}", account.id)),
            other => other.into(),
        })?;
    Ok(account)
}

/// Creates a token and returns it with its secret, which is stored nowhere.
pub async fn create_token(
    catalog: &dyn Catalog,
    account: &AccountId,
    new: NewToken,
) -> Result<(ApiToken, String), Error> {
    let secret = new.secret.unwrap_or_else(random_secret);
    let printable = secret.bytes().all(|byte| byte.is_ascii_graphic());
    if secret.is_empty() || !printable {
        return Err(Error::Invalid(
            "a token is printable ASCII without spaces".to_owned(),
        ));
    }
    let token = ApiToken {
        id: TokenId::generate(),
        hash: TokenHash::of(&secret),
        account: account.clone(),
        name: new.name,
        permission: new.permission,
        created: catalog.now(),
        expires: new.expires,
        not_before: None,
    };
    catalog
        .insert_token(&token)
        .await
        .map_err(|error| match error {
            store::Error::Taken => Error::Taken("the token".to_owned()),
            other => other.into(),
        })?;
    Ok((token, secret))
}

/// What changes in the settings of an account; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConfigEdit {
    /// See `AccountConfig::flexible_variants`.
    pub flexible_variants: Option<bool>,
    /// See `AccountConfig::browser_ttl`.
    pub browser_ttl: Option<u32>,
    /// See `AccountConfig::preserve_content_credentials`.
    pub preserve_content_credentials: Option<bool>,
}

/// How often a change is tried again which meets another one.
const ATTEMPTS: usize = 10;

impl Service {
    /// The account of this id.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        Ok(self.catalog.account(id).await?)
    }

    /// The token which a client sent, if it is known; expired ones too.
    pub async fn token(&self, secret: &str) -> Result<Option<ApiToken>, Error> {
        Ok(self.catalog.token(&TokenHash::of(secret)).await?)
    }

    /// What the holder of a token may do; `None` if the token opens nothing.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Access>, Error> {
        let token = self.token(secret).await?;
        let token = token.filter(|token| token.state(self.catalog.now()) == TokenState::Active);
        Ok(token.map(|token| Access {
            account: token.account,
            permission: token.permission,
        }))
    }

    /// Changes the settings of an account and returns them.
    pub async fn edit_config(
        &self,
        id: &AccountId,
        edit: ConfigEdit,
    ) -> Result<AccountConfig, Error> {
        if let Some(seconds) = edit.browser_ttl
            && !AccountConfig::BROWSER_TTL.contains(&seconds)
        {
            let (low, high) = AccountConfig::BROWSER_TTL.into_inner();
            return Err(Error::Invalid(format!(
                "browser_ttl must be from {low} to {high} seconds"
            )));
        }
        let ConfigEdit {
            flexible_variants,
            browser_ttl,
            preserve_content_credentials,
        } = edit;
        self.change_config(id, |config| {
            config.flexible_variants = flexible_variants.unwrap_or(config.flexible_variants);
            config.browser_ttl = browser_ttl.unwrap_or(config.browser_ttl);
            config.preserve_content_credentials =
                preserve_content_credentials.unwrap_or(config.preserve_content_credentials);
        })
        .await
    }

    /// Changes the settings of an account, whoever else does so meanwhile, and returns them.
    pub(crate) async fn change_config(
        &self,
        id: &AccountId,
        change: impl Fn(&mut AccountConfig),
    ) -> Result<AccountConfig, Error> {
        for _ in 0..ATTEMPTS {
            let account = self.catalog.account(id).await?;
            let before = account.ok_or(store::Error::NotFound)?.config;
            let mut after = before.clone();
            change(&mut after);
            match self.catalog.set_config(id, &before, &after).await {
                Err(store::Error::Changed) => {}
                Err(other) => return Err(other.into()),
                Ok(()) => return Ok(after),
            }
        }
        Err(Error::Busy)
    }
}
