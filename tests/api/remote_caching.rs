//! Sources and renditions of remote images which are kept, and for how long
//! (transformations.md, sections 6.5 and 11.6).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, PHOTO, Server, TRANSPARENT, Wishes};
use crate::origin::{Act, Asked, Origin, http, raw};

async fn server(origin: &Origin) -> Server {
    Server::with(Wishes::zones("zone.test", &[("zone.test", origin)])).await
}

/// `/h`, `/m` or `/r`: how the source was found, and whether the rendition was in memory.
fn state(answer: &Answer) -> &str {
    let text = answer.header("cf-resized");
    text.split(' ').next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_fetched_once_for_all_its_renditions() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin).await;
    let first = server.remote("/width=20/a.png", &[]).await;
    assert_eq!(state(&first), "internal=ok/m");
    let again = server.remote("/w=20/a.png", &[]).await;
    assert_eq!(state(&again), "internal=ram/h");
    assert_eq!(again.bytes, first.bytes);
    let other = server.remote("/width=30/a.png", &[]).await;
    assert_eq!(state(&other), "internal=ok/h");
    assert_eq!(other.size(), (30, 29));
    // A query is another source.
    server.remote("/width=20/a.png?x", &[]).await;
    assert_eq!(origin.targets(), ["/a.png", "/a.png?x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_cause_one_fetch_and_one_rendering() {
    let origin = Origin::start(|_| Act::Wait(http("200 OK", "", PHOTO))).await;
    let server = server(&origin).await;
    let asks = (0..40).map(|number| {
        let width = 20 + number % 2;
        let (server, rest) = (&server, format!("/width={width}/a.png"));
        async move { server.remote(&rest, &[]).await }
    });
    let open = async {
        // All of them are on their way when the origin answers.
        while server
            .service
            .meters()
            .found()
            .map(|(_, count)| count)
            .sum::<u64>()
            == 0
            && origin.targets().is_empty()
        {
            tokio::task::yield_now().await;
        }
        origin.open_gate();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(asks), open);
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(origin.targets(), ["/a.png"]);
    let made: u64 = server
        .service
        .meters()
        .rendered()
        .map(|(_, _, count)| count)
        .sum();
    assert_eq!(made, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_policy_is_served_for_an_hour_with_a_warning() {
    // An age of a minute: for other caches, this answer is stale already.
    let origin = Origin::of("Cache-Control: max-age=60\r\nAge: 60\r\n", PHOTO).await;
    let server = server(&origin).await;
    for expected in ["internal=ok/m", "internal=ram/h"] {
        let answer = server.remote("/width=20/a.png", &[]).await;
        assert_eq!(state(&answer), expected);
        let warning = "cf-images 299 \"cache-control is too restrictive\"";
        assert_eq!(answer.header("warning"), warning);
        assert_eq!(answer.header("cache-control"), "max-age=60");
    }
    assert_eq!(origin.targets().len(), 1);
}

/// Says that nothing changed where the tag is the right one.
fn unchanging(asked: &Asked) -> Act {
    let headers = "Cache-Control: max-age=60, must-revalidate\r\nAge: 60\r\nETag: \"v1\"\r\n\
        Last-Modified: Tue, 13 May 2014 16:53:20 GMT\r\n";
    Act::Say(if asked.header("if-none-match") == "\"v1\"" {
        raw("304 Not Modified", headers, b"")
    } else {
        http("200 OK", headers, PHOTO)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn must_revalidate_asks_again_when_the_time_is_over() {
    let origin = Origin::start(unchanging).await;
    let server = server(&origin).await;
    let first = server.remote("/width=20/a.png", &[]).await;
    let again = server.remote("/width=20/a.png", &[]).await;
    assert_eq!(state(&again), "internal=ram/r");
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(again.header("etag"), first.header("etag"));
    let other = server.remote("/width=30/a.png", &[]).await;
    assert_eq!((state(&other), other.size()), ("internal=ok/r", (30, 29)));
    let asked = origin.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].header("if-none-match"), "");
    assert_eq!(asked[1].header("if-none-match"), "\"v1\"");
    let date = "Tue, 13 May 2014 16:53:20 GMT";
    assert_eq!(asked[1].header("if-modified-since"), date);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_source_is_seen_when_it_is_asked_about() {
    let version = AtomicUsize::new(0);
    let origin = Origin::start(move |_| {
        let body = if version.fetch_add(1, Relaxed) == 0 {
            PHOTO
        } else {
            TRANSPARENT
        };
        Act::Say(http("200 OK", "Cache-Control: no-cache\r\n", body))
    })
    .await;
    let server = server(&origin).await;
    let first = server.remote("/format=json/a.png", &[]).await;
    let second = server.remote("/format=json/a.png", &[]).await;
    assert!(first.text().contains("image/jpeg"), "{}", first.text());
    assert!(second.text().contains("image/png"), "{}", second.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_stored_is_not() {
    for control in ["no-store", "private, max-age=9999"] {
        let headers = format!("Cache-Control: {control}\r\n");
        let origin = Origin::of(&headers, PHOTO).await;
        let server = server(&origin).await;
        for _ in 0..2 {
            let answer = server.remote("/width=20/a.png", &[]).await;
            assert_eq!(state(&answer), "internal=ok/m");
            assert_eq!(answer.header("cache-control"), control);
            assert!(answer.header("warning").contains("too restrictive"));
        }
        assert_eq!(origin.targets().len(), 2);
        assert_eq!(server.files("cache"), 0);
        assert_eq!(
            server.service.cached_bytes().map(|(_, bytes)| bytes),
            [0, 0]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_source_stands_in_while_its_origin_is_away() {
    let calls = AtomicUsize::new(0);
    let origin = Origin::start(move |_| {
        Act::Say(match calls.fetch_add(1, Relaxed) {
            0 => http("200 OK", "Cache-Control: max-age=60\r\nAge: 60\r\n", PHOTO),
            1 => http("503 Away", "", b""),
            _ => http("404 Gone", "", b""),
        })
    })
    .await;
    let mut wishes = Wishes::zones("zone.test", &[("zone.test", &origin)]);
    wishes.remote.rendition_ttl_min = std::time::Duration::ZERO;
    let server = Server::with(wishes).await;
    for _ in 0..3 {
        let answer = server.remote("/width=20/a.png", &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // The failure is remembered, so that the origin is left alone for a while.
    assert_eq!(origin.targets().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_which_says_that_a_source_is_gone_is_believed() {
    let calls = AtomicUsize::new(0);
    let origin = Origin::start(move |_| {
        Act::Say(match calls.fetch_add(1, Relaxed) {
            0 => http("200 OK", "Cache-Control: max-age=0\r\n", PHOTO),
            _ => http("404 Gone", "", b""),
        })
    })
    .await;
    let mut wishes = Wishes::zones("zone.test", &[("zone.test", &origin)]);
    wishes.remote.rendition_ttl_min = std::time::Duration::ZERO;
    let server = Server::with(wishes).await;
    let first = server.remote("/width=20/a.png", &[]).await;
    assert_eq!(first.status, 200);
    let second = server.remote("/width=20/a.png", &[]).await;
    assert_eq!(second.refusal(), (404, 9404));
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_a_source_takes_all_its_results() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin).await;
    for width in [20, 30] {
        server.remote(&format!("/width={width}/a.png"), &[]).await;
    }
    server.remote("/width=20/b.png", &[]).await;
    let url = json!({"sources": ["http://zone.test/a.png"]});
    let receipt = server
        .json(Method::POST, "images/v1/purge", &url)
        .await
        .result();
    assert_eq!(
        (&receipt["sources"], &receipt["images"]),
        (&json!(1), &json!(0))
    );
    // Two renditions, the source itself and what was known of it.
    assert!(receipt["entries"].as_u64() >= Some(4), "{receipt}");
    let again = server.remote("/width=20/a.png", &[]).await;
    assert_eq!(state(&again), "internal=ok/m");
    let kept = server.remote("/width=20/b.png", &[]).await;
    assert_eq!(state(&kept), "internal=ram/h");
    assert_eq!(origin.targets(), ["/a.png", "/b.png", "/a.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_which_depends_on_accept_is_kept_once_for_each_kind_of_client() {
    let origin = Origin::start(|asked| {
        let body = if asked.header("accept").contains("image/webp") {
            TRANSPARENT
        } else {
            PHOTO
        };
        Act::Say(http("200 OK", "Vary: Accept\r\n", body))
    })
    .await;
    let server = server(&origin).await;
    for _ in 0..2 {
        for (accept, expected) in [
            ("image/webp", "image/png"),
            ("*/*", "image/jpeg"),
            ("image/webp,x/1", "image/png"),
            ("text/html", "image/jpeg"),
        ] {
            let answer = server
                .remote("/format=json/a.png", &[("accept", accept)])
                .await;
            assert!(
                answer.text().contains(expected),
                "{accept}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(origin.targets().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_source_is_undone() {
    // `gzip` of an empty SVG, which came although it was not asked for.
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>"#;
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    let length = u16::try_from(svg.len()).unwrap();
    gzip.extend(length.to_le_bytes());
    gzip.extend((!length).to_le_bytes());
    gzip.extend(svg);
    gzip.extend(crc32(svg).to_le_bytes());
    gzip.extend(u32::from(length).to_le_bytes());
    let origin = Origin::of("Content-Encoding: gzip\r\n", &gzip).await;
    let server = server(&origin).await;
    let answer = server.remote("/width=20/a.svg", &[]).await;
    assert_eq!(
        answer.header("content-type"),
        "image/svg+xml",
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("<svg"));
    assert_eq!(origin.asked()[0].header("accept-encoding"), "identity");
}

fn crc32(bytes: &[u8]) -> u32 {
    let updated = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    });
    !updated
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_bytes_have_gone_is_fetched_again() {
    let version = std::sync::Arc::new(AtomicUsize::new(0));
    let origin = {
        let version = version.clone();
        Origin::start(move |_| {
            let body = [PHOTO, TRANSPARENT][version.load(Relaxed)];
            Act::Say(http("200 OK", "", body))
        })
        .await
    };
    let server = server(&origin).await;
    let fetches = |outcome| {
        let mut fetches = server.service.meters().fetches();
        fetches.find(|(known, _)| *known == outcome).unwrap().1
    };
    server.remote("/width=20/a.png", &[]).await;
    server.empty("cache/r");
    let again = server.remote("/format=json/a.png", &[]).await;
    assert!(again.text().contains("image/jpeg"), "{}", again.text());
    assert_eq!(fetches("fetched"), 2);
    // What comes now is another picture, and what was known is of no use.
    server.empty("cache/r");
    version.store(1, Relaxed);
    let changed = server.remote("/format=json,width=9/a.png", &[]).await;
    assert!(changed.text().contains("image/png"), "{}", changed.text());
    assert_eq!((fetches("fetched"), fetches("failed")), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_which_cannot_be_rendered_is_tried_once() {
    let origin = Origin::of("", &PHOTO[..300]).await;
    let server = server(&origin).await;
    for _ in 0..3 {
        let answer = server.remote("/width=20/a.png", &[]).await;
        assert_eq!(answer.refusal(), (422, 9516));
    }
    let refused = server
        .service
        .meters()
        .rendered()
        .find(|(_, outcome, _)| *outcome == "refused");
    assert_eq!(refused.unwrap().2, 1);
}
