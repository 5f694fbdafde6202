//! What strangers try with remote images.

use std::net::SocketAddr;
use std::time::Duration;

use service::{Ports, RemoteSettings};

use crate::harness::{PHOTO, Server, Wishes, send};
use crate::origin::{Act, Origin, http};

/// A server which offers every public source, and no private one.
async fn open_server(remote: RemoteSettings) -> Server {
    Server::with(Wishes {
        remote: RemoteSettings {
            zones: vec![model::Zone::parse("zone.test=any").unwrap()],
            ports: Ports::Any,
            ..remote
        },
        ..Wishes::default()
    })
    .await
}

const PRIVATE: [&str; 31] = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST.",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::5efe:7f00:1]",
    "[fd00::1]",
    "[fe80::1]",
    "[ff02::1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "240.0.0.1",
    "224.0.0.1",
];

/// Rows 1 and 2.
/// A host whose address is given with a port is connected to there, whatever port it is named with.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_port_of_a_given_address_is_reached() {
    let origin = Origin::of("", PHOTO).await;
    let zones = Wishes::zones(
        "zone.test=b.test",
        &[("zone.test", &origin), ("b.test", &origin)],
    );
    let server = Server::with(zones).await;
    for source in ["http://zone.test:443/a.png", "http://b.test:443/a.png"] {
        let answer = server.remote(&format!("/width=8/{source}"), &[]).await;
        assert_eq!(answer.status, 200, "{source}: {}", answer.text());
        let asked = origin.asked();
        let host = source.split('/').nth(2).unwrap();
        assert_eq!(asked.last().unwrap().header("host"), host);
    }
    let named = format!("{}/cdn-cgi/image/width=8/b.png", server.url);
    let answer = send(server.client.get(named).header("host", "zone.test:443")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // An absolute name is the same name, and two dots are none.
    let answer = server
        .remote("/width=8/http://b.test.:443/c.png", &[])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(origin.asked().last().unwrap().header("host"), "b.test:443");
    let before = origin.connections();
    for (url, is_found) in [
        ("http://b.test.:9/a.png", true),
        ("http://b.test..:9/a.png", false),
        ("http://b.test:1/a.png", true),
    ] {
        let form = reqwest::multipart::Form::new().text("url", url);
        let answer = server.form("images/v1", form).await;
        assert_eq!(answer.status == 200, is_found, "{url}: {}", answer.text());
    }
    assert_eq!(origin.connections(), before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_connected_to_in_any_spelling() {
    let origin = Origin::of("", PHOTO).await;
    let server = open_server(RemoteSettings::default()).await;
    let port = origin.address.port();
    for host in PRIVATE {
        let rest = format!("/width=5/http://{host}:{port}/a.png");
        let answer = server.remote(&rest, &[]).await;
        assert_eq!(answer.refusal(), (403, 9419), "{host}: {}", answer.text());
    }
    assert_eq!(origin.connections(), 0);
}

/// Row 4.
#[tokio::test(flavor = "multi_thread")]
async fn redirections_to_private_addresses_are_not_followed_at_any_hop() {
    let inner = Origin::of("", PHOTO).await;
    let port = inner.address.port();
    let origin = Origin::start(move |asked| {
        let target = asked.target();
        let location = match target.strip_prefix("/hop/") {
            Some(host) => format!("http://{host}:{port}/a.png"),
            None => format!("/hop{target}"),
        };
        Act::Say(http("302 Found", &format!("Location: {location}\r\n"), b""))
    })
    .await;
    let mut remote = RemoteSettings::default();
    remote
        .reach
        .hosts
        .insert("zone.test".to_owned(), origin.address);
    let server = open_server(remote).await;
    for host in PRIVATE {
        let answer = server.remote(&format!("/width=5/{host}"), &[]).await;
        // A resolver may not know the absolute name.
        let absolute = host.ends_with('.') && answer.refusal() == (523, 9407);
        let refused = answer.refusal() == (403, 9419) || absolute;
        assert!(refused, "{host}: {}", answer.text());
    }
    assert_eq!(inner.connections(), 0);
    assert_eq!(origin.connections(), 2 * PRIVATE.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_network_is_reached_where_the_operator_says_so() {
    let origin = Origin::of("", PHOTO).await;
    let mut remote = RemoteSettings::default();
    remote.reach.networks = vec![service::Network::parse("127.0.0.0/8").unwrap()];
    let server = open_server(remote).await;
    let port = origin.address.port();
    let rest = |host: &str| format!("/width=5/http://{host}:{port}/a.png");
    let answer = server.remote(&rest("127.0.0.1"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let other = server.remote(&rest("[::1]"), &[]).await;
    assert_eq!(other.refusal(), (403, 9419));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_usual_ports_are_connected_to() {
    let origin = Origin::of("", PHOTO).await;
    let port = origin.address.port();
    let redirecting = Origin::start(move |_| {
        let location = format!("Location: http://zone.test:{port}/a.png\r\n");
        Act::Say(http("302 Found", &location, b""))
    })
    .await;
    let hosts = [("zone.test", &origin), ("moved.test", &redirecting)];
    let server = Server::with(Wishes::zones("zone.test=any", &hosts)).await;
    for source in [
        format!("http://zone.test:{port}/a.png"),
        "http://moved.test/a.png".to_owned(),
    ] {
        let answer = server.remote(&format!("/width=5/{source}"), &[]).await;
        assert_eq!(answer.refusal(), (403, 9419), "{source}");
    }
    assert_eq!(origin.connections(), 0);
    let zone = format!("http://zone.test:{port}=any");
    let named = Server::with(Wishes::zones(&zone, &hosts)).await;
    for source in ["a.png", "http://moved.test/a.png"] {
        let answer = named.remote(&format!("/width=5/{source}"), &[]).await;
        assert_eq!(answer.status, 200, "{source}: {}", answer.text());
    }
}

/// Row 7.
#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_an_address_becomes_a_header_of_the_request() {
    let origin = Origin::of("", PHOTO).await;
    let server = Server::with(Wishes::zones("zone.test=any", &[("zone.test", &origin)])).await;
    for source in [
        "a%0d%0aX-Evil:%201.png",
        "a%00.png",
        "a%20b%0A.png",
        "http://zone.test/a%0d%0aX-Evil:%201",
        "http%3A%2F%2Fzone.test%2Fa%0d%0aX-Evil:%201",
        "http://zone.test%0d%0aX-Evil:%201/a",
        "http://zone.test/a?x=%0d%0aX-Evil:%201",
    ] {
        server.remote(&format!("/width=5/{source}"), &[]).await;
    }
    for asked in origin.asked() {
        assert_eq!(asked.header("x-evil"), "");
        assert_eq!(asked.head.lines().count(), 7, "{}", asked.head);
    }
}

/// Row 8.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_which_is_its_own_origin_sees_the_loop() {
    // The zone's own pictures are at the server itself, which transforms them once more.
    let placeholder = Origin::of("", PHOTO).await;
    let server = Server::with(Wishes::zones("zone.test", &[("zone.test", &placeholder)])).await;
    let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut wishes = Wishes::zones("zone.test=any,front.test=any", &[]);
    for name in ["zone.test", "front.test"] {
        wishes.remote.reach.hosts.insert(name.to_owned(), address);
    }
    let front = Server::with(wishes).await;
    // Asks the other server for a transformation, with the token of its kind.
    let other = front
        .remote(
            "/width=5/http://unzoned.test/cdn-cgi/image/width=5/a.png",
            &[],
        )
        .await;
    assert_ne!(other.status, 200);
    let nested = front
        .remote(
            "/width=5/http://front.test/cdn-cgi/image/width=5/a.png",
            &[],
        )
        .await;
    assert_eq!(nested.refusal(), (508, 9403));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewriting_proxy_before_the_server_ends_in_a_loop_once() {
    // A proxy which sends every picture to the service, also when the service asks.
    let target = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let origin = {
        let target = target.clone();
        Origin::start(move |asked| {
            let url = target.get().unwrap();
            let location = format!(
                "Location: {url}/cdn-cgi/image/width=5{}\r\n",
                asked.target()
            );
            Act::Say(http("302 Found", &location, b""))
        })
        .await
    };
    let mut wishes = Wishes::zones("zone.test=any", &[("zone.test", &origin)]);
    wishes.remote.reach.networks = vec![service::Network::parse("127.0.0.1").unwrap()];
    wishes.remote.ports = Ports::Any;
    wishes
        .remote
        .zones
        .push(model::Zone::parse("127.0.0.1=any").unwrap());
    let server = Server::with(wishes).await;
    target.set(server.url.clone()).unwrap();
    let answer = server.remote("/width=5/a.png", &[]).await;
    assert_eq!(answer.refusal(), (508, 9403));
    assert_eq!(origin.targets(), ["/a.png"]);
}

/// Row 6.
#[tokio::test(flavor = "multi_thread")]
async fn a_trickling_origin_is_given_up_and_its_place_freed() {
    let origin = Origin::start(|asked| match asked.target() {
        "/good" => Act::Say(http("200 OK", "", PHOTO)),
        _ => Act::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1".to_vec()),
    })
    .await;
    let mut wishes = Wishes::zones("zone.test", &[("zone.test", &origin)]);
    wishes.remote.fetches_per_host = 1;
    // The good one has to come in this time as well.
    wishes.remote.body_timeout = Duration::from_secs(5);
    let server = Server::with(wishes).await;
    let slow = server.remote("/width=5/slow", &[]).await;
    assert_eq!(slow.refusal(), (524, 9504));
    let good = server.remote("/width=5/good", &[]).await;
    assert_eq!(good.status, 200, "{}", good.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_leaves_frees_the_place_at_the_origin() {
    let origin = Origin::start(|asked| match asked.target() {
        "/good" => Act::Say(http("200 OK", "", PHOTO)),
        _ => Act::Stall(Vec::new()),
    })
    .await;
    let mut wishes = Wishes::zones("zone.test", &[("zone.test", &origin)]);
    wishes.remote.fetches_per_host = 1;
    wishes.remote.head_timeout = Duration::from_mins(10);
    let server = Server::with(wishes).await;
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .resolve("zone.test", address);
    let client = client.build().unwrap();
    let port = address.port();
    let ask = |path: &str| {
        let source = format!("http://zone.test/{path}");
        let url = format!("http://zone.test:{port}/cdn-cgi/image/width=5/{source}");
        client.get(url).send()
    };
    {
        let mut waiting = Box::pin(ask("silent"));
        // The visitor leaves when the origin was asked.
        while origin.targets().is_empty() {
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    let good = ask("good").await.unwrap();
    assert_eq!(good.status(), 200);
}

/// Row 6.
#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_bomb_ends_at_the_limit() {
    // Blocks of a thousand zeros in a few bytes each would be better, but stored ones do.
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    for _ in 0..3 {
        gzip.extend(b"\0\xff\xff\0\0");
        gzip.extend(vec![0; 0xffff]);
    }
    let origin = Origin::of("Content-Encoding: gzip\r\n", &gzip).await;
    let mut wishes = Wishes::zones("zone.test", &[("zone.test", &origin)]);
    wishes.remote.bytes_max = 197_000;
    wishes.remote.memory_bytes = 1_000_000;
    let server = Server::with(wishes).await;
    let answer = server.remote("/width=5/a", &[]).await;
    assert!(
        matches!(answer.refusal(), (413 | 415, 9402 | 9412)),
        "{}",
        answer.text()
    );
}

/// Row 29.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_key_does_not_change_what_others_get() {
    let origin = Origin::of("", PHOTO).await;
    let server = Server::with(Wishes::zones("zone.test", &[("zone.test", &origin)])).await;
    let poisoned = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("x-original-url", "/evil.png"),
        ("x-rewrite-url", "/evil.png"),
        ("forwarded", "host=evil.test"),
        ("range", "bytes=0-3"),
        ("cookie", "a=b"),
        ("dpr", "3"),
        ("sec-ch-dpr", "3"),
        ("sec-ch-viewport-width", "1"),
        ("save-data", "on"),
        ("accept", "image/../evil,*/*;q=x"),
        ("accept-language", "xx"),
        ("accept-encoding", "br"),
    ];
    let dirty = server.remote("/width=20/a.png", &poisoned).await;
    let clean = server.remote("/width=20/a.png", &[]).await;
    assert_eq!((dirty.status.as_u16(), clean.status.as_u16()), (200, 200));
    assert_eq!(dirty.bytes, clean.bytes);
    assert_eq!(dirty.header("content-type"), clean.header("content-type"));
    assert_eq!(dirty.header("content-encoding"), "");
    assert_eq!(origin.targets(), ["/a.png"]);
    assert_eq!(origin.asked()[0].header("host"), "zone.test");
}

/// Row 30.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_kinds_of_accept_make_four_renditions_at_most() {
    let origin = Origin::of("", PHOTO).await;
    let server = Server::with(Wishes::zones("zone.test", &[("zone.test", &origin)])).await;
    for number in 0..100 {
        for formats in ["", "image/avif,", "image/webp,", "image/avif,image/webp,"] {
            let accept = format!("{formats}image/x-{number},*/*;q=0.{number}");
            let answer = server
                .remote("/format=auto,width=5/a.png", &[("accept", &accept)])
                .await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("vary"), "accept");
        }
    }
    let made: u64 = server
        .service
        .meters()
        .rendered()
        .map(|(_, _, count)| count)
        .sum();
    assert_eq!(made, 4);
    assert_eq!(origin.targets().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_no_address_of_this_network() {
    let origin = Origin::of("", PHOTO).await;
    let mut remote = RemoteSettings::default();
    let closed = "127.0.0.1:1".parse().unwrap();
    remote.reach.hosts.insert("closed.test".to_owned(), closed);
    remote
        .reach
        .hosts
        .insert("zone.test".to_owned(), origin.address);
    let server = open_server(remote).await;
    for source in ["http://closed.test/a", "http://localhost/a"] {
        let answer = server.remote(&format!("/width=5/{source}"), &[]).await;
        assert!(answer.status.as_u16() >= 400);
        assert!(!answer.text().contains("127.0"), "{}", answer.text());
        assert!(!answer.text().contains("::1"), "{}", answer.text());
    }
}
