use model::{Account, VariantName};
use serde::Serialize;
use serde_json::value::RawValue;
use service::Addresses;

/// The image object (management-api.md, section 1.6).
#[derive(Debug, Serialize)]
pub(in crate::http) struct Image {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Box<RawValue>>,
    /// `null` when unset; absent only where an end user reads the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    creator: Option<Option<String>>,
    uploaded: String,
    #[serde(rename = "requireSignedURLs")]
    require_signed_urls: bool,
    variants: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draft: bool,
}

/// An image as its account sees it.
pub(in crate::http) fn image(
    image: &model::Image,
    account: &Account,
    variants: &[VariantName],
    addresses: &Addresses,
) -> Image {
    let creator = image
        .creator
        .as_ref()
        .map(|creator| creator.as_str().to_owned());
    let meta = image
        .metadata
        .as_ref()
        .and_then(|metadata| RawValue::from_string(metadata.as_json().to_owned()).ok());
    Image {
        meta,
        creator: Some(creator),
        ..public_image(image, account, variants, addresses)
    }
}

/// An image as an end user sees it: without what is the account's own.
pub(in crate::http) fn public_image(
    image: &model::Image,
    account: &Account,
    variants: &[VariantName],
    addresses: &Addresses,
) -> Image {
    let variants = variants
        .iter()
        .map(|variant| addresses.variant(&account.hash, &image.id, variant))
        .collect();
    Image {
        filename: image.filename.as_ref().map(|name| name.as_str().to_owned()),
        meta: None,
        creator: None,
        uploaded: image.uploaded.to_string(),
        require_signed_urls: image.require_signed_urls,
        variants,
        draft: image.is_draft(),
        id: image.id.as_str().to_owned(),
    }
}

/// A page of images.
pub(in crate::http) fn images(
    page: &[model::Image],
    account: &Account,
    variants: &[VariantName],
    addresses: &Addresses,
) -> Vec<Image> {
    page.iter()
        .map(|listed| image(listed, account, variants, addresses))
        .collect()
}

/// A page of list v1.
#[derive(Debug, Serialize)]
pub(in crate::http) struct PageByNumber<'a> {
    images: &'a [Image],
    /// What the SDKs' pagers read: a list whose emptiness ends the walk (clients.md, section 2.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Item<'a>>>,
}

#[derive(Debug, Serialize)]
struct Item<'a> {
    images: &'a [Image],
}

impl<'a> PageByNumber<'a> {
    pub(in crate::http) fn new(images: &'a [Image], with_items: bool) -> Self {
        let item = (!images.is_empty()).then_some(Item { images });
        Self {
            images,
            items: with_items.then(|| item.into_iter().collect()),
        }
    }
}

/// A page of list v2.
#[derive(Debug, Serialize)]
pub(in crate::http) struct PageByToken {
    pub(in crate::http) images: Vec<Image>,
    pub(in crate::http) continuation_token: Option<String>,
}
