//! Drawings which want to run something where they are shown.

use std::fmt::Write as _;

use roxmltree::{Document, Node};

use crate::harness::{Answer, Server, form};

pub(crate) const SVG: &str = "http://www.w3.org/2000/svg";

/// Elements which run something, show other documents, or are not of SVG.
const ACTIVE: [&str; 13] = [
    "script",
    "foreignobject",
    "iframe",
    "embed",
    "object",
    "audio",
    "video",
    "link",
    "meta",
    "base",
    "handler",
    "listener",
    "metadata",
];

/// Attributes of SVG and HTML whose value is an address, or becomes one.
const ADDRESSES: [&str; 26] = [
    "href",
    "xlink:href",
    "src",
    "srcset",
    "action",
    "formaction",
    "data",
    "poster",
    "background",
    "cite",
    "longdesc",
    "manifest",
    "codebase",
    "classid",
    "archive",
    "profile",
    "usemap",
    "ping",
    "dynsrc",
    "lowsrc",
    "icon",
    "role",
    "xlink:role",
    "xlink:arcrole",
    "xml:base",
    "base",
];

/// Every event of SVG and HTML which an attribute may handle.
const EVENTS: &str = "abort activate afterprint afterscriptexecute animationcancel animationend \
    animationiteration animationstart auxclick beforecopy beforecut beforeinput beforematch \
    beforepaste beforeprint beforescriptexecute beforetoggle beforeunload begin blur bounce cancel \
    canplay canplaythrough change click close command contentvisibilityautostatechange contextlost \
    contextmenu contextrestored copy cuechange cut dblclick drag dragend dragenter dragexit dragleave \
    dragover dragstart drop durationchange emptied end ended error finish focus focusin focusout \
    formdata fullscreenchange fullscreenerror gesturechange gestureend gesturestart gotpointercapture \
    hashchange input invalid keydown keypress keyup load loadeddata loadedmetadata loadend loadstart \
    lostpointercapture message messageerror mousedown mouseenter mouseleave mousemove mouseout \
    mouseover mouseup mousewheel offline online orientationchange pagehide pageshow paste pause play \
    playing pointercancel pointerdown pointerenter pointerleave pointermove pointerout pointerover \
    pointerrawupdate pointerup popstate progress propertychange ratechange readystatechange \
    rejectionhandled repeat reset resize scroll scrollend scrollsnapchange search securitypolicyviolation \
    seeked seeking select selectionchange selectstart show slotchange stalled start storage submit \
    suspend timeupdate toggle touchcancel touchend touchmove touchstart transitioncancel transitionend \
    transitionrun transitionstart unhandledrejection unload volumechange waiting \
    webkitanimationend webkittransitionend wheel zoom";

/// Without what browsers skip in the scheme of an address.
fn squeezed(value: &str) -> String {
    let skipped = |letter: &char| letter.is_whitespace() || letter.is_control();
    let letters = value.chars().filter(|letter| !skipped(letter));
    letters.collect::<String>().to_ascii_lowercase()
}

/// Whether an address leads out of the document.
fn leads_out(address: &str) -> bool {
    let address = squeezed(address);
    let pictures = ["png", "jpeg", "gif"].map(|kind| format!("data:image/{kind}"));
    let is_picture = pictures.iter().any(|kind| address.starts_with(kind));
    !address.starts_with('#') && !is_picture
}

/// Whether words of CSS fetch something, or might once they are unescaped.
fn fetches(css: &str) -> bool {
    let css = css.to_ascii_lowercase();
    let outside = css.split("url(").skip(1).any(|rest| {
        let address = rest.split(')').next().unwrap_or_default();
        let address = address.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        !address.is_empty() && leads_out(address)
    });
    let functions = ["@import", "image-set(", "image(", "src(", "\\"];
    outside || functions.iter().any(|function| css.contains(function))
}

/// What in a drawing might run or fetch something, as another parser sees it.
fn active_in(drawing: &str) -> Vec<String> {
    let document = Document::parse(drawing).unwrap_or_else(|error| panic!("{error}: {drawing}"));
    let mut found = Vec::new();
    for node in document.descendants() {
        if node.is_pi() || node.is_comment() {
            found.push(format!("{node:?}"));
        }
        if node.is_element() {
            found.extend(active_of(node));
        }
    }
    if drawing.to_ascii_lowercase().contains("<script") {
        found.push("a script for those who read HTML".to_owned());
    }
    found
}

fn active_of(node: Node<'_, '_>) -> Vec<String> {
    let mut found = Vec::new();
    let name = node.tag_name();
    if name.namespace() != Some(SVG) || ACTIVE.contains(&name.name().to_ascii_lowercase().as_str())
    {
        found.push(format!("<{}> of {:?}", name.name(), name.namespace()));
    }
    for attribute in node.attributes() {
        let (name, value) = (attribute.name().to_ascii_lowercase(), attribute.value());
        let is_active = match name.as_str() {
            _ if attribute.namespace().is_some() || name.starts_with("on") => true,
            "href" => leads_out(value),
            "attributename" => {
                let target = squeezed(value);
                let forbidden = ADDRESSES.contains(&target.as_str());
                forbidden || target.starts_with("on") || target == "style"
            }
            // Names which no reader of SVG follows, and then of this host alone.
            "role" | "arcrole" | "base" => squeezed(value).contains(':') || value.contains("//"),
            name if ADDRESSES.contains(&name) => true,
            _ => fetches(value),
        };
        if is_active {
            found.push(format!("{name}={value:?}"));
        }
    }
    let all_text = || node.descendants().filter_map(|child| child.text());
    if node.has_tag_name((SVG, "style")) && all_text().any(fetches) {
        found.push(format!("<style> {:?}", all_text().collect::<String>()));
    }
    found
}

pub(crate) fn document(body: &str) -> String {
    format!(
        "<svg xmlns='{SVG}' xmlns:xlink='http://www.w3.org/1999/xlink' width='9' height='9'>\
         {body}<rect width='9' height='9'/></svg>"
    )
}

/// What the server makes of a drawing: nothing if it is refused as no drawing, or as a broken one.
pub(crate) async fn shown(server: &Server, drawing: &[u8]) -> Option<Answer> {
    let uploaded = server.form("images/v1", form(drawing, &[])).await;
    if uploaded.status != 200 {
        let code = uploaded.failure();
        assert!(matches!(code, (415, 5455) | (400, 5400)), "{code:?}");
        return None;
    }
    let id = uploaded.result()["id"].as_str().unwrap().to_owned();
    let answer = server.deliver(&format!("{id}/public"), &[]).await;
    if answer.status != 200 {
        assert_eq!(answer.refusal(), (415, 9520), "{}", answer.text());
        return None;
    }
    Some(answer)
}

/// What is shown is a drawing in which nothing is active, with the headers which forbid it as well.
#[track_caller]
pub(crate) fn assert_is_inert(answer: &Answer, source: &str) {
    assert_eq!(answer.header("content-type"), "image/svg+xml");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("script-src"), "{policy}");
    let drawing = String::from_utf8(answer.bytes.clone()).expect("UTF-8");
    let active = active_in(&drawing);
    assert!(active.is_empty(), "{active:?} of {source}\n{drawing}");
    assert!(!drawing.contains("root:"), "{source}\n{drawing}");
}

/// Shows drawings which are well-formed, so that none of them is refused.
pub(crate) async fn assert_all_are_inert(
    server: &Server,
    bodies: impl IntoIterator<Item = String>,
) {
    for body in bodies {
        let source = document(&body);
        let answer = shown(server, source.as_bytes()).await;
        let answer = answer.unwrap_or_else(|| panic!("refused: {source}"));
        assert_is_inert(&answer, &source);
        assert!(answer.text().contains("<rect"), "{source}");
    }
}

/// Row 17.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_foreign_elements_are_taken_out() {
    let server = Server::start().await;
    let bodies = [
        "<script>evil()</script>",
        "<script href='data:text/javascript,evil()'/>",
        "<SCRIPT>evil()</SCRIPT><Script>evil()</Script>",
        "<script xmlns='http://www.w3.org/1999/xhtml'>evil()</script>",
        "<h:script xmlns:h='http://www.w3.org/1999/xhtml'>evil()</h:script>",
        "<s:script xmlns:s='http://www.w3.org/2000/svg'>evil()</s:script>",
        "<g xmlns='urn:x'><script xmlns='http://www.w3.org/2000/svg'>evil()</script></g>",
        "<script type='text/ecmascript'><![CDATA[evil()]]></script>",
        "<title><![CDATA[</title><script>evil()</script>]]></title>",
        "<desc>&lt;script&gt;evil()&lt;/script&gt;</desc>",
        "<style><![CDATA[</style><script>evil()</script>]]></style>",
        "<style><script>evil()</script></style>",
        "<!--><script>evil()</script>--><g/>",
        "<?xml-stylesheet href='data:text/css,evil'?><?php evil() ?>",
        "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'><img src='x'/></body></foreignObject>",
        "<foreignobject><iframe src='data:text/html,evil'/></foreignobject>",
        "<switch><foreignObject requiredExtensions='x'/><g/></switch>",
        "<iframe xmlns='http://www.w3.org/1999/xhtml' srcdoc='evil'/>",
        "<embed src='data:text/html,evil'/><object data='evil.swf'/><audio src='evil'/>",
        "<handler type='text/javascript'>evil()</handler><listener event='load' handler='#h'/>",
        "<metadata><script>evil()</script></metadata>",
        "<a><g><use href='#a'/></g><script>evil()</script></a>",
    ];
    assert_all_are_inert(&server, bodies.map(str::to_owned)).await;
}

/// Row 17.
#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_handled() {
    let server = Server::start().await;
    let events: Vec<&str> = EVENTS.split_whitespace().collect();
    let spelt = |spell: fn(&str) -> String| {
        let attributes = events.iter().fold(String::new(), |mut all, event| {
            let _ = write!(all, " {}='evil()'", spell(event));
            all
        });
        format!("<circle{attributes}/>")
    };
    let bodies = [
        spelt(|event| format!("on{event}")),
        spelt(|event| format!("ON{}", event.to_uppercase())),
        spelt(|event| format!("on{}{}", event[..1].to_uppercase(), &event[1..])),
        "<g onfuture='evil()' on-x='evil()'/>".to_owned(),
        "<g xmlns:e='http://www.w3.org/2001/xml-events' e:onload='evil()' e:event='load'/>"
            .to_owned(),
        "<animate onbegin='evil()' attributeName='x' dur='1s'/>".to_owned(),
        "<g xmlns:s='http://www.w3.org/2000/svg' s:onload='evil()'/>".to_owned(),
    ];
    assert_all_are_inert(&server, bodies).await;
    let root = format!("<svg xmlns='{SVG}' onload='evil()' width='9'><rect/></svg>");
    let answer = shown(&server, root.as_bytes()).await.unwrap();
    assert_is_inert(&answer, &root);
}

/// Row 17.
#[tokio::test(flavor = "multi_thread")]
async fn no_address_runs_anything() {
    let server = Server::start().await;
    let spellings = [
        "javascript:evil()",
        "JaVaScRiPt:evil()",
        "  javascript:evil()",
        "java&#x9;script:evil()",
        "java&#10;script&#13;:evil()",
        "&#x6A;&#97;vascript&#58;evil()",
        "&#xA0;javascript:evil()",
        "java&#x200B;script:evil()",
        "\u{ff4a}avascript:evil()",
        "vbscript:evil()",
        "data:text/html,evil",
        "data:text/html;base64,ZXZpbA==",
        "data:image/svg+xml,evil",
        "data:image/svg+xml;base64,ZXZpbA==",
        "data:application/xhtml+xml,evil",
        "DATA:,evil",
        "blob:evil",
        "filesystem:evil",
    ];
    let bodies = spellings.map(|address| {
        let attributes = ADDRESSES.iter().fold(String::new(), |mut all, name| {
            let _ = write!(all, " {name}='{address}'");
            all
        });
        let elements = ["a", "use", "image", "feImage", "linearGradient", "textPath"];
        let elements = elements.map(|name| format!("<{name}{attributes}/>")).concat();
        // An element may have one address twice.
        format!("{elements}<use href='#a' xlink:href='{address}'/><use xlink:href='{address}' href='#a'/>")
    });
    assert_all_are_inert(&server, bodies).await;
}

/// Row 17.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_becomes_active_by_an_animation() {
    let server = Server::start().await;
    let mut bodies = Vec::new();
    for name in [
        "href",
        " href ",
        "xlink:href",
        "HREF",
        "h&#114;ef",
        "onclick",
        "onload",
        "style",
        "src",
        "xml:base",
    ] {
        for element in ["animate", "set", "animateColor", "animateTransform"] {
            bodies.push(format!(
                "<a id='a'><{element} attributeName='{name}' attributeType='XML' from='javascript:evil()' \
                 to='javascript:evil()' values='#;javascript:evil()' by='javascript:evil()'/></a>\
                 <{element} href='#a' attributeName='{name}' to='javascript:evil()'/>\
                 <{element} xlink:href='#a' attributeName='{name}' to='javascript:evil()'/>"
            ));
        }
    }
    assert_all_are_inert(&server, bodies).await;
}
