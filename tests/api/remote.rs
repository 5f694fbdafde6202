//! Remote images: the grammar of their addresses, allowed origins, headers and client hints
//! (transformations.md, sections 11.5 to 11.7).

use pixels::{Accepts, Cancel, Engine};
use reqwest::Method;

use crate::harness::{ANIMATED, PHOTO, SCRIPT, Server, TRANSPARENT, Wishes, send};
use crate::origin::{Act, Origin, http};

async fn server(origin: &Origin) -> Server {
    Server::with(Wishes::zones("zone.test", &[("zone.test", origin)])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_the_zone_is_fetched_and_transformed() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin).await;
    let answer = server
        .remote("/width=30,quality=75/uploads/avatar1.jpg", &[])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.size(), (30, 29));
    assert_eq!(answer.header("content-type"), "image/jpeg");
    assert_eq!(answer.header("vary"), "accept");
    assert!(answer.header("cf-resized").starts_with("internal=ok/m "));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(
        answer
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert_eq!(answer.header("accept-ranges"), "");
    assert_eq!(origin.targets(), ["/uploads/avatar1.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_source_is_fetched_as_it_was_meant() {
    let (zone, other) = (Origin::of("", PHOTO).await, Origin::of("", PHOTO).await);
    let wishes = Wishes::zones(
        "zone.test=s3.test",
        &[("zone.test", &zone), ("s3.test", &other)],
    );
    let server = Server::with(wishes).await;
    for (rest, own, target) in [
        ("/width=8/uploads/a.jpg", true, "/uploads/a.jpg"),
        ("/width=8//uploads/b.jpg", true, "/uploads/b.jpg"),
        ("/width=8/a%20b%2Fc.jpg?x=%2F", true, "/a%20b%2Fc.jpg?x=%2F"),
        (
            "/width=8/http://s3.test/bucket/i.png",
            false,
            "/bucket/i.png",
        ),
        (
            "/width=8/http:/s3.test/bucket/j.png",
            false,
            "/bucket/j.png",
        ),
        (
            "/width=8/http%3A%2F%2Fs3.test%2Fbucket%2Fk.png%3Fv%3D2",
            false,
            "/bucket/k.png?v=2",
        ),
        ("/width=8/http://s3.test/l.png?v=2", false, "/l.png?v=2"),
        ("/flow/width=8/m.png", true, "/m.png"),
    ] {
        let answer = server.remote(rest, &[]).await;
        assert_eq!(answer.status, 200, "{rest}: {}", answer.text());
        let origin = if own { &zone } else { &other };
        assert_eq!(origin.targets().last().unwrap(), target, "{rest}");
        let host = if own { "zone.test" } else { "s3.test" };
        assert_eq!(origin.asked().last().unwrap().header("host"), host);
    }
    assert_eq!(zone.targets().len() + other.targets().len(), 8);
    // The same source in another spelling is known.
    server
        .remote("/width=8/http:///s3.test/bucket/i.png", &[])
        .await;
    assert_eq!(zone.targets().len() + other.targets().len(), 8);
    let url = format!("{}/base/cdn-cgi/image/width=8/uploads/a.jpg", server.url);
    let mounted = send(server.client.get(url).header("host", "zone.test")).await;
    assert_eq!((mounted.status.as_u16(), mounted.size()), (200, (8, 8)));
}

#[tokio::test(flavor = "multi_thread")]
async fn option_lists_are_read_as_documented() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin).await;
    for (options, width) in [
        ("background=rgb%28240%2C40%2C145%29,width=20", 20),
        ("background=rgb(240,40,145),width=20", 20),
        ("width=20,", 20),
        (",width=20", 20),
        ("width=20,foo=bar", 20),
        ("width=20,width=25", 25),
        ("width=20,w=25", 25),
        ("width=abc", 63),
        ("width%3D20", 20),
    ] {
        let answer = server.remote(&format!("/{options}/a.png"), &[]).await;
        assert_eq!(answer.status, 200, "{options}: {}", answer.text());
        assert_eq!(answer.size().0, width, "{options}");
    }
    let ignored = server.remote("/width=abc/a.png", &[]).await;
    assert_eq!(
        ignored.header("warning"),
        "cf-images 299 \"ignored width=abc\""
    );
    for options in [
        "thumbnail",
        "",
        "foo=bar",
        "blur=300",
        "sharpen=11",
        "format=mp4",
        "width=%FF",
    ] {
        let answer = server.remote(&format!("/{options}/a.png"), &[]).await;
        assert_eq!(answer.refusal(), (400, 9401), "{options}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_or_a_zone_nothing_is_attempted() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin).await;
    for rest in [
        "/width=50",
        "/width=50/",
        "/akamai/width=50/a.png",
        "/fastly/width=50",
        "",
    ] {
        let answer = server.remote(rest, &[]).await;
        assert_eq!(answer.status, 404, "{rest}");
        assert_eq!(answer.header("cf-resized"), "", "{rest}");
    }
    for host in ["other.test", "zone.test.evil.test", "evilzone.test", "a b"] {
        let head = format!("GET /cdn-cgi/image/width=5/a.png HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = server.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host}: {answer}");
        assert!(!answer.contains("cf-resized"), "{host}");
    }
    assert_eq!(origin.connections(), 0);
}

/// Row 5.
#[tokio::test(flavor = "multi_thread")]
async fn origins_are_allowed_as_the_zone_says() {
    let origin = Origin::of("", PHOTO).await;
    let names = [
        "zone.test",
        "sub.zone.test",
        "b.com",
        "media.b.com",
        "cdn.b.com",
        "x.test",
    ];
    let hosts = names.map(|name| (name, &origin));
    for (zone, source, allowed) in [
        ("zone.test", "http://other.test/a.png", false),
        ("zone.test", "http://sub.zone.test/a.png", false),
        ("zone.test=zone", "http://sub.zone.test/a.png", true),
        ("zone.test=b.com", "http://media.b.com/a.png", false),
        ("zone.test=*.b.com", "http://b.com/a.png", true),
        ("zone.test=*.b.com", "http://cdn.b.com/a.png", true),
        ("zone.test=media.b.com", "http://b.com/a.png", false),
        ("zone.test=b.com/themes", "http://b.com/themes/i.png", true),
        (
            "zone.test=b.com/themes",
            "http://b.com/media/themes/i.png",
            false,
        ),
        (
            "zone.test=b.com/themes",
            "http://b.com/themes/../media/i.png",
            false,
        ),
        ("zone.test=b.com", "http://b.com.x.test/i.png", false),
        ("zone.test=any", "http://x.test/i.png", true),
    ] {
        let server = Server::with(Wishes::zones(zone, &hosts)).await;
        let answer = server.remote(&format!("/width=5/{source}"), &[]).await;
        if allowed {
            assert_eq!(answer.status, 200, "{zone} {source}: {}", answer.text());
        } else {
            assert_eq!(answer.refusal(), (403, 9401), "{zone} {source}");
            assert!(answer.text().contains("allowed origins list"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirections_of_an_allowed_source_lead_anywhere_public() {
    let elsewhere = Origin::of("", PHOTO).await;
    let origin = Origin::start(|_| {
        Act::Say(http(
            "302 Found",
            "Location: http://unlisted.test/b.png\r\n",
            b"",
        ))
    })
    .await;
    let hosts = [("zone.test", &origin), ("unlisted.test", &elsewhere)];
    let server = Server::with(Wishes::zones("zone.test", &hosts)).await;
    let answer = server.remote("/width=5/a.png", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(elsewhere.targets(), ["/b.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_standard_unless_it_is_negotiated() {
    for (bytes, options, accept, expected) in [
        (PHOTO, "width=20", "image/avif,image/webp", "image/jpeg"),
        (PHOTO, "format=auto", "image/avif,image/webp", "image/avif"),
        (PHOTO, "format=auto", "image/webp", "image/webp"),
        (PHOTO, "format=auto", "*/*", "image/jpeg"),
        (PHOTO, "format=webp", "*/*", "image/webp"),
        (TRANSPARENT, "width=20", "*/*", "image/png"),
        (ANIMATED, "width=20", "*/*", "image/gif"),
        (SCRIPT, "width=20", "*/*", "image/svg+xml"),
        (PHOTO, "format=json", "*/*", "application/json"),
    ] {
        let origin = Origin::of("Content-Type: text/plain\r\n", bytes).await;
        let server = server(&origin).await;
        let answer = server
            .remote(&format!("/{options}/a"), &[("accept", accept)])
            .await;
        assert_eq!(answer.status, 200, "{options}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            expected,
            "{options} {accept}"
        );
        assert_eq!(answer.header("vary"), "accept");
        assert!(!answer.text().contains("<script"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_a_body_and_other_methods_are_refused() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin).await;
    let url = format!("{}/cdn-cgi/image/width=20/a.png", server.url);
    let request = |method| {
        server
            .client
            .request(method, &url)
            .header("host", "zone.test")
    };
    let whole = send(request(Method::GET)).await;
    let head = send(request(Method::HEAD)).await;
    assert_eq!(head.status, 200);
    assert!(head.bytes.is_empty());
    let length = whole.bytes.len().to_string();
    assert_eq!(head.header("content-length"), length);
    assert_eq!(head.header("content-type"), whole.header("content-type"));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = send(request(method.clone())).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "GET, HEAD", "{method}");
    }
    assert_eq!(origin.targets(), ["/a.png"]);
}

/// Row 4.
#[tokio::test(flavor = "multi_thread")]
async fn the_origin_is_told_nothing_of_the_visitor() {
    let origin = Origin::of("Set-Cookie: a=b\r\nX-Secret: 1\r\n", PHOTO).await;
    let server = server(&origin).await;
    let answer = server
        .remote(
            "/width=20/a.png",
            &[
                ("accept", "image/webp,text/html,x/y"),
                ("cookie", "session=1"),
                ("authorization", "Bearer x"),
                ("referer", "http://page.test/"),
                ("user-agent", "Mozilla"),
                ("x-forwarded-for", "1.1.1.1"),
                ("x-custom", "1"),
                ("via", "1.1 proxy"),
            ],
        )
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("set-cookie"), "");
    assert_eq!(answer.header("x-secret"), "");
    let asked = &origin.asked()[0];
    let mut names: Vec<String> = asked
        .head
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase()))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["accept", "accept-encoding", "host", "user-agent", "via"]
    );
    assert_eq!(asked.header("host"), "zone.test");
    assert_eq!(asked.header("accept"), "image/webp,image/*,*/*;q=0.8");
    assert!(asked.header("via").contains("image-resizing"));
    assert!(asked.header("user-agent").starts_with("image-resizing/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_origin_which_concern_the_picture_are_passed_on() {
    let origin = Origin::of(
        "Cache-Control: public, max-age=86400\r\nETag: \"abc\"\r\n\
         Last-Modified: Tue, 13 May 2014 16:53:20 GMT\r\n\
         Content-Disposition: inline; filename=\"cat.png\"\r\n\
         Access-Control-Allow-Origin: https://page.test\r\n",
        PHOTO,
    )
    .await;
    let server = server(&origin).await;
    let answer = server.remote("/format=webp/a.png", &[]).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=86400");
    let etag = answer.header("etag").to_owned();
    assert!(
        etag.starts_with("\"cf-") && etag.ends_with(":abc\""),
        "{etag}"
    );
    assert_eq!(
        answer.header("last-modified"),
        "Tue, 13 May 2014 16:53:20 GMT"
    );
    assert_eq!(
        answer.header("content-disposition"),
        "inline; filename=\"cat.webp\""
    );
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://page.test"
    );
    assert_eq!(answer.header("warning"), "");
    // Another shape is another tag.
    let other = server.remote("/format=webp,width=5/a.png", &[]).await;
    assert_ne!(other.header("etag"), etag);
    let date = "Tue, 13 May 2014 16:53:20 GMT";
    for (name, value, expected) in [
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "\"abc\"", 200),
        ("if-modified-since", date, 304),
        ("if-modified-since", "Tue, 13 May 2014 16:53:21 GMT", 200),
    ] {
        let again = server.remote("/format=webp/a.png", &[(name, value)]).await;
        assert_eq!(again.status, expected, "{name}: {value}");
        assert_eq!(again.header("etag"), etag);
        assert_eq!(again.header("vary"), "accept");
        assert_eq!(again.bytes.is_empty(), expected == 304);
    }
    assert_eq!(origin.targets().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_tags_stay_weak_and_missing_ones_missing() {
    let weak = Origin::of("ETag: W/\"a,b\"\r\n", PHOTO).await;
    let weak_server = server(&weak).await;
    let answer = weak_server.remote("/width=5/a.png", &[]).await;
    let etag = answer.header("etag");
    assert!(
        etag.starts_with("W/\"cf-") && etag.ends_with(":a,b\""),
        "{etag}"
    );
    let again = weak_server
        .remote("/width=5/a.png", &[("if-none-match", etag)])
        .await;
    assert_eq!(again.status, 304);
    let none = Origin::of("", PHOTO).await;
    let answer = server(&none).await.remote("/width=5/a.png", &[]).await;
    assert_eq!(answer.header("etag"), "");
    assert_eq!(answer.header("cache-control"), "");
}

/// A JPEG of 4000×3000.
fn large() -> Vec<u8> {
    let transform = "width=4000,height=3000,fit=squeeze,format=jpeg"
        .parse()
        .unwrap();
    let request = pixels::Request {
        source: PHOTO,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let rendition = Engine::default().render(&request, &Cancel::never());
    rendition.unwrap().bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_width_follows_from_client_hints() {
    let origin = Origin::of("", &large()).await;
    let server = server(&origin).await;
    let viewport = "sec-ch-viewport-width";
    for (options, name, value, expected) in [
        ("width=auto", viewport, "280", (320, 240)),
        ("width=auto", viewport, "500", (768, 576)),
        ("width=auto", viewport, "960", (960, 720)),
        ("width=auto", viewport, "1500", (1200, 900)),
        ("width=auto", "viewport-width", "280", (320, 240)),
        ("width=auto", viewport, "wide", (1200, 900)),
        (
            "width=auto",
            "user-agent",
            "Mozilla (iPhone; x)",
            (768, 576),
        ),
        ("width=auto", "user-agent", "Mozilla (X11)", (1200, 900)),
        (
            "width=auto,wbreakpoints=320;768;960;1920",
            viewport,
            "1500",
            (1920, 1440),
        ),
        (
            "width=auto,wmobile=400",
            "user-agent",
            "Android",
            (400, 300),
        ),
    ] {
        let answer = server
            .remote(&format!("/{options}/a.jpg"), &[(name, value)])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.size(), expected, "{options} {name}: {value}");
        let vary = "accept, sec-ch-viewport-width, viewport-width";
        assert_eq!(answer.header("vary"), vary);
    }
    assert_eq!(origin.targets().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_get_the_quality_for_them() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin).await;
    let low = server.remote("/quality=40/a.jpg", &[]).await.bytes;
    let high = server.remote("/quality=80/a.jpg", &[]).await.bytes;
    assert_ne!(low, high);
    let fast = [("ect", "4g"), ("rtt", "100"), ("downlink", "10")];
    for (headers, expected) in [
        (&[("save-data", "on")][..], &low),
        (&[("downlink", "4.9")], &low),
        (&[("rtt", "151")], &low),
        (&[("ect", "3g")], &low),
        (&fast, &high),
        (&[], &high),
    ] {
        let answer = server.remote("/quality=80,scq=40/a.jpg", headers).await;
        assert_eq!(&answer.bytes, expected, "{headers:?}");
        assert_eq!(
            answer.header("vary"),
            "accept, save-data, ect, rtt, downlink"
        );
    }
}
