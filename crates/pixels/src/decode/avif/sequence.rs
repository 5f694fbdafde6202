//! Sequences of pictures, in a track for colour and another for alpha.

use crate::colour::Gamuts;
use crate::heif::{self, Display, Sample, Sequence, Track};
use crate::{Cancel, Error, Header};

use super::super::av1::{Coding, Decoder};
use super::super::{Frame, Plays};
use super::conversion::{Plain, Wanted, convert};
use super::{area_of_blocks, finish, nclx};

/// The pictures of a sequence.
pub(crate) struct Frames<'a> {
    colour: Pictures<'a>,
    alpha: Option<Pictures<'a>>,
    premultiplied: bool,
    plays: Plays,
    size: (u32, u32),
    icc: Option<&'a [u8]>,
    display: Display,
}

impl<'a> Frames<'a> {
    pub(in crate::decode) fn new(source: &'a [u8], header: &Header) -> Result<Self, Error> {
        let sequence = Sequence::read(source);
        Self::of(
            sequence.ok_or_else(|| Error::corrupt("no pictures"))?,
            header,
        )
    }

    pub(super) fn of(sequence: Sequence<'a>, header: &Header) -> Result<Self, Error> {
        let colour = &sequence.colour;
        let size = colour.size();
        // The number of frames was judged.
        if colour.samples() != header.frames {
            return Err(Error::corrupt("its number of frames is broken"));
        }
        let properties = || colour.properties();
        let colr = properties().filter(|(name, _)| *name == b"colr");
        Ok(Self {
            icc: colr.map(|(_, body)| body).find_map(heif::icc),
            display: Display::of(size, properties()),
            premultiplied: sequence.premultiplied,
            plays: sequence.plays,
            size,
            alpha: match sequence.alpha {
                Some(alpha) => Some(Pictures::of(alpha, size, Wanted::Alpha)?),
                None => None,
            },
            colour: Pictures::of(sequence.colour, size, Wanted::Colour)?,
        })
    }

    pub(in crate::decode) fn plays(&self) -> Plays {
        self.plays
    }

    pub(in crate::decode) fn next(&mut self, cancel: &Cancel) -> Result<Option<Frame>, Error> {
        let Some((colour, delay)) = self.colour.next(self.size, cancel)? else {
            return Ok(None);
        };
        let alpha = match &mut self.alpha {
            Some(pictures) => pictures.next(self.size, cancel)?,
            None => None,
        };
        let alpha = alpha.map(|(alpha, _)| (alpha, self.premultiplied));
        Ok(Some(Frame {
            raster: finish(
                self.size,
                colour,
                alpha,
                (self.icc, self.display),
                Gamuts::Srgb,
            ),
            delay,
        }))
    }
}

/// The pictures of one track.
struct Pictures<'a> {
    track: Track<'a>,
    samples: std::vec::IntoIter<Sample>,
    decoder: Decoder,
    said: Option<Coding>,
    wanted: Wanted,
}

impl<'a> Pictures<'a> {
    /// All of `size`; of a track whose number of samples was judged.
    fn of(track: Track<'a>, size: (u32, u32), wanted: Wanted) -> Result<Self, Error> {
        let samples = track.find_samples();
        let samples = samples.ok_or_else(|| Error::corrupt("its frames are not there"))?;
        let mut colr = track.properties().filter(|(name, _)| *name == b"colr");
        Ok(Self {
            said: colr.find_map(|(_, body)| nclx(body)),
            track,
            samples: samples.into_iter(),
            decoder: Decoder::open(area_of_blocks(size))?,
            wanted,
        })
    }

    /// The next picture and the milliseconds for which it is shown.
    fn next(&mut self, size: (u32, u32), cancel: &Cancel) -> Result<Option<(Plain, u32)>, Error> {
        let Some(sample) = self.samples.next() else {
            return Ok(None);
        };
        let bytes = self.track.bytes(&sample);
        let bytes = bytes.ok_or_else(|| Error::corrupt("a frame is cut off"))?;
        let picture = self.decoder.next(bytes)?;
        if picture.size() != size {
            return Err(Error::corrupt("a frame has another size"));
        }
        let coding = self.said.unwrap_or_else(|| picture.coding());
        let plain = convert(&picture, coding, self.wanted, cancel)?;
        Ok(Some((plain, sample.delay)))
    }
}
