//! Delivery of hosted images: formats, sizes, headers, errors, caching.

use reqwest::Method;
use serde_json::json;

use crate::harness::{ANIMATED, Answer, PHOTO, SCRIPT, Server, TRANSPARENT, TURNED, Wishes, send};

/// Width and height by the header of the delivered bytes.
fn size(answer: &Answer) -> (u32, u32) {
    let header = pixels::inspect(&answer.bytes, &model::Limits::default()).unwrap();
    (header.width, header.height)
}

async fn variant(server: &Server, name: &str, options: serde_json::Value) {
    let body = json!({"id": name, "options": options});
    let made = server.json(Method::POST, "images/v1/variants", &body).await;
    assert_eq!(made.status, 200, "{}", made.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_negotiated() {
    let server = Server::start().await;
    for (bytes, accept, expected) in [
        (PHOTO, "*/*", "image/jpeg"),
        (PHOTO, "image/*", "image/jpeg"),
        (PHOTO, "image/webp,*/*", "image/webp"),
        (PHOTO, "image/avif,image/webp", "image/avif"),
        (ANIMATED, "image/avif,image/webp", "image/webp"),
        (PHOTO, "image/webp;q=0", "image/jpeg"),
        (TRANSPARENT, "*/*", "image/png"),
        (TRANSPARENT, "image/webp", "image/webp"),
        (ANIMATED, "*/*", "image/gif"),
        (ANIMATED, "image/webp", "image/webp"),
        (SCRIPT, "image/webp", "image/svg+xml"),
    ] {
        let id = server.upload(bytes, &[]).await;
        let answer = server
            .deliver(&format!("{id}/public"), &[("accept", accept)])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), expected, "{accept}");
        let negotiated = bytes != SCRIPT;
        assert_eq!(
            answer.header("vary"),
            if negotiated { "Accept" } else { "" }
        );
        let magic: &[u8] = match expected {
            "image/jpeg" => b"\xff\xd8\xff",
            "image/png" => b"\x89PNG",
            "image/gif" => b"GIF89a",
            "image/webp" => b"RIFF",
            // The length of the first box may vary.
            "image/avif" => &[0, 0, 0],
            _ => b"<",
        };
        assert!(answer.bytes.starts_with(magic), "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_give_their_sizes() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    for (name, options, expected) in [
        ("down", json!({"width": 30}), (30, 29)),
        ("never", json!({"width": 300, "height": 300}), (63, 61)),
        (
            "contain",
            json!({"fit": "contain", "width": 126, "height": 200}),
            (126, 122),
        ),
        (
            "cover",
            json!({"fit": "cover", "width": 80, "height": 20}),
            (80, 20),
        ),
        (
            "crop",
            json!({"fit": "crop", "width": 100, "height": 20}),
            (63, 20),
        ),
        (
            "pad",
            json!({"fit": "pad", "width": 100, "height": 40}),
            (100, 40),
        ),
        (
            "blurred",
            json!({"blur": 20, "width": 20, "height": 20, "fit": "cover"}),
            (20, 20),
        ),
    ] {
        variant(&server, name, options).await;
        let answer = server.deliver(&format!("{id}/{name}"), &[]).await;
        assert_eq!(size(&answer), expected, "{name}");
    }
    let turned = server.upload(TURNED, &[]).await;
    let answer = server.deliver(&format!("{turned}/public"), &[]).await;
    assert_eq!(size(&answer), (24, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn svg_is_sanitised_and_cannot_run() {
    let server = Server::start().await;
    let id = server.upload(SCRIPT, &[]).await;
    let answer = server.deliver(&format!("{id}/public"), &[]).await;
    assert_eq!(answer.header("content-type"), "image/svg+xml");
    assert!(answer.text().contains("<rect"), "{}", answer.text());
    assert!(!answer.text().contains("script"), "{}", answer.text());
    assert!(
        answer
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test(flavor = "multi_thread")]
async fn success_carries_the_documented_headers() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let path = format!("{id}/public");
    let answer = server.deliver(&path, &[]).await;
    for (name, expected) in [
        (
            "cache-control",
            "public, max-age=172800, stale-while-revalidate=7200",
        ),
        ("access-control-allow-origin", "*"),
        ("timing-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(answer.header(name), expected, "{name}");
    }
    let told = answer.header("cf-resized");
    assert_eq!(answer.header("cf-images"), told);
    let names: Vec<&str> = told
        .split(' ')
        .map(|word| word.split('=').next().unwrap())
        .collect();
    assert_eq!(names, ["internal", "q", "c", "v", "l"], "{told}");
    assert!(told.starts_with("internal=ok/- "), "{told}");
    assert!(answer.header("last-modified").ends_with("GMT"));
    let etag = answer.header("etag").to_owned();
    assert!(etag.starts_with("\"cf-") && etag.contains(':'), "{etag}");

    let again = server.deliver(&path, &[("if-none-match", &etag)]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    assert_eq!(again.header("etag"), etag);
    assert_eq!(again.header("vary"), "Accept");
    let other = server
        .deliver(&path, &[("accept", "image/webp"), ("if-none-match", &etag)])
        .await;
    assert_eq!(other.status, 200);
    let part = server.deliver(&path, &[("range", "bytes=0-9")]).await;
    assert_eq!(
        (part.status.as_u16(), &part.bytes[..]),
        (206, &answer.bytes[..10])
    );
    let head = server
        .client
        .head(format!("{}/{}/{path}", server.url, server.account.hash));
    let head = send(head).await;
    assert_eq!(head.status, 200);
    assert_eq!(
        head.header("content-length"),
        answer.bytes.len().to_string()
    );
    assert_eq!(head.header("content-type"), "image/jpeg");

    let prefixed = format!(
        "{}/cdn-cgi/imagedelivery/{}/{path}",
        server.url, server.account.hash
    );
    assert_eq!(send(server.client.get(prefixed)).await.bytes, answer.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_keep_renditions_as_long_as_told() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    variant(&server, "own", json!({"browser_ttl": 7_200})).await;
    server
        .json(
            Method::PATCH,
            "images/v1/config",
            &json!({"browser_ttl": 3_600}),
        )
        .await;
    for (name, seconds) in [("own", 7_200), ("public", 3_600)] {
        let answer = server.deliver(&format!("{id}/{name}"), &[]).await;
        let expected = format!("public, max-age={seconds}, stale-while-revalidate=7200");
        assert_eq!(answer.header("cache-control"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_plain_text_with_their_code() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let hash = &server.account.hash;
    let strange = "AAAAAAAAAAAAAAAAAAAAAA";
    let missing = "Could not fetch the image — the server returned HTTP error 404 Not Found";
    let unknown = "Image access denied: This account doesn't have variant with this name";
    let invalid = "The URL of imagedelivery.net has invalid text part";
    for (path, status, code, words) in [
        (format!("{hash}/none/public"), 404, 9404, missing),
        (format!("{hash}/{id}/none"), 403, 9425, unknown),
        (format!("{hash}/{id}/no-name"), 403, 9425, unknown),
        (
            format!("{strange}/{id}/public"),
            403,
            9427,
            "Image access denied with incorrect account id",
        ),
        (
            format!("cdn-cgi/imagedelivery/short/{id}/public"),
            403,
            9427,
            "Image access denied with incorrect account id",
        ),
        (format!("{hash}/{id}"), 403, 9426, invalid),
        (format!("{hash}/{id}%zz/public"), 403, 9426, invalid),
        (format!("{hash}"), 403, 9426, invalid),
        (
            format!("{hash}/{id}/w=10"),
            403,
            9429,
            "Flexible variants are not enabled for the account",
        ),
    ] {
        let answer = send(server.client.get(format!("{}/{path}", server.url))).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.text(), format!("ERROR {code}: {words}"), "{path}");
        assert!(answer.header("content-type").starts_with("text/plain"));
        assert_eq!(answer.header("cf-images"), format!("err={code}"));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let posted = send(
        server
            .client
            .post(format!("{}/{hash}/{id}/public", server.url)),
    )
    .await;
    assert_eq!(posted.status, 405);
    assert_eq!(posted.header("allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test(flavor = "multi_thread")]
async fn option_lists_are_a_switch_of_the_account() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    server
        .json(
            Method::PATCH,
            "images/v1/config",
            &json!({"flexible_variants": true}),
        )
        .await;
    let answer = server
        .deliver(
            &format!("{id}/w=20,h=10,fit=cover"),
            &[("accept", "image/webp")],
        )
        .await;
    assert_eq!(answer.header("content-type"), "image/webp");
    assert_eq!(size(&answer), (20, 10));
    let jpeg = server
        .deliver(
            &format!("{id}/width=20,f=jpeg"),
            &[("accept", "image/webp")],
        )
        .await;
    assert_eq!(jpeg.header("content-type"), "image/jpeg");
    assert_eq!(jpeg.header("vary"), "");
    let odd = server
        .deliver(&format!("{id}/width=abc,fit=fill,h=9"), &[])
        .await;
    let warnings: Vec<_> = odd.headers.get_all("warning").iter().collect();
    let ignored = ["ignored width=abc", "ignored fit=fill"];
    assert_eq!(
        warnings
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>(),
        ignored.map(|words| format!("cf-images 299 \"{words}\""))
    );
    // Also in an answer which is ready.
    for _ in 0..2 {
        let again = server
            .deliver(&format!("{id}/width=abc,fit=fill,h=9"), &[])
            .await;
        assert_eq!(again.headers.get_all("warning").iter().count(), 2);
    }
    let bad = server.deliver(&format!("{id}/unknown=1"), &[]).await;
    assert_eq!(
        (bad.status.as_u16(), bad.header("cf-images")),
        (400, "err=9401")
    );
    let body = json!({"requireSignedURLs": true});
    let signed = server
        .json(Method::PATCH, &format!("images/v1/{id}"), &body)
        .await
        .result();
    let signed = signed["id"].as_str().unwrap();
    let private = server.deliver(&format!("{signed}/w=20"), &[]).await;
    assert_eq!(
        private.text(),
        "ERROR 9425: Image access denied: Flexible variants can't be used for images that require signed URLs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_variant_is_seen_at_once() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    variant(&server, "v", json!({"width": 30})).await;
    let path = format!("{id}/v");
    let before = server.deliver(&path, &[]).await;
    assert_eq!(size(&before).0, 30);
    let change = json!({"options": {"width": 20}});
    server
        .json(Method::PATCH, "images/v1/variants/v", &change)
        .await
        .result();
    let after = server
        .deliver(&path, &[("if-none-match", before.header("etag"))])
        .await;
    assert_eq!(size(&after).0, 20);
    server.delete("images/v1/variants/v").await.result();
    assert_eq!(server.deliver(&path, &[]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_share_one_rendering() {
    let server = Server::with(Wishes {
        render_queue: 1,
        ..Wishes::default()
    })
    .await;
    let id = server.upload(PHOTO, &[]).await;
    // With room for one waiting rendering, fifty would be refused if they were not shared.
    let path = format!("{id}/public");
    let asked = (0..50).map(|_| server.deliver(&path, &[]));
    let answers = futures_util::future::join_all(asked).await;
    for answer in &answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.bytes, answers[0].bytes);
    }
    assert_eq!(server.files("cache"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_id_shows_the_new_image() {
    let server = Server::start().await;
    server.upload(PHOTO, &[("id", "again")]).await;
    assert_eq!(size(&server.deliver("again/public", &[]).await), (63, 61));
    server.delete("images/v1/again").await.result();
    server.upload(TURNED, &[("id", "again")]).await;
    assert_eq!(size(&server.deliver("again/public", &[]).await), (24, 40));
}
