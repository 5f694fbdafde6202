//! Crops which depend on what is in the picture, and models given to the engine.

use std::sync::Arc;

use model::Policy;
use pixels::{
    Accepts, Cancel, Engine, Error, Face, FaceDetector, Factor, Rendition, Request, Segmenter,
    Upscaler, Warning,
};

use crate::pictures::{Picture, png};

/// Red says how far to the right, green how far down, in 255ths.
fn map(width: u32, height: u32) -> Vec<u8> {
    png(width, height, |x, y| {
        let part = |at: u32, whole: u32| (at * 255 / (whole - 1)) as u8;
        [part(x, width), part(y, height), 128]
    })
}

/// Grey with an orange spot, whose middle is at (`x`, `y`).
fn spot(x: u32, y: u32) -> Vec<u8> {
    png(600, 400, |at_x, at_y| {
        if at_x.abs_diff(x) < 25 && at_y.abs_diff(y) < 25 {
            [240, 120, 20]
        } else {
            [110, 120, 130]
        }
    })
}

fn render(engine: &Engine, source: &[u8], options: &str) -> Rendition {
    try_render(engine, source, options).unwrap_or_else(|error| panic!("{options}: {error}"))
}

fn try_render(engine: &Engine, source: &[u8], options: &str) -> Result<Rendition, Error> {
    let request = Request {
        source,
        transform: &options.parse().unwrap(),
        accepts: Accepts::default(),
    };
    engine.render(&request, &Cancel::never())
}

/// Left, top, right and bottom of what was cut out of [`map`], in pixels of the source.
fn cut(rendition: &Rendition, (width, height): (u32, u32)) -> [f64; 4] {
    let picture = Picture::of_png(&rendition.bytes);
    let (first, last) = (
        picture.at(0, 0),
        picture.at(picture.width - 1, picture.height - 1),
    );
    let at = |value: u8, whole: u32| f64::from(value) / 255.0 * f64::from(whole - 1);
    [
        at(first[0], width),
        at(first[1], height),
        at(last[0], width) + 1.0,
        at(last[1], height) + 1.0,
    ]
}

/// Finds what it was told.
#[derive(Debug)]
struct Told(Vec<Face>);

impl FaceDetector for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn faces(&self, picture: pixels::Picture<'_>, _: &Cancel) -> Vec<Face> {
        assert!(picture.width.max(picture.height) <= 640);
        assert_eq!(picture.rgb.len() as u32, picture.width * picture.height * 3);
        let (width, height) = (f64::from(picture.width), f64::from(picture.height));
        let scaled = |face: &Face| Face {
            left: face.left * width,
            top: face.top * height,
            width: face.width * width,
            height: face.height * height,
        };
        self.0.iter().map(scaled).collect()
    }
}

/// An engine which finds these faces, in fractions of the picture.
fn with_faces(faces: &[[f64; 4]]) -> Engine {
    let face = |[left, top, width, height]: &[f64; 4]| Face {
        left: *left,
        top: *top,
        width: *width,
        height: *height,
    };
    Engine::default().with_face_detector(Arc::new(Told(faces.iter().map(face).collect())))
}

#[test]
fn automatic_gravity_keeps_what_is_salient() {
    let engine = Engine::default();
    for gravity in ["auto", "entropy"] {
        for (x, y, options) in [
            (60, 200, "width=100,height=200,fit=cover"),
            (540, 200, "width=100,height=200,fit=cover"),
            (300, 60, "width=300,height=50,fit=crop"),
            (300, 340, "width=300,height=50,fit=cover"),
            (540, 300, "width=200,height=400,fit=aspect-crop"),
        ] {
            // The texture is what entropy sees; the colour is what saliency sees.
            let options = format!("{options},gravity={gravity},format=png-force");
            let rendition = render(&engine, &spot(x, y), &options);
            let picture = Picture::of_png(&rendition.bytes);
            let shown = picture
                .data
                .chunks(4)
                .filter(|pixel| pixel[0] > 180 && pixel[2] < 80)
                .count();
            let scale = f64::from(rendition.height) / 400.0;
            let scale = if options.contains("50") { 0.5 } else { scale };
            let whole = (49.0 * scale).powi(2);
            assert!(shown as f64 > 0.8 * whole, "{options}: {shown} of {whole}");
            assert_eq!(rendition.warnings, []);
        }
    }
}

#[test]
fn automatic_gravity_sees_the_picture_as_it_is_shown() {
    let engine = Engine::default();
    for options in ["rotate=90", "flip=h", "flip=v,rotate=270", "trim=0;0;0;300"] {
        let options =
            format!("{options},width=100,height=100,fit=cover,gravity=auto,format=png-force");
        let picture = Picture::of_png(&render(&engine, &spot(540, 60), &options).bytes);
        let orange = |pixel: &[u8]| pixel[0] > 180 && pixel[2] < 80;
        let shown = picture.data.chunks(4).filter(|pixel| orange(pixel)).count();
        assert!(shown > 110, "{options}: {shown}");
    }
}

#[test]
fn faces_are_framed_as_zoom_asks() {
    let size = (1000, 500);
    let source = map(size.0, size.1);
    // One face of 100 by 100 pixels at (200, 200).
    let one = [[0.2, 0.4, 0.1, 0.2]];
    // A second one to the right of it.
    let two = [[0.2, 0.4, 0.1, 0.2], [0.4, 0.5, 0.1, 0.2]];
    let cover = "width=200,height=200,fit=cover";
    let crop = "width=200,height=200,fit=crop";
    for (faces, options, expected) in [
        (&one[..], cover, [0.0, 0.0, 500.0, 500.0]),
        (
            &one,
            "width=100,height=200,fit=cover",
            [125.0, 0.0, 375.0, 500.0],
        ),
        (
            &one,
            "width=200,height=200,fit=cover,zoom=1",
            [190.0, 190.0, 310.0, 310.0],
        ),
        // 500 times (120 / 500) to the power of a half is 245.
        (
            &one,
            "width=200,height=200,fit=cover,zoom=0.5",
            [128.0, 128.0, 373.0, 373.0],
        ),
        // The box around both is 300 by 150, and 360 by 180 with its margins.
        (
            &two,
            "width=200,height=200,fit=cover,zoom=1",
            [170.0, 95.0, 530.0, 455.0],
        ),
        (
            &two,
            "width=200,height=100,fit=cover,zoom=1",
            [170.0, 185.0, 530.0, 365.0],
        ),
        // Two to one is the whole image until zoom cuts.
        (
            &two,
            "width=200,height=100,fit=cover",
            [0.0, 0.0, 1000.0, 500.0],
        ),
        (&one, crop, [0.0, 0.0, 500.0, 500.0]),
        // No faces: the centre, whatever the zoom.
        (
            &[],
            "width=200,height=200,fit=cover,zoom=1",
            [250.0, 0.0, 750.0, 500.0],
        ),
    ] {
        let options = format!("{options},gravity=face,format=png-force");
        let rendition = render(&with_faces(faces), &source, &options);
        let found = cut(&rendition, size);
        let near = found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() <= 6.0);
        assert!(near, "{options}: {found:?} and not {expected:?}");
        assert_eq!(rendition.warnings, []);
    }
}

#[test]
fn zoom_keeps_the_size_which_the_fit_gives() {
    let engine = with_faces(&[[0.2, 0.4, 0.1, 0.2]]);
    let source = map(1000, 500);
    for (options, expected) in [
        ("width=200,height=200,fit=cover,zoom=1", (200, 200)),
        // Neither enlarges: what is kept has 120 by 120 pixels.
        ("width=200,height=200,fit=crop,zoom=1", (120, 120)),
        ("width=200,height=200,fit=aspect-crop,zoom=1", (120, 120)),
        ("width=200,height=200,fit=pad,zoom=1", (200, 200)),
        ("width=200,zoom=1", (200, 100)),
        (
            "width=200,height=200,fit=crop,zoom=1,format=json",
            (120, 120),
        ),
    ] {
        let rendition = render(
            &engine,
            &source,
            &format!("gravity=face,format=png,{options}"),
        );
        assert_eq!((rendition.width, rendition.height), expected, "{options}");
    }
}

#[test]
fn zoom_follows_the_picture_when_it_is_turned() {
    let (width, height) = (1000, 500);
    let engine = with_faces(&[[0.1, 0.1, 0.1, 0.2]]);
    // Boxes are in the turned picture; what is kept lies elsewhere in the source.
    for (turn, expected) in [
        ("flip=h", [0.85, 0.2]),
        ("rotate=180", [0.85, 0.8]),
        ("rotate=90", [0.2, 0.76]),
        ("trim=0;500;0;0", [0.075, 0.2]),
    ] {
        let options =
            format!("width=60,height=60,fit=cover,gravity=face,zoom=1,{turn},format=png-force");
        let rendition = render(&engine, &map(width, height), &options);
        let picture = Picture::of_png(&rendition.bytes);
        let middle = picture.at(30, 30);
        let found = [f64::from(middle[0]) / 255.0, f64::from(middle[1]) / 255.0];
        let near = found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 0.02);
        assert!(near, "{turn}: {found:?} and not {expected:?}");
    }
}

#[test]
fn without_a_detector_faces_are_looked_for_by_saliency() {
    let engine = Engine::default();
    let options = |gravity| format!("width=100,height=200,fit=cover,gravity={gravity}");
    let face = render(&engine, &spot(540, 200), &options("face"));
    assert_eq!(face.warnings, [Warning::NoDetector]);
    let salient = render(&engine, &spot(540, 200), &options("auto"));
    assert_eq!(face.bytes, salient.bytes);
    // Where nothing is cut, nothing is missed.
    let whole = render(&engine, &spot(540, 200), "width=100,gravity=face");
    assert_eq!(whole.warnings, []);
}

#[test]
fn a_jpeg_is_decoded_finely_enough_for_what_zoom_leaves() {
    let jpeg = render(
        &Engine::default(),
        &map(1600, 800),
        "format=jpeg,quality=95",
    )
    .bytes;
    let engine = with_faces(&[[0.2, 0.4, 0.05, 0.1]]);
    let options = "width=90,height=90,fit=cover,gravity=face,zoom=1,format=png-force";
    let rendition = render(&engine, &jpeg, options);
    let found = cut(&rendition, (1600, 800));
    let expected = [312.0, 312.0, 408.0, 408.0];
    let near = found
        .iter()
        .zip(expected)
        .all(|(a, b)| (a - b).abs() <= 14.0);
    assert!(near, "{found:?}");
}

/// The right half is the subject.
#[derive(Debug)]
struct RightHalf {
    fails: bool,
}

impl Segmenter for RightHalf {
    fn name(&self) -> &'static str {
        "right half"
    }

    fn foreground(&self, picture: pixels::Picture<'_>, _: &Cancel) -> Option<Vec<u8>> {
        assert!(picture.width.max(picture.height) <= 1_024);
        let row = (0..picture.width).map(|x| if x * 2 < picture.width { 0 } else { 255 });
        let row: Vec<u8> = row.collect();
        (!self.fails).then(|| row.repeat(picture.height as usize))
    }
}

#[test]
fn a_segmenter_makes_the_rest_transparent() {
    let engine = Engine::default().with_segmenter(Arc::new(RightHalf { fails: false }));
    // Turned, the subject is what lies right then.
    for (options, opaque) in [
        ("", (150, 50)),
        ("rotate=90,", (80, 100)),
        ("flip=h,", (150, 50)),
    ] {
        let options = format!("{options}segment=foreground,width=2000");
        let rendition = render(&engine, &map(200, 100), &options);
        assert_eq!(rendition.format.as_str(), "image/png");
        let picture = Picture::of_png(&rendition.bytes);
        let width = rendition.width;
        let alpha = |x: u32, y: u32| picture.at(x, y)[3];
        assert_eq!(alpha(opaque.0, opaque.1), 255, "{options}");
        assert_eq!(alpha(width - 1 - opaque.0, opaque.1), 0, "{options}");
    }
    let jpeg = render(&engine, &map(200, 100), "segment=foreground,format=jpeg");
    assert_eq!(jpeg.format.as_str(), "image/jpeg");
}

#[test]
fn without_a_segmenter_or_when_it_fails_segmenting_is_not_available() {
    let failing = Engine::default().with_segmenter(Arc::new(RightHalf { fails: true }));
    for engine in [Engine::default(), failing] {
        let found = try_render(&engine, &map(20, 10), "segment=foreground");
        assert_eq!(found.unwrap_err(), Error::Unavailable("segment=foreground"));
    }
}

#[test]
fn renditions_by_other_models_have_other_names() {
    let names = [
        Engine::default(),
        with_faces(&[]),
        Engine::default().with_segmenter(Arc::new(RightHalf { fails: false })),
    ]
    .map(|engine| engine.rendering());
    assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
    assert_eq!(
        names[0],
        Engine::new(model::Limits::default(), Policy::default()).rendering()
    );
}

/// Repeats pixels and turns their colours round; fails where it is told to.
#[derive(Debug)]
struct Negative {
    asked: std::sync::Mutex<Vec<(u32, u32, Factor)>>,
    bytes_missing: Option<usize>,
}

impl Upscaler for Negative {
    fn name(&self) -> &'static str {
        "negative"
    }

    fn enlarged(
        &self,
        picture: pixels::Picture<'_>,
        factor: Factor,
        _: &Cancel,
    ) -> Option<Vec<u8>> {
        let times = factor.times();
        let asked = (picture.width, picture.height, factor);
        self.asked.lock().unwrap().push(asked);
        let mut made: Vec<u8> = (0..picture.height * times)
            .flat_map(|y| (0..picture.width * times).map(move |x| (x / times, y / times)))
            .flat_map(|(x, y)| {
                let at = (y * picture.width + x) as usize * 3;
                picture.rgb[at..at + 3].iter().map(|value| 255 - value)
            })
            .collect();
        made.truncate(made.len() - self.bytes_missing.unwrap_or(0));
        (self.bytes_missing != Some(0)).then_some(made)
    }
}

fn negative(bytes_missing: Option<usize>) -> (Engine, Arc<Negative>) {
    let upscaler = Arc::new(Negative {
        asked: std::sync::Mutex::default(),
        bytes_missing,
    });
    let engine = Engine::default().with_upscaler(Arc::clone(&upscaler) as Arc<dyn Upscaler>);
    (engine, upscaler)
}

#[test]
fn a_model_enlarges_in_one_pass_and_the_rest_is_interpolated() {
    let source = map(60, 40);
    let plain = |options: &str| {
        let options = format!("{options},format=png-force");
        Picture::of_png(&render(&Engine::default(), &source, &options).bytes)
    };
    for (size, fit, expected) in [
        ("width=90", "contain", Some((60, 40, Factor::Two))),
        ("width=150", "contain", Some((60, 40, Factor::Two))),
        ("width=240", "contain", Some((60, 40, Factor::Four))),
        ("width=600", "contain", Some((60, 40, Factor::Four))),
        // Some pixels around what is cut out, as far as there are any.
        ("width=80,height=120", "cover", Some((44, 40, Factor::Four))),
        ("width=30", "contain", None),
        ("width=600", "scale-down", None),
    ] {
        let (engine, upscaler) = negative(None);
        let options = format!("{size},fit={fit}");
        let generate = format!("{options},upscale=generate,format=png-force");
        let rendition = render(&engine, &source, &generate);
        assert_eq!(rendition.warnings, [], "{options}");
        let asked = upscaler.asked.lock().unwrap().first().copied();
        assert_eq!(asked, expected, "{options}");
        let (found, plain) = (Picture::of_png(&rendition.bytes), plain(&options));
        assert_eq!((found.width, found.height), (plain.width, plain.height));
        for (x, y) in [(3, 3), (found.width / 2, found.height / 3)] {
            let [red, green, blue, _] = plain.at(x, y);
            let expected = match asked {
                Some(_) => [255 - red, 255 - green, 255 - blue, 255],
                None => [red, green, blue, 255],
            };
            found.is(x, y, expected);
        }
    }
}

#[test]
fn a_model_keeps_what_shines_through_and_how_it_is_turned() {
    let source = png(40, 20, |x, _| [250, 10, 10, if x < 20 { 255 } else { 60 }]);
    let (engine, upscaler) = negative(None);
    let options = "rotate=90,width=40,fit=contain,upscale=generate,format=png-force";
    let picture = Picture::of_png(&render(&engine, &source, options).bytes);
    assert_eq!((picture.width, picture.height), (40, 80));
    // It saw the picture as it is shown.
    let asked = upscaler.asked.lock().unwrap().first().copied();
    assert_eq!(asked, Some((20, 40, Factor::Two)));
    picture.is(20, 10, [5, 245, 245, 255]);
    picture.is(20, 70, [5, 245, 245, 60]);
}

#[test]
fn without_a_model_which_works_it_is_said() {
    let source = map(60, 40);
    let options = "width=120,fit=contain,upscale=generate,format=png-force";
    let rendition = render(&Engine::default(), &source, options);
    assert_eq!(rendition.warnings, [Warning::NoUpscaler]);
    for missing in [0, 1] {
        let refused = try_render(&negative(Some(missing)).0, &source, options);
        assert!(
            matches!(refused, Err(Error::Unavailable("upscale=generate"))),
            "{refused:?}"
        );
    }
    assert_ne!(negative(None).0.rendering(), Engine::default().rendering());
}
