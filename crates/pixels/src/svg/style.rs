//! What elements say of themselves which leads to other elements: attributes, `style` and rules of
//! CSS, read as the renderer reads them.

use resvg::usvg::roxmltree::{Document, Node};
use simplecss::{AttributeOperator, DeclarationTokenizer, Element, PseudoClass, StyleSheet};

/// A property whose value may be `url(#…)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Fill,
    Stroke,
    MarkerStart,
    MarkerMid,
    MarkerEnd,
    /// Clips, masks and filters, which are not inherited.
    Own,
}

impl Property {
    /// Those which are inherited.
    pub(super) const INHERITED: [Self; 5] = [
        Self::Fill,
        Self::Stroke,
        Self::MarkerStart,
        Self::MarkerMid,
        Self::MarkerEnd,
    ];

    /// The properties of a name; `marker` stands for three.
    fn named(name: &str) -> &'static [Self] {
        match name {
            "fill" => &[Self::Fill],
            "stroke" => &[Self::Stroke],
            "marker" => &[Self::MarkerStart, Self::MarkerMid, Self::MarkerEnd],
            "marker-start" => &[Self::MarkerStart],
            "marker-mid" => &[Self::MarkerMid],
            "marker-end" => &[Self::MarkerEnd],
            "clip-path" | "mask" | "filter" => &[Self::Own],
            _ => &[],
        }
    }
}

/// The rules of all style sheets of a document.
pub(super) struct Styles<'a>(StyleSheet<'a>);

impl<'a> Styles<'a> {
    pub(super) fn of(document: &'a Document<'_>) -> Self {
        let mut sheet = StyleSheet::new();
        for text in sheets(document) {
            sheet.parse_more(text);
        }
        Self(sheet)
    }

    /// Hands over whatever an element says of properties which may lead to others: all of it, also
    /// where one word overrules another.
    pub(super) fn each(&self, node: Node<'_, '_>, mut found: impl FnMut(Property, &str)) {
        let mut declared = |name: &str, value: &str| {
            for property in Property::named(name) {
                found(*property, value);
            }
        };
        for attribute in node.attributes() {
            declared(attribute.name(), attribute.value());
        }
        for rule in &self.0.rules {
            // To match is dearer than to look.
            let leads = |name: &str| !Property::named(name).is_empty();
            if rule
                .declarations
                .iter()
                .any(|declaration| leads(declaration.name))
                && rule.selector.matches(&Styled(node))
            {
                for declaration in &rule.declarations {
                    declared(declaration.name, declaration.value);
                }
            }
        }
        if let Some(style) = node.attribute("style") {
            for declaration in DeclarationTokenizer::from(style) {
                declared(declaration.name, declaration.value);
            }
        }
    }
}

fn sheets<'a>(document: &'a Document<'_>) -> impl Iterator<Item = &'a str> {
    let styles = document.descendants();
    styles
        .filter(|node| node.has_tag_name("style"))
        .filter_map(|node| node.text())
}

/// What it costs to apply all style sheets to one element within so many others: a selector is
/// tried against every way through what surrounds the element.
pub(super) fn cost(document: &Document<'_>, depth: usize) -> u64 {
    let costs = sheets(document).map(|sheet| {
        let sheet = without_comments(sheet);
        let selectors = sheet
            .split('}')
            .filter_map(|rule| rule.split_once('{'))
            .filter(|(selectors, _)| !selectors.trim_ascii_start().starts_with('@'))
            .flat_map(|(selectors, _)| selectors.split(','));
        let ways = selectors.map(|selector| {
            let steps = selector.split_ascii_whitespace().count().saturating_sub(1);
            (depth as u64).saturating_pow(steps.try_into().unwrap_or(u32::MAX))
        });
        ways.fold(sheet.len() as u64 / 8, u64::saturating_add)
    });
    costs.fold(0, u64::saturating_add)
}

fn without_comments(sheet: &str) -> String {
    let mut parts = sheet.split("/*");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(part.split_once("*/").map_or("", |(_, after)| after));
    }
    kept
}

/// The names in `url(#…)`, as often as there are some.
pub(super) fn targets(value: &str) -> impl Iterator<Item = &str> {
    value.split("url(").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once(')')?;
        let name = name.trim_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\''));
        name.strip_prefix('#')
    })
}

/// An element as selectors see it.
struct Styled<'a, 'input>(Node<'a, 'input>);

impl Element for Styled<'_, '_> {
    fn parent_element(&self) -> Option<Self> {
        self.0.parent_element().map(Self)
    }

    fn prev_sibling_element(&self) -> Option<Self> {
        self.0.prev_sibling_element().map(Self)
    }

    fn has_local_name(&self, name: &str) -> bool {
        self.0.tag_name().name() == name
    }

    fn attribute_matches(&self, name: &str, operator: AttributeOperator<'_>) -> bool {
        let value = self.0.attribute(name);
        value.is_some_and(|value| operator.matches(value))
    }

    fn pseudo_class_matches(&self, class: PseudoClass<'_>) -> bool {
        class == PseudoClass::FirstChild && self.prev_sibling_element().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str, id: &str) -> Vec<(Property, String)> {
        let text = format!("<svg xmlns='http://www.w3.org/2000/svg'>{body}</svg>");
        let document = Document::parse(&text).unwrap();
        let node = document
            .descendants()
            .find(|node| node.attribute("id") == Some(id));
        let mut found = Vec::new();
        Styles::of(&document).each(node.unwrap(), |property, value| {
            found.extend(targets(value).map(|target| (property, target.to_owned())));
        });
        found
    }

    #[test]
    fn references_are_found_wherever_they_are_written() {
        let fill = |name: &str| (Property::Fill, name.to_owned());
        for body in [
            "<g id='a' fill='url(#p)'/>",
            "<g id='a' style='fill: url( \"#p\" ) red; stroke: blue'/>",
            "<style>#a{fill:url(#p)}</style><g id='a'/>",
            "<style>/* { */ g > .x, y { fill:url('#p') }</style><g><g id='a' class='x'/></g>",
            "<style>.x .y{fill:url(#p)}</style><g class='x'><g><g id='a' class='y'/></g></g>",
        ] {
            assert_eq!(found(body, "a"), [fill("p")], "{body}");
        }
        assert_eq!(
            found("<style>.y{fill:url(#p)}</style><g id='a' class='x'/>", "a"),
            []
        );
        let filters = found(
            "<g id='a' filter='url(#f) blur(2) url(#g)' marker='url(#m)'/>",
            "a",
        );
        let names: Vec<_> = filters.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["f", "g", "m", "m", "m"]);
    }

    #[test]
    fn selectors_which_look_at_all_ancestors_cost_most() {
        let cost = |css: &str| {
            let text = format!("<svg><style>{css}</style></svg>");
            cost(&Document::parse(&text).unwrap(), 100)
        };
        assert_eq!(cost(".a{fill:red}"), 1 + 1);
        assert_eq!(cost(".a/* b c d */.b{}"), 1);
        assert_eq!(cost("g g{}p p p{}"), 1 + 100 + 10_000);
        assert_eq!(cost(&format!("{} {{}}", "g ".repeat(40))), u64::MAX);
    }
}
