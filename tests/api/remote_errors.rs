//! Remote images which cannot be had: what origins do wrong, and what visitors see
//! (transformations.md, sections 5.3 and 11.6).

use std::time::Duration;

use model::Limits;
use reqwest::redirect::Policy;

use crate::harness::{Answer, PHOTO, Server, TRANSPARENT, Wishes, send};
use crate::origin::{Act, Asked, Origin, http, raw};

const TIFF: &[u8] = b"II*\0\x08\0\0\0\0\0\0\0\0\0";
const BMP: &[u8] =
    b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0\0\0\0\0\
    \x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\0\0\xff\0\0\0\0\xff\0\0\xff\0\0\0\0";

/// A PNG which says that it is 20000 pixels wide and 10000 high.
fn giant() -> Vec<u8> {
    let mut bytes =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x4e\x20\0\0\x27\x10\x08\x02\0\0\0".to_vec();
    bytes.extend([0; 64]);
    bytes
}

fn script(asked: &Asked) -> Act {
    let to = |location: &str| http("302 Found", &format!("Location: {location}\r\n"), b"");
    let path = asked.target().trim_start_matches('/');
    Act::Say(match path {
        "html" => http(
            "200 OK",
            "Content-Type: image/png\r\n",
            b"<html><p>no</p></html>",
        ),
        "empty" => http("200 OK", "", b""),
        "no-content" => raw("204 No Content", "", b""),
        "tiff" => http("200 OK", "", TIFF),
        "bmp" => http("200 OK", "", BMP),
        "giant" => http("200 OK", "", &giant()),
        "broken" => http("200 OK", "", &PHOTO[..300]),
        "large" => http("200 OK", "", &vec![0; 200_000]),
        "large-unknown" => raw("200 OK", "", &vec![0; 200_000]),
        "short" => raw("200 OK", "Content-Length: 5000\r\n", PHOTO),
        "nonsense" => b"nonsense\r\n\r\n".to_vec(),
        "nothing" => Vec::new(),
        "huge-length" => raw("200 OK", "Content-Length: 5000000000\r\n", b"few"),
        "bad-length" => raw("200 OK", "Content-Length: -1\r\n", b"few"),
        "two-lengths" => raw(
            "200 OK",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            b"few",
        ),
        "huge-chunk" => {
            let mut answer = raw("200 OK", "Transfer-Encoding: chunked\r\n", b"140000000\r\n");
            answer.extend([7; 10_000]);
            return Act::Flood(answer);
        }
        "many-headers" => raw("200 OK", &"X-Many: 1\r\n".repeat(5_000), PHOTO),
        "long-header" => http(
            "200 OK",
            &format!("X-Long: {}\r\n", "x".repeat(1 << 20)),
            PHOTO,
        ),
        "brotli" => http("200 OK", "Content-Encoding: br\r\n", PHOTO),
        "loop" => to("/loop"),
        "to-nothing" => to("http://"),
        "to-file" => to("file:///etc/passwd"),
        "to-gopher" => to("gopher://zone.test/"),
        "to-user" => to("http://me:secret@zone.test/good"),
        "nowhere" => http("302 Found", "", b""),
        "to-multiple" => http("300 Multiple Choices", "", b""),
        "not-modified" => raw("304 Not Modified", "", b""),
        "silent" => return Act::Stall(Vec::new()),
        "slow" => return Act::Stall(raw("200 OK", "Content-Length: 5000\r\n", b"few")),
        "endless" => return Act::Flood(raw("200 OK", "", &vec![7; 10_000])),
        "good" => http("200 OK", "", PHOTO),
        status => http(&format!("{status} Reason"), "", b""),
    })
}

fn wishes(origin: &Origin) -> Wishes {
    let mut wishes = Wishes::zones(
        "zone.test=any",
        &[("zone.test", origin), ("other.test", origin)],
    );
    wishes.remote.bytes_max = 100_000;
    wishes
}

async fn server(origin: &Origin) -> Server {
    Server::with(wishes(origin)).await
}

/// A server which does not wait for origins, and may so fail one which is not that slow.
async fn impatient_server(origin: &Origin) -> Server {
    let mut wishes = wishes(origin);
    wishes.remote.head_timeout = Duration::from_millis(500);
    wishes.remote.body_timeout = Duration::from_millis(500);
    Server::with(wishes).await
}

/// Row 6.
#[tokio::test(flavor = "multi_thread")]
async fn every_failure_of_an_origin_has_its_code() {
    let origin = Origin::start(script).await;
    let (server, impatient) = (server(&origin).await, impatient_server(&origin).await);
    for (path, status, code) in [
        ("404", 404, 9404),
        ("410", 404, 9404),
        ("403", 403, 9408),
        ("401", 401, 9408),
        ("408", 408, 9408),
        ("429", 429, 9408),
        ("400", 502, 9519),
        ("500", 502, 9509),
        ("502", 502, 9509),
        ("503", 502, 9509),
        ("html", 415, 9412),
        ("empty", 415, 9412),
        ("no-content", 415, 9412),
        ("tiff", 415, 9412),
        ("bmp", 415, 9520),
        ("giant", 403, 9413),
        ("broken", 422, 9516),
        ("large", 413, 9402),
        ("large-unknown", 413, 9402),
        ("endless", 413, 9402),
        ("short", 422, 9416),
        ("nonsense", 502, 9402),
        ("nothing", 502, 9402),
        ("huge-length", 413, 9402),
        ("bad-length", 502, 9402),
        ("two-lengths", 502, 9402),
        ("huge-chunk", 413, 9402),
        ("many-headers", 502, 9402),
        ("long-header", 502, 9402),
        ("brotli", 415, 9412),
        ("loop", 400, 9421),
        ("to-nothing", 400, 9420),
        ("to-file", 400, 9420),
        ("to-gopher", 400, 9420),
        ("to-user", 400, 9420),
        ("nowhere", 400, 9420),
        ("not-modified", 502, 9509),
        ("to-multiple", 502, 9509),
        ("silent", 522, 9504),
        ("slow", 524, 9504),
    ] {
        let is_stalled = matches!(path, "silent" | "slow");
        let server = if is_stalled { &impatient } else { &server };
        let answer = server.remote(&format!("/width=50/{path}"), &[]).await;
        assert_eq!(
            answer.refusal(),
            (status, code),
            "{path}: {}",
            answer.text()
        );
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let caching = if status == 404 {
            "max-age=60"
        } else {
            "no-store"
        };
        assert_eq!(answer.header("cache-control"), caching, "{path}");
    }
    let tiff = server.remote("/width=50/tiff", &[]).await;
    assert!(tiff.text().contains("convert"), "{}", tiff.text());
    // Every slot was freed.
    let good = server.remote("/width=50/good", &[]).await;
    assert_eq!(good.status, 200, "{}", good.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_which_are_not_there_have_their_codes() {
    let origin = Origin::start(script).await;
    let mut wishes = Wishes::zones("zone.test=any", &[]);
    // Nobody listens at this port of loopback, which is the reserved one.
    let closed = "127.0.0.1:1".parse().unwrap();
    wishes
        .remote
        .reach
        .hosts
        .insert("closed.test".to_owned(), closed);
    let server = Server::with(wishes).await;
    let refused = server
        .remote("/width=50/http://closed.test/a.png", &[])
        .await;
    assert_eq!(refused.refusal(), (502, 9505));
    // The name cannot exist (RFC 6761).
    let unknown = server
        .remote("/width=50/http://nowhere.invalid/a.png", &[])
        .await;
    assert_eq!(unknown.refusal(), (523, 9407));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_which_are_none_are_refused_unfetched() {
    let origin = Origin::start(script).await;
    let server = server(&origin).await;
    for (source, status, code) in [
        ("ftp://h/a.png", 403, 9406),
        ("//evil.test/a.png", 403, 9406),
        ("http://me:pw@zone.test/a.png", 403, 9406),
        ("http%3A%2F%2Fzone.test%2F%0D%0AX:1", 403, 9406),
        ("http://zone.test:22/a.png", 403, 9419),
        ("http://zone..test:99999/a.png", 403, 9419),
        ("/cdn-cgi/image/width=5/a.png", 508, 9403),
        ("http://zone.test/cdn-cgi/image/width=5/a.png", 508, 9403),
        ("/cdn-cgi/imagedelivery/hash/id/public", 508, 9403),
    ] {
        let answer = server.remote(&format!("/width=50/{source}"), &[]).await;
        assert_eq!(
            answer.refusal(),
            (status, code),
            "{source}: {}",
            answer.text()
        );
    }
    let looped = server
        .remote("/width=50/good", &[("via", "1.1 x, image-resizing")])
        .await;
    assert_eq!(looped.refusal(), (508, 9403));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_are_sent_to_the_source_where_the_zone_is_its_own() {
    let origin = Origin::start(script).await;
    let zones = "zone.test=any";
    let names = ["zone.test", "sub.zone.test", "other.test"];
    let hosts = names.map(|name| (name, &origin));
    let server = Server::with(Wishes::zones(zones, &hosts)).await;
    let redirect = "width=50,onerror=redirect";
    for (rest, location) in [
        (
            format!("/{redirect}/broken?x=1"),
            "http://zone.test/broken?x=1",
        ),
        (format!("/{redirect}/404"), "http://zone.test/404"),
        (
            format!("/{redirect}/http://sub.zone.test/502"),
            "http://sub.zone.test/502",
        ),
        (
            "/onerror=redirect,format=jpg/good".to_owned(),
            "http://zone.test/good",
        ),
    ] {
        let answer = server.remote(&rest, &[]).await;
        assert_eq!(answer.status, 307, "{rest}: {}", answer.text());
        assert_eq!(answer.header("location"), location);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for (rest, expected) in [
        (format!("/{redirect}/http://other.test/404"), (404, 9404)),
        ("/width=50/404".to_owned(), (404, 9404)),
        (format!("/{redirect}/cdn-cgi/image/width=1/a"), (508, 9403)),
    ] {
        let answer = server.remote(&rest, &[]).await;
        assert_eq!(answer.refusal(), expected, "{rest}");
        assert_eq!(answer.header("location"), "");
    }
    let via = [("via", "1.1 image-resizing")];
    let looped = server.remote(&format!("/{redirect}/404"), &via).await;
    assert_eq!(looped.refusal(), (508, 9403));
    // What is ignored is no error.
    let ignored = server.remote("/width=abc,onerror=redirect/good", &[]).await;
    assert_eq!(ignored.status, 200);
    let closed = Server::with(Wishes::zones("zone.test", &hosts)).await;
    let refused = closed
        .remote(&format!("/{redirect}/http://sub.zone.test/404"), &[])
        .await;
    assert_eq!(refused.refusal(), (403, 9401));
}

#[tokio::test(flavor = "multi_thread")]
async fn hosted_images_do_not_redirect() {
    let server = Server::with(Wishes {
        limits: Limits::default(),
        ..Wishes::zones("zone.test", &[])
    })
    .await;
    let flexible = serde_json::json!({"flexible_variants": true});
    server
        .json(reqwest::Method::PATCH, "images/v1/config", &flexible)
        .await;
    let id = server.upload(TRANSPARENT, &[]).await;
    let answer = server
        .deliver(&format!("{id}/format=svg,onerror=redirect"), &[])
        .await;
    assert_eq!(answer.refusal(), (415, 9412));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_remembered_for_a_moment() {
    let origin = Origin::start(script).await;
    let server = server(&origin).await;
    for path in ["404", "503", "html", "loop"] {
        let before = origin.targets().len();
        let first: Answer = server.remote(&format!("/width=50/{path}"), &[]).await;
        let asked = origin.targets().len() - before;
        assert_eq!(asked, if path == "loop" { 6 } else { 1 });
        let again = server.remote(&format!("/width=60/{path}"), &[]).await;
        assert_eq!(again.refusal(), first.refusal());
        assert_eq!(origin.targets().len() - before, asked, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_of_a_redirected_visitor_ends_at_the_source() {
    let origin = Origin::start(|asked| {
        Act::Say(match asked.header("via") {
            // A rule which transforms what visitors ask for, and not what the service does.
            "" => http("200 OK", "", PHOTO),
            _ => http("500 Oops", "", b""),
        })
    })
    .await;
    let server = Server::with(Wishes::zones("zone.test", &[("zone.test", &origin)])).await;
    let client = reqwest::Client::builder()
        .redirect(Policy::limited(2))
        .resolve("zone.test", origin.address)
        .build()
        .unwrap();
    let url = format!(
        "{}/cdn-cgi/image/onerror=redirect,width=5/a.jpg",
        server.url
    );
    let answer = send(client.get(url).header("host", "zone.test")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.bytes, PHOTO);
}
