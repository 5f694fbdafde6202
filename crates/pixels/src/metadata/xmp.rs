//! XMP (ISO 16684-1): RDF in XML, whose namespaces may have any prefix.

use std::fmt::Write as _;
use std::ops::Range;

use resvg::usvg::roxmltree::{Document, Node, ParsingOptions};

use crate::svg::text;

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const DUBLIN_CORE: &str = "http://purl.org/dc/elements/1.1/";
const TIFF: &str = "http://ns.adobe.com/tiff/1.0/";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Elements and texts of a packet.
const NODES_MAX: u32 = 50_000;

/// The packet with its orientation set to upright; nothing moves. One which is no XML is searched for
/// the usual names, as others may do who read it.
pub(super) fn upright(packet: &[u8]) -> Vec<u8> {
    let mut upright = packet.to_vec();
    let places = str::from_utf8(packet).ok().and_then(orientations);
    for place in places.unwrap_or_else(|| usual_orientations(packet)) {
        if let Some(digit @ b'1'..=b'8') = upright.get_mut(place) {
            *digit = b'1';
        }
    }
    upright
}

/// Where the digits of orientations are.
fn orientations(packet: &str) -> Option<Vec<usize>> {
    let document = parse(packet)?;
    let mut places = Vec::new();
    // Blanks may surround it.
    let mut digit = |range: Range<usize>| {
        // Where an attribute is very oddly spaced, its place is not known.
        if let Some(value) = packet.get(range.clone()) {
            places.push(range.start + value.len() - value.trim_start().len());
        }
    };
    for node in document.descendants() {
        if node.has_tag_name((TIFF, "Orientation"))
            && let Some(text) = node.first_child().filter(Node::is_text)
        {
            digit(text.range());
        }
        for attribute in node.attributes() {
            if (attribute.namespace(), attribute.name()) == (Some(TIFF), "Orientation") {
                digit(attribute.range_value());
            }
        }
    }
    Some(places)
}

fn usual_orientations(packet: &[u8]) -> Vec<usize> {
    let names = [
        &b"tiff:Orientation=\""[..],
        b"tiff:Orientation='",
        b"tiff:Orientation>",
    ];
    let places = names.into_iter().flat_map(|name| {
        let windows = packet.windows(name.len()).enumerate();
        windows
            .filter(move |(_, window)| *window == name)
            .map(move |(place, _)| place + name.len())
    });
    places.collect()
}

/// A packet with nothing but the notice of copyright: the one for every language, or the first.
pub(super) fn copyright(packet: &[u8]) -> Option<Vec<u8>> {
    let text = text::decode(packet)?;
    let document = parse(text.trim_start_matches('\u{feff}'))?;
    let notice = document.descendants().find_map(notice)?;
    let notice = escaped(notice.trim());
    if notice.is_empty() {
        return None;
    }
    let packet = format!(
        r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{notice}</rdf:li></rdf:Alt></dc:rights></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"#
    );
    Some(packet.into_bytes())
}

/// Definitions of entities are refused.
fn parse(packet: &str) -> Option<Document<'_>> {
    let options = ParsingOptions {
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(packet, options).ok()
}

/// The notice which an element has or is (ISO 16684-1, sections 7.4, 7.5 and 8.3).
fn notice<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    if let Some(notice) = node.attribute((DUBLIN_CORE, "rights")) {
        return filled(notice);
    }
    if !node.has_tag_name((DUBLIN_CORE, "rights")) {
        return None;
    }
    let items = || {
        node.descendants()
            .filter(|item| item.has_tag_name((RDF, "li")))
    };
    let default = items().find(|item| item.attribute((XML, "lang")) == Some("x-default"));
    let item = default.or_else(|| items().next());
    item.unwrap_or(node).text().and_then(filled)
}

fn filled(text: &str) -> Option<&str> {
    (!text.trim().is_empty()).then_some(text)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &str) -> String {
        format!(
            "\u{feff}<?xpacket begin='\u{feff}' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>\
             <r:RDF xmlns:r='{RDF}' xmlns:d='{DUBLIN_CORE}' xmlns:t='{TIFF}' xmlns:dc='urn:other'>{body}</r:RDF>\
             </x:xmpmeta>   <?xpacket end='w'?>"
        )
    }

    #[test]
    fn orientation_becomes_upright() {
        for (body, expected) in [
            (
                "<r:Description t:Orientation='6'/>",
                "<r:Description t:Orientation='1'/>",
            ),
            (
                "<r:Description t:Orientation = \" 6 \"/>",
                "<r:Description t:Orientation = \" 1 \"/>",
            ),
            (
                "<t:Orientation>8</t:Orientation>",
                "<t:Orientation>1</t:Orientation>",
            ),
            (
                "<t:Orientation> 8 </t:Orientation>",
                "<t:Orientation> 1 </t:Orientation>",
            ),
            (
                "<dc:Orientation>8</dc:Orientation>",
                "<dc:Orientation>8</dc:Orientation>",
            ),
            ("<t:Orientation/>", "<t:Orientation/>"),
        ] {
            let found = upright(packet(body).as_bytes());
            assert_eq!(String::from_utf8(found).unwrap(), packet(expected));
        }
        // Not even XML.
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
        let alt = |items: &str| format!("<d:rights><r:Alt>{items}</r:Alt></d:rights>");
        for (body, notice) in [
            (
                alt("<r:li xml:lang='x-default'>© Me &amp; You</r:li>")
                    + "<d:creator>Me</d:creator>",
                Some("© Me &amp; You"),
            ),
            (
                alt("<r:li xml:lang='de'>Meins</r:li><r:li xml:lang='x-default'>Mine</r:li>"),
                Some("Mine"),
            ),
            (
                alt("<r:li xml:lang='de'>Meins</r:li><r:li xml:lang='fr'>Mien</r:li>"),
                Some("Meins"),
            ),
            (
                alt("<r:li>&lt;b>&#169; &quot;Me&quot;</r:li>"),
                Some("&lt;b&gt;© \"Me\""),
            ),
            (alt("<r:li><![CDATA[A & B]]></r:li>"), Some("A &amp; B")),
            ("<d:rights>Mine</d:rights>".to_owned(), Some("Mine")),
            ("<r:Description d:rights='Mine'/>".to_owned(), Some("Mine")),
            // Of another namespace, whatever its prefix.
            ("<dc:rights>Mine</dc:rights>".to_owned(), None),
            ("<r:Description dc:rights='Mine'/>".to_owned(), None),
            ("<d:rights> </d:rights>".to_owned(), None),
            ("<d:rights><r:Alt/></d:rights>".to_owned(), None),
            ("<d:rights>Mine".to_owned(), None),
            ("<d:creator>Me</d:creator>".to_owned(), None),
        ] {
            let found = copyright(packet(&body).as_bytes());
            let found = found.map(|packet| String::from_utf8(packet).unwrap());
            assert_eq!(found.is_some(), notice.is_some(), "{body}");
            if let (Some(found), Some(notice)) = (found, notice) {
                assert!(found.contains(&format!(">{notice}</rdf:li>")), "{found}");
                assert!(!found.contains("creator"), "{found}");
                assert!(copyright(found.as_bytes()) == Some(found.into_bytes()));
            }
        }
    }

    #[test]
    fn hostile_packets_have_no_notice() {
        assert_eq!(copyright(&[0xff, 0xfe]), None);
        assert_eq!(copyright(b""), None);
        let laughs = "<!DOCTYPE a [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]>";
        let laughs = format!("{laughs}<d:rights xmlns:d='{DUBLIN_CORE}'>&b;</d:rights>");
        assert_eq!(copyright(laughs.as_bytes()), None);
        let deep = format!("{}{}", "<a>".repeat(40_000), "</a>".repeat(40_000));
        assert_eq!(copyright(deep.as_bytes()), None);
        let many = packet(&"<a/>".repeat(60_000));
        assert_eq!(copyright(many.as_bytes()), None);
        assert_eq!(upright(many.as_bytes()), many.as_bytes());
        let wide: Vec<u8> = packet("<d:rights>Mine</d:rights>")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(copyright(&wide).is_some());
    }
}
