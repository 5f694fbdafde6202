//! What the sanitiser writes is what everybody reads.

use model::Limits;
use pixels::sanitise_svg;
use resvg::usvg::roxmltree::{Document, Node};
use xml::reader::{EventReader, XmlEvent};

use crate::bombs::{bombs, heavy};

/// Pieces of documents, sound and unsound, of which many are put together.
const PIECES: [&str; 44] = [
    "<g>",
    "</g>",
    "<g id='a' fill=\"url( '#b' )\">",
    "<rect width='9' height=\"9\" style='fill: red; stroke:url(/c)'/>",
    "<rect fill='\u{e9} red ' class=' x\u{a0}y '/>",
    "<rect style='&#x9;fill:&#10;red&#13;' data-x='  &lt;&amp;&quot;&apos;&gt;  '/>",
    "<use href=' #a '/>",
    "<use xlink:href='#a' href='b.svg#c'/>",
    "<use href='javascript:a' xlink:href='#b'/>",
    "<image href='data:image/png;base64,AA=='/>",
    "<image href='data:image/svg+xml,x'/>",
    "<image href='http://a.example/b c.png?d=e f#g h'/>",
    "<a href='http://a.example'>",
    "</a>",
    "<style>",
    "</style>",
    "<style/>",
    "a > b{fill:url(#a)} @media x{c{fill:u\\72l(b)}}",
    "@import 'a'; @\\69mport 'b'; d{e:url(//f)}",
    "<style><![CDATA[a < b & c{}]]></style>",
    "<style> <g/> a{} </style>",
    "<title>&lt;script&gt; &amp;amp; ]]&gt; \"'</title>",
    "<text xml:space='preserve'>  a <tspan> b </tspan>\n\t</text>",
    "<text><![CDATA[<a>&amp;]]></text>",
    "<![CDATA[ ]]>",
    "<!-- <g> -->",
    "<?php a ?>",
    "\n  \n",
    "\r\n",
    "&#13;&#x2028;",
    "]]&gt;",
    "\u{1d11e} \u{feff} \u{fffd}",
    "<script>a()</script>",
    "<foreignObject><p xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>",
    "<s:g xmlns:s='http://www.w3.org/2000/svg' s:x='1'>",
    "</s:g>",
    "<g xmlns='urn:x'>",
    "<g xmlns='http://www.w3.org/2000/svg' xmlns:xlink='urn:y'>",
    "<metadata><x:y xmlns:x='urn:x' x:z='1'/></metadata>",
    "<animate attributeName='fill' values='url(/a);red' to='url(#b)'/>",
    "<set attributeName='href' to='javascript:a'/>",
    "<path d='M0 0&#10;L9 9' onclick='a()' aria-label='\u{e9}'/>",
    "<linearGradient gradientTransform=' rotate( 9 ) ' href='#\u{e9}x'/>",
    "<rect role='a b' color-profile='c d' filter='url(#a) url(&quot;#b&quot;)'/>",
];

/// An element with its attributes, or text.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Opened(String, Vec<(String, String)>),
    Closed,
    Text(String),
}

fn push_text(tree: &mut Vec<Seen>, text: &str) {
    match tree.last_mut() {
        Some(Seen::Text(before)) => before.push_str(text),
        _ => tree.push(Seen::Text(text.to_owned())),
    }
}

/// The tree as the parser of the sanitiser sees it.
fn tree_of_the_sanitiser(document: &str) -> Vec<Seen> {
    let mut tree = Vec::new();
    for event in EventReader::new(document.as_bytes()) {
        match event.unwrap_or_else(|error| panic!("{error}: {document}")) {
            XmlEvent::StartElement {
                name, attributes, ..
            } => {
                let attributes = attributes.into_iter();
                let attributes = attributes.map(|it| (it.name.to_string(), it.value));
                tree.push(Seen::Opened(name.to_string(), attributes.collect()));
            }
            XmlEvent::EndElement { .. } => tree.push(Seen::Closed),
            XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => {
                // Around the root there is no text.
                if !tree.is_empty() {
                    push_text(&mut tree, &text);
                }
            }
            XmlEvent::StartDocument { .. } | XmlEvent::EndDocument => {}
            other => panic!("{other:?} in {document}"),
        }
    }
    tree
}

/// The tree as another parser sees it.
fn tree_of_another(document: &str) -> Vec<Seen> {
    fn visit(node: Node<'_, '_>, tree: &mut Vec<Seen>) {
        if let Some(text) = node.text().filter(|_| node.is_text()) {
            return push_text(tree, text);
        }
        assert!(node.is_element(), "{node:?}");
        let name = node.tag_name();
        let name = format!(
            "{{{}}}{}",
            name.namespace().unwrap_or_default(),
            name.name()
        );
        let attributes = node.attributes().map(|it| {
            assert_eq!(it.namespace(), None);
            (it.name().to_owned(), it.value().to_owned())
        });
        tree.push(Seen::Opened(name, attributes.collect()));
        for child in node.children() {
            visit(child, tree);
        }
        tree.push(Seen::Closed);
    }
    let parsed = Document::parse(document).unwrap_or_else(|error| panic!("{error}: {document}"));
    let mut tree = Vec::new();
    visit(parsed.root_element(), &mut tree);
    tree
}

fn opens(piece: &str) -> bool {
    let is_one_tag = piece.starts_with('<') && piece.matches('<').count() == 1;
    is_one_tag && !piece.ends_with("/>") && !piece.starts_with("<!") && !piece.starts_with("<?")
}

/// Documents of pieces, the same in every run.
fn documents(count: usize) -> impl Iterator<Item = String> {
    let mut state = 1_u64;
    let mut below = move |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % limit
    };
    (0..count).map(move |_| {
        let mut open = Vec::new();
        let mut body = String::new();
        for _ in 0..below(12) {
            let piece = PIECES[below(PIECES.len())];
            // Most documents are to be well-formed.
            if let Some(name) = piece.strip_prefix("</") {
                if open.last() != Some(&name.trim_end_matches('>')) {
                    continue;
                }
                open.pop();
            } else if opens(piece) {
                open.extend(piece[1..].split([' ', '>']).next());
            }
            body.push_str(piece);
        }
        body.extend(open.into_iter().rev().map(|name| format!("</{name}>")));
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'>{body}</svg>"
        )
    })
}

fn sanitised(source: &[u8]) -> Option<String> {
    let sanitised = sanitise_svg(source, &Limits::default()).ok()?;
    Some(String::from_utf8(sanitised).unwrap())
}

/// Row 18.
#[test]
fn what_was_sanitised_is_sanitised() {
    let drawn = bombs().into_iter().map(|(_, source)| source).chain(heavy());
    let built = documents(5_000).map(String::into_bytes);
    let mut sane = 0;
    for source in drawn.chain(built) {
        let Some(once) = sanitised(&source) else {
            continue;
        };
        let twice = sanitised(once.as_bytes());
        let source = String::from_utf8_lossy(&source);
        assert_eq!(twice.as_ref(), Some(&once), "{source}");
        sane += 1;
    }
    assert!(sane > 4_000, "only {sane} are drawings");
}

/// Row 18.
#[test]
fn another_parser_sees_the_tree_which_was_written() {
    for source in documents(5_000) {
        let Some(written) = sanitised(source.as_bytes()) else {
            continue;
        };
        let (ours, theirs) = (tree_of_the_sanitiser(&written), tree_of_another(&written));
        for seen in &ours {
            let Seen::Opened(name, _) = seen else {
                continue;
            };
            assert!(name.starts_with("{http://www.w3.org/2000/svg}"), "{name}");
        }
        assert_eq!(ours, theirs, "{source}\n{written}");
    }
}
