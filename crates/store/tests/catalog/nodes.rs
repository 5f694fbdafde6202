//! What holds for several nodes on one database.

use store::{Postgres, PostgresUrl, Vault};

/// A node on the database of this address.
pub(crate) async fn node(url: &str) -> Postgres {
    let url = PostgresUrl::parse(url).unwrap();
    Postgres::open(&url, 16, Vault::from_key([7; 32]))
        .await
        .unwrap()
}
