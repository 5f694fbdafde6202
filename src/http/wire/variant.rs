use serde::Serialize;
use serde_json::{Map, Value};

/// The variant object (management-api.md, section 5.1).
#[derive(Debug, Serialize)]
pub(in crate::http) struct Variant {
    id: String,
    options: Map<String, Value>,
    #[serde(rename = "neverRequireSignedURLs")]
    never_require_signed_urls: bool,
}

pub(in crate::http) fn variant(variant: &model::Variant) -> Variant {
    Variant {
        id: variant.name.as_str().to_owned(),
        options: variant.options.to_json(),
        never_require_signed_urls: variant.never_require_signed_urls,
    }
}

/// Variants keyed by their id, in the given order.
pub(in crate::http) fn variants(variants: &[model::Variant]) -> Map<String, Value> {
    variants
        .iter()
        .filter_map(|listed| {
            let value = serde_json::to_value(variant(listed)).ok()?;
            Some((listed.name.as_str().to_owned(), value))
        })
        .collect()
}
