use model::{AccountId, ApiToken, Permission, TokenHash, TokenId};
use store::{Catalog, Error};

use crate::fixtures::{at, new_account};

fn token(account: &AccountId, secret: &str) -> ApiToken {
    ApiToken {
        id: TokenId::generate(),
        hash: TokenHash::of(secret),
        account: account.clone(),
        name: secret.to_owned(),
        permission: Permission::Read,
        created: at(10),
        expires: Some(at(20)),
        not_before: Some(at(15)),
    }
}

pub(crate) async fn a_token_is_found_by_its_hash(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let token = token(&account, "a");
    catalog.insert_token(&token).await.unwrap();
    let found = catalog.token(&TokenHash::of("a")).await.unwrap();
    assert_eq!(found, Some(token));
    assert_eq!(catalog.token(&TokenHash::of("b")).await.unwrap(), None);
}

pub(crate) async fn a_taken_hash_is_refused(catalog: &dyn Catalog) {
    let (one, other) = (new_account(catalog).await, new_account(catalog).await);
    let first = token(&one, "a");
    catalog.insert_token(&first).await.unwrap();
    let refused = catalog.insert_token(&token(&other, "a")).await;
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    assert_eq!(catalog.tokens(&one).await.unwrap(), [first]);
    assert_eq!(catalog.tokens(&other).await.unwrap(), []);
    let unknown = catalog
        .insert_token(&token(&AccountId::generate(), "b"))
        .await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
}

pub(crate) async fn tokens_are_listed_oldest_first(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    for (name, created) in [("b", 20), ("a", 10), ("c", 30)] {
        let mut token = token(&account, name);
        token.created = at(created);
        catalog.insert_token(&token).await.unwrap();
    }
    let tokens = catalog.tokens(&account).await.unwrap();
    let names: Vec<_> = tokens.iter().map(|token| &token.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

pub(crate) async fn a_deleted_token_is_gone(catalog: &dyn Catalog) {
    let (account, other) = (new_account(catalog).await, new_account(catalog).await);
    let token = token(&account, "a");
    catalog.insert_token(&token).await.unwrap();
    let strange = catalog.delete_token(&other, &token.id).await;
    assert!(matches!(strange, Err(Error::NotFound)), "{strange:?}");
    catalog.delete_token(&account, &token.id).await.unwrap();
    assert_eq!(catalog.token(&token.hash).await.unwrap(), None);
    let again = catalog.delete_token(&account, &token.id).await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
}
