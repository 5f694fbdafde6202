//! Drawings which want to fetch something, or which mean something else to others than to the sanitiser.

use crate::drawing_attacks::{SVG, assert_all_are_inert, assert_is_inert, document, shown};
use crate::harness::{PHOTO, Server, Wishes};
use crate::origin::{Act, Origin, http};

/// Row 17: the address in each drawing is one at which somebody listens.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched() {
    let origin = Origin::of("", PHOTO).await;
    let server = Server::start().await;
    let bodies = [
        "<image href='X/a.png'/><image xlink:href='X/a.png'/><image href='//HOST/a.png'/>",
        "<use href='X/a.svg#a'/><use xlink:href='X/a.svg#a'/><feImage href='X/a.png'/>",
        "<image href='file:///etc/passwd'/><use xlink:href='file:///etc/passwd#a'/>",
        "<image href='FILE:/etc/passwd'/><image href='\\\\HOST\\a'/><image href='/etc/passwd'/>",
        "<image href='http:HOST/a'/><image href='ftp://HOST/a'/><image href='?x'/><image href='..'/>",
        "<rect fill='url(X/a.svg#a)' stroke='url( \"X/a\" )' filter=\"url('X/f.svg#f')\"/>",
        "<rect clip-path='URL(X/a)' mask='url(//HOST/a)' cursor='url(X/a.cur),auto'/>",
        "<rect style='fill:url(X/a);background:url(X/b)'/><rect style='fill:u\\72l(X/a)'/>",
        "<rect style='fill:u\u{200b}rl(X/a)'/><rect style='behavior:url(X/a);-moz-binding:url(X/b)'/>",
        "<rect style='background:image-set(\"X/a\" 1x);content:-webkit-image-set(\"X/a\" 1x)'/>",
        "<style>@import 'X/a.css';@import url(X/a.css);@IMPORT/**/\"X/a.css\";</style>",
        "<style>@\\69mport 'X/a.css'; rect{fill:\\75rl(X/a)} a{fill:u\\rl(X/a)}</style>",
        "<style>@font-face{font-family:f;src:url(X/a.woff)} text{font-family:f}</style>",
        "<style>rect{fill:url(X/a#b)}</style><style type='text/css' href='X/a.css'/>",
        "<style>@im<![CDATA[port]]> 'X/a.css'; r{fill:ur<!-- -->l(X/a)}</style>",
        "<style>a{}<g/>@import 'X/a.css'; rect{fill:url(X/a)}</style>",
        "<style><title>a{}</title>rect{fill:url(X/a)}<style/>@import 'X/a.css';</style>",
        "<style><g/><style>a{}</style>@\\69mport 'X/a.css';</style><g>kept</g>",
        "<style xmlns:s='http://www.w3.org/2000/svg'>a{}<s:g/>@import url(//HOST/a);</style>",
        "<link xmlns='http://www.w3.org/1999/xhtml' rel='stylesheet' href='X/a.css'/>",
        "<font-face><font-face-src><font-face-uri href='X/a.svg#f'/></font-face-src></font-face>",
        "<color-profile href='X/a.icc'/><cursor href='X/a.cur'/><tref href='X/a.svg#a'/>",
        "<animate attributeName='fill' to='url(X/a)' from='url(X/a)' values='url(X/a);url(X/b)'/>",
        "<set attributeName='filter' to='url(//HOST/a)'/><mpath href='X/a#b'/>",
        "<audio xmlns='http://www.w3.org/1999/xhtml' src='X/a'/><script href='X/a.js'/>",
    ];
    let host = origin.address.to_string();
    let named = |text: &str| {
        let url = format!("http://{host}");
        text.replace("X/", &format!("{url}/"))
            .replace("HOST", &host)
    };
    assert_all_are_inert(&server, bodies.map(named)).await;
    assert_eq!(origin.connections(), 0);
}

/// Row 17: these may be refused; what is shown of them is inert.
#[tokio::test(flavor = "multi_thread")]
async fn entities_bring_in_nothing() {
    let origin = Origin::of("", b"<!ENTITY e '<script>evil()</script>'>").await;
    let server = Server::start().await;
    let body = format!("<svg xmlns='{SVG}' width='9'><text>&e;</text><rect/></svg>");
    for declarations in [
        "[<!ENTITY e '<script>evil()</script>'>]",
        "[<!ENTITY e '&#60;script>evil()&#60;/script>'>]",
        "[<!ENTITY e '<a href=\"javascript:evil()\"/>'>]",
        "[<!ENTITY e SYSTEM 'file:///etc/passwd'>]",
        "[<!ENTITY e SYSTEM 'X/e'>]",
        "[<!ENTITY e PUBLIC 'x' 'X/e'>]",
        "[<!ENTITY % p SYSTEM 'X/e'> %p;]",
        "[<!ENTITY % p '<!ENTITY e SYSTEM \"X/e\">'> %p;]",
        "SYSTEM 'X/e.dtd'",
        "PUBLIC '-//W3C//DTD SVG 1.1//EN' 'X/svg11.dtd' [<!ENTITY e 'x'>]",
        "[<!ENTITY e 'x'><!ATTLIST svg onload CDATA 'evil()'>]",
        "[<!ENTITY e 'x'><!ATTLIST rect xlink:href CDATA 'javascript:evil()'>]",
        "[<!ENTITY e '&e;'>]",
        "[<!ENTITY a '&e;'><!ENTITY e '&a;'>]",
        "[<!ENTITY a 'xxxxxxxxxx'><!ENTITY b '&a;&a;&a;&a;&a;'><!ENTITY e '&b;&b;&b;&b;'>]",
        "[<!ENTITY e 'x'><!NOTATION n SYSTEM 'X/n'><!ENTITY u SYSTEM 'X/u' NDATA n>]",
    ] {
        let source = format!("<!DOCTYPE svg {declarations}>{body}");
        let source = source.replace('X', &format!("http://{}", origin.address));
        if let Some(answer) = shown(&server, source.as_bytes()).await {
            assert_is_inert(&answer, &source);
        }
    }
    // Markup of an entity in an attribute is no markup.
    let source = format!(
        "<!DOCTYPE svg [<!ENTITY e 'javascript:'>]><svg xmlns='{SVG}' width='9'>\
         <a href='&e;evil()'/><use href='&e;evil()'/><rect/></svg>"
    );
    assert_is_inert(&shown(&server, source.as_bytes()).await.unwrap(), &source);
    assert_eq!(origin.connections(), 0);
}

/// Row 17: nobody after the sanitiser may read other characters than it did.
#[tokio::test(flavor = "multi_thread")]
async fn encodings_hide_nothing() {
    let server = Server::start().await;
    let evil = document("<script>evil()</script><g onload='evil()'/>");
    let wide = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    };
    let marked = format!("\u{feff}{evil}");
    let in_utf7 = document(
        "+ADw-script+AD4-evil()+ADw-/script+AD4-<title>+ADw-img onerror+AD0-x+AD4-</title>",
    );
    let declared = |encoding: &str, text: &str| {
        format!("<?xml version='1.0' encoding='{encoding}'?>{text}").into_bytes()
    };
    let sources = [
        wide(&marked, u16::to_le_bytes),
        wide(&marked, u16::to_be_bytes),
        // Without a mark.
        wide(&evil, u16::to_le_bytes),
        wide(&evil, u16::to_be_bytes),
        [
            &b"\xff\xfe\0\0"[..],
            &evil
                .chars()
                .flat_map(|c| (c as u32).to_le_bytes())
                .collect::<Vec<_>>(),
        ]
        .concat(),
        // Which say that they are something else.
        wide(
            &format!("\u{feff}<?xml version='1.0' encoding='UTF-8'?>{evil}"),
            u16::to_le_bytes,
        ),
        declared("UTF-16", &evil),
        declared("UTF-7", &in_utf7),
        declared("utf-7", &evil),
        declared("x-user-defined", &in_utf7),
        declared("ISO-2022-JP", &evil),
        declared("EBCDIC-CP-US", &evil),
        declared("ISO-8859-1", &evil),
        format!("+/v8-{in_utf7}").into_bytes(),
        marked.clone().into_bytes(),
        format!("\u{feff}\u{feff}{evil}").into_bytes(),
        // Overlong, and what some take for it.
        [
            b"<svg xmlns='http://www.w3.org/2000/svg'><rect/>\xc0\xbcscript>evil()",
            &b"</svg>"[..],
        ]
        .concat(),
        document("<title>\u{ff1c}script\u{ff1e}evil()\u{ff1c}/script\u{ff1e}</title>").into_bytes(),
    ];
    let mut inert = 0;
    for source in sources {
        let Some(answer) = shown(&server, &source).await else {
            continue;
        };
        assert_is_inert(&answer, &String::from_utf8_lossy(&source));
        let start = "<?xml version=\"1.0\" encoding=\"utf-8\"?>";
        assert!(answer.text().starts_with(start), "{}", answer.text());
        inert += 1;
    }
    assert!(inert >= 8, "only {inert} are shown");
}

/// Row 17: the same holds for the drawings of others, and those who see the source are told to be
/// careful.
#[tokio::test(flavor = "multi_thread")]
async fn drawings_of_others_are_as_inert() {
    let evil = document("<script>evil()</script><g onload='evil()'/><image href='//a.example/x'/>");
    let origin = {
        let answer = http("200 OK", "Content-Type: image/png\r\n", evil.as_bytes());
        Origin::start(move |_| Act::Say(answer.clone())).await
    };
    let server = Server::with(Wishes::zones("zone.test", &[("zone.test", &origin)])).await;
    for options in [
        "width=5",
        "format=webp",
        "format=auto,width=5",
        "anim=false",
    ] {
        let answer = server.remote(&format!("/{options}/a.svg"), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_is_inert(&answer, &evil);
    }
    let id = server.upload(evil.as_bytes(), &[]).await;
    let source = server.get(&format!("images/v1/{id}/blob")).await;
    assert_eq!(source.bytes, evil.as_bytes());
    let policy = source.header("content-security-policy");
    assert_eq!(policy, "default-src 'none'; sandbox");
    assert_eq!(source.header("x-content-type-options"), "nosniff");
}
