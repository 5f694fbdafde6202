//! SVG is delivered sanitised, whatever is asked of it (transformations.md, section 3.6), unless
//! `Policy::rasterize_svg` is set and a raster format is asked for by name: then it is drawn.

mod drawing;
mod expansion;
mod references;
mod size;
mod style;
pub(crate) mod text;
mod work;

use std::io::{self, Write};

use model::Limits;
use svg_hush::{Filter, data_url_filter};

use crate::Error;

pub(crate) use drawing::{BYTES, BYTES_PER_PIXEL, draw, draw_whole, measured};

/// Elements within elements. The sanitiser needs time in the square of this; drawings have ten.
const DEPTH_MAX: usize = 256;
/// Entities of one document: a few namespaces, as some drawing programs write them.
const ENTITIES_MAX: usize = 100;
/// Bytes of one entity. A few large ones, used often, would blow a small file up.
const ENTITY_BYTES_MAX: usize = 1024;
/// The sanitised image may be larger than its source, because quotes are escaped and lines are
/// indented, but not by more than this factor and this many bytes.
const GROWTH_MAX: usize = 4;
const GROWTH_BYTES_MAX: usize = 1024 * 1024;

/// Takes scripts, event attributes, foreign elements and references to other documents out of an
/// SVG image, in any encoding; what comes out is UTF-8. Anything which is not SVG is an error, and so are documents that are made to be
/// costly: deep nesting, or entities of entities.
pub fn sanitise_svg(source: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let length = source.len() as u64;
    if length > limits.upload_bytes_max {
        return Err(Error::TooLarge {
            limit: "upload_bytes_max",
            value: length,
            maximum: limits.upload_bytes_max,
        });
    }
    let text = text::decode(source).ok_or(Error::NotAnImage)?;
    let text = text.as_bytes();
    judge_entities(text)?;
    if depth(text) > DEPTH_MAX {
        return Err(Error::corrupt("the SVG is nested too deeply"));
    }
    let mut filter = Filter::new();
    filter.set_data_url_filter(data_url_filter::allow_standard_images);
    let mut sanitised = Bounded {
        bytes: Vec::with_capacity(text.len()),
        most: text.len().saturating_mul(GROWTH_MAX) + GROWTH_BYTES_MAX,
    };
    filter
        .filter(text, &mut sanitised)
        .map_err(Error::corrupt)?;
    let sanitised = sanitised.bytes;
    // The filter drops elements which are not SVG's, so an HTML page would come out empty.
    if !sanitised.windows(4).any(|text| text == b"<svg") {
        return Err(Error::NotAnImage);
    }
    let sanitised = str::from_utf8(&sanitised).map_err(Error::corrupt)?;
    Ok(references::confined(sanitised).into_bytes())
}

/// Memory which does not grow without end.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::Error::other("the SVG expands too much"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Entities are allowed as long as they are few, short, and do not use each other.
fn judge_entities(source: &[u8]) -> Result<(), Error> {
    let declarations = positions(source, b"<!ENTITY");
    for (number, start) in declarations.enumerate() {
        let declaration = &source[start..];
        // A value may hold anything but its own quote; without one, the end is nearest.
        let quote = declaration
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\'' | b'>'))
            .unwrap_or(declaration.len());
        let value = declaration.get(quote + 1..).unwrap_or_default();
        let end = value
            .iter()
            .position(|byte| Some(byte) == declaration.get(quote))
            .unwrap_or(value.len());
        let value = &value[..end];
        let nested = value.contains(&b'&') || value.contains(&b'%');
        if number >= ENTITIES_MAX || end > ENTITY_BYTES_MAX || nested {
            return Err(Error::corrupt("the SVG has entities that expand too much"));
        }
    }
    Ok(())
}

/// How deeply elements are nested, as a reader of tags sees it: quotes, comments and CDATA are
/// skipped. It may err on text that is no XML, which the sanitiser then refuses.
fn depth(source: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = source;
    while let Some(start) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[start..];
        let end = if rest.starts_with(b"<!--") {
            positions(rest, b"-->").next().map(|at| at + 3)
        } else if rest.starts_with(b"<![CDATA[") {
            positions(rest, b"]]>").next().map(|at| at + 3)
        } else if rest.starts_with(b"<?") {
            positions(rest, b"?>").next().map(|at| at + 2)
        } else if rest.starts_with(b"<!") {
            Some(2)
        } else {
            let end = end_of_tag(rest);
            match end {
                _ if rest.starts_with(b"</") => depth = depth.saturating_sub(1),
                // An element without content opens nothing.
                Some(end) if rest[..end].ends_with(b"/>") => {}
                _ => depth += 1,
            }
            deepest = deepest.max(depth);
            end
        };
        let Some(next) = end.and_then(|end| rest.get(end..)) else {
            break;
        };
        rest = next;
    }
    deepest
}

/// The tag which begins here, as far as it goes.
pub(crate) fn tag_at_start(text: &[u8]) -> &[u8] {
    &text[..end_of_tag(text).unwrap_or(text.len())]
}

/// Just behind the `>` of the tag which begins here.
fn end_of_tag(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    tag.iter()
        .position(|byte| {
            match (quote, byte) {
                (None, b'"' | b'\'') => quote = Some(*byte),
                (Some(open), byte) if open == *byte => quote = None,
                _ => {}
            }
            quote.is_none() && *byte == b'>'
        })
        .map(|end| end + 1)
}

fn positions<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + use<'a> {
    text.windows(wanted.len())
        .enumerate()
        .filter(move |(_, window)| *window == wanted)
        .map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitised(body: &str) -> Result<Vec<u8>, Error> {
        let text = format!(r#"<svg xmlns="http://www.w3.org/2000/svg">{body}</svg>"#);
        sanitise_svg(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn costly_documents_are_refused() {
        assert!(sanitised(&format!("{}{}", "<g>".repeat(200), "</g>".repeat(200))).is_ok());
        assert!(sanitised(&format!("{}{}", "<g>".repeat(400), "</g>".repeat(400))).is_err());
        assert!(sanitised(&"<g a='>'/>".repeat(400)).is_ok());
        let document = |entities: &str| {
            let text = format!(
                "<!DOCTYPE svg [{entities}]><svg xmlns='http://www.w3.org/2000/svg'><title>&a;</title></svg>"
            );
            sanitise_svg(text.as_bytes(), &Limits::default())
        };
        assert!(document("<!ENTITY a 'http://example.com/'>").is_ok());
        assert!(document("<!ENTITY b 'x'><!ENTITY a '&b;&b;'>").is_err());
        assert!(document(&format!("<!ENTITY a '{}'>", "x".repeat(2000))).is_err());
    }

    #[test]
    fn prefixes_and_other_encodings_are_understood() {
        let expected = concat!(
            r#"<?xml version="1.0" encoding="utf-8"?>"#,
            "\n",
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="3">"##,
            "\n",
            r##"  <use href="#a"/>"##,
            "\n</svg>"
        );
        let body = r##"width="3" xmlns="urn:other" xmlns:s="http://www.w3.org/2000/svg" xmlns:l="http://www.w3.org/1999/xlink"><s:use l:href="#a"/><script/>"##;
        let prefixed = format!("<s:svg {body}</s:svg>");
        let wide: Vec<u8> = format!("\u{feff}{prefixed}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for source in [prefixed.as_bytes(), &wide] {
            let sanitised = sanitise_svg(source, &Limits::default()).unwrap();
            assert_eq!(str::from_utf8(&sanitised).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_outside_of_the_document_is_named() {
        let text = |body: &str| String::from_utf8(sanitised(body).unwrap()).unwrap();
        for body in [
            "<style>a{fill:image-set('http://evil.example/' 1x)}</style>",
            "<style>a{fill:-webkit-IMAGE-set(&quot;//evil.example/&quot; 1x)}</style>",
            "<style>@\\69mport '//evil.example/';</style>",
            "<style>@im<![CDATA[port]]> '//evil.example/';</style>",
            "<rect style='fill:Image-Set(\"//evil.example/\" 1x)'/>",
            "<rect fill='url(//evil.example/evil.svg#a)'/>",
            "<use href='evil.svg#a'/>",
            "<image href='evil.png'/>",
            "<use href='data:image/svg+xml,evil#a'/>",
            "<image href='data:text/html,evil'/>",
            "<a href='#b'><set attributeName='href' to='javascript:evil()'/></a>",
            "<foreignObject>evil</foreignObject>",
        ] {
            let text = text(body);
            let fetches = ["image-set(", "@import", "href=\"evil", "url(//", "url(/"];
            let fetching = fetches.iter().find(|fetch| text.contains(*fetch));
            assert_eq!(fetching, None, "{text}");
            // An animation which does not say of what is none.
            for gone in ["data:", "foreignObject", "attributeName"] {
                assert!(!text.contains(gone), "{text}");
            }
        }
        assert!(text("<use href='#a'/>").contains("href=\"#a\""));
        assert!(text("<image href='data:image/png;base64,AA'/>").contains("data:image/png"));
    }

    #[test]
    fn depth_is_that_of_the_elements() {
        assert_eq!(depth(b"<a><b/><c><d></d></c></a>"), 3);
        assert_eq!(depth(b"<a x='<b><b><b>'><!-- <b><b><b> --></a>"), 1);
        assert_eq!(depth(b"<a><![CDATA[<b><b>]]>"), 1);
        assert_eq!(depth(b"<a"), 1);
    }
}
