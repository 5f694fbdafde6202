//! Signatures of delivery addresses (management-api.md, section 6).

use ring::hmac;

use crate::random::{hex, unhex};
use crate::{SigningKey, Timestamp};

/// A delivery address may carry this prefix, on any host name.
pub const PREFIX: &str = "/cdn-cgi/imagedelivery";

/// Why a signed address opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `sig`.
    #[error("This image requires a signed URL")]
    Missing,
    /// `exp` is in the past, or no number.
    #[error("The URL signature has expired")]
    Expired,
    /// No key of the account made this signature.
    #[error(
        "check failed: Malformed data found: The URL signature does not match. Expecting SHA-256 HMAC of the path without domain nor query string"
    )]
    Mismatch,
}

/// The signature of `path` (percent-encoded as requested, no host, no query), valid until `expires`
/// (unix seconds) or for ever: 64 lower-case hexadecimal characters.
pub fn sign(key: &SigningKey, path: &str, expires: Option<i64>) -> String {
    let text = match expires {
        Some(expires) => format!("{path}?exp={expires}"),
        None => path.to_owned(),
    };
    hmac_hex(key, &text)
}

/// The path and query of an address signed with `key`.
pub fn signed_path(key: &SigningKey, path: &str, expires: Option<i64>) -> String {
    let signature = sign(key, path, expires);
    match expires {
        Some(expires) => format!("{path}?exp={expires}&sig={signature}"),
        None => format!("{path}?sig={signature}"),
    }
}

/// Verifies an address as requested. Returns its expiry, unix seconds, where it has one.
pub fn verify(
    keys: &[SigningKey],
    path: &str,
    query: Option<&str>,
    now: Timestamp,
) -> Result<Option<i64>, Refusal> {
    let query = query.unwrap_or("");
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    let value = |name: &str| {
        pairs().find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name).then_some(value)
        })
    };
    let signature = value("sig").filter(|signature| !signature.is_empty());
    let signature = signature.ok_or(Refusal::Missing)?.to_ascii_lowercase();
    let expiry_text = value("exp");
    let expires = match expiry_text {
        None => None,
        Some(text) => {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let expires = text.parse::<i64>().ok().filter(|_| digits);
            match expires {
                Some(expires) if expires >= now.seconds() => Some(expires),
                _ => return Err(Refusal::Expired),
            }
        }
    };
    let accepted = signed_texts(path, Some(query));
    let signed = unhex(&signature).is_some_and(|tag| {
        keys.iter().any(|key| {
            let key = hmac_key(key);
            let matches = |text: &String| hmac::verify(&key, text.as_bytes(), &tag).is_ok();
            accepted.iter().any(matches)
        })
    });
    if signed {
        Ok(expires)
    } else {
        Err(Refusal::Mismatch)
    }
}

/// The texts of which one must be signed for this address, as requested.
pub fn signed_texts(path: &str, query: Option<&str>) -> Vec<String> {
    let query = query.unwrap_or("");
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    let expiry = pairs().find_map(|pair| pair.strip_prefix("exp="));
    let is_sig = |pair: &str| pair == "sig" || pair.starts_with("sig=");
    let rest: Vec<&str> = pairs().filter(|pair| !is_sig(pair)).collect();
    let mut texts = Vec::new();
    for path in both_paths(path) {
        texts.push(format!("{path}?{}", rest.join("&")));
        // The bare path also signs an address with an expiry: whoever holds that signature holds
        // one which never expires, and the expiry is enforced all the same.
        texts.push(path.clone());
        if let Some(text) = expiry {
            texts.push(format!("{path}?exp={text}"));
        }
    }
    texts
}

/// The path with and without the prefix: which of them is signed is not published.
fn both_paths(path: &str) -> [String; 2] {
    match path.strip_prefix(PREFIX) {
        Some(bare) => [path.to_owned(), bare.to_owned()],
        None => [path.to_owned(), format!("{PREFIX}{path}")],
    }
}

fn hmac_hex(key: &SigningKey, text: &str) -> String {
    hex(hmac::sign(&hmac_key(key), text.as_bytes()).as_ref())
}

fn hmac_key(key: &SigningKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyName;

    const PATH: &str = "/cheeW4oKsx5ljh8e8BoL2A/bc27a117-9509-446b-8c69-c81bfeac0a01/mobile";
    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn key(value: &str) -> SigningKey {
        let name = KeyName::default_name();
        SigningKey {
            name,
            value: value.to_owned(),
        }
    }

    fn first() -> SigningKey {
        key("k3yForTests-0123456789abcdefABCDEF")
    }

    #[test]
    fn signatures_equal_the_published_vectors() {
        let prefixed = format!("{PREFIX}{PATH}");
        let first = first();
        let second = key("second-key-0000000000000000000000");
        for (key, path, expires, expected) in [
            (
                &first,
                PATH,
                Some(1_631_289_275),
                "4a945ec9a055446656215c67c2da4520d873a984d8f15ad197017cd8357b427e",
            ),
            (
                &first,
                PATH,
                Some(4_102_444_800),
                "8af21a880d7ea871d7a61528a43694e5e0450b107a0c21eaa81533f8361f9cb0",
            ),
            (
                &first,
                PATH,
                None,
                "5e58c8a11713e8a5300b08d86483ba3ca7d43bb5fa98d6c93cac38ebacc9d1fe",
            ),
            (
                &first,
                &prefixed,
                Some(4_102_444_800),
                "17fef658f59d7249f59f988e716d0377ae34f9277cca35f94a630a0b0776e61e",
            ),
            (
                &first,
                &prefixed,
                None,
                "395433305a9545e0912222b9b23fea591ff46299f90623acdfccbeac6fabe849",
            ),
            (
                &second,
                PATH,
                Some(4_102_444_800),
                "56886ecb5fc67edd15978876c99f06a9892c7d8975e797695b7532363d942112",
            ),
        ] {
            assert_eq!(sign(key, path, expires), expected);
        }
    }

    #[test]
    fn every_accepted_string_verifies_with_and_without_prefix() {
        let keys = [key("another"), first()];
        let prefixed = format!("{PREFIX}{PATH}");
        let expiring =
            "exp=4102444800&sig=8af21a880d7ea871d7a61528a43694e5e0450b107a0c21eaa81533f8361f9cb0";
        let bare = "5e58c8a11713e8a5300b08d86483ba3ca7d43bb5fa98d6c93cac38ebacc9d1fe";
        for path in [PATH, &prefixed] {
            for (query, expires) in [
                (expiring.to_owned(), Some(4_102_444_800)),
                (format!("{expiring}&utm_source=x"), Some(4_102_444_800)),
                (format!("sig={bare}"), None),
                (format!("sig={}", bare.to_uppercase()), None),
                (format!("exp=4102444800&sig={bare}"), Some(4_102_444_800)),
                (
                    "sig=819b990223c02b81b3712efbccda93ff65458c030cebe3da46213a11be4da778"
                        .to_owned(),
                    None,
                ),
            ] {
                assert_eq!(
                    verify(&keys, path, Some(&query), NOW),
                    Ok(expires),
                    "{path} {query}"
                );
            }
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        let keys = [first()];
        let bare = "5e58c8a11713e8a5300b08d86483ba3ca7d43bb5fa98d6c93cac38ebacc9d1fe";
        let past =
            "exp=1631289275&sig=4a945ec9a055446656215c67c2da4520d873a984d8f15ad197017cd8357b427e";
        let other_variant = PATH.replace("mobile", "public");
        for (path, query, refusal) in [
            (PATH, "", Refusal::Missing),
            (PATH, "sig=", Refusal::Missing),
            (PATH, past, Refusal::Expired),
            (PATH, &format!("exp=-1&sig={bare}"), Refusal::Expired),
            (PATH, &format!("exp=soon&sig={bare}"), Refusal::Expired),
            (
                PATH,
                &format!("exp=99999999999999999999&sig={bare}"),
                Refusal::Expired,
            ),
            (PATH, &format!("sig={}", &bare[1..]), Refusal::Mismatch),
            (&other_variant, &format!("sig={bare}"), Refusal::Mismatch),
            (
                PATH,
                "exp=4102444801&sig=8af21a880d7ea871d7a61528a43694e5e0450b107a0c21eaa81533f8361f9cb0",
                Refusal::Mismatch,
            ),
        ] {
            assert_eq!(
                verify(&keys, path, Some(query), NOW),
                Err(refusal),
                "{path} {query}"
            );
        }
        assert_eq!(
            verify(&[key("rotated")], PATH, Some(&format!("sig={bare}")), NOW),
            Err(Refusal::Mismatch)
        );
        assert_eq!(verify(&keys, PATH, None, NOW), Err(Refusal::Missing));
    }
}
