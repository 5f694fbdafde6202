//! The query string of the API.

use percent_encoding::percent_decode_str;

/// The pairs of a query, decoded; `+` is a space.
pub(super) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_decoded() {
        let query = "meta.status%5Beq%3Astring%5D=a+b%7Cc&continuation_token=&x";
        let expected = [
            ("meta.status[eq:string]", "a b|c"),
            ("continuation_token", ""),
            ("x", ""),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs(Some(query)), expected);
        assert_eq!(pairs(None), []);
    }
}
