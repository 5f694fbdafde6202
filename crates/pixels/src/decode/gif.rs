//! GIF: each frame is drawn onto the canvas, and taken off it as its disposal says.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, Decoder, DisposalMethod, MemoryLimit, Repeat};

use super::{Frame, Plays};
use crate::raster::Raster;
use crate::{Error, Header};

pub(crate) struct Frames<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    canvas: Raster,
    pending: Option<Pending>,
}

/// How the last frame leaves the canvas before the next is drawn.
enum Pending {
    Clear(Place),
    Restore(Vec<u8>),
}

/// Where a frame lies; part of it may be off the canvas.
#[derive(Clone, Copy)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(source: &'a [u8], header: &Header) -> Result<Self, Error> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::RGBA);
        // A frame may stick out of the canvas, but not be out of all proportion to it: the limit of
        // pixels counts canvases.
        let canvas = u64::from(header.width) * u64::from(header.height);
        let bytes = canvas.saturating_mul(2).max(1 << 16).saturating_mul(4);
        if let Some(bytes) = std::num::NonZeroU64::new(bytes) {
            options.set_memory_limit(MemoryLimit::Bytes(bytes));
        }
        let decoder = options
            .read_info(Cursor::new(source))
            .map_err(Error::corrupt)?;
        let length = header.width as usize * header.height as usize * 4;
        Ok(Self {
            decoder,
            canvas: Raster::new(header.width, header.height, 4, vec![0; length]),
            pending: None,
        })
    }

    pub(super) fn plays(&self) -> Plays {
        match self.decoder.repeat() {
            Repeat::Infinite => Plays::Forever,
            Repeat::Finite(repetitions) => Plays::Times(u32::from(repetitions) + 1),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        match self.pending.take() {
            Some(Pending::Clear(place)) => self.clear(place),
            Some(Pending::Restore(data)) => self.canvas.data = data,
            None => {}
        }
        let frame = match self.decoder.read_next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(error) => return Err(Error::corrupt(error)),
        };
        let place = Place {
            left: frame.left.into(),
            top: frame.top.into(),
            width: frame.width.into(),
            height: frame.height.into(),
        };
        self.pending = match frame.dispose {
            DisposalMethod::Background => Some(Pending::Clear(place)),
            DisposalMethod::Previous => Some(Pending::Restore(self.canvas.data.clone())),
            DisposalMethod::Any | DisposalMethod::Keep => None,
        };
        draw(&mut self.canvas, &frame.buffer, place);
        Ok(Some(Frame {
            delay: u32::from(frame.delay) * 10,
            raster: self.canvas.clone(),
        }))
    }

    fn clear(&mut self, place: Place) {
        for (start, end) in spans(&self.canvas, place) {
            self.canvas.data[start..end].fill(0);
        }
    }
}

fn draw(canvas: &mut Raster, pixels: &[u8], place: Place) {
    let source_rows = pixels.chunks_exact((place.width * 4).max(1));
    let targets: Vec<(usize, usize)> = spans(canvas, place).collect();
    for (row, (start, end)) in source_rows.zip(targets) {
        let target = canvas.data[start..end].chunks_exact_mut(4);
        for (to, from) in target.zip(row.chunks_exact(4)) {
            // Pixels are there or not; nothing between.
            if from[3] != 0 {
                to.copy_from_slice(from);
            }
        }
    }
}

/// The bytes of each row of a place, as far as it is on the canvas.
fn spans(canvas: &Raster, place: Place) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (width, height) = (canvas.width as usize, canvas.height as usize);
    let left = place.left.min(width);
    let right = place.left.saturating_add(place.width).min(width);
    let bottom = place.top.saturating_add(place.height).min(height);
    (place.top.min(bottom)..bottom).map(move |y| ((y * width + left) * 4, (y * width + right) * 4))
}

#[cfg(test)]
mod tests {
    use model::Limits;

    use super::*;
    use crate::inspect;

    const RED: [u8; 4] = [255, 0, 0, 255];
    const GREEN: [u8; 4] = [0, 255, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const CLEAR: [u8; 4] = [0; 4];

    fn gif(height: u16, frames: &[gif::Frame<'_>]) -> Vec<u8> {
        let global = [RED, GREEN, BLUE, CLEAR].map(|colour| [colour[0], colour[1], colour[2]]);
        let mut encoder = gif::Encoder::new(Vec::new(), 4, height, &global.concat()).unwrap();
        for frame in frames {
            encoder.write_frame(frame).unwrap();
        }
        encoder.into_inner().unwrap()
    }

    fn seen(source: &[u8]) -> Vec<(u32, Vec<[u8; 4]>)> {
        let header = inspect(source, &Limits::default()).unwrap();
        let mut frames = Frames::new(source, &header).unwrap();
        std::iter::from_fn(|| frames.next().unwrap())
            .map(|frame| (frame.delay, frame.raster.data.as_chunks::<4>().0.to_vec()))
            .collect()
    }

    #[test]
    fn a_frame_leaves_the_canvas_as_its_disposal_says() {
        // Red all over; then green in the middle, with a hole; then blue at the left.
        for (dispose, after) in [
            (DisposalMethod::Any, [BLUE, GREEN, RED, RED]),
            (DisposalMethod::Keep, [BLUE, GREEN, RED, RED]),
            (DisposalMethod::Background, [BLUE, CLEAR, CLEAR, RED]),
            (DisposalMethod::Previous, [BLUE, RED, RED, RED]),
        ] {
            let part = |left, width, buffer: &'static [u8], dispose| gif::Frame {
                left,
                width,
                height: 1,
                dispose,
                transparent: Some(3),
                buffer: buffer.into(),
                ..gif::Frame::default()
            };
            let frames = [
                part(0, 4, &[0, 0, 0, 0], DisposalMethod::Keep),
                part(1, 2, &[1, 3], dispose),
                part(0, 1, &[2], DisposalMethod::Keep),
            ];
            let seen: Vec<_> = seen(&gif(1, &frames))
                .into_iter()
                .map(|frame| frame.1)
                .collect();
            assert_eq!(
                seen,
                [[RED; 4], [RED, GREEN, RED, RED], after],
                "{dispose:?}"
            );
        }
    }

    #[test]
    fn rows_palettes_and_delays_are_those_of_the_frame() {
        // Interlaced rows come as 0 and 8, 4, 2 and 6, then the odd ones.
        let order = [0_u8, 8, 4, 2, 6, 1, 3, 5, 7];
        let palette: Vec<u8> = (0..16_u8).flat_map(|row| [row, 100 + row, 7]).collect();
        let frames = [false, true].map(|interlaced| {
            let rows = if interlaced {
                order
            } else {
                [0, 1, 2, 3, 4, 5, 6, 7, 8]
            };
            gif::Frame {
                width: 4,
                height: 9,
                interlaced,
                delay: if interlaced { 0 } else { 65_535 },
                palette: Some(palette.clone()),
                buffer: rows.iter().flat_map(|row| [*row; 4]).collect(),
                ..gif::Frame::default()
            }
        });
        let expected: Vec<[u8; 4]> = (0..9)
            .flat_map(|row| [[row, 100 + row, 7, 255]; 4])
            .collect();
        let seen = seen(&gif(9, &frames));
        assert_eq!(seen, [(655_350, expected.clone()), (0, expected)]);
    }
}
