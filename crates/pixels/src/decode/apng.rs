//! APNG (PNG, third edition, section 11.3.2.1 to 3): each frame is put or laid on the canvas, and
//! taken off it as its disposal says.

use std::io::Cursor;

use png::{BlendOp, ColorType, DisposeOp, Reader, Transformations};

use super::{Frame, Plays, png as stills};
use crate::colour::{self, Gamuts, Samples};
use crate::raster::Raster;
use crate::{Error, Header};

pub(crate) struct Frames<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    /// RGBA, as stored.
    canvas: Raster,
    /// One frame as it is decoded.
    samples: Vec<u8>,
    pending: Option<Pending>,
    left: u32,
}

/// How the last frame leaves the canvas before the next is drawn.
enum Pending {
    Clear(Place),
    Restore(Vec<u8>),
}

/// Where a frame lies. It was found to be inside of the canvas.
#[derive(Clone, Copy)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(source: &'a [u8], header: &Header) -> Result<Self, Error> {
        let mut reader = stills::reader(source, Transformations::ALPHA)?;
        let (width, height) = reader.info().size();
        if (width, height) != header.stored_size() {
            return Err(Error::corrupt("the header of the PNG is broken"));
        }
        let length = reader.output_buffer_size();
        let mut samples = vec![0; length.ok_or_else(|| Error::corrupt("a size without meaning"))?];
        if reader.info().frame_control().is_none() {
            // The default image is for those who know no animation.
            reader.next_frame(&mut samples).map_err(Error::corrupt)?;
        }
        Ok(Self {
            reader,
            canvas: Raster::new(
                width,
                height,
                4,
                vec![0; width as usize * height as usize * 4],
            ),
            samples,
            pending: None,
            left: header.frames,
        })
    }

    pub(super) fn plays(&self) -> Plays {
        match self.reader.info().animation_control() {
            Some(control) if control.num_plays > 0 => Plays::Times(control.num_plays),
            _ => Plays::Forever,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.pending.take() {
            Some(Pending::Clear(place)) => self.rows(place).for_each(|row| row.fill(0)),
            Some(Pending::Restore(data)) => self.canvas.data = data,
            None => {}
        }
        let read = self.reader.next_frame(&mut self.samples);
        read.map_err(Error::corrupt)?;
        let info = self.reader.info();
        let control = *info
            .frame_control()
            .ok_or_else(|| Error::corrupt("a frame without a place"))?;
        let ends = |start: u32, length: u32| start.checked_add(length);
        let inside = ends(control.x_offset, control.width).is_some_and(|x| x <= self.canvas.width)
            && ends(control.y_offset, control.height).is_some_and(|y| y <= self.canvas.height);
        if !inside {
            return Err(Error::corrupt("a frame outside of the picture"));
        }
        let place = Place {
            left: control.x_offset as usize,
            top: control.y_offset as usize,
            width: control.width as usize,
            height: control.height as usize,
        };
        self.pending = match control.dispose_op {
            DisposeOp::None => None,
            DisposeOp::Background => Some(Pending::Clear(place)),
            DisposeOp::Previous => Some(Pending::Restore(self.canvas.data.clone())),
        };
        self.draw(place, control.blend_op);
        let info = self.reader.info();
        let profile = stills::profile(info, false);
        let (width, height) = self.canvas.size();
        let data = self.canvas.data.clone();
        Ok(Some(Frame {
            raster: colour::to_rgb_from(width, height, Samples::Rgba(data), profile, Gamuts::Srgb),
            delay: milliseconds(control.delay_num, control.delay_den),
        }))
    }

    fn draw(&mut self, place: Place, blend: BlendOp) {
        let gray = self.reader.output_color_type().0 == ColorType::GrayscaleAlpha;
        let channels = if gray { 2 } else { 4 };
        let samples = std::mem::take(&mut self.samples);
        let rows = samples.chunks_exact((place.width * channels).max(1));
        for (target, row) in self.rows(place).zip(rows) {
            let (target, _) = target.as_chunks_mut::<4>();
            for (below, above) in target.iter_mut().zip(row.chunks_exact(channels)) {
                let above = match *above {
                    [gray, alpha] => [gray, gray, gray, alpha],
                    [red, green, blue, alpha] => [red, green, blue, alpha],
                    _ => continue,
                };
                *below = match blend {
                    BlendOp::Source => above,
                    BlendOp::Over => over(above, *below),
                };
            }
        }
        self.samples = samples;
    }

    /// The canvas where a frame lies.
    fn rows(&mut self, place: Place) -> impl Iterator<Item = &mut [u8]> {
        let stride = self.canvas.row_bytes();
        let rows = self.canvas.data.chunks_exact_mut(stride);
        rows.skip(place.top)
            .take(place.height)
            .map(move |row| &mut row[place.left * 4..(place.left + place.width) * 4])
    }
}

/// The operator of Porter and Duff (1984), on values which are not premultiplied.
fn over(above: [u8; 4], below: [u8; 4]) -> [u8; 4] {
    match (above[3], below[3]) {
        (255, _) | (_, 0) => return above,
        (0, _) => return below,
        _ => {}
    }
    let (a, b) = (
        u32::from(above[3]) * 255,
        u32::from(below[3]) * u32::from(255 - above[3]),
    );
    let both = a + b;
    let mixed = |channel: usize| {
        let (above, below) = (u32::from(above[channel]), u32::from(below[channel]));
        ((above * a + below * b + both / 2) / both) as u8
    };
    [mixed(0), mixed(1), mixed(2), ((both + 127) / 255) as u8]
}

/// A denominator of 0 means hundredths.
fn milliseconds(numerator: u16, denominator: u16) -> u32 {
    let denominator = match denominator {
        0 => 100,
        denominator => u32::from(denominator),
    };
    (u32::from(numerator) * 1000 + denominator / 2) / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_lie_over_each_other() {
        for (above, below, expected) in [
            ([9, 9, 9, 255], [1, 2, 3, 255], [9, 9, 9, 255]),
            ([9, 9, 9, 0], [1, 2, 3, 40], [1, 2, 3, 40]),
            ([9, 9, 9, 7], [0, 0, 0, 0], [9, 9, 9, 7]),
            ([255, 0, 0, 128], [0, 0, 255, 255], [128, 0, 127, 255]),
            ([255, 0, 0, 128], [0, 0, 255, 128], [170, 0, 85, 192]),
        ] {
            assert_eq!(over(above, below), expected);
        }
    }

    #[test]
    fn delays_are_fractions_of_a_second() {
        for (numerator, denominator, expected) in [
            (1, 10, 100),
            (7, 0, 70),
            (1, 30, 33),
            (0, 5, 0),
            (65_535, 1, 65_535_000),
        ] {
            assert_eq!(milliseconds(numerator, denominator), expected);
        }
    }
}
