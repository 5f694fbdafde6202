//! Flows: pictures which are transformed at their own addresses (transformations.md, section 9.1).

use model::Flows;
use reqwest::Method;

use crate::harness::{Answer, PHOTO, Server, Wishes, send};
use crate::origin::{Act, Origin, http};

async fn server(origin: &Origin, flows: &str) -> Server {
    let flows = Flows::parse(flows).unwrap();
    let zones = Wishes::zones("zone.test", &[("zone.test", origin)]);
    Server::with(Wishes { flows, ..zones }).await
}

async fn get(server: &Server, host: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let url = format!("{}{target}", server.url);
    let request = server.client.get(url).header("host", host);
    let with = |request: reqwest::RequestBuilder, header: &(&str, &str)| {
        request.header(header.0, header.1)
    };
    send(headers.iter().fold(request, with)).await
}

/// Row 194.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_negotiated_at_its_own_address() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin, "path=/images/* extension=jpg -> format=auto").await;
    let webp = &[("accept", "image/webp,*/*")];
    let answer = get(&server, "zone.test", "/images/a.jpg?v=1", webp).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "image/webp");
    assert_eq!(answer.header("vary"), "accept");
    assert!(answer.header("cf-resized").starts_with("internal=ok/m "));
    let asked = origin.asked();
    assert_eq!(asked[0].target(), "/images/a.jpg?v=1");
    assert_eq!(asked[0].header("host"), "zone.test");
    let via = asked[0].header("via").to_owned();
    assert!(via.contains("image-resizing"), "{via}");
    // What the origin is asked does not begin the flow again, if it comes by here.
    let again = get(&server, "zone.test", "/images/a.jpg?v=1", &[("via", &via)]).await;
    assert_eq!(
        (again.status.as_u16(), again.header("cf-resized")),
        (404, "")
    );
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_flow_names_is_left_alone() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin, "path=/images/* extension=jpg -> width=20").await;
    for (host, target) in [
        ("zone.test", "/images/a.png"),
        ("zone.test", "/other/a.jpg"),
        ("zone.test", "/images/"),
        ("other.test", "/images/a.jpg"),
    ] {
        let answer = get(&server, host, target, &[]).await;
        assert_eq!(answer.status, 404, "{host} {target}");
        assert_eq!(answer.header("cf-resized"), "", "{host} {target}");
    }
    let url = format!("{}/images/a.jpg", server.url);
    let post = server
        .client
        .request(Method::POST, url)
        .header("host", "zone.test");
    assert_eq!(send(post).await.status, 404);
    assert_eq!(origin.connections(), 0);
    // Addresses of the server's own are never taken for pictures of a zone.
    let flows = Flows::parse("-> width=20").unwrap();
    let zones = Wishes::zones("zone.test", &[("zone.test", &origin)]);
    let server = Server::with(Wishes { flows, ..zones }).await;
    let images = format!("/client/v4/accounts/{}/images/v1", server.account.id);
    for path in ["/a.jpg", "/keys/a/b.png"].map(|path| format!("{images}{path}")) {
        let answer = get(&server, "zone.test", &path, &[]).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
    }
    for path in [
        "/client/v4/a.jpg",
        "/batch/images/v3/a.jpg",
        "/upload/a.jpg",
    ] {
        let answer = get(&server, "zone.test", path, &[]).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
    }
    let hosted = format!("/{}/a.jpg/b.jpg", server.account.hash);
    let refused = get(&server, "zone.test", &hosted, &[]).await.refusal();
    assert_eq!(refused, (404, 9404));
    assert_eq!(origin.connections(), 0);
}

/// With other options tomorrow the picture has the same date.
#[tokio::test(flavor = "multi_thread")]
async fn a_date_does_not_say_that_a_picture_is_unchanged() {
    let date = "Tue, 13 May 2014 16:53:20 GMT";
    let origin = Origin::of(&format!("last-modified: {date}\r\n"), PHOTO).await;
    let server = server(&origin, "-> width=20").await;
    let asked = &[("if-modified-since", date)];
    let answer = get(&server, "zone.test", "/a.jpg", asked).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("last-modified"), date);
    // Where the options are in the address, it does.
    let answer = server.remote("/width=20/a.jpg", asked).await;
    assert_eq!(answer.status, 304);
}

/// Row 195.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_two_flows_is_the_only_one() {
    let origin = Origin::of("", PHOTO).await;
    let flows = "path=/a/* -> width=20; extension=jpg -> width=30,format=auto";
    let server = server(&origin, flows).await;
    let webp = &[("accept", "image/webp")];
    let first = get(&server, "zone.test", "/a/x.jpg", webp).await;
    assert_eq!(
        (first.size().0, first.header("content-type")),
        (20, "image/jpeg")
    );
    let second = get(&server, "zone.test", "/b/x.jpg", webp).await;
    assert_eq!(
        (second.size().0, second.header("content-type")),
        (30, "image/webp")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_fastly_keep_their_meaning() {
    let origin = Origin::of("", PHOTO).await;
    let server = server(&origin, "-> fastly").await;
    // The photo has 63 by 61 pixels.
    for (query, size) in [
        ("width=30", (30, 29)),
        ("width=630", (63, 61)),
        ("width=0.5", (32, 31)),
        ("width=200p&enable=upscale", (126, 122)),
        ("width=30&height=10&fit=crop", (30, 10)),
        ("width=30&height=10&fit=bounds", (10, 10)),
        ("width=30&height=10&fit=cover", (30, 29)),
        ("width=126&height=10&fit=cover", (126, 122)),
        ("width=126&height=10&fit=cover&disable=upscale", (63, 61)),
        ("width=126&enable=upscale", (126, 122)),
        ("orient=r&width=61", (61, 63)),
        ("trim=0,0.5,0,0", (31, 61)),
    ] {
        let answer = get(&server, "zone.test", &format!("/a.jpg?{query}"), &[]).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(answer.size(), size, "{query}");
    }
    let all = &[("accept", "image/avif,image/webp,*/*")];
    for (query, format) in [
        ("auto=webp&format=jpg", "image/webp"),
        ("auto=avif", "image/avif"),
        ("format=jpg", "image/jpeg"),
    ] {
        let answer = get(&server, "zone.test", &format!("/a.jpg?{query}"), all).await;
        assert_eq!(answer.header("content-type"), format, "{query}");
    }
    let ignored = get(&server, "zone.test", "/a.jpg?width=many&v=2", &[]).await;
    assert_eq!(
        ignored.header("warning"),
        "cf-images 299 \"ignored width=many\""
    );
    // The origin hears nothing of it, and is asked once for each source.
    assert_eq!(origin.targets(), ["/a.jpg", "/a.jpg?v=2"]);
    assert_eq!(
        get(&server, "zone.test", "/a.jpg?v=2", &[]).await.status,
        404
    );
    let named = server.remote("/fastly/width=30&fit=crop/a.jpg", &[]).await;
    assert_eq!(named.size(), (30, 29));
    let nothing = server.remote("/fastly/v=1/a.jpg", &[]).await;
    assert_eq!(nothing.refusal(), (400, 9401));
}

/// A redirection to the source would come back for ever.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_where_he_came_from() {
    let origin = Origin::start(|_| Act::Say(http("200 OK", "", b"no picture"))).await;
    let server = server(&origin, "-> width=20,onerror=redirect").await;
    let answer = get(&server, "zone.test", "/a.jpg", &[]).await;
    assert_eq!(answer.refusal(), (415, 9412));
    assert_eq!(answer.header("location"), "");
    let named = server.remote("/width=20,onerror=redirect/a.jpg", &[]).await;
    assert_eq!(named.status, 307);
}
