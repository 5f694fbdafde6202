//! Under load: what is quick stays quick, what is dear is left undone first, and AVIF is not waited for
//! where the operator says so.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use service::{Renderer, Service};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{ANIMATED, Answer, PHOTO, Server, Wishes, send};
use crate::until::until;

const AV: (&str, &str) = ("accept", "image/avif,image/webp,image/*,*/*;q=0.8");

/// A server whose account allows option lists, with a photo and an animation, of which giants are made.
async fn with_images(wishes: Wishes) -> (Server, String, String) {
    let server = Server::with(wishes).await;
    let flexible = json!({"flexible_variants": true});
    let config = server.json(Method::PATCH, "images/v1/config", &flexible);
    config.await.result();
    let id = server.upload(PHOTO, &[]).await;
    let animation = server.upload(ANIMATED, &[]).await;
    (server, id, animation)
}

/// Renderings which wait until they are dropped: what is before them does not end, however fast the
/// machine is.
struct Giants<'a> {
    server: &'a Server,
    id: &'a str,
    streams: Vec<TcpStream>,
    /// Dropped, it lets the worker go.
    _under_way: mpsc::Sender<()>,
}

impl<'a> Giants<'a> {
    async fn start(server: &'a Server, id: &'a str) -> Self {
        let (under_way, ends) = mpsc::channel::<()>();
        let service = server.service.clone();
        tokio::spawn(async move { heavy(&service).run(move || ends.recv().is_err()).await });
        until(async || heavy(&server.service).running() == 1).await;
        assert_eq!(heavy(&server.service).threads(), 1);
        Self {
            server,
            id,
            streams: Vec::new(),
            _under_way: under_way,
        }
    }

    fn waiting(&self) -> usize {
        heavy(&self.server.service).waiting()
    }

    /// Sends giants until so many wait behind what is under way.
    async fn wait_for(&mut self, wanted: usize) {
        while self.waiting() < wanted {
            let before = self.waiting();
            let address = self.server.url.strip_prefix("http://").unwrap();
            let mut stream = TcpStream::connect(address).await.unwrap();
            let (hash, number) = (&self.server.account.hash, self.streams.len());
            let head = format!(
                "GET /{hash}/{}/width={},height=3000,fit=cover,format=webp HTTP/1.1\r\n\
                 Host: test\r\n\r\n",
                self.id,
                3_000 + number
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            self.streams.push(stream);
            until(async || self.waiting() > before).await;
        }
    }
}

/// The lane of giants.
fn heavy(service: &Service) -> &Renderer {
    let [_, ("heavy", lane), ..] = service.lanes() else {
        panic!("the second lane is another one");
    };
    lane
}

#[tokio::test(flavor = "multi_thread")]
async fn giants_do_not_stall_thumbnails() {
    let (server, id, animation) = with_images(Wishes::default()).await;
    let mut giants = Giants::start(&server, &animation).await;
    giants.wait_for(10).await;
    for width in 20..60 {
        let answer = server.deliver(&format!("{id}/width={width}"), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.size().0), (200, width));
    }
    assert_eq!(giants.waiting(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dearest_is_left_undone_first() {
    let wishes = Wishes {
        render_queue: 8,
        ..Wishes::default()
    };
    let (server, id, animation) = with_images(wishes).await;
    let mut giants = Giants::start(&server, &animation).await;
    let get = async |width: u32| -> Answer {
        let options = format!("{id}/width={width},height={width},fit=cover");
        server.deliver(&options, &[AV]).await
    };
    let format_of = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("content-type").to_owned()
    };

    giants.wait_for(1).await;
    assert_eq!(format_of(&get(700).await), "image/avif");
    giants.wait_for(2).await;
    let substitute = get(701).await;
    assert_eq!(format_of(&substitute), "image/webp");
    assert_eq!(substitute.header("cache-control"), "public, max-age=60");
    assert_eq!(format_of(&get(300).await), "image/avif");
    giants.wait_for(4).await;
    assert_eq!(format_of(&get(301).await), "image/webp");
    // What is there costs nothing.
    assert_eq!(format_of(&get(300).await), "image/avif");
    giants.wait_for(6).await;
    let large = format!("{animation}/width=2999,height=3000,fit=cover");
    let large = server.deliver(&large, &[]).await;
    assert_eq!(large.refusal(), (503, 9527));
    // Nor is a program of the Images binding run which is as large.
    let part = |bytes: &[u8]| Part::bytes(bytes.to_vec());
    let program = Form::new()
        .part("image", part(ANIMATED))
        .part(
            "transforms",
            part(br#"[{"imageIndex":0,"width":2999,"height":3000,"fit":"cover"}]"#),
        )
        .part("output_format", part(b"image/webp"));
    let request = server.client.post(format!("{}/transform", server.url));
    let refused = send(request.bearer_auth(&server.token).multipart(program)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("cf-images-binding"), "err=9527");
    assert_eq!(large.header("retry-after"), "2");
    assert_eq!(format_of(&get(20).await), "image/webp");
    assert_eq!(giants.waiting(), 6);
    let shed: Vec<_> = server.service.meters().shed().collect();
    assert_eq!(shed, [("large_avif", 1), ("avif", 2), ("large", 2)]);

    drop(giants);
    until(async || {
        let lanes = server.service.lanes().into_iter();
        lanes
            .map(|(_, lane)| lane.running() + lane.waiting())
            .sum::<usize>()
            == 0
    })
    .await;
    let better = get(701).await;
    assert_eq!(format_of(&better), "image/avif");
    assert_ne!(better.header("etag"), substitute.header("etag"));
    assert_ne!(better.header("cache-control"), "public, max-age=60");
}

#[tokio::test(flavor = "multi_thread")]
async fn avif_is_not_waited_for_and_there_the_next_time() {
    let wishes = Wishes {
        avif_wait: Some(Duration::ZERO),
        ..Wishes::default()
    };
    let (server, id, _) = with_images(wishes).await;
    let path = format!("{id}/public");
    let first = server.deliver(&path, &[AV]).await;
    assert_eq!(first.header("content-type"), "image/webp");
    assert_eq!(first.header("cache-control"), "public, max-age=60");
    assert_eq!(first.header("vary"), "Accept");
    until(async || {
        let mut rendered = server.service.meters().rendered();
        rendered.any(|(format, _, count)| format == "avif" && count == 1)
    })
    .await;
    let known = ("if-none-match", first.header("etag"));
    let next = server.deliver(&path, &[AV, known]).await;
    assert_eq!(
        (next.status.as_u16(), next.header("content-type")),
        (200, "image/avif")
    );
    assert_ne!(next.header("etag"), first.header("etag"));
    assert_eq!(
        next.header("cache-control"),
        "public, max-age=172800, stale-while-revalidate=7200"
    );
    let known = ("if-none-match", next.header("etag"));
    assert_eq!(server.deliver(&path, &[AV, known]).await.status, 304);
    // Clients which do not take AVIF have what they had: the tag is that of the substitute.
    let other = server.deliver(&path, &[("accept", "image/webp")]).await;
    assert_eq!(other.header("etag"), first.header("etag"));
    assert_eq!(other.bytes, first.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn avif_is_waited_for_by_default() {
    let (server, id, _) = with_images(Wishes::default()).await;
    let first = server.deliver(&format!("{id}/public"), &[AV]).await;
    assert_eq!(first.header("content-type"), "image/avif");
    assert_eq!(server.service.meters().late(), 0);
}

/// Row 40: one picture in many widths, for one client.
#[tokio::test(flavor = "multi_thread")]
async fn many_widths_stay_within_the_bounds_of_the_caches() {
    const ON_DISK: u64 = 300_000;
    const IN_MEMORY: u64 = 100_000;
    let (server, id, _) = with_images(Wishes {
        cache_disk_bytes: ON_DISK,
        cache_memory_bytes: IN_MEMORY,
        ..Wishes::default()
    })
    .await;
    let (mut made, mut most) = (0, [0, 0]);
    for width in 1..=400 {
        let options = format!("{id}/width={width},height=40,fit=squeeze,quality=90");
        let answer = server.deliver(&options, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.size()), (200, (width, 40)));
        made += answer.bytes.len() as u64;
        let [(_, in_memory), (_, on_disk)] = server.service.cached_bytes();
        assert!(in_memory <= IN_MEMORY, "{in_memory} in memory");
        assert!(on_disk <= ON_DISK, "{on_disk} on disk");
        most = [in_memory.max(most[0]), on_disk.max(most[1])];
        let on_disk = bytes_below(&server.folder().join("cache"));
        assert!(on_disk <= ON_DISK, "{on_disk} on disk");
    }
    assert!(made > 3 * ON_DISK, "only {made} were made");
    assert!(
        most.iter().all(|most| *most > IN_MEMORY / 2),
        "{most:?} were kept"
    );
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            if path.is_dir() {
                bytes_below(&path)
            } else {
                std::fs::metadata(path).map_or(0, |file| file.len())
            }
        })
        .sum()
}
