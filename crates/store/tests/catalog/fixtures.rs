use model::{
    Account, AccountConfig, AccountHash, AccountId, BlobKey, Creator, CreatorFilter, Filename,
    Image, ImageId, KeyName, MediaType, Metadata, MetadataFilter, SigningKey, Source, Timestamp,
    Variant,
};
use store::Catalog;
use store::catalog::{Filled, ListQuery, Order, Position};

/// Far in the future of every test.
pub(crate) const LATE: Timestamp = Timestamp::from_seconds(4_000_000_000);

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub(crate) fn id(text: &str) -> ImageId {
    ImageId::from_path(text.to_owned())
}

pub(crate) fn creator(text: &str) -> Option<Creator> {
    Creator::from_stored(text.to_owned())
}

pub(crate) fn is(text: &str) -> CreatorFilter {
    creator(text).map_or(CreatorFilter::Unset, CreatorFilter::Is)
}

pub(crate) fn metadata(json: &str) -> Option<Metadata> {
    Metadata::from_stored(json)
}

pub(crate) fn account(name: &str) -> Account {
    Account {
        id: AccountId::generate(),
        hash: AccountHash::generate(),
        name: name.to_owned(),
        created: at(1_000),
        config: AccountConfig::default(),
    }
}

pub(crate) fn default_key() -> SigningKey {
    SigningKey::generate(KeyName::default_name())
}

/// A new account in the catalog.
pub(crate) async fn new_account(catalog: &dyn Catalog) -> AccountId {
    let account = account("test");
    catalog
        .create_account(&account, &Variant::public(), &default_key())
        .await
        .unwrap();
    account.id
}

pub(crate) fn source() -> Source {
    Source {
        blob: BlobKey::generate(),
        bytes: 12_345,
        sha256: model::random_bytes(),
        format: MediaType::Jpeg,
        width: 640,
        height: 480,
    }
}

/// An image which was never inserted.
pub(crate) fn image(name: &str) -> Image {
    Image {
        id: id(name),
        filename: Some(Filename::from_stored("cat.jpg".to_owned())),
        metadata: None,
        creator: None,
        uploaded: at(2_000),
        require_signed_urls: false,
        source: Some(source()),
        draft_expires: None,
    }
}

pub(crate) fn draft(name: &str, expires: Timestamp) -> Image {
    Image {
        source: None,
        filename: None,
        draft_expires: Some(expires),
        ..image(name)
    }
}

pub(crate) fn filled(now: Timestamp) -> Filled {
    Filled {
        source: source(),
        filename: Some(Filename::from_stored("dog.png".to_owned())),
        now,
    }
}

pub(crate) fn blob(image: &Image) -> BlobKey {
    image.source.as_ref().unwrap().blob.clone()
}

pub(crate) async fn reserve(catalog: &dyn Catalog, source: &Source) {
    catalog
        .reserve_blobs(std::slice::from_ref(&source.blob), LATE)
        .await
        .unwrap();
}

/// Reserves and inserts, as an upload does.
pub(crate) async fn upload(catalog: &dyn Catalog, account: &AccountId, image: Image) -> Image {
    if let Some(source) = &image.source {
        reserve(catalog, source).await;
    }
    catalog.insert_image(account, image, None).await.unwrap()
}

pub(crate) async fn upload_some(
    catalog: &dyn Catalog,
    account: &AccountId,
    count: usize,
) -> Vec<Image> {
    let mut images = Vec::new();
    for number in 0..count {
        images.push(upload(catalog, account, image(&format!("image {number}"))).await);
    }
    images
}

pub(crate) fn query(order: Order, limit: u32) -> ListQuery {
    ListQuery {
        order,
        after: None,
        limit,
        creator: CreatorFilter::Any,
        filter: MetadataFilter::default(),
    }
}

pub(crate) fn filter(conditions: &[(&str, &str)]) -> MetadataFilter {
    let mut filter = MetadataFilter::default();
    for (name, value) in conditions {
        filter.add(name, value).unwrap();
    }
    filter
}

pub(crate) fn position(image: &Image) -> Position {
    Position {
        uploaded: image.uploaded,
        id: image.id.clone(),
    }
}

/// Every page of a list, one after the other. Each but the last must be full.
pub(crate) async fn pages(
    catalog: &dyn Catalog,
    account: &AccountId,
    mut query: ListQuery,
) -> Vec<Image> {
    let mut images: Vec<Image> = Vec::new();
    loop {
        let page = catalog.images_after(account, &query).await.unwrap();
        let is_last = page.len() < query.limit as usize;
        images.extend(page);
        if is_last {
            return images;
        }
        query.after = images.last().map(position);
    }
}

pub(crate) fn names(images: &[Image]) -> Vec<&str> {
    images.iter().map(|image| image.id.as_str()).collect()
}
