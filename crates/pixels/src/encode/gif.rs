//! GIF: a palette for each frame, and of each frame only the part which changes.

use std::borrow::Cow;

use gif::{DisposalMethod, Encoder, Frame as GifFrame, Repeat};

use super::palette::{self, Indexed};
use crate::Error;
use crate::decode::{Frame, Plays};
use crate::plan::Rect;
use crate::raster::Raster;
use crate::steps::cut;

/// Pixels less opaque than this are left out: the format has nothing between.
const OPAQUE_MIN: u8 = 128;

pub(crate) struct Animation {
    encoder: Encoder<Vec<u8>>,
    /// The frame before, when it stays on the canvas.
    before: Option<Raster>,
}

impl Animation {
    pub(super) fn new((width, height): (u32, u32), plays: Plays) -> Result<Self, Error> {
        let side = |length: u32| u16::try_from(length).map_err(Error::encode);
        let mut encoder =
            Encoder::new(Vec::new(), side(width)?, side(height)?, &[]).map_err(Error::encode)?;
        match plays {
            Plays::Forever => encoder
                .set_repeat(Repeat::Infinite)
                .map_err(Error::encode)?,
            Plays::Times(times) if times > 1 => {
                let repetitions = u16::try_from(times - 1).unwrap_or(u16::MAX);
                encoder
                    .set_repeat(Repeat::Finite(repetitions))
                    .map_err(Error::encode)?;
            }
            // Without the extension it is shown once.
            Plays::Times(_) => {}
        }
        Ok(Self {
            encoder,
            before: None,
        })
    }

    pub(super) fn add(&mut self, frame: Frame) -> Result<(), Error> {
        let Frame { raster, delay } = frame;
        let raster = with_hard_alpha(raster);
        let place = match &self.before {
            Some(before) => changed(before, &raster),
            None => whole(&raster),
        };
        let part = cut::cut(&raster, place);
        let (indexed, transparent) = indexed(&part)?;
        let mut colours: Vec<u8> = Vec::with_capacity(indexed.colours.len() * 3);
        for colour in &indexed.colours {
            colours.extend_from_slice(&colour[..3]);
        }
        self.encoder
            .write_frame(&GifFrame {
                delay: u16::try_from((delay + 5) / 10).unwrap_or(u16::MAX),
                // A frame with holes is cleared, so that the next one starts from nothing.
                dispose: if raster.has_alpha() {
                    DisposalMethod::Background
                } else {
                    DisposalMethod::Keep
                },
                transparent,
                left: place.left as u16,
                top: place.top as u16,
                width: place.width as u16,
                height: place.height as u16,
                palette: Some(colours),
                buffer: Cow::Owned(indexed.pixels),
                ..GifFrame::default()
            })
            .map_err(Error::encode)?;
        self.before = (!raster.has_alpha()).then_some(raster);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        self.encoder.into_inner().map_err(Error::encode)
    }
}

/// Pixels are there or not.
fn with_hard_alpha(mut raster: Raster) -> Raster {
    if raster.has_alpha() {
        let (pixels, _) = raster.data.as_chunks_mut::<4>();
        for pixel in pixels {
            if pixel[3] < OPAQUE_MIN {
                *pixel = [0; 4];
            } else {
                pixel[3] = 255;
            }
        }
    }
    raster.without_idle_alpha()
}

fn whole(raster: &Raster) -> Rect {
    Rect {
        left: 0,
        top: 0,
        width: raster.width,
        height: raster.height,
    }
}

/// The smallest rectangle around all pixels that differ; at least one pixel.
fn changed(before: &Raster, now: &Raster) -> Rect {
    if before.channels != now.channels || before.size() != now.size() {
        return whole(now);
    }
    let rows: Vec<(&[u8], &[u8])> = before.rows().zip(now.rows()).collect();
    let differs = |(a, b): &(&[u8], &[u8])| a != b;
    let Some(top) = rows.iter().position(differs) else {
        return Rect {
            left: 0,
            top: 0,
            width: 1,
            height: 1,
        };
    };
    let bottom = rows.iter().rposition(differs).unwrap_or(top);
    let channels = now.channels;
    let differing = |(a, b): &(&[u8], &[u8])| {
        let pixels = || a.chunks_exact(channels).zip(b.chunks_exact(channels));
        let first = pixels().position(|(a, b)| a != b)?;
        Some((first, pixels().rposition(|(a, b)| a != b).unwrap_or(first)))
    };
    let (left, right) = rows[top..=bottom]
        .iter()
        .filter_map(differing)
        .fold((usize::MAX, 0), |(left, right), (first, last)| {
            (left.min(first), right.max(last))
        });
    Rect {
        left: left as u32,
        top: top as u32,
        width: (right - left + 1) as u32,
        height: (bottom - top + 1) as u32,
    }
}

/// Numbers for the pixels, and which number is transparent.
fn indexed(raster: &Raster) -> Result<(Indexed, Option<u8>), Error> {
    let mut indexed = match palette::exact(raster, 256) {
        Some(indexed) => indexed,
        None if raster.has_alpha() => palette::nearest(raster, 255)?,
        None => palette::nearest(raster, 256)?,
    };
    if !raster.has_alpha() {
        return Ok((indexed, None));
    }
    if let Some(number) = indexed.colours.iter().position(|colour| colour[3] == 0) {
        return Ok((indexed, Some(number as u8)));
    }
    let transparent = indexed.colours.len() as u8;
    indexed.colours.push([0; 4]);
    let (pixels, _) = raster.data.as_chunks::<4>();
    for (number, pixel) in indexed.pixels.iter_mut().zip(pixels) {
        if pixel[3] == 0 {
            *number = transparent;
        }
    }
    Ok((indexed, Some(transparent)))
}
