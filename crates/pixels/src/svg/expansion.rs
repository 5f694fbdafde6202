//! What a drawing comes to when every reference is followed, told from the document before any is:
//! an element which is used a thousand times counts a thousand times, and so does what it uses. A
//! document of a few lines can stand for more elements than fit into memory.

use std::collections::HashMap;

use resvg::usvg::roxmltree::{Document, Node, NodeId};

use super::style::{self, Property, Styles, targets};
use crate::Error;

/// Elements, those which are used counted each time.
const ELEMENTS_MAX: u64 = 30_000;
/// Bytes of attributes and text, counted likewise.
const BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Characters, each of which becomes a shape of its own.
const LETTERS_MAX: u64 = 20_000;
/// Letters on paths, times the bytes of those.
const LETTERS_ON_PATHS_MAX: u64 = 20_000_000;
/// Elements within elements, and through references: converting and drawing go so deep.
const DEPTH_MAX: usize = 80;
/// Looks at selectors of CSS.
const STYLE_MAX: u64 = 60_000_000;

/// What an element comes to, with everything in it and everything it leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    elements: u64,
    bytes: u64,
    letters: u64,
    /// Those which are filled and stroked.
    shapes: u64,
    /// Bytes of the coordinates of shapes, above the number of points which may carry a marker.
    points: u64,
    /// Elements on the longest way down.
    depth: usize,
}

impl Weight {
    fn add(&mut self, other: Self, times: u64) {
        let sum =
            |own: &mut u64, other: u64| *own = own.saturating_add(other.saturating_mul(times));
        sum(&mut self.elements, other.elements);
        sum(&mut self.bytes, other.bytes);
        sum(&mut self.letters, other.letters);
        sum(&mut self.shapes, other.shapes);
        sum(&mut self.points, other.points);
        self.depth = self.depth.max(other.depth + 1);
    }
}

/// Refuses a document which comes to more than can be drawn in time, or which leads back to itself.
pub(super) fn judge(document: &Document<'_>) -> Result<(), Error> {
    let depth = document
        .descendants()
        .filter(Node::is_element)
        .map(|node| node.ancestors().count())
        .max()
        .unwrap_or(0);
    within("depth", depth as u64, DEPTH_MAX as u64)?;
    let style = style::cost(document, depth);
    // Before selectors are tried for the first time.
    let elements = document.descendants().filter(Node::is_element).count() as u64;
    within("elements", elements, ELEMENTS_MAX)?;
    within("style sheets", style.saturating_mul(elements), STYLE_MAX)?;
    let graph = Graph::of(document);
    let mut walk = Walk {
        document,
        graph: &graph,
        known: HashMap::new(),
        way: Vec::new(),
    };
    let whole = walk.weight(document.root_element())?;
    within("elements", whole.elements, ELEMENTS_MAX)?;
    within("bytes", whole.bytes, BYTES_MAX)?;
    within("letters", whole.letters, LETTERS_MAX)?;
    within(
        "style sheets",
        style.saturating_mul(whole.elements),
        STYLE_MAX,
    )?;
    if graph.text_on_paths {
        let product = whole.letters.saturating_mul(whole.points);
        within("letters on paths", product, LETTERS_ON_PATHS_MAX)?;
    }
    Ok(())
}

fn within(what: &'static str, value: u64, maximum: u64) -> Result<(), Error> {
    if value > maximum {
        return Err(Error::TooComplex {
            what,
            value,
            maximum,
        });
    }
    Ok(())
}

/// Where references lead, by the number of the element they start from.
struct Graph {
    links: HashMap<usize, Vec<Link>>,
    text_on_paths: bool,
}

/// A reference. An element leads to others through its own properties, or hands a property down to
/// what it uses.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The number of an element.
    to: usize,
    times: Times,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Once,
    /// For each shape in the element.
    Shapes,
    /// For each point of a shape in it.
    Points,
}

/// The elements to which an element may lead by each inherited property.
type Inherited = [Vec<usize>; Property::INHERITED.len()];

impl Graph {
    fn of(document: &Document<'_>) -> Self {
        // Of those which share a name one or the other is meant, by whoever follows.
        let mut names: HashMap<&str, (usize, usize)> = HashMap::new();
        for node in document.descendants().filter(Node::is_element) {
            if let Some(name) = node.attribute("id") {
                let number = node.id().get_usize();
                names
                    .entry(name)
                    .and_modify(|(_, last)| *last = number)
                    .or_insert((number, number));
            }
        }
        let mut graph = Self {
            links: HashMap::new(),
            text_on_paths: false,
        };
        let styles = Styles::of(document);
        graph.follow(
            document.root_element(),
            &styles,
            &names,
            &Inherited::default(),
        );
        graph
    }

    /// `depth` of the document was judged before, so that this may go down by itself.
    fn follow(
        &mut self,
        node: Node<'_, '_>,
        styles: &Styles<'_>,
        names: &HashMap<&str, (usize, usize)>,
        inherited: &Inherited,
    ) {
        let mut links = Vec::new();
        let mut declared = Inherited::default();
        let mut says = [false; Property::INHERITED.len()];
        let numbers = |name: &str| {
            let (first, last) = names.get(name).copied()?;
            Some(std::iter::once(first).chain((first != last).then_some(last)))
        };
        styles.each(node, |property, value| {
            let numbers = targets(value).filter_map(numbers).flatten();
            match Property::INHERITED
                .iter()
                .position(|known| *known == property)
            {
                None => links.extend(numbers.map(|to| Link {
                    to,
                    times: Times::Once,
                })),
                Some(place) => {
                    says[place] |= value.trim_ascii() != "inherit";
                    declared[place].extend(numbers);
                }
            }
        });
        for place in 0..says.len() {
            if !says[place] {
                declared[place].clone_from(&inherited[place]);
            }
        }
        let name = node.tag_name().name();
        let mut attributes = node.attributes();
        // A link only leads elsewhere who clicks on it.
        let href = attributes.find(|attribute| attribute.name() == "href" && name != "a");
        let target = href.and_then(|href| href.value().trim_ascii().strip_prefix('#'));
        links.extend(
            target
                .and_then(numbers)
                .into_iter()
                .flatten()
                .map(|to| Link {
                    to,
                    times: Times::Once,
                }),
        );
        if is_shape(name) || name == "use" {
            for (place, property) in Property::INHERITED.into_iter().enumerate() {
                let times = match property {
                    Property::Fill | Property::Stroke => Times::Shapes,
                    _ => Times::Points,
                };
                links.extend(declared[place].iter().map(|to| Link { to: *to, times }));
            }
        }
        if !links.is_empty() {
            self.links.insert(node.id().get_usize(), links);
        }
        self.text_on_paths |= name == "textPath";
        for child in node.children().filter(Node::is_element) {
            self.follow(child, styles, names, &declared);
        }
    }
}

fn is_shape(name: &str) -> bool {
    matches!(
        name,
        "path"
            | "rect"
            | "circle"
            | "ellipse"
            | "line"
            | "polyline"
            | "polygon"
            | "text"
            | "tspan"
            | "textPath"
    )
}

struct Walk<'a, 'input> {
    document: &'a Document<'input>,
    graph: &'a Graph,
    known: HashMap<usize, Weight>,
    /// The elements on the way to here.
    way: Vec<usize>,
}

impl Walk<'_, '_> {
    fn weight(&mut self, node: Node<'_, '_>) -> Result<Weight, Error> {
        let number = node.id().get_usize();
        if let Some(known) = self.known.get(&number) {
            let depth = self.way.len() + known.depth;
            within("depth", depth as u64, DEPTH_MAX as u64)?;
            return Ok(*known);
        }
        if self.way.contains(&number) {
            return Err(Error::corrupt("the SVG is made of itself"));
        }
        within("depth", self.way.len() as u64 + 1, DEPTH_MAX as u64)?;
        self.way.push(number);
        let mut weight = own(node);
        for child in node.children().filter(Node::is_element) {
            let child = self.weight(child)?;
            weight.add(child, 1);
        }
        // What is used by this element has the properties which it hands down.
        let mut links = self.graph.links.get(&number).cloned().unwrap_or_default();
        links.sort_by_key(|link| link.times != Times::Once);
        for link in links {
            let times = match link.times {
                Times::Once => 1,
                Times::Shapes => weight.shapes.max(1),
                Times::Points => weight.points.saturating_add(weight.shapes),
            };
            let id = NodeId::from(link.to as u32);
            if let Some(target) = self.document.get_node(id) {
                let target = self.weight(target)?;
                weight.add(target, times);
            }
        }
        self.way.pop();
        self.known.insert(number, weight);
        Ok(weight)
    }
}

fn own(node: Node<'_, '_>) -> Weight {
    let attributes = node.attributes();
    let attributes: usize = attributes
        .map(|attribute| attribute.value().len() + 16)
        .sum();
    let texts = node.children().filter_map(|child| child.text());
    let text: usize = texts.map(str::len).sum();
    let name = node.tag_name().name();
    let letters = matches!(name, "text" | "tspan" | "textPath" | "tref" | "a");
    let points = ["d", "points"].map(|name| node.attribute(name).map_or(0, str::len));
    Weight {
        elements: 1,
        bytes: (attributes + text) as u64,
        letters: if letters { text as u64 } else { 0 },
        shapes: is_shape(name).into(),
        points: points.iter().sum::<usize>() as u64 + if name == "line" { 2 } else { 0 },
        depth: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(body: &str) -> Result<(), Error> {
        let text = format!("<svg xmlns='http://www.w3.org/2000/svg'>{body}</svg>");
        judge(&Document::parse(&text).unwrap())
    }

    fn refused(body: &str) -> &'static str {
        match judged(body) {
            Err(Error::TooComplex { what, .. }) => what,
            Err(Error::Corrupt(_)) => "itself",
            other => panic!("{other:?} of {body}"),
        }
    }

    /// Each of these leads ten times to the next.
    fn laughs(define: impl Fn(usize, &str) -> String, refer: impl Fn(usize) -> String) -> String {
        let levels = (0..8).map(|level| define(level, &refer(level + 1).repeat(10)));
        let levels: String = levels.collect();
        format!(
            "<defs>{levels}{}</defs>{}",
            define(8, "<rect width='1' height='1'/>"),
            refer(0)
        )
    }

    #[test]
    fn what_multiplies_is_counted_before_it_does() {
        let uses = laughs(
            |level, inside| format!("<g id='a{level}'>{inside}</g>"),
            |level| format!("<use href='#a{level}'/>"),
        );
        assert_eq!(refused(&uses), "elements");
        for (element, property) in [
            ("pattern", "fill"),
            ("clipPath", "clip-path"),
            ("mask", "mask"),
        ] {
            let define = |level: usize, inside: &str| {
                format!("<{element} id='a{level}' width='1' height='1'>{inside}</{element}>")
            };
            let by_attribute = |level: usize| format!("<rect {property}='url(#a{level})'/>");
            assert_eq!(
                refused(&laughs(define, by_attribute)),
                "elements",
                "{element}"
            );
            let by_style = |level: usize| format!("<rect style='{property}:url(#a{level})'/>");
            assert_eq!(refused(&laughs(define, by_style)), "elements", "{element}");
            let rules = (0..9).map(|level| format!(".c{level}{{{property}:url(#a{level})}}"));
            let rules: String = rules.collect();
            let by_rule = |level: usize| format!("<rect class='c{level}'/>");
            let body = format!("<style>{rules}</style>{}", laughs(define, by_rule));
            assert_eq!(refused(&body), "elements", "{element}");
        }
        let markers = laughs(
            |level, inside| format!("<marker id='a{level}'>{inside}</marker>"),
            |level| format!("<path d='M0 0' marker-start='url(#a{level})'/>"),
        );
        assert_eq!(refused(&markers), "elements");
        let images = laughs(
            |level, inside| format!("<g id='a{level}'>{inside}</g>"),
            |level| format!("<filter id='f{level}'><feImage href='#a{level}'/></filter>"),
        );
        assert_eq!(refused(&images), "elements");
    }

    #[test]
    fn points_carry_markers() {
        let body = |points: usize, property: &str| {
            format!(
                "<marker id='m'><path d='M0 0h1'/></marker><g {property}='url(#m)'><path d='M0 0{}'/></g>",
                "h1".repeat(points)
            )
        };
        assert_eq!(judged(&body(20_000, "clip-path")), Ok(()));
        assert_eq!(judged(&body(1_000, "marker-mid")), Ok(()));
        assert_eq!(refused(&body(20_000, "marker-mid")), "elements");
        assert_eq!(refused(&body(20_000, "marker")), "elements");
    }

    #[test]
    fn what_leads_back_to_itself_is_refused() {
        for body in [
            "<g id='a'><use href='#a'/></g>",
            "<g id='a'><use href='#b'/></g><g id='b'><use href='#a'/></g>",
            "<pattern id='a'><rect fill='url(#a)'/></pattern>",
            "<g fill='url(#a)'><pattern id='a'><rect/></pattern></g>",
            "<style>rect{fill:url(#a)}</style><pattern id='a'><rect/></pattern>",
            "<mask id='a'><rect mask='url(#a)'/></mask>",
            "<clipPath id='a' clip-path='url(#a)'/>",
            "<filter id='a'><feImage href='#b'/></filter><rect id='b' filter='url(#a)'/>",
            "<marker id='a'><path d='M0 0' marker-end='url(#a)'/></marker>",
            "<linearGradient id='a' href='#a'/>",
        ] {
            assert_eq!(refused(body), "itself", "{body}");
        }
    }

    #[test]
    fn drawings_are_let_through() {
        for body in [
            "",
            "<style>.a{fill:url(#p)}.b{clip-path:url(#c)}rect{fill:red}</style>\
             <defs><pattern id='p'><rect class='x'/></pattern><clipPath id='c'><rect/></clipPath></defs>\
             <g class='b'><rect class='a'/></g>",
            "<g fill='url(#p)'><pattern id='p'><rect fill='red'/></pattern><rect/></g>",
            "<use href='#gone'/><rect fill='url(#gone) red'/>",
            "<symbol id='s'><path d='M0 0h1'/></symbol><use href='#s'/><use href='#s'/>",
        ] {
            assert_eq!(judged(body), Ok(()), "{body}");
        }
        let many = "<rect/>".repeat(29_000);
        assert_eq!(judged(&many), Ok(()));
        assert_eq!(refused(&format!("{many}{many}")), "elements");
    }

    #[test]
    fn everything_has_a_bound() {
        let nested = |levels: usize| format!("{}{}", "<g>".repeat(levels), "</g>".repeat(levels));
        assert_eq!(judged(&nested(70)), Ok(()));
        assert_eq!(refused(&nested(100)), "depth");
        let chain: String = (0..100)
            .map(|level| format!("<g id='a{level}'><use href='#a{}'/></g>", level + 1))
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(refused(&chain), "depth");
        assert_eq!(
            refused(&format!("<text>{}</text>", "x".repeat(20_001))),
            "letters"
        );
        let path = format!("<path id='p' d='{}'/>", "h1".repeat(100_000));
        assert_eq!(judged(&path), Ok(()));
        let along = format!(
            "{path}<text><textPath href='#p'>{}</textPath></text>",
            "x".repeat(500)
        );
        assert_eq!(refused(&along), "letters on paths");
        let groups = |inside: &str| format!("{}{inside}{}", "<g>".repeat(60), "</g>".repeat(60));
        let bomb = format!(
            "<style>{}{{fill:red}}</style>{}",
            "g ".repeat(20),
            groups("<g/>")
        );
        assert_eq!(refused(&bomb), "style sheets");
        let bytes = format!(
            "<g id='a' fill='{}'/>{}",
            "x".repeat(100_000),
            "<use href='#a'/>".repeat(200)
        );
        assert_eq!(refused(&bytes), "bytes");
    }
}
