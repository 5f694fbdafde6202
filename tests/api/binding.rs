//! The Images binding on the wire: rows 181 to 189 of transformations.md, section 11.8.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::harness::{ANIMATED, Answer, PHOTO, SCRIPT, Server, TRANSPARENT, Wishes, send};
use crate::origin::Origin;

/// A form as the runtime writes it: parts with lower-case names and no type.
fn form(parts: &[(&'static str, &[u8])]) -> Form {
    parts.iter().fold(Form::new(), |form, (name, bytes)| {
        let part = Part::bytes(bytes.to_vec());
        let part = match *name {
            "image" | "draw_image" => part.file_name(*name),
            _ => part,
        };
        form.part(*name, part)
    })
}

async fn call(server: &Server, path: &str, parts: &[(&'static str, &[u8])]) -> Answer {
    let request = server.client.post(format!("{}{path}", server.url));
    let request = request.bearer_auth(&server.token).multipart(form(parts));
    send(request.header("host", "js.images.cloudflare.com")).await
}

/// The code in the header, the status, and the text.
fn failure(answer: &Answer) -> (u16, String, String) {
    let status = answer.status.as_u16();
    let code = answer.header("cf-images-binding").to_owned();
    (status, code, answer.text())
}

fn png_of(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "image/png");
    answer.bytes.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_181_to_183_info_describes_a_header() {
    let server = Server::start().await;
    let answer = call(&server, "/info", &[("image", TRANSPARENT)]).await;
    let described: Value = serde_json::from_str(&answer.text()).unwrap();
    let (width, height) = answer_size(TRANSPARENT);
    assert_eq!(
        described,
        json!({"format": "image/png", "file_size": TRANSPARENT.len(), "width": width, "height": height})
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let answer = call(&server, "/info", &[("image", SCRIPT)]).await;
    assert_eq!(answer.text(), r#"{"format":"image/svg+xml"}"#);
    let (status, code, text) = failure(&call(&server, "/info", &[("image", b"text")]).await);
    assert_eq!((status, code.as_str()), (415, "err=9412"));
    assert!(text.starts_with("ERROR 9412:"), "{text}");
}

fn answer_size(png: &[u8]) -> (u32, u32) {
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (side(16), side(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_run_and_its_canvas_written() {
    let server = Server::start().await;
    let transforms = br#"[{"imageIndex":0,"width":40,"height":30,"fit":"cover"},
        {"imageIndex":1,"width":10},{"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":0}]"#;
    let parts: [(&str, &[u8]); 4] = [
        ("image", PHOTO),
        ("draw_image", ANIMATED),
        ("transforms", transforms),
        ("output_format", b"image/png"),
    ];
    let drawn = png_of(&call(&server, "/transform", &parts).await);
    assert_eq!(answer_size(&drawn), (40, 30));
    let bare = png_of(
        &call(
            &server,
            "/transform",
            &[
                ("image", PHOTO),
                (
                    "transforms",
                    br#"[{"imageIndex":0,"width":40,"height":30,"fit":"cover"}]"#,
                ),
                ("output_format", b"image/png"),
            ],
        )
        .await,
    );
    assert_ne!(drawn, bare);
    let answer = call(
        &server,
        "/transform",
        &[
            ("image", PHOTO),
            ("output_format", b"image/webp"),
            ("output_quality", b"50"),
        ],
    )
    .await;
    assert_eq!(answer.header("content-type"), "image/webp");
    assert_eq!(&answer.bytes[8..12], b"WEBP");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_186_indices_follow_the_order_of_the_parts() {
    let server = Server::start().await;
    let run = async |parts: &[(&'static str, &[u8])], index: usize| {
        let transforms =
            format!(r#"[{{"drawImageIndex":{index},"targetImageIndex":0,"top":0,"left":0}}]"#);
        let mut parts = parts.to_vec();
        parts.push(("transforms", transforms.as_bytes()));
        parts.push(("output_format", b"image/png"));
        png_of(&call(&server, "/transform", &parts).await)
    };
    let text: &[u8] = br#"{"text":"Text","size":30,"color":"red"}"#;
    let mixed: [(&str, &[u8]); 4] = [
        ("image", PHOTO),
        ("draw_image", TRANSPARENT),
        ("draw_text", text),
        ("draw_image", ANIMATED),
    ];
    let alone = |part| [("image", PHOTO), part];
    assert_eq!(
        run(&mixed, 1).await,
        run(&alone(("draw_image", TRANSPARENT)), 1).await
    );
    assert_eq!(
        run(&mixed, 2).await,
        run(&alone(("draw_text", text)), 1).await
    );
    assert_eq!(
        run(&mixed, 3).await,
        run(&alone(("draw_image", ANIMATED)), 1).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_a_canvas_in_a_font_from_elsewhere() {
    const FONT: &[u8] =
        include_bytes!("../../crates/pixels/tests/fonts/NotoSansArabic-subset.woff2");
    let origin = Origin::of("", FONT).await;
    let server = Server::with(Wishes {
        allow_private_sources: true,
        ..Wishes::default()
    })
    .await;
    let text = |font: &str| json!({"text": "سلام", "font": {"url": font}, "size": 40}).to_string();
    let run = async |text: String| {
        let parts: [(&str, &[u8]); 3] = [
            ("text_input", text.as_bytes()),
            ("transforms", b"[]"),
            ("output_format", b"image/png"),
        ];
        call(&server, "/transform", &parts).await
    };
    let (width, height) = answer_size(&png_of(
        &run(text(&format!("http://{}/font.woff2", origin.address))).await,
    ));
    assert!(
        (50..200).contains(&width) && (40..90).contains(&height),
        "{width}x{height}"
    );
    let (status, code, words) = failure(&run(text("http://127.0.0.1:1/font.ttf")).await);
    assert_eq!((status, code.as_str()), (500, "err=9410"), "{words}");
    let picture = Origin::of("", PHOTO).await;
    let (status, code, words) =
        failure(&run(text(&format!("http://{}/font.ttf", picture.address))).await);
    assert_eq!((status, code.as_str()), (500, "err=9410"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_font_may_be_as_large_as_an_image_of_a_call() {
    const FONT: &[u8] =
        include_bytes!("../../crates/pixels/tests/fonts/NotoSansArabic-subset.woff2");
    let origin = Origin::of("", FONT).await;
    let font = format!("http://{}/font.woff2", origin.address);
    let text = json!({"text": "سلام", "font": {"url": font}, "size": 40}).to_string();
    let length = FONT.len() as u64;
    for (binding_bytes_max, allowed) in [(length, true), (length - 1, false)] {
        let server = Server::with(Wishes {
            allow_private_sources: true,
            limits: model::Limits {
                upload_bytes_max: 1_000,
                binding_bytes_max,
                ..model::Limits::default()
            },
            ..Wishes::default()
        })
        .await;
        let parts: [(&str, &[u8]); 2] = [
            ("text_input", text.as_bytes()),
            ("output_format", b"image/png"),
        ];
        let answer = call(&server, "/transform", &parts).await;
        if allowed {
            png_of(&answer);
            continue;
        }
        let (status, code, words) = failure(&answer);
        assert_eq!((status, code.as_str()), (500, "err=9410"));
        assert!(words.contains(&binding_bytes_max.to_string()), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pixels_come_with_their_size() {
    let server = Server::start().await;
    let parts: [(&str, &[u8]); 3] = [
        ("image", PHOTO),
        (
            "transforms",
            br#"[{"imageIndex":0,"width":9,"height":7,"fit":"squeeze"}]"#,
        ),
        ("output_format", b"rgb"),
    ];
    let answer = call(&server, "/transform", &parts).await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let size = (
        answer.header("x-image-width"),
        answer.header("x-image-height"),
    );
    assert_eq!((size, answer.bytes.len()), (("9", "7"), 9 * 7 * 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_184_and_189_what_is_wrong_is_said_in_the_header_too() {
    let server = Server::start().await;
    let long = json!({"text": "a".repeat(1_001)}).to_string();
    let png: (&str, &[u8]) = ("output_format", b"image/png");
    let photo: (&str, &[u8]) = ("image", PHOTO);
    for (parts, status, code) in [
        (vec![photo, ("output_format", b"webp")], 400, "err=9432"),
        (vec![photo], 400, "err=9432"),
        (vec![png], 400, "err=9432"),
        (vec![photo, photo, png], 400, "err=9432"),
        (
            vec![photo, ("text_input", br#"{"text":"a"}"#), png],
            400,
            "err=9432",
        ),
        (vec![("text_input", long.as_bytes()), png], 400, "err=9432"),
        (vec![photo, ("transforms", b"{"), png], 400, "err=9432"),
        (
            [
                vec![photo, png],
                vec![("draw_text", br#"{"text":"a"}"#); 21],
            ]
            .concat(),
            400,
            "err=9432",
        ),
        (
            vec![photo, ("transforms", br#"[{"imageIndex":1}]"#), png],
            400,
            "err=9432",
        ),
        (
            vec![
                photo,
                ("transforms", br#"[{"imageIndex":0,"width":"9"}]"#),
                png,
            ],
            400,
            "err=9432",
        ),
        (vec![("image", SCRIPT), png], 415, "err=9412"),
        (vec![("image", b""), png], 415, "err=9412"),
        (vec![("image", &PHOTO[..400]), png], 422, "err=9516"),
        (
            vec![
                photo,
                ("draw_image", b"BM"),
                (
                    "transforms",
                    br#"[{"drawImageIndex":1,"targetImageIndex":0}]"#,
                ),
                png,
            ],
            415,
            "err=9412",
        ),
        // No command needs them, but they were sent to be drawn.
        (vec![photo, ("draw_image", b"BM"), png], 415, "err=9412"),
        (vec![photo, ("draw_image", SCRIPT), png], 415, "err=9412"),
        (
            vec![photo, ("draw_image", &TRANSPARENT[..20]), png],
            422,
            "err=9516",
        ),
        (
            vec![
                photo,
                (
                    "transforms",
                    br#"[{"imageIndex":0,"width":20000,"fit":"contain"}]"#,
                ),
                png,
            ],
            403,
            "err=9413",
        ),
    ] {
        let answer = call(&server, "/transform", &parts).await;
        let found = failure(&answer);
        assert_eq!((found.0, found.1.as_str()), (status, code), "{}", found.2);
        assert!(
            found.2.starts_with(&format!("ERROR {}: ", &code[4..])),
            "{}",
            found.2
        );
    }
    let (_, _, text) =
        failure(&call(&server, "/transform", &[photo, ("output_format", b"webp")]).await);
    assert_eq!(text, "ERROR 9432: Bad request: invalid output format");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_uses_it_without_a_token_or_beyond_its_limits() {
    let server = Server::with(Wishes {
        limits: model::Limits {
            binding_bytes_max: 2_000,
            ..model::Limits::default()
        },
        ..Wishes::default()
    })
    .await;
    let url = format!("{}/info", server.url);
    let request = server
        .client
        .post(&url)
        .multipart(form(&[("image", PHOTO)]));
    let (status, code, _) = failure(&send(request).await);
    assert_eq!((status, code.as_str()), (403, "err=9430"));
    let request = server.client.post(&url).bearer_auth("wrong");
    let (status, code, _) = failure(&send(request.multipart(form(&[("image", PHOTO)]))).await);
    assert_eq!((status, code.as_str()), (403, "err=9430"));
    let large = vec![0; 2_001];
    let (status, code, _) = failure(&call(&server, "/info", &[("image", &large)]).await);
    assert_eq!((status, code.as_str()), (413, "err=9402"));
    let get = send(server.client.get(&url).bearer_auth(&server.token)).await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST"));
    let no_form = server
        .client
        .post(&url)
        .bearer_auth(&server.token)
        .body("{}");
    let (status, code, _) = failure(&send(no_form).await);
    assert_eq!((status, code.as_str()), (400, "err=9432"));
}
