//! The zones of a server, and what the API tells them (clients.md, section 2.3). Zones are
//! configured; what they are told is kept with the account which owns them all: the oldest one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::{Account, AccountHash, AccountId, AllowedOrigins, Zone, ZoneConfigs};

use crate::{Error, Service};

/// How long a remote image waits for what its zone was told, where that is known from before.
const WAIT: Duration = Duration::from_secs(1);

/// What changes of a zone; `None` is as the server is configured.
#[derive(Clone, Debug)]
pub enum ZoneEdit {
    /// Which sources it allows.
    AllowedOrigins(Option<AllowedOrigins>),
    /// Whether Content Credentials are to be kept.
    ContentCredentials(Option<bool>),
}

/// The owner of the zones as it was last seen, and what it was told of them.
#[derive(Debug, Default)]
pub(crate) struct LastKnown(Mutex<Option<(AccountHash, ZoneConfigs)>>);

impl LastKnown {
    fn get(&self) -> Option<(AccountHash, ZoneConfigs)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn set(&self, owner: Option<&Account>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let as_before = match (&*known, owner) {
            (Some((hash, zones)), Some(owner)) => {
                (hash, zones) == (&owner.hash, &owner.config.zones)
            }
            (None, None) => true,
            _ => false,
        };
        if !as_before {
            *known = owner.map(|owner| (owner.hash.clone(), owner.config.zones.clone()));
        }
    }
}

impl Service {
    /// The zones, as they are configured.
    pub fn zones(&self) -> &[Zone] {
        &self.settings.remote.zones
    }

    /// The account to which the zones belong; `None` where there is no account.
    pub async fn zone_owner(&self) -> Result<Option<Account>, Error> {
        if let Some((hash, _)) = self.zone_owner.get()
            && let Some(owner) = self.catalog.account_by_hash(&hash).await?
        {
            self.zone_owner.set(Some(&owner));
            return Ok(Some(owner));
        }
        let oldest = self.catalog.accounts().await?.into_iter().next();
        self.zone_owner.set(oldest.as_ref());
        Ok(oldest)
    }

    /// What the zones are told. Without the catalog it is what was known last, so that remote
    /// images, which need nothing else of it, do not end with it.
    pub(crate) async fn zone_configs(&self) -> Result<ZoneConfigs, Error> {
        let configs = async {
            let owner = self.zone_owner().await?;
            Ok(owner.map(|owner| owner.config.zones).unwrap_or_default())
        };
        let Some((_, known)) = self.zone_owner.get() else {
            return configs.await;
        };
        match tokio::time::timeout(WAIT, configs).await {
            Ok(Ok(configs)) => Ok(configs),
            Ok(Err(_)) | Err(_) => Ok(known),
        }
    }

    /// Changes what a zone is told, and returns what all of them are.
    pub async fn edit_zone(
        &self,
        owner: &AccountId,
        zone: &Zone,
        edit: ZoneEdit,
    ) -> Result<ZoneConfigs, Error> {
        let now = self.catalog.now();
        let after = self.change_config(owner, |config| {
            let told = config.zones.of_mut(zone);
            match &edit {
                ZoneEdit::AllowedOrigins(allowed) => {
                    told.allowed_origins = allowed.clone().map(|allowed| (allowed, now));
                }
                ZoneEdit::ContentCredentials(kept) => {
                    told.content_credentials = kept.map(|kept| (kept, now));
                }
            }
        });
        Ok(after.await?.zones)
    }
}
