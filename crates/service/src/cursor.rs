//! Continuation tokens: opaque, versioned, bound to their filters, and not to be forged.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{AccountId, ImageId, Timestamp};
use ring::{digest, hmac};
use store::catalog::{ListQuery, Order, Position};

const VERSION: u8 = 1;
const FILTER_BYTES: usize = 8;
const TAG_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + FILTER_BYTES + 8;

/// The token which continues `query` after `position`.
pub(crate) fn encode(
    key: &hmac::Key,
    account: &AccountId,
    query: &ListQuery,
    position: &Position,
) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(filter_hash(account, query));
    bytes.extend(position.uploaded.micros().to_be_bytes());
    bytes.extend(position.id.as_str().as_bytes());
    let tag = hmac::sign(key, &bytes);
    bytes.extend(&tag.as_ref()[..TAG_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position in a token; `None` if it was not made here, for this list.
pub(crate) fn decode(
    key: &hmac::Key,
    account: &AccountId,
    query: &ListQuery,
    token: &str,
) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
    let expected = hmac::sign(key, signed);
    // A guess is worth no timing attack: a forged cursor only starts a list elsewhere.
    if expected.as_ref()[..TAG_BYTES] != *tag {
        return None;
    }
    let (head, id) = signed.split_at_checked(HEAD_BYTES)?;
    let (version, rest) = head.split_first()?;
    let (filter, micros) = rest.split_at_checked(FILTER_BYTES)?;
    if *version != VERSION || filter != filter_hash(account, query) {
        return None;
    }
    Some(Position {
        uploaded: Timestamp::from_micros(i64::from_be_bytes(micros.try_into().ok()?)),
        id: ImageId::from_path(String::from_utf8(id.to_vec()).ok()?),
    })
}

/// What must stay the same from page to page: all but the size of the page.
fn filter_hash(account: &AccountId, query: &ListQuery) -> [u8; FILTER_BYTES] {
    let order = match query.order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    };
    let text = format!("{account} {order} {:?} {:?}", query.creator, query.filter);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut short = [0; FILTER_BYTES];
    short.copy_from_slice(&hash.as_ref()[..FILTER_BYTES]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CreatorFilter, MetadataFilter};

    fn query() -> ListQuery {
        ListQuery {
            order: Order::Descending,
            after: None,
            limit: 10,
            creator: CreatorFilter::Any,
            filter: MetadataFilter::default(),
        }
    }

    #[test]
    fn a_token_opens_only_the_list_it_was_made_for() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let account = AccountId::generate();
        let position = Position {
            uploaded: Timestamp::from_micros(1_700_000_000_123_456),
            id: ImageId::custom("a/b é", 1024).unwrap(),
        };
        let token = encode(&key, &account, &query(), &position);
        let read = |token: &str, query: &ListQuery| decode(&key, &account, query, token);

        let resized = ListQuery {
            limit: 99,
            ..query()
        };
        assert_eq!(read(&token, &resized), Some(position));

        let ascending = ListQuery {
            order: Order::Ascending,
            ..query()
        };
        assert_eq!(read(&token, &ascending), None);
        let unset = ListQuery {
            creator: CreatorFilter::Unset,
            ..query()
        };
        assert_eq!(read(&token, &unset), None);
        assert_eq!(decode(&key, &AccountId::generate(), &query(), &token), None);
        let other = hmac::Key::new(hmac::HMAC_SHA256, b"other");
        assert_eq!(decode(&other, &account, &query(), &token), None);
        for forged in ["", "x", "AAAA", &token[1..], &format!("{token}A")] {
            assert_eq!(read(forged, &query()), None, "{forged}");
        }
    }
}
