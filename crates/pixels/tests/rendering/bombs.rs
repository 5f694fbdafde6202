//! Drawings which are made to be costly.

/// A document around some elements, so many units wide and high.
pub(crate) fn document(size: u32, body: &str) -> Vec<u8> {
    let text = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' \
         width='{size}' height='{size}' viewBox='0 0 {size} {size}'>{body}</svg>"
    );
    text.into_bytes()
}

/// Each of these must be refused, with what is said of it.
pub(crate) fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let laughs: String = (0..9)
        .map(|level| {
            let uses = format!("<use xlink:href='#a{}'/>", level + 1).repeat(10);
            format!("<g id='a{level}'>{uses}</g>")
        })
        .collect::<Vec<_>>()
        .concat();
    let laughs =
        format!("<defs>{laughs}<rect id='a9' width='1' height='1'/></defs><use xlink:href='#a0'/>");
    let nested = |levels: usize| {
        format!(
            "{}{}",
            "<g opacity='.9'>".repeat(levels),
            "</g>".repeat(levels)
        )
    };
    let layers = format!(
        "{}<rect width='999' height='999'/>{}",
        "<g opacity='.9'>".repeat(60),
        "</g>".repeat(60)
    );
    let filter = |steps: &str, target: &str| {
        format!("<filter id='f' x='0' y='0' width='1' height='1'>{steps}</filter>{target}")
    };
    let square = "<rect width='999' height='999' filter='url(#f)'/>";
    let zigzag: String = (0..100_000)
        .map(|x| format!("L{} {}", x % 999, x % 2 * 999))
        .collect::<Vec<_>>()
        .concat();
    let stops: String = (0..9_000)
        .map(|stop| {
            format!(
                "<stop offset='{}' stop-color='red'/>",
                f64::from(stop) / 9_000.0
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let tiles = "<rect width='999' height='999' fill='url(#p)'/>".repeat(400);
    vec![
        ("elements", document(999, &laughs)),
        ("depth", document(999, &nested(200))),
        ("nested too deeply", document(999, &nested(400))),
        ("bytes of layers", document(999, &layers)),
        (
            "nanoseconds",
            document(
                999,
                &filter("<feMorphology operator='dilate' radius='400'/>", square),
            ),
        ),
        (
            "nanoseconds",
            document(
                999,
                &filter(
                    "<feTurbulence baseFrequency='.1' numOctaves='1000000'/>",
                    square,
                ),
            ),
        ),
        (
            "bytes of layers",
            document(
                999,
                &filter(&"<feGaussianBlur stdDeviation='1e9'/>".repeat(200), square),
            ),
        ),
        (
            "nanoseconds",
            document(
                999,
                &filter("<feGaussianBlur stdDeviation='1e9'/>", &square.repeat(300)),
            ),
        ),
        (
            "bytes of layers",
            document(
                999,
                "<pattern id='p' width='90000' height='90000' patternUnits='userSpaceOnUse'>\
                 <rect width='9' height='9'/></pattern><rect width='999' height='999' fill='url(#p)'/>",
            ),
        ),
        (
            "nanoseconds",
            document(
                999,
                &format!(
                    "<pattern id='p' width='900' height='900' patternUnits='userSpaceOnUse'>\
                     <rect width='9' height='9'/></pattern>{tiles}"
                ),
            ),
        ),
        (
            "bytes of layers",
            document(
                999,
                "<path d='M0 0L999 999' stroke='red' stroke-dasharray='.001'/>",
            ),
        ),
        (
            "nanoseconds",
            document(
                999,
                &"<path d='M0 0L999 999' stroke='red' stroke-dasharray='.04'/>".repeat(90),
            ),
        ),
        (
            "nanoseconds",
            document(999, &format!("<path d='M0 0{zigzag}'/>")),
        ),
        (
            "nanoseconds",
            document(
                999,
                &format!(
                    "<linearGradient id='p'>{stops}</linearGradient><rect width='999' height='999' fill='url(#p)'/>"
                ),
            ),
        ),
        ("side_max", document(1_000_000_000, "<rect/>")),
        (
            "bytes",
            document(9, &format!("<!--{}-->", "x".repeat(9_000_000))),
        ),
        (
            "made of itself",
            document(9, "<g id='a'><use xlink:href='#a'/></g>"),
        ),
        (
            "style sheets",
            document(
                9,
                &format!(
                    "<style>{}{{fill:red}}</style>{}{}",
                    "g ".repeat(20),
                    "<g>".repeat(60),
                    "</g>".repeat(60)
                ),
            ),
        ),
        (
            "letters",
            document(9, &format!("<text>{}</text>", "x".repeat(30_000))),
        ),
        (
            "entities",
            b"<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>\
              <svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><text>&b;</text></svg>"
                .to_vec(),
        ),
    ]
}

/// Drawings which are large and let through.
pub(crate) fn heavy() -> Vec<Vec<u8>> {
    let shapes: String = (0..25_000)
        .map(|at| {
            let (x, y) = (at % 500, at / 500 * 8);
            format!("<path d='M{x} {y}c5 5 9-5 14 0v9h-14z' fill='#{at:06x}' stroke='red'/>")
        })
        .collect::<Vec<_>>()
        .concat();
    let used = "<g id='a'><path d='M0 0c5 5 9-5 14 0v9h-14z' stroke='red'/></g>".to_owned()
        + &"<use xlink:href='#a' x='9'/>".repeat(8_000);
    let shadow = "<filter id='f'><feDropShadow dx='4' dy='4' stdDeviation='3'/></filter>\
                  <g filter='url(#f)'><circle cx='250' cy='250' r='200' fill='red'/></g>";
    let clips: String = (0..2_000)
        .map(|at| {
            format!(
                "<clipPath id='c{at}'><circle cx='{at}' cy='9' r='9'/></clipPath>\
                 <rect x='{at}' width='9' height='9' clip-path='url(#c{at})'/>"
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let text = format!("<text y='20'>{}</text>", "Hamburg ".repeat(2_000));
    let dashes = "<path d='M0 0L500 500' stroke='red' stroke-dasharray='.5'/>";
    let deep = |open: &str, close: &str| {
        let inside = "<rect width='500' height='500'/>";
        format!("{}{inside}{}", open.repeat(70), close.repeat(70))
    };
    let layers = format!(
        "{}<rect width='500' height='500'/>{}",
        "<g opacity='.9'>".repeat(14),
        "</g>".repeat(14)
    );
    [
        shapes.as_str(),
        &used,
        shadow,
        &clips,
        &text,
        dashes,
        &deep("<g>", "</g>"),
        &deep("<svg>", "</svg>"),
        &deep("<g transform='rotate(1)'>", "</g>"),
        &layers,
    ]
    .map(|body| document(500, body))
    .to_vec()
}
