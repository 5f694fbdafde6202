//! Renders one file over and over, and scores pictures: the half of the comparison with sharp which
//! is ours. `scripts/bench-sharp.sh` runs both halves in turns.
//!
//! `jobs render FILE OPTIONS TIMES [OUT] [THREADS]` prints what one rendering costs, as JSON:
//! `cpu` and `wall` in milliseconds, `peak` in megabytes of the whole process, `bytes`, `format`.
//! `CALOTYPE_SVT_AV1` names the library of SVT-AV1, `CALOTYPE_RESIZE_LIGHT` is `linear` or `gamma`.
//!
//! `jobs score SOURCE WIDTH HEIGHT FRAMES PICTURE…` prints two scores for each picture, which
//! must be WIDTH×HEIGHT: SSIMULACRA2 against the source shrunk in linear light and as encoded, by
//! Lanczos with three lobes in 32-bit floats, hence by none of the engines compared. All files are
//! PNG; an animation is a strip of FRAMES pictures one below the other.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures are its output"
)]

use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use fast_ssim2::{PixelDescriptor, PixelSlice, Ssimulacra2Reference};
use model::{Limits, Policy, ResizeLight, Transform};
use pixels::{Accepts, Cancel, Engine, Rendition, Request};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    // Cargo passes `--bench` to every benchmark.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["render", file, options, times, more @ ..] => render(file, options, times, more),
        ["score", source, width, height, frames, pictures @ ..] => {
            score(source, [width, height, frames], pictures)
        }
        _ => {
            println!("scripts/bench-sharp.sh compares with sharp");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn render(file: &str, options: &str, times: &str, more: &[&str]) -> Result<()> {
    let source = fs::read(file)?;
    let transform: Transform = options.parse()?;
    let times: u32 = times.parse()?;
    let threads: u32 = more.get(1).map_or(Ok(1), |threads| threads.parse())?;
    let policy = Policy {
        svt_av1: std::env::var_os("CALOTYPE_SVT_AV1").map(PathBuf::from),
        resize_light: std::env::var("CALOTYPE_RESIZE_LIGHT")
            .ok()
            .and_then(|word| ResizeLight::parse(&word))
            .unwrap_or_default(),
        ..Policy::default()
    };
    let engine = Engine::new(Limits::default(), policy);
    let once = || -> Result<Rendition> {
        let request = Request {
            source: &source,
            transform: &transform,
            accepts: Accepts::default(),
        };
        Ok(engine.render(&request, &Cancel::never())?)
    };
    let rendition = once()?;
    if let Some(out) = more.first() {
        fs::write(out, &rendition.bytes)?;
    }
    let (cpu, wall) = (cpu_milliseconds()?, Instant::now());
    thread::scope(|scope| -> Result<()> {
        let work = || {
            (0..times)
                .try_for_each(|_| once().map(drop))
                .map_err(|error| error.to_string())
        };
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work()?;
        for other in others {
            other.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })?;
    let jobs = f64::from(times * threads).max(1.0);
    let cpu = (cpu_milliseconds()? - cpu) / jobs;
    let wall = wall.elapsed().as_secs_f64() * 1e3 / jobs;
    println!(
        r#"{{"cpu":{cpu:.3},"wall":{wall:.3},"peak":{:.1},"bytes":{},"width":{},"height":{},"format":"{}"}}"#,
        peak_megabytes()?,
        rendition.bytes.len(),
        rendition.width,
        rendition.height,
        rendition.format,
    );
    Ok(())
}

/// CPU of the process, its ended threads included. The kernel counts in hundredths of a second, so
/// that a measurement should take one or more.
fn cpu_milliseconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the process is in brackets, and is the only field which may hold a blank.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    Ok(ticks * 10.0)
}

fn peak_megabytes() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmHWM")?.parse::<f64>()? / 1024.0)
}

/// Four channels of 8 bits, alpha not premultiplied.
struct Picture {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

fn score(source: &str, numbers: [&str; 3], pictures: &[&str]) -> Result<()> {
    let source = read(source)?;
    let [width, height, frames] = numbers.map(str::parse::<u32>);
    let (width, height, frames) = (width?, height?, frames?.max(1));
    let mut totals = vec![[0.0; 2]; pictures.len()];
    let pictures = pictures
        .iter()
        .map(|picture| read(picture))
        .collect::<Result<Vec<Picture>>>()?;
    for index in 0..frames {
        let original = frame(&source, index, frames)?;
        for (light, place) in [Light::Linear, Light::Encoded].into_iter().zip(0..) {
            let reference = shrunk(&original, width, height, light)?;
            let reference = Ssimulacra2Reference::new(&slice(&reference)?)?;
            for (picture, total) in pictures.iter().zip(&mut totals) {
                let picture = frame(picture, index, frames)?;
                if (picture.width, picture.height) != (width, height) {
                    return Err(format!("{}×{}", picture.width, picture.height).into());
                }
                total[place] += reference.compare(&slice(&picture)?)? / f64::from(frames);
            }
        }
    }
    for [linear, encoded] in totals {
        println!(r#"{{"linear":{linear:.3},"encoded":{encoded:.3}}}"#);
    }
    Ok(())
}

fn slice(picture: &Picture) -> Result<PixelSlice<'_>> {
    let stride = picture.width as usize * 4;
    let descriptor = PixelDescriptor::RGBA8_SRGB;
    let slice = PixelSlice::new(
        &picture.data,
        picture.width,
        picture.height,
        stride,
        descriptor,
    );
    slice.map_err(|error| error.to_string().into())
}

/// One picture of a strip.
fn frame(strip: &Picture, index: u32, frames: u32) -> Result<Picture> {
    let height = strip.height / frames;
    let length = strip.width as usize * height as usize * 4;
    let data = strip.data.chunks_exact(length.max(1)).nth(index as usize);
    Ok(Picture {
        width: strip.width,
        height,
        data: data.ok_or("a strip with too few pictures")?.to_vec(),
    })
}

fn read(path: &str) -> Result<Picture> {
    let mut decoder = png::Decoder::new(Cursor::new(fs::read(path)?));
    decoder.set_transformations(png::Transformations::ALPHA | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info()?;
    let mut data = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut data)?;
    if info.color_type == png::ColorType::GrayscaleAlpha {
        data = data
            .chunks_exact(2)
            .flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]])
            .collect();
    }
    Ok(Picture {
        width: info.width,
        height: info.height,
        data,
    })
}

/// In what a picture is shrunk.
#[derive(Clone, Copy)]
enum Light {
    Linear,
    /// The values of sRGB as they are.
    Encoded,
}

impl Light {
    fn of(self, value: f32) -> f32 {
        match self {
            Self::Encoded => value,
            Self::Linear if value <= 0.040_45 => value / 12.92,
            Self::Linear => ((value + 0.055) / 1.055).powf(2.4),
        }
    }

    fn to(self, value: f32) -> f32 {
        match self {
            Self::Encoded => value,
            Self::Linear if value <= 0.003_130_8 => value * 12.92,
            Self::Linear => 1.055 * value.powf(1.0 / 2.4) - 0.055,
        }
    }
}

/// The whole picture at a size, by Lanczos with three lobes on premultiplied floats.
fn shrunk(picture: &Picture, width: u32, height: u32, light: Light) -> Result<Picture> {
    let table: Vec<f32> = (0..=255_u8)
        .map(|value| light.of(f32::from(value) / 255.0))
        .collect();
    let floats: Vec<u8> = picture
        .data
        .chunks_exact(4)
        .flat_map(|pixel| {
            let alpha = f32::from(pixel[3]) / 255.0;
            let colour = |channel: usize| table[usize::from(pixel[channel])] * alpha;
            [colour(0), colour(1), colour(2), alpha]
        })
        .flat_map(f32::to_ne_bytes)
        .collect();
    // Its own memory lies where floats may lie, which a vector of bytes does not promise.
    let mut source = Image::new(picture.width, picture.height, PixelType::F32x4);
    source.buffer_mut().copy_from_slice(&floats);
    let mut target = Image::new(width, height, PixelType::F32x4);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options)?;
    let values: Vec<f32> = target
        .buffer()
        .chunks_exact(4)
        .filter_map(|bytes| Some(f32::from_ne_bytes(bytes.try_into().ok()?)))
        .collect();
    let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let data = values
        .chunks_exact(4)
        .flat_map(|pixel| {
            let alpha = pixel[3].clamp(0.0, 1.0);
            let colour = |channel: usize| match alpha {
                0.0 => 0,
                alpha => byte(light.to((pixel[channel] / alpha).clamp(0.0, 1.0))),
            };
            [colour(0), colour(1), colour(2), byte(alpha)]
        })
        .collect();
    Ok(Picture {
        width,
        height,
        data,
    })
}
