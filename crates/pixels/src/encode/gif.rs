//! GIF: of each frame only what changes, with the palette of the first frame where that is good
//! enough and else with one of its own.
//!
//! Pixels which stay are left transparent and take no part in dithering, so that what does not move
//! does not flicker, and costs next to nothing.

use std::borrow::Cow;

use gif::{DisposalMethod, Encoder, Frame as GifFrame, Repeat};

use super::palette::{self, CLEAR, Colour, Dither, Histogram, Nearest};
use crate::Error;
use crate::decode::{Frame, Plays};
use crate::plan::Rect;
use crate::raster::Raster;
use crate::steps::cut;

/// Pixels less opaque than this are left out: the format has nothing between.
const OPAQUE_MIN: u8 = 128;

/// Colours of a frame; one number is left for transparency.
const COLOURS_MAX: usize = 255;

/// A frame gets no more colours than are needed for this error, a mean square in 8-bit levels: more
/// would cost bytes and be hard to see.
const ERROR_MAX: f32 = 2.0;

/// A pixel stays as it is shown while none of its channels is further away than this from the colour
/// it was shown for. Resampling and other encoders leave such traces where nothing moves.
const TOLERANCE: u8 = 1;

/// A palette made for an earlier frame is good enough if its error, as a mean square in 8-bit levels,
/// is no larger than this times its error on the frame it was made for …
const REUSE_FACTOR: f32 = 1.2;
/// … or than this in any case, which nobody sees.
const REUSE_ERROR: f32 = 2.0;

const DITHER: Dither = Dither { strength: 0.7 };

pub(crate) struct Animation {
    size: (u16, u16),
    plays: Plays,
    /// Made for the first frame, with its palette as the global one.
    encoder: Option<Encoder<Vec<u8>>>,
    global: Option<Palette>,
    /// Made for the last frame for which the global one was not good enough.
    local: Option<Palette>,
    /// The colours for which each pixel of the canvas was last written.
    shown: Vec<Colour>,
    /// Not written yet: how a frame leaves the canvas is known when the next one is.
    held: Option<Held>,
}

struct Palette {
    colours: Vec<Colour>,
    nearest: Nearest,
    /// Mean square on the frame it was made for; 0 where it has all colours of it.
    error: f32,
}

impl Palette {
    fn transparent(&self) -> u8 {
        self.colours.len() as u8
    }

    /// The part with these colours, if they are good enough for it.
    fn fit(&mut self, part: &Raster, changes: &[bool]) -> Option<Vec<u8>> {
        // A first frame of which nothing can be seen leaves nothing to choose from.
        if self.colours.is_empty() {
            return None;
        }
        let transparent = self.transparent();
        if self.error == 0.0
            && let Some(pixels) = palette::numbered(part, &self.colours, Some(changes), transparent)
        {
            return Some(pixels);
        }
        let limit = (self.error * REUSE_FACTOR).max(REUSE_ERROR);
        (self.nearest.error(part, Some(changes)) <= limit)
            .then(|| DITHER.apply(part, &mut self.nearest, Some(changes), transparent))
    }

    /// A palette for the part, and the part with it.
    fn of(part: &Raster, changes: &[bool]) -> (Self, Vec<u8>) {
        if let Some(indexed) = palette::exact(part, COLOURS_MAX, Some(changes)) {
            let palette = Self {
                nearest: Nearest::new(&indexed.colours),
                colours: indexed.colours,
                error: 0.0,
            };
            return (palette, indexed.pixels);
        }
        let histogram = Histogram::of(part, false, Some(changes));
        let (colours, error) = histogram.choose(COLOURS_MAX, ERROR_MAX);
        let mut palette = Self {
            nearest: Nearest::new(&colours),
            colours,
            error,
        };
        let transparent = palette.transparent();
        let pixels = DITHER.apply(part, &mut palette.nearest, Some(changes), transparent);
        (palette, pixels)
    }
}

/// A frame which is not written yet.
struct Held {
    place: Rect,
    /// Where the canvas is cleared afterwards; it has `place` in it.
    cleared: Option<Rect>,
    part: Numbered,
    /// Milliseconds.
    delay: u32,
}

/// A part of a frame.
struct Numbered {
    pixels: Vec<u8>,
    /// Nothing where it is the global one.
    palette: Option<Vec<Colour>>,
    transparent: u8,
}

impl Numbered {
    fn new(pixels: Vec<u8>, palette: &Palette, is_global: bool) -> Self {
        Self {
            pixels,
            palette: (!is_global).then(|| palette.colours.clone()),
            transparent: palette.transparent(),
        }
    }
}

impl Animation {
    pub(super) fn new((width, height): (u32, u32), plays: Plays) -> Result<Self, Error> {
        let side = |length: u32| u16::try_from(length).map_err(Error::encode);
        Ok(Self {
            size: (side(width)?, side(height)?),
            plays,
            encoder: None,
            global: None,
            local: None,
            shown: vec![CLEAR; width as usize * height as usize],
            held: None,
        })
    }

    pub(super) fn add(&mut self, frame: Frame) -> Result<(), Error> {
        let Frame { raster, delay } = frame;
        let raster = with_hard_alpha(raster);
        let now = || {
            raster
                .data
                .chunks_exact(raster.channels)
                .map(palette::colour)
        };
        if let Some(mut held) = self.held.take() {
            // What vanishes can only be cleared, together with the frame before.
            let vanishes: Vec<bool> = now()
                .zip(&self.shown)
                .map(|(now, shown)| now == CLEAR && *shown != CLEAR)
                .collect();
            if let Some(vanished) = bounds(&vanishes, raster.width) {
                let cleared = union(vanished, held.place);
                clear(&mut self.shown, raster.width, cleared);
                held.cleared = Some(cleared);
            }
            self.write(held)?;
        }
        let changes: Vec<bool> = now()
            .zip(&self.shown)
            .map(|(now, shown)| changes(now, *shown))
            .collect();
        for ((shown, now), changes) in self.shown.iter_mut().zip(now()).zip(&changes) {
            if *changes {
                *shown = now;
            }
        }
        // A frame in which nothing changes still takes its time.
        let place = bounds(&changes, raster.width).unwrap_or(Rect {
            left: 0,
            top: 0,
            width: 1,
            height: 1,
        });
        let part = cut::cut(&raster, place);
        let changes = cut_mask(&changes, raster.width, place);
        self.held = Some(Held {
            place,
            cleared: None,
            part: self.numbered(&part, &changes),
            delay,
        });
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, Error> {
        if let Some(held) = self.held.take() {
            self.write(held)?;
        }
        let encoder = self.encoder.ok_or_else(|| Error::encode("no frames"))?;
        encoder.into_inner().map_err(Error::encode)
    }

    /// Numbers for what changes.
    fn numbered(&mut self, part: &Raster, changes: &[bool]) -> Numbered {
        for (palette, is_global) in [(&mut self.global, true), (&mut self.local, false)] {
            if let Some(palette) = palette
                && let Some(pixels) = palette.fit(part, changes)
            {
                return Numbered::new(pixels, palette, is_global);
            }
        }
        let (palette, pixels) = Palette::of(part, changes);
        let is_global = self.global.is_none();
        let numbered = Numbered::new(pixels, &palette, is_global);
        if is_global {
            self.global = Some(palette);
        } else {
            self.local = Some(palette);
        }
        numbered
    }

    fn write(&mut self, held: Held) -> Result<(), Error> {
        let encoder = if let Some(encoder) = &mut self.encoder {
            encoder
        } else {
            let global = self.global.as_ref().map(|palette| &palette.colours[..]);
            let colours = with_transparent(global.unwrap_or_default());
            self.encoder
                .insert(encoder(self.size, self.plays, &colours)?)
        };
        let place = held.cleared.unwrap_or(held.place);
        let pixels = match held.cleared {
            Some(cleared) => widened(&held, cleared),
            None => held.part.pixels,
        };
        let frame = GifFrame {
            delay: u16::try_from((held.delay + 5) / 10).unwrap_or(u16::MAX),
            dispose: if held.cleared.is_some() {
                DisposalMethod::Background
            } else {
                DisposalMethod::Keep
            },
            transparent: Some(held.part.transparent),
            left: place.left as u16,
            top: place.top as u16,
            width: place.width as u16,
            height: place.height as u16,
            palette: held.part.palette.as_deref().map(with_transparent),
            buffer: Cow::Owned(pixels),
            ..GifFrame::default()
        };
        encoder.write_frame(&frame).map_err(Error::encode)
    }
}

fn encoder(
    (width, height): (u16, u16),
    plays: Plays,
    global: &[u8],
) -> Result<Encoder<Vec<u8>>, Error> {
    let mut encoder = Encoder::new(Vec::new(), width, height, global).map_err(Error::encode)?;
    let repeat = match plays {
        Plays::Forever => Repeat::Infinite,
        // Without the extension it is shown once.
        Plays::Times(0 | 1) => return Ok(encoder),
        Plays::Times(times) => Repeat::Finite(u16::try_from(times - 1).unwrap_or(u16::MAX)),
    };
    encoder.set_repeat(repeat).map_err(Error::encode)?;
    Ok(encoder)
}

/// As the format stores them, and one more which is not seen.
fn with_transparent(colours: &[Colour]) -> Vec<u8> {
    let colours = colours.iter().chain([&CLEAR]);
    colours
        .flat_map(|colour| [colour[0], colour[1], colour[2]])
        .collect()
}

/// Pixels are there or not.
fn with_hard_alpha(mut raster: Raster) -> Raster {
    if raster.has_alpha() {
        let (pixels, _) = raster.data.as_chunks_mut::<4>();
        for pixel in pixels {
            if pixel[3] < OPAQUE_MIN {
                *pixel = CLEAR;
            } else {
                pixel[3] = 255;
            }
        }
    }
    raster
}

/// Whether a pixel must be written.
fn changes(now: Colour, shown: Colour) -> bool {
    let near = |channel: usize| now[channel].abs_diff(shown[channel]) <= TOLERANCE;
    now != CLEAR && (shown == CLEAR || !(0..3).all(near))
}

/// The smallest rectangle around all pixels which are marked.
fn bounds(marked: &[bool], width: u32) -> Option<Rect> {
    let rows = || marked.chunks_exact((width as usize).max(1));
    let top = rows().position(|row| row.contains(&true))?;
    let bottom = rows().rposition(|row| row.contains(&true))?;
    let (mut left, mut right) = (usize::MAX, 0);
    for row in rows().take(bottom + 1).skip(top) {
        if let Some(first) = row.iter().position(|marked| *marked) {
            left = left.min(first);
            right = right.max(row.iter().rposition(|marked| *marked).unwrap_or(first));
        }
    }
    Some(Rect {
        left: left as u32,
        top: top as u32,
        width: (right - left + 1) as u32,
        height: (bottom - top + 1) as u32,
    })
}

fn union(a: Rect, b: Rect) -> Rect {
    let (left, top) = (a.left.min(b.left), a.top.min(b.top));
    let right = (a.left + a.width).max(b.left + b.width);
    let bottom = (a.top + a.height).max(b.top + b.height);
    Rect {
        left,
        top,
        width: right - left,
        height: bottom - top,
    }
}

/// The part of each row which lies in a rectangle.
fn spans(width: u32, rect: Rect) -> impl Iterator<Item = std::ops::Range<usize>> {
    (rect.top..rect.top + rect.height).map(move |y| {
        let start = y as usize * width as usize + rect.left as usize;
        start..start + rect.width as usize
    })
}

fn clear(shown: &mut [Colour], width: u32, rect: Rect) {
    for span in spans(width, rect) {
        shown[span].fill(CLEAR);
    }
}

fn cut_mask(marked: &[bool], width: u32, rect: Rect) -> Vec<bool> {
    spans(width, rect)
        .flat_map(|span| marked[span].iter().copied())
        .collect()
}

/// The pixels of a frame on a larger rectangle, which is transparent around them.
fn widened(held: &Held, rect: Rect) -> Vec<u8> {
    let mut pixels = vec![held.part.transparent; rect.width as usize * rect.height as usize];
    let inside = Rect {
        left: held.place.left - rect.left,
        top: held.place.top - rect.top,
        ..held.place
    };
    let rows = held
        .part
        .pixels
        .chunks_exact((held.place.width as usize).max(1));
    for (span, row) in spans(rect.width, inside).zip(rows) {
        pixels[span].copy_from_slice(row);
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cancel, decode, inspect};

    const WIDTH: u32 = 48;
    const HEIGHT: u32 = 40;

    fn raster(pixel: impl Fn(u32, u32) -> Colour) -> Raster {
        let places = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
        let data = places.flat_map(|(x, y)| pixel(x, y)).collect();
        Raster::new(WIDTH, HEIGHT, 4, data).without_idle_alpha()
    }

    fn encoded(frames: &[Raster]) -> Vec<u8> {
        let mut animation = Animation::new((WIDTH, HEIGHT), Plays::Forever).unwrap();
        for raster in frames.iter().cloned() {
            animation.add(Frame { raster, delay: 70 }).unwrap();
        }
        animation.finish().unwrap()
    }

    fn decoded(bytes: &[u8]) -> Vec<Vec<u8>> {
        let header = inspect(bytes, &model::Limits::default()).unwrap();
        let mut frames = decode::Animation::new(bytes, &header).unwrap();
        let mut seen = Vec::new();
        while let Some(frame) = frames.next(&Cancel::never()).unwrap() {
            assert_eq!(frame.delay, 70);
            seen.push(frame.raster.with_alpha().data);
        }
        seen
    }

    #[test]
    fn frames_of_few_colours_come_back_as_they_were() {
        // A disc wanders over nothing, over stripes, stands still, and leaves.
        let disc = |x: u32, y: u32, time: u32| {
            let (dx, dy) = (x.abs_diff(time * 9 % 60), y.abs_diff(10 + time * 3));
            dx * dx + dy * dy < 60
        };
        let frames: Vec<Raster> = [0, 1, 2, 2, 3, 9, 4]
            .into_iter()
            .enumerate()
            .map(|(index, time)| {
                raster(move |x, y| match () {
                    () if disc(x, y, time) => [200, (x * 5) as u8, 10, 255],
                    () if index % 3 == 1 && y % 8 < 3 => [0, 90, 255, 255],
                    () => CLEAR,
                })
            })
            .collect();
        let expected: Vec<Vec<u8>> = frames
            .iter()
            .map(|frame| frame.clone().with_alpha().data)
            .collect();
        assert!(decoded(&encoded(&frames)) == expected);
    }

    #[test]
    fn a_frame_may_be_empty() {
        let empty = raster(|_, _| CLEAR);
        let full = raster(landscape);
        for frames in [
            vec![empty.clone()],
            vec![empty.clone(), empty.clone()],
            vec![empty.clone(), full.clone(), empty.clone(), full.clone()],
            vec![full.clone(), empty.clone(), empty.clone()],
        ] {
            let seen = decoded(&encoded(&frames));
            assert_eq!(seen.len(), frames.len());
            for (seen, frame) in seen.iter().zip(&frames) {
                let visible = |data: &[u8]| data.chunks(4).filter(|pixel| pixel[3] != 0).count();
                assert_eq!(visible(seen), visible(&frame.clone().with_alpha().data));
            }
        }
    }

    fn landscape(x: u32, y: u32) -> Colour {
        let grain = (x * 7919 + y * 104_729) % 23;
        let value = |base: u32| (base + grain).min(255) as u8;
        [value(x * 4), value(y * 5), value(200 - x * 2), 255]
    }

    #[test]
    fn what_does_not_move_does_not_flicker() {
        let inside = |x: u32, y: u32, time: u32| (x.abs_diff(8 + time * 5) < 4) && y < 9;
        let frames: Vec<Raster> = (0..6)
            .map(|time| {
                raster(move |x, y| {
                    if inside(x, y, time) {
                        [255, 255, (y * 20) as u8, 255]
                    } else {
                        landscape(x, y)
                    }
                })
            })
            .collect();
        let bytes = encoded(&frames);
        let seen = decoded(&bytes);
        let moves = |x, y| (0..6).any(|time| inside(x, y, time));
        for frame in &seen[1..] {
            for (index, (now, first)) in frame.chunks(4).zip(seen[0].chunks(4)).enumerate() {
                let (x, y) = (index as u32 % WIDTH, index as u32 / WIDTH);
                assert!(now == first || moves(x, y), "{x},{y}");
            }
        }
        let first = encoded(&frames[..1]).len();
        assert!(bytes.len() < first * 2, "{} {first}", bytes.len());
    }

    #[test]
    fn many_colours_are_met_closely() {
        let frames: Vec<Raster> = (0..3)
            .map(|time| raster(move |x, y| landscape((x + time * 7) % WIDTH, y)))
            .collect();
        for (seen, frame) in decoded(&encoded(&frames)).iter().zip(frames) {
            let expected = frame.with_alpha().data;
            let squares = seen.iter().zip(&expected);
            let squares = squares.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
            let error = squares.sum::<f64>() / expected.len() as f64;
            assert!(error < 30.0, "{error}");
        }
    }
}
