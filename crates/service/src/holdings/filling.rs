//! A store which is being filled: by one run at a time, and from one origin into one place of bytes,
//! however often a run is killed and begun again.

use futures_util::StreamExt as _;
use model::Timestamp;
use store::catalog;

use super::{Error, Holdings};

/// The right to fill a store, and what is known of it.
#[derive(Debug)]
pub struct Filling {
    right: catalog::Filling,
    /// Whether a run which ended too early has left something here.
    pub(super) is_resumed: bool,
}

impl Filling {
    /// To be asked before something is removed, and before the store is said to be whole: whoever has
    /// the right now may have put it there.
    pub(super) async fn check(&self) -> Result<(), Error> {
        if self.right.is_held().await {
            return Ok(());
        }
        Err(Error::Refused(
            "the database was lost for a moment, and another run may be filling it now; if not, \
             start the same command again"
                .to_owned(),
        ))
    }
}

impl Holdings {
    /// Begins to fill this store, which must be empty, or goes on with what was begun from the same
    /// `origin`. That names everything which must stay the same: where records and bytes come from,
    /// and where the bytes go.
    pub async fn begin_filling(&self, origin: &str) -> Result<Filling, Error> {
        let Some(right) = self.catalog.take_filling().await? else {
            return Err(Error::Refused(
                "another run is filling the store: let it end, or end it".to_owned(),
            ));
        };
        let is_resumed = match self.catalog.incoming().await? {
            Some(found) if found == origin => true,
            Some(found) => {
                return Err(Error::Refused(format!(
                    "the store holds an unfinished copy of {found}, and this would be one of {origin}"
                )));
            }
            None if self.is_empty().await? => {
                self.catalog.set_incoming(Some(origin)).await?;
                false
            }
            None => {
                return Err(Error::Refused(
                    "the store is not empty, and only an empty one is filled".to_owned(),
                ));
            }
        };
        Ok(Filling { right, is_resumed })
    }

    /// Says that the store is whole.
    pub(super) async fn end_filling(&self, filling: &Filling) -> Result<(), Error> {
        filling.check().await?;
        Ok(self.catalog.set_incoming(None).await?)
    }

    /// Takes everything away again.
    pub(super) async fn clear(&self, filling: &Filling) -> Result<(), Error> {
        for account in self.catalog.accounts().await? {
            filling.check().await?;
            self.catalog.delete_account(&account.id).await?;
        }
        loop {
            let far = Timestamp::from_micros(i64::MAX);
            let blobs = self.catalog.abandoned_blobs(far, 1_000).await?;
            if blobs.is_empty() {
                break;
            }
            filling.check().await?;
            self.blobs.delete(&blobs).await?;
            self.catalog.forget_blobs(&blobs).await?;
        }
        let mut left = self.blobs.sorted().chunks(1_000);
        while let Some(some) = left.next().await {
            let keys = some.into_iter().map(|stored| Ok(stored?.key));
            let keys: Vec<_> = keys.collect::<Result<_, Error>>()?;
            filling.check().await?;
            self.blobs.delete(&keys).await?;
        }
        Ok(())
    }
}
