//! `fetch(url, {cf: {image: …}})` as a Workers runtime sends it: to a proxy, with what the Worker wrote
//! in a header (clients.md, section 6).

use std::sync::atomic::{AtomicBool, Ordering};

use pixels::{Accepts, Cancel, Engine, Request};
use reqwest::{Client, Method, Proxy};
use serde_json::{Value, json};

use crate::harness::{Answer, PHOTO, SCRIPT, Server, TRANSPARENT, Wishes, send};
use crate::origin::{Act, Asked, Origin, http};

const FRESH: &str = "Cache-Control: max-age=600\r\n";

/// A Worker whose runtime knows one server as its proxy.
struct Worker {
    server: Server,
    client: Client,
}

impl Worker {
    async fn new(hosts: &[(&str, &Origin)]) -> Self {
        // No zone allows these hosts.
        let server = Server::with(Wishes::zones("zone.test", hosts)).await;
        let proxy = Proxy::http(&server.url).unwrap();
        let client = Client::builder()
            .proxy(proxy)
            .redirect(reqwest::redirect::Policy::none());
        let client = client.build().unwrap();
        Self { server, client }
    }

    /// Fetches with these options.
    async fn image(&self, url: &str, image: &Value) -> Answer {
        self.fetch(url, &json!({ "image": image }).to_string(), &[])
            .await
    }

    async fn fetch(&self, url: &str, blob: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.client.get(url).header("cf-blob", blob);
        let request = request.header("x-images-token", &self.server.token);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        send(request).await
    }
}

/// The pixel of a picture at a place.
fn pixel(answer: &Answer, x: usize, y: usize) -> [u8; 4] {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let transform = model::Transform {
        format: model::transform::Format::Rgba,
        ..model::Transform::default()
    };
    let request = Request {
        source: &answer.bytes,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let engine = Engine::new(model::Limits::default(), model::Policy::default());
    let raw = engine.render(&request, &Cancel::never()).unwrap();
    let at = (y * raw.width as usize + x) * 4;
    raw.bytes[at..at + 4].try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_a_picture_of_any_host_transformed() {
    let origin = Origin::of(&format!("{FRESH}ETag: \"a\"\r\n"), PHOTO).await;
    let worker = Worker::new(&[("b.test", &origin)]).await;
    let blob = r#"{"image":{"width":20,"height":10,"fit":"cover","unknown":[1],"gravity":null,
        "onerror":"redirect"},"cacheTtl":5,"colo":"X"}"#;
    let blob = blob.replace('\n', "");
    let url = "http://b.test/a%20b.jpg?x=1";
    // The request line counts, whatever the incoming request named.
    let answer = worker.fetch(url, &blob, &[("host", "zone.test")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.size(), (20, 10));
    assert_eq!(answer.header("content-type"), "image/jpeg");
    assert!(answer.header("cf-resized").starts_with("internal=ok/m "));
    assert!(answer.header("etag").ends_with(":a\""));
    assert_eq!(answer.header("vary"), "accept");
    let asked = &origin.asked()[0];
    assert_eq!(asked.target(), "/a%20b.jpg?x=1");
    assert_eq!(asked.header("host"), "b.test");
    assert!(asked.header("via").contains("image-resizing"));
    for kept in ["cf-blob", "x-images-token", "authorization"] {
        assert_eq!(asked.header(kept), "", "{kept}");
    }
    // It is kept, and asked about by its tag.
    let tag = answer.header("etag").to_owned();
    let again = worker.fetch(url, &blob, &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, 304);
    assert_eq!(origin.asked().len(), 1);
    // The fetch says which formats it takes.
    let auto = r#"{"image":{"width":20,"format":"auto"}}"#;
    let webp = worker
        .fetch(url, auto, &[("accept", "image/webp,*/*")])
        .await;
    assert_eq!(webp.header("content-type"), "image/webp");
}

#[tokio::test(flavor = "multi_thread")]
async fn overlays_are_fetched_and_drawn() {
    let base = Origin::of(FRESH, PHOTO).await;
    let overlay = Origin::of(FRESH, PHOTO).await;
    let worker = Worker::new(&[("b.test", &base), ("c.test", &overlay)]).await;
    // All dark, with a bright square in one corner.
    let draw = json!({"url": "http://c.test/o.jpg", "width": 10, "height": 10, "fit": "squeeze",
        "brightness": 255, "left": 0, "bottom": 0});
    let image = json!({"width": 40, "height": 40, "fit": "squeeze", "brightness": 0.01,
        "format": "png-force", "draw": [draw]});
    let made = worker.image("http://b.test/a.jpg", &image).await;
    assert_eq!(made.size(), (40, 40));
    for (x, y, bright) in [
        (2, 37, true),
        (7, 32, true),
        (12, 37, false),
        (2, 27, false),
    ] {
        let [red, green, blue, _] = pixel(&made, x, y);
        let sum = u32::from(red) + u32::from(green) + u32::from(blue);
        assert_eq!(sum > 400, bright, "{x}, {y}: {red} {green} {blue}");
    }
    // And kept with what was drawn.
    worker.image("http://b.test/a.jpg", &image).await;
    assert_eq!((base.asked().len(), overlay.asked().len()), (1, 1));
    let text = json!({"width": 60, "height": 30, "fit": "squeeze", "brightness": 0.01,
        "format": "png-force", "draw": [{"text": "\u{2588}\u{2588}", "size": 24, "color": "white"}]});
    let written = worker.image("http://b.test/a.jpg", &text).await;
    let bright = (0..60).any(|x| pixel(&written, x, 15)[0] > 200);
    assert!(bright, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_which_changes_is_never_shown_as_it_was() {
    static CHANGED: AtomicBool = AtomicBool::new(false);
    let base = Origin::of(FRESH, PHOTO).await;
    let overlay = Origin::start(|_: &Asked| {
        let body = if CHANGED.load(Ordering::SeqCst) {
            TRANSPARENT
        } else {
            PHOTO
        };
        Act::Say(http("200 OK", "Cache-Control: no-cache\r\n", body))
    });
    let overlay = overlay.await;
    let worker = Worker::new(&[("b.test", &base), ("c.test", &overlay)]).await;
    let image = json!({"width": 40, "format": "png-force", "draw": [{"url": "http://c.test/o"}]});
    let before = worker.image("http://b.test/a.jpg", &image).await;
    assert_eq!(before.status, 200, "{}", before.text());
    CHANGED.store(true, Ordering::SeqCst);
    let after = worker.image("http://b.test/a.jpg", &image).await;
    assert_eq!(after.status, 200, "{}", after.text());
    assert!(before.bytes != after.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_shared_with_the_origin_alone_and_only_where_that_is_said() {
    let stranger = Origin::of(FRESH, PHOTO).await;
    let origin = Origin::start(|asked: &Asked| {
        let known = asked.header("authorization") == "Bearer worker";
        Act::Say(match (known, asked.target()) {
            (false, _) => http("403 Forbidden", "", b""),
            (true, "/away") => http("302 Found", "Location: http://c.test/a.jpg\r\n", b""),
            (true, _) => http("200 OK", FRESH, PHOTO),
        })
    });
    let origin = origin.await;
    let worker = Worker::new(&[("b.test", &origin), ("c.test", &stranger)]).await;
    let headers = [
        ("authorization", "Bearer worker"),
        ("cookie", "a=b"),
        ("x-amz-date", "now"),
        ("x-other", "1"),
    ];
    let plain = r#"{"image":{"width":20}}"#;
    let shared = r#"{"image":{"width":20,"origin-auth":"share-publicly"}}"#;
    let url = "http://b.test/a.jpg";
    let refused = worker.fetch(url, plain, &headers).await;
    assert!(refused.status.is_server_error() || refused.status.is_client_error());
    assert_eq!(origin.asked()[0].header("authorization"), "");
    // Who fails with other secrets is in nobody's way.
    let wrong = [("authorization", "Bearer wrong")];
    assert_eq!(
        worker.fetch(url, shared, &wrong).await.status,
        refused.status
    );
    let made = worker.fetch(url, shared, &headers).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let asked = origin.asked();
    let asked = asked.last().unwrap();
    for (name, value) in &headers[..3] {
        assert_eq!(asked.header(name), *value);
    }
    assert_eq!(asked.header("x-other"), "");
    // What is shared is shared.
    assert_eq!(worker.fetch(url, plain, &[]).await.status, 200);
    let away = worker.fetch("http://b.test/away", shared, &headers).await;
    assert_eq!(away.status, 200, "{}", away.text());
    let asked = &stranger.asked()[0];
    assert_eq!(
        (asked.header("authorization"), asked.header("cookie")),
        ("", "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_and_nothing_is_fetched() {
    let origin = Origin::of(FRESH, PHOTO).await;
    let worker = Worker::new(&[("b.test", &origin)]).await;
    let url = "http://b.test/a.jpg";
    let good = r#"{"image":{"width":20}}"#;
    for (blob, headers, refusal) in [
        ("", vec![], (400, 9401)),
        ("{", vec![], (400, 9401)),
        ("[]", vec![], (400, 9401)),
        ("{}", vec![], (400, 9401)),
        (r#"{"image":{}}"#, vec![], (400, 9401)),
        (r#"{"image":[1]}"#, vec![], (400, 9401)),
        (r#"{"image":{"width":"wide"}}"#, vec![], (400, 9401)),
        (r#"{"image":{"width":0}}"#, vec![], (400, 9401)),
        (r#"{"image":{"fit":"foo","width":5}}"#, vec![], (400, 9401)),
        (r#"{"image":{"draw":[{}],"width":5}}"#, vec![], (400, 9401)),
        (good, vec![("via", "1.1 image-resizing")], (508, 9403)),
    ] {
        let answer = worker.fetch(url, blob, &headers).await;
        assert_eq!(answer.refusal(), refusal, "{blob}");
    }
    for token in [None, Some(""), Some("wrong")] {
        let request = worker.client.get(url).header("cf-blob", good);
        let request = token.into_iter().fold(request, |request, token| {
            request.header("x-images-token", token)
        });
        // The Worker's own credentials are not for this server.
        let answer = send(request.bearer_auth(&worker.server.token)).await;
        assert_eq!(answer.refusal(), (403, 9430), "{token:?}");
    }
    let post = worker
        .client
        .request(Method::POST, url)
        .header("cf-blob", good);
    let answer = send(post.header("x-images-token", &worker.server.token)).await;
    assert_eq!(answer.refusal(), (405, 9432));
    assert_eq!(origin.asked().len(), 0);
    // What cannot be reached by anybody cannot be by a Worker.
    for (url, refusal) in [
        ("http://127.0.0.1/a.jpg", (403, 9419)),
        ("http://169.254.169.254/latest", (403, 9419)),
        ("http://b.test:8080/a.jpg", (403, 9419)),
    ] {
        let answer = worker.fetch(url, good, &[]).await;
        assert_eq!(answer.refusal().0, refusal.0, "{url}: {}", answer.text());
    }
    assert_eq!(origin.asked().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_which_fails_fails_the_whole() {
    let base = Origin::of(FRESH, PHOTO).await;
    let overlays = Origin::start(|asked: &Asked| {
        Act::Say(match asked.target() {
            "/text" => http("200 OK", FRESH, b"no picture"),
            "/svg" => http("200 OK", FRESH, SCRIPT),
            _ => http("404 Not Found", "", b""),
        })
    });
    let overlays = overlays.await;
    let worker = Worker::new(&[("b.test", &base), ("c.test", &overlays)]).await;
    for (draw, refusal) in [
        (json!({"url": "http://c.test/none"}), (404, 9404)),
        (json!({"url": "http://c.test/text"}), (415, 9412)),
        (json!({"url": "http://c.test/svg"}), (415, 9412)),
        (json!({"url": "http://127.0.0.1/a"}), (403, 9419)),
        (json!({"url": "o.png"}), (403, 9406)),
        (
            json!({"text": "a", "font": {"url": "http://c.test/none"}}),
            (500, 9410),
        ),
        (
            json!({"url": "http://c.test/text", "left": 0, "right": 0}),
            (400, 9401),
        ),
    ] {
        let image = json!({"width": 20, "draw": [draw]});
        let answer = worker.image("http://b.test/a.jpg", &image).await;
        assert_eq!(answer.refusal(), refusal, "{draw}: {}", answer.text());
    }
}

/// Without the header of a runtime, an address is what it always was.
#[tokio::test(flavor = "multi_thread")]
async fn other_requests_to_a_proxy_go_where_they_went() {
    let origin = Origin::of(FRESH, PHOTO).await;
    let worker = Worker::new(&[("zone.test", &origin), ("b.test", &origin)]).await;
    let remote = worker
        .client
        .get("http://zone.test/cdn-cgi/image/width=20/a.jpg");
    assert_eq!(send(remote).await.status, 200);
    let unknown = worker.client.get("http://b.test/a.jpg");
    let unknown = unknown.header("x-images-token", &worker.server.token);
    assert_eq!(send(unknown).await.status, 404);
    assert_eq!(origin.asked().len(), 1);
    // A header alone makes no request to a proxy.
    let stats = worker.server.request(Method::GET, "images/v1/stats");
    let stats = stats.header("cf-blob", r#"{"image":{"width":20}}"#);
    assert_eq!(send(stats).await.status, 200);
}
