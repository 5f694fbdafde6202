//! What the sanitiser leaves of namespaces and references, after which a document names nothing but
//! its own parts and pictures inside itself. The sanitiser would leave paths of the same host; a stored
//! image has no business with others, and as an image it could not load them anyway.

use super::end_of_tag;

const NAMESPACE: &str = r#" xmlns="http://www.w3.org/2000/svg""#;
/// CSS which fetches without `url()`. The sanitiser drops what is spelt with escapes.
const FETCHING: [&str; 4] = ["@import", "image-set(", "image(", "src("];

/// `sanitised` is XML as the sanitiser writes it: every attribute in double quotes, no comments, all
/// elements of SVG and without prefixes. Hence one namespace at the root holds for all; what else
/// was declared would make other elements of them.
pub(super) fn confined(sanitised: &str) -> String {
    let mut confined = String::with_capacity(sanitised.len() + NAMESPACE.len());
    // A carriage return which was written as a reference is one no more, and every reader takes it for
    // the end of a line.
    let sanitised = sanitised.replace('\r', "\n");
    let mut rest = sanitised.as_str();
    let (mut in_root, mut style) = (false, None::<Style>);
    while let Some(start) = rest.find('<') {
        let (text, from_tag) = rest.split_at(start);
        match &style {
            None => confined.push_str(text),
            Some(style) if style.spoilt => {}
            Some(_) => confine_css(text, &mut confined),
        }
        let end = end_of_tag(from_tag.as_bytes()).unwrap_or(from_tag.len());
        let (tag, after) = from_tag.split_at(end);
        let opens_style = tag.starts_with("<style") && !tag.ends_with("/>");
        if let Some(open) = &mut style {
            if !tag.starts_with("</style") {
                open.spoilt = true;
                open.depth += usize::from(opens_style);
            } else if open.depth > 1 {
                open.depth -= 1;
            } else {
                confined.push_str(tag);
                style = None;
            }
        } else if tag.starts_with("</") || tag.starts_with("<?") {
            confined.push_str(tag);
        } else {
            confine_tag(tag, in_root, &mut confined);
            in_root = true;
            style = opens_style.then_some(Style {
                depth: 1,
                spoilt: false,
            });
        }
        rest = after;
    }
    confined.push_str(rest);
    confined
}

/// An element whose text is CSS.
struct Style {
    /// It and those within it.
    depth: usize,
    /// It holds another element. The sanitiser takes what follows that for text, while a browser takes
    /// it for CSS, so that all of it is left out.
    spoilt: bool,
}

fn confine_tag(tag: &str, in_root: bool, confined: &mut String) {
    let name_end = tag
        .find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'))
        .unwrap_or(tag.len());
    let (name, mut rest) = tag.split_at(name_end);
    confined.push_str(name);
    if !in_root {
        confined.push_str(NAMESPACE);
    }
    while let Some((key, value_on)) = rest.split_once("=\"") {
        let Some((value, after)) = value_on.split_once('"') else {
            break;
        };
        rest = after;
        let key = key.trim_ascii();
        let namespace = key == "xmlns" || key.starts_with("xmlns:");
        if namespace || key == "href" && !is_inside(value) {
            continue;
        }
        confined.push(' ');
        confined.push_str(key);
        confined.push_str("=\"");
        // Where the sanitiser took letters out, spaces may be left.
        confine_css(value.trim_matches(' '), confined);
        confined.push('"');
    }
    confined.push_str(rest.trim_ascii_start());
}

/// Whether a reference leads to a part of the document, or is a picture itself.
fn is_inside(reference: &str) -> bool {
    let reference = reference.trim_ascii_start();
    let start = reference.get(..11).unwrap_or(reference);
    reference.starts_with('#') || start.eq_ignore_ascii_case("data:image/")
}

fn confine_css(css: &str, confined: &mut String) {
    // Letters alone change, so that places are the same.
    let lower = css.to_ascii_lowercase();
    let mut at = 0;
    while at < css.len() {
        let found = FETCHING
            .iter()
            .chain(&["url("])
            .filter_map(|name| Some((at + lower[at..].find(name)?, *name)))
            .min_by_key(|(place, name)| (*place, usize::MAX - name.len()));
        let Some((place, name)) = found else { break };
        confined.push_str(&css[at..place]);
        at = place + name.len();
        if name != "url(" {
            // A declaration with an unknown function counts for nothing.
            confined.push_str(if name.ends_with('(') {
                "none("
            } else {
                "@none"
            });
            continue;
        }
        confined.push_str("url(");
        let end = lower[at..].find(')').map_or(css.len(), |end| at + end);
        confined.push_str(if is_inside(&css[at..end]) {
            &css[at..end]
        } else {
            "#"
        });
        at = end;
    }
    confined.push_str(&css[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn css_fetches_nothing() {
        for (css, expected) in [
            ("fill: url(#a)", "fill: url(#a)"),
            ("fill: URL( #a )", "fill: url( #a )"),
            (
                "url(data:image/png;base64,AA)",
                "url(data:image/png;base64,AA)",
            ),
            ("url(/a.png) url(a.svg#b)", "url(#) url(#)"),
            ("a: Image-Set('//x' 1x)", "a: none('//x' 1x)"),
            ("-webkit-IMAGE-SET('//x')", "-webkit-none('//x')"),
            ("image('//x') src('//x')", "none('//x') none('//x')"),
            ("@Import '//x';", "@none '//x';"),
            ("url(unclosed", "url(#"),
            ("é url(é) é", "é url(#) é"),
        ] {
            let mut confined = String::new();
            confine_css(css, &mut confined);
            assert_eq!(confined, expected);
        }
    }

    #[test]
    fn what_follows_an_element_in_a_style_is_left_out() {
        for (body, expected) in [
            ("<style>a{}</style>url(/b)", "<style>a{}</style>url(/b)"),
            ("<style/>url(/b)", "<style/>url(/b)"),
            (
                "<style>a{}<g>b{}</g>@import '//x';</style>url(/b)",
                "<style>a{}</style>url(/b)",
            ),
            (
                "<style><g/><style>a{}</style>url(/b)</style><g/>",
                "<style></style><g/>",
            ),
            ("<style><g><style/></g>url(/b)", "<style>"),
        ] {
            let sanitised = format!("<svg>{body}</svg>");
            let expected = format!("<svg{NAMESPACE}>{expected}");
            assert_eq!(confined(&sanitised).trim_end_matches("</svg>"), expected);
        }
    }

    #[test]
    fn there_is_one_namespace() {
        let sanitised = r#"<?xml version="1.0"?><svg a="1"><g xmlns="urn:x" /><use href="/x#y" b="&lt;" /></svg>"#;
        let expected = r#"<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" a="1"><g/><use b="&lt;"/></svg>"#;
        assert_eq!(confined(sanitised), expected);
        for length in 0..sanitised.len() {
            confined(&sanitised[..length]);
        }
    }
}
