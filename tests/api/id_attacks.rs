//! Ids which look like paths, or like each other.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::multipart::{Form, Part};

use crate::harness::{Answer, Server, send};
use crate::picture;

/// Ids which are only texts, however they look; each names an image of its own.
const LITERAL: [&str; 40] = [
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f",
    "%2e%2e",
    "%2E%2E",
    "%252e%252e%252f",
    "%5C..%5C",
    "%00",
    "%",
    "%%",
    "..\\..\\etc\\passwd",
    "C:\\x",
    "C:x",
    "\\\\host\\share",
    "...",
    "....",
    "a/.../b",
    ".htaccess",
    "a/..b/c",
    "~root",
    "-rf",
    "CON",
    "con",
    "CON.png",
    "NUL",
    "LPT1",
    "aux.jpg:stream",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{212b}",
    "\u{c5}",
    "A\u{30a}",
    "\u{fb01}",
    "fi",
    "FI",
    "\u{202e}gpj.a",
    "a\u{200b}",
    " a",
    "a ",
    "a",
    "'; DROP TABLE images; --",
];

/// Ids which nobody may choose.
fn refused() -> Vec<Vec<u8>> {
    let texts = [
        ".",
        "..",
        "/",
        "//",
        "../",
        "/..",
        "../../etc/passwd",
        "/etc/passwd",
        "a/../b",
        "a/..",
        "a/./b",
        "a//b",
        "a/",
        "keys",
        "variants",
        "3F0E8C52-7a1d-4b66-9c0f-5d2a81e47b00",
        "a\0",
        "\0",
        "a\0.png",
        "a\r\nX: y",
        "a\u{7f}",
        "a\u{85}",
        "\u{fffd}",
    ];
    let overlong: [&[u8]; 6] = [
        b"\xc0\xae\xc0\xae/",
        b"\xc0\xae\xc0\xae\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\x80",
        b"\xff",
    ];
    let long = [1_025, 10_240].map(|length| vec![b'a'; length]);
    let texts = texts.iter().map(|text| text.as_bytes()).chain(overlong);
    texts.map(<[u8]>::to_vec).chain(long).collect()
}

/// Uploads under this id a picture which no other is equal to.
async fn upload(server: &Server, id: &[u8]) -> Answer {
    let file = Part::bytes(picture::gif(id)).file_name("a.gif");
    let form = Form::new().part("id", Part::bytes(id.to_vec()));
    server.form("images/v1", form.part("file", file)).await
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

/// What is in the folder of the server, less the pictures and what was made of them.
fn landmarks(server: &Server) -> BTreeSet<String> {
    let entries = std::fs::read_dir(server.folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// Row 35.
#[tokio::test(flavor = "multi_thread")]
async fn ids_which_lead_elsewhere_are_refused() {
    let server = Server::start().await;
    let before = landmarks(&server);
    for id in refused() {
        let shown = String::from_utf8_lossy(&id).into_owned();
        let answer = upload(&server, &id).await;
        assert_eq!(answer.failure(), (400, 5400), "{shown:?}");
        let form = Form::new().part("id", Part::bytes(id));
        let draft = server.form("images/v2/direct_upload", form).await;
        assert_eq!(draft.failure(), (400, 5400), "{shown:?}");
    }
    assert_eq!(server.files("blobs"), 0);
    assert_eq!(landmarks(&server), before);
    let count = server.get("images/v1/stats").await.result();
    assert_eq!(count["count"]["current"], 0);
}

/// Row 35.
#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_one_image() {
    let server = Server::start().await;
    let before = landmarks(&server);
    let mut longest = vec!["\u{e9}".repeat(1_024), "x/".repeat(511) + "xy"];
    longest.extend(LITERAL.map(str::to_owned));
    for id in &longest {
        let answer = upload(&server, id.as_bytes()).await;
        assert_eq!(answer.result()["id"], id.as_str());
    }
    for id in &longest {
        let taken = upload(&server, id.as_bytes()).await;
        assert_eq!(taken.failure(), (409, 5409), "{id:?}");
    }
    assert_eq!(server.files("blobs"), longest.len());
    assert_eq!(landmarks(&server), before);
    for id in &longest {
        let path = encoded(id);
        let details = server.get(&format!("images/v1/{path}")).await.result();
        assert_eq!(details["id"], id.as_str());
        let blob = server.get(&format!("images/v1/{path}/blob")).await;
        assert!(blob.bytes == picture::gif(id.as_bytes()), "{id:?}");
        let shown = server.deliver(&format!("{path}/public"), &[]).await;
        assert_eq!(shown.status, 200, "{id:?}");
    }
    // Each goes by its own name, and no other with it.
    for (deleted, id) in longest.iter().enumerate() {
        let path = format!("images/v1/{}", encoded(id));
        server.delete(&path).await.result();
        assert_eq!(server.get(&path).await.failure(), (404, 5404), "{id:?}");
        let stats = server.get("images/v1/stats").await.result();
        assert_eq!(stats["count"]["current"], longest.len() - deleted - 1);
    }
}

/// Row 35: in an address an id is decoded once, and leads to nothing but an image.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_lead_to_no_other_resource() {
    let server = Server::start().await;
    upload(&server, b"a/b").await.result();
    let (hash, account) = (&server.account.hash, &server.account.id);
    let ask = async |target: &str| {
        let token = &server.token;
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        );
        server.raw(head.as_bytes()).await
    };
    // The same image, by every spelling of its id.
    for id in ["a/b", "a%2Fb", "a%2fb", "%61/b", "%61%2F%62"] {
        for target in [
            format!("/{hash}/{id}/public"),
            format!("/client/v4/accounts/{account}/images/v1/{id}"),
        ] {
            let answer = ask(&target).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{target}: {answer}");
        }
    }
    for id in [
        "..",
        "../keys",
        "%2e%2e/keys",
        "%2e%2e%2fkeys",
        "..%2fkeys",
        "x/../keys",
        "x/%2e%2e/../keys",
        "..;/keys",
        "%5c..%5ckeys",
        "..%5ckeys",
        "%252e%252e%252fkeys",
        "%c0%ae%c0%ae/keys",
        "%c0%ae%c0%ae%c0%afkeys",
        "%e0%80%ae",
        "%ff",
        "a%2fb%00",
        "%00",
        "a%252fb",
        "a%5cb",
        "a/b%2f",
        "%2fa/b",
        "a%2f%2fb",
        "a/./b",
        "A/B",
        &"a".repeat(10_240),
    ] {
        let target = format!("/client/v4/accounts/{account}/images/v1/{id}");
        let answer = ask(&target).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{target}: {answer}");
        assert!(answer.contains("\"code\":5404"), "{target}: {answer}");
        let target = format!("/{hash}/{id}/public");
        let answer = ask(&target).await;
        let refusals = ["404 Not Found", "403 Forbidden"];
        let is_refused = refusals
            .iter()
            .any(|it| answer.starts_with(&format!("HTTP/1.1 {it}")));
        assert!(is_refused, "{target}: {answer}");
        assert!(
            answer.contains("ERROR 9404") || answer.contains("ERROR 9426"),
            "{target}: {answer}"
        );
    }
    let plain = send(
        server
            .client
            .get(format!("{}/{hash}/a/b/public", server.url)),
    );
    assert_eq!(plain.await.status, 200);
}
