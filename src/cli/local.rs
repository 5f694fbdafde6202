//! The catalog named by the settings, opened beside a server which may be running.

use std::path::Path;
use std::sync::Arc;

use model::{Account, AccountHash, AccountId};
use store::{Catalog, Vault};

use super::setting_flags::QuietFlags;
use super::{Error, Variables, stores};
use crate::config::{Config, Database};

/// The catalog and the settings which named it.
pub(super) struct Local {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) config: Config,
}

impl Local {
    /// Opens the catalog, which must exist.
    pub(super) async fn open(flags: QuietFlags, variables: &Variables) -> Result<Self, Error> {
        let config = flags.config(variables)?;
        if let Database::Sqlite(path) = &config.database
            && !path.exists()
        {
            return Err(Error::Failed(format!(
                "there is no database {}; name its folder with --data-dir",
                path.display()
            )));
        }
        Self::open_or_create(config).await
    }

    /// Opens the catalog, and creates it if need be.
    pub(super) async fn open_or_create(config: Config) -> Result<Self, Error> {
        create_folder(&config.data_dir)?;
        if let Database::Sqlite(path) = &config.database
            && let Some(folder) = path.parent()
            && !folder.as_os_str().is_empty()
        {
            create_folder(folder)?;
        }
        let vault = match &config.secret_key {
            Some(key) => Vault::from_key(key.expose()),
            None => Vault::load_or_create(&config.data_dir.join("secret.key"))?,
        };
        let catalog = stores::catalog(&config, vault).await?;
        Ok(Self { catalog, config })
    }

    /// The account of this id or hash; without one, the only account there is.
    pub(super) async fn account(&self, named: Option<&str>) -> Result<Account, Error> {
        let Some(name) = named else {
            let mut accounts = self.catalog.accounts().await?;
            return match (accounts.pop(), accounts.is_empty()) {
                (Some(account), true) => Ok(account),
                (Some(_), false) => Err(Error::Usage(
                    "there are several accounts; name one with --account".to_owned(),
                )),
                (None, _) => Err(Error::Failed(
                    "there is no account; create one with `calotype account create`".to_owned(),
                )),
            };
        };
        let account = if let Ok(id) = AccountId::try_from(name) {
            self.catalog.account(&id).await?
        } else if let Ok(hash) = AccountHash::try_from(name) {
            self.catalog.account_by_hash(&hash).await?
        } else {
            return Err(Error::Usage(format!(
                "{name:?} is neither an account id nor an account hash"
            )));
        };
        account.ok_or_else(|| Error::Failed(format!("there is no account {name}")))
    }
}

/// Creates a folder for its owner alone.
fn create_folder(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::Io(format!("{} cannot be created", path.display()), error))
}
