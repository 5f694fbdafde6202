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
