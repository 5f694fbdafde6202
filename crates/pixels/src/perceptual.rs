//! Quality by how it looks: the words of `quality` name a score of SSIMULACRA2, and the encoder's
//! number is searched which reaches it (transformations.md, section 2.13).

use fast_ssim2::{PixelDescriptor, PixelSlice, Ssimulacra2Reference};
use model::transform::{Colour, Quality};
use model::{Limits, Transform};

use crate::colour::Gamut;
use crate::encode::{self, Target, avif};
use crate::metadata::Metadata;
use crate::plan::Rect;
use crate::raster::Raster;
use crate::steps::{cut, flatten};
use crate::{Cancel, Error, RenditionFormat, decode};

/// So often the picture is encoded and scored at most.
const PROBES_MAX: usize = 4;
/// So far the number may go from where it starts: a picture which scores oddly stays reasonable.
const REACH: f64 = 12.0;
/// A score this near to the one wanted will do; eyes do not see the difference.
const NEAR: f64 = 0.75;
/// Points of the score to one of the number, where nothing better is known yet.
const SLOPE: f64 = 0.4;
/// Pixels of a side up to which it is scored whole; of a longer one two parts of half this length
/// are. A multiple of twice 16, the largest block of JPEG, so that parts are not cut through blocks.
const SCORED_SIDE: u32 = 704;

/// The score which a word stands for: what JPEG, WebP and AVIF of the number it starts from have on
/// average, measured on seven photographs at 480 and 960 pixels. There, JPEG of one number swings by
/// up to 13 points, and WebP lies 4 to 10 points below JPEG.
fn score_of(quality: Quality) -> Option<f64> {
    match quality {
        Quality::Number(_) => None,
        Quality::Low => Some(60.0),
        Quality::MediumLow => Some(66.0),
        Quality::MediumHigh => Some(74.0),
        Quality::High => Some(86.0),
    }
}

/// Whether a quality is asked for by a word.
pub(crate) fn is_needed(transform: &Transform) -> bool {
    transform.quality.and_then(score_of).is_some()
}

/// Pixels of a picture which are compared at most.
pub(crate) fn scored_area((width, height): (u32, u32)) -> u64 {
    u64::from(width.min(SCORED_SIDE)) * u64::from(height.min(SCORED_SIDE))
}

/// How a picture is encoded, whatever its quality.
pub(crate) struct Settings<'a> {
    pub background: Option<Colour>,
    pub metadata: &'a Metadata,
    pub encoders: &'a avif::Encoders,
    pub limits: &'a Limits,
    pub cancel: &'a Cancel,
}

/// Encodes one picture so that it looks as `quality` says; a number, or a format without loss, is
/// taken at its word.
pub(crate) fn picture(
    raster: Raster,
    target: Target,
    quality: Option<Quality>,
    settings: &Settings<'_>,
) -> Result<Vec<u8>, Error> {
    let encode = |raster: Raster, target: Target| {
        let (background, metadata) = (settings.background, settings.metadata);
        encode::picture(
            raster,
            target,
            background,
            metadata,
            settings.encoders,
            settings.cancel,
        )
    };
    let (Some(wanted), Some(start)) = (quality.and_then(score_of), number(target)) else {
        return encode(raster, target);
    };
    let sample = sample(&raster);
    // Numbers are compared with numbers, whatever they mean; so what was tried is not what is sent.
    let whole = sample.is_none() && raster.gamut == Gamut::Srgb;
    let sample = sample.unwrap_or_else(|| raster.clone());
    let sample = sample.in_gamut(Gamut::Srgb);
    let reference = Reference::new(&sample, settings.background)?;
    // What the best number so far gave, if that is the whole picture.
    let mut best: Option<(f64, Vec<u8>)> = None;
    let found = search(start, wanted, |number| {
        let bytes = encode(sample.clone(), with_number(target, number))?;
        settings.cancel.check()?;
        let score = reference.score(decoded(&bytes, target, settings)?)?;
        let distance = (score - wanted).abs();
        if whole && best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, bytes));
        }
        Ok(score)
    })?;
    match best {
        Some((_, bytes)) => Ok(bytes),
        None => encode(raster, with_number(target, found)),
    }
}

/// The number whose score is nearest to the one wanted, of those tried. Scores grow with the number.
fn search(
    start: u8,
    wanted: f64,
    mut score: impl FnMut(u8) -> Result<f64, Error>,
) -> Result<u8, Error> {
    let start = f64::from(start);
    // 100 is lossless for WebP, which is another thing.
    let (mut least, mut most) = ((start - REACH).max(1.0), (start + REACH).min(99.0));
    let mut tried: Vec<(f64, f64)> = Vec::new();
    let mut number = start.clamp(least, most);
    while tried.len() < PROBES_MAX {
        let found = score(number as u8)?;
        tried.push((number, found));
        if (found - wanted).abs() <= NEAR {
            break;
        }
        if found < wanted {
            least = number + 1.0;
        } else {
            most = number - 1.0;
        }
        if least > most {
            break;
        }
        let slope = match tried[..] {
            [.., (before, was), (now, is)] if (is - was) / (now - before) > SLOPE / 4.0 => {
                (is - was) / (now - before)
            }
            _ => SLOPE,
        };
        number = (number + (wanted - found) / slope)
            .round()
            .clamp(least, most);
    }
    let off = |(_, score): &&(f64, f64)| (score - wanted).abs();
    let best = tried.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
    Ok(best.map_or(start, |(number, _)| *number) as u8)
}

/// The number of a lossy format.
fn number(target: Target) -> Option<u8> {
    match target {
        Target::Jpeg { quality, .. } | Target::Webp { quality } | Target::Avif { quality } => {
            Some(quality)
        }
        Target::Png { .. } | Target::Gif | Target::Raw { .. } => None,
    }
}

fn with_number(target: Target, number: u8) -> Target {
    match target {
        Target::Jpeg { progressive, .. } => Target::Jpeg {
            progressive,
            quality: number,
        },
        Target::Webp { .. } => Target::Webp { quality: number },
        Target::Avif { .. } => Target::Avif { quality: number },
        Target::Png { .. } | Target::Gif | Target::Raw { .. } => target,
    }
}

fn decoded(bytes: &[u8], target: Target, settings: &Settings<'_>) -> Result<Raster, Error> {
    let header = crate::inspect(bytes, settings.limits)?;
    debug_assert_eq!(RenditionFormat::Image(header.format), target.format());
    decode::first_picture(bytes, &header, 8, settings.limits, settings.cancel)
}

/// Parts of a large picture, put together; `None` if it is small enough to be taken whole.
fn sample(raster: &Raster) -> Option<Raster> {
    let columns = parts(raster.width);
    let rows = parts(raster.height);
    if columns.len() == 1 && rows.len() == 1 {
        return None;
    }
    let length = |parts: &[(u32, u32)]| parts.iter().map(|(_, length)| length).sum();
    let mut data = Vec::new();
    for (top, height) in &rows {
        let pieces: Vec<Raster> = columns
            .iter()
            .map(|(left, width)| {
                let rect = Rect {
                    left: *left,
                    top: *top,
                    width: *width,
                    height: *height,
                };
                cut::cut(raster, rect)
            })
            .collect();
        for row in 0..*height as usize {
            for piece in &pieces {
                let bytes = piece.row_bytes();
                data.extend_from_slice(&piece.data[row * bytes..(row + 1) * bytes]);
            }
        }
    }
    let (width, height) = (length(&columns), length(&rows));
    Some(Raster::new(width, height, raster.channels, data))
}

/// Where the parts of a side begin, and how long they are: in the middle of each half.
fn parts(side: u32) -> Vec<(u32, u32)> {
    if side <= SCORED_SIDE {
        return vec![(0, side)];
    }
    let length = SCORED_SIDE / 2;
    let half = side / 2;
    let within = (half - length) / 2;
    vec![(within, length), (half + within, length)]
}

/// What pictures are compared with.
struct Reference {
    width: u32,
    height: u32,
    background: Option<Colour>,
    scores: Ssimulacra2Reference,
}

impl Reference {
    fn new(raster: &Raster, background: Option<Colour>) -> Result<Self, Error> {
        let flat = flatten(raster.clone(), background);
        Ok(Self {
            width: raster.width,
            height: raster.height,
            background,
            scores: Ssimulacra2Reference::new(&slice(&flat)?).map_err(Error::encode)?,
        })
    }

    fn score(&self, raster: Raster) -> Result<f64, Error> {
        if raster.size() != (self.width, self.height) {
            return Err(Error::encode("the encoder changed the size"));
        }
        let flat = flatten(raster, self.background);
        self.scores.compare(&slice(&flat)?).map_err(Error::encode)
    }
}

fn slice(raster: &Raster) -> Result<PixelSlice<'_>, Error> {
    let stride = raster.row_bytes();
    let (width, height) = raster.size();
    PixelSlice::new(
        &raster.data,
        width,
        height,
        stride,
        PixelDescriptor::RGB8_SRGB,
    )
    .map_err(Error::encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers which are tried for a score of 70 from 70 on, and the one which is taken.
    fn tried(score: impl Fn(f64) -> f64) -> (Vec<u8>, u8) {
        let mut tried = Vec::new();
        let found = search(70, 70.0, |number| {
            tried.push(number);
            Ok(score(f64::from(number)))
        });
        (tried, found.unwrap())
    }

    #[test]
    fn the_search_finds_the_number_in_a_few_steps_and_does_not_go_far() {
        for (name, score, expected) in [
            ("at once", (|number| number) as fn(f64) -> f64, 70),
            ("a little better", |number| number - 4.0, 74),
            ("worse", |number| number * 0.6 + 32.0, 63),
            ("out of reach above", |number| number - 50.0, 82),
            ("out of reach below", |number| number + 50.0, 58),
            ("steep", |number| 70.0 + (number - 73.0) * 3.0, 73),
        ] {
            let (tried, found) = tried(score);
            assert!(tried.len() <= PROBES_MAX, "{name}: {tried:?}");
            assert!(
                found.abs_diff(expected) <= 1,
                "{name}: {found} of {tried:?}"
            );
        }
    }

    #[test]
    fn large_pictures_are_scored_in_parts() {
        assert_eq!(parts(704), [(0, 704)]);
        assert_eq!(parts(2000), [(324, 352), (1324, 352)]);
        assert_eq!(parts(705), [(0, 352), (352, 352)]);
        let data: Vec<u8> = (0..1000 * 20)
            .flat_map(|at| [(at % 1000 / 4) as u8, (at / 1000) as u8, 0])
            .collect();
        let sample = sample(&Raster::new(1000, 20, 3, data)).unwrap();
        assert_eq!(sample.size(), (704, 20));
        let at = |x: usize, y: usize| &sample.data[(y * 704 + x) * 3..][..2];
        assert_eq!((at(0, 0), at(0, 19)), (&[74 / 4, 0][..], &[74 / 4, 19][..]));
        assert_eq!(at(352, 5), [(574 / 4) as u8, 5]);
    }
}
