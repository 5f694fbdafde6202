//! XMP: read with no more than a search for what is wanted, since packets of cameras and programs
//! name their namespaces alike.

/// The packet with its orientation set to upright; nothing moves.
pub(super) fn upright(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    for name in [
        &b"tiff:Orientation=\""[..],
        b"tiff:Orientation='",
        b"tiff:Orientation>",
    ] {
        let mut from = 0;
        while let Some(found) = find(&packet[from..], name) {
            from += found + name.len();
            if let Some(digit @ b'1'..=b'8') = packet.get_mut(from) {
                *digit = b'1';
            }
        }
    }
    packet
}

/// A packet with nothing but the notice of copyright, in the language which stands first.
pub(super) fn copyright(packet: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(packet).ok()?;
    let notice = element(text).or_else(|| attribute(text))?.trim();
    // As it stood there, and hence escaped already.
    if notice.is_empty() || notice.contains(['<', '>']) {
        return None;
    }
    let packet = format!(
        r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{notice}</rdf:li></rdf:Alt></dc:rights></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"#
    );
    Some(packet.into_bytes())
}

/// `<dc:rights><rdf:Alt><rdf:li xml:lang="…">notice</rdf:li>…`.
fn element(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<dc:rights>")?;
    let (rights, _) = rest.split_once("</dc:rights>")?;
    let Some((_, item)) = rights.split_once("<rdf:li") else {
        return Some(rights);
    };
    let (_, notice) = item.split_once('>')?;
    Some(notice.split_once("</rdf:li>")?.0)
}

fn attribute(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("dc:rights=\"")?;
    Some(rest.split_once('"')?.0)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientation_becomes_upright() {
        for (packet, expected) in [
            ("<a tiff:Orientation=\"6\"/>", "<a tiff:Orientation=\"1\"/>"),
            (
                "<tiff:Orientation>8</tiff:Orientation>",
                "<tiff:Orientation>1</tiff:Orientation>",
            ),
            ("<a tiff:Orientation='3'", "<a tiff:Orientation='1'"),
            ("<a tiff:Orientation=\"", "<a tiff:Orientation=\""),
        ] {
            assert_eq!(upright(packet.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn the_notice_alone_is_kept() {
        for (packet, notice) in [
            (
                r#"<dc:creator>Me</dc:creator><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Me &amp; You</rdf:li></rdf:Alt></dc:rights>"#,
                Some("© Me &amp; You"),
            ),
            ("<dc:rights>Mine</dc:rights>", Some("Mine")),
            (r#"<rdf:Description dc:rights="Mine" x="y"/>"#, Some("Mine")),
            ("<dc:rights></dc:rights>", None),
            ("<dc:rights><a>b</a></dc:rights>", None),
            ("<dc:rights>Mine", None),
            ("<dc:creator>Me</dc:creator>", None),
        ] {
            let found = copyright(packet.as_bytes());
            let found = found.map(|packet| String::from_utf8(packet).unwrap());
            assert_eq!(found.is_some(), notice.is_some(), "{packet}");
            if let (Some(found), Some(notice)) = (found, notice) {
                assert!(found.contains(&format!(">{notice}</rdf:li>")), "{found}");
                assert!(!found.contains("creator"), "{found}");
            }
        }
        assert_eq!(copyright(&[0xff, 0xfe]), None);
    }
}
