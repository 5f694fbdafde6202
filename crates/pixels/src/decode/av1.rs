//! One AV1 picture through rav1d, whose interface is that of dav1d.
#![expect(unsafe_code, reason = "the decoder has a C interface")]

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use rav1d::Dav1dResult;
use rav1d::include::dav1d::data::Dav1dData;
use rav1d::include::dav1d::dav1d::{Dav1dContext, Dav1dLogger, Dav1dSettings};
use rav1d::include::dav1d::picture::Dav1dPicture;
use rav1d::src::lib as dav1d;

use crate::Error;

/// The decoder wants to be asked again.
const TRY_AGAIN: Dav1dResult = Dav1dResult(-11);

/// Threads, each with a frame of its own. With a single one, rav1d 1.1 ends the process over whatever
/// is damaged, because it takes the frame's header away twice (its issue 1497).
const CONTEXTS: i32 = 2;

/// How often the decoder is asked for a picture of one item; layered ones have a few frames.
const ROUNDS_MAX: usize = 64;

/// How the samples of a picture are to be read (AV1 specification, section 6.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub primaries: u16,
    pub transfer: u16,
    pub matrix: u16,
    pub full_range: bool,
}

/// A decoded picture.
///
/// Safety: it was written by `dav1d_get_picture` with success and was judged, so that its planes have
/// as many rows as `plane_size` says, `stride` bytes apart, each of at least `row_bytes` bytes, until
/// `drop` gives it back.
pub(super) struct Picture(Dav1dPicture);

/// The samples of one row.
pub(super) enum Row<'a> {
    Bytes(&'a [u8]),
    /// 10 or 12 bits each.
    Words(&'a [u16]),
}

/// Decodes the picture of an item. One of more than `area_max` pixels is refused before it is
/// allocated.
pub(super) fn decode(bytes: &[u8], area_max: u64) -> Result<Picture, Error> {
    Decoder::open(area_max)?.next(bytes)
}

fn broken() -> Error {
    Error::corrupt("the AV1 data is broken or cut off")
}

/// Decodes pictures which may refer to earlier ones.
///
/// Safety: the context comes from `dav1d_open`, is owned by this value alone and is closed once, in
/// `drop`.
pub(super) struct Decoder(Option<Dav1dContext>);

impl Decoder {
    /// For pictures of `area_max` pixels at most.
    pub(super) fn open(area_max: u64) -> Result<Self, Error> {
        let mut settings = MaybeUninit::<Dav1dSettings>::uninit();
        // SAFETY: the structure is written as a whole before it is read.
        let mut settings = unsafe {
            dav1d::dav1d_default_settings(NonNull::from(&mut settings).cast());
            settings.assume_init()
        };
        settings.n_threads = CONTEXTS;
        settings.max_frame_delay = CONTEXTS;
        settings.all_layers = 0;
        settings.frame_size_limit = u32::try_from(area_max).unwrap_or(u32::MAX);
        // SAFETY: without a callback there is nothing to be called.
        settings.logger = unsafe { Dav1dLogger::new(None, None) };
        let mut context = None;
        // SAFETY: both pointers are to values which live during the call.
        let opened = unsafe {
            dav1d::dav1d_open(
                Some(NonNull::from(&mut context)),
                Some(NonNull::from(&mut settings)),
            )
        };
        if opened == Dav1dResult(0) && context.is_some() {
            Ok(Self(context))
        } else {
            Err(Error::Unavailable("AVIF decoding"))
        }
    }

    /// The next picture, which `bytes` are to complete.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Picture, Error> {
        let mut rest = Data::of(bytes)?;
        let mut found = None;
        for _ in 0..ROUNDS_MAX {
            self.send(&mut rest)?;
            let picture = self.picture()?;
            let done = picture.is_none() && rest.0.sz == 0;
            found = found.or(picture);
            if done {
                // What was held back, for a better layer to follow, comes now or never.
                return match found {
                    Some(picture) => Ok(picture),
                    None => self.picture()?.ok_or_else(broken),
                };
            }
        }
        Err(broken())
    }

    fn send(&mut self, data: &mut Data) -> Result<(), Error> {
        if data.0.sz == 0 {
            return Ok(());
        }
        // SAFETY: the context is open, and the data is owned and lives during the call, which takes
        // from it what it consumes.
        let sent = unsafe { dav1d::dav1d_send_data(self.0, Some(NonNull::from(&mut data.0))) };
        if sent == Dav1dResult(0) || sent == TRY_AGAIN {
            Ok(())
        } else {
            Err(broken())
        }
    }

    fn picture(&mut self) -> Result<Option<Picture>, Error> {
        // What is written where none comes has to be given back as well.
        let mut picture = Picture(Dav1dPicture::default());
        // SAFETY: the context is open, and the picture is an empty one which lives during the call.
        let got = unsafe { dav1d::dav1d_get_picture(self.0, Some(NonNull::from(&mut picture.0))) };
        if got == Dav1dResult(0) {
            picture.judged().map(Some)
        } else if got == TRY_AGAIN {
            Ok(None)
        } else {
            Err(broken())
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { dav1d::dav1d_close(Some(NonNull::from(&mut self.0))) }
    }
}

/// Safety: it comes from `dav1d_data_create`, is owned by this value alone, and what the decoder has
/// not taken is given back in `drop`.
struct Data(Dav1dData);

impl Data {
    fn of(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(broken());
        }
        let mut data = Dav1dData::default();
        // SAFETY: the structure lives during the call. What comes back is room for as many bytes as
        // were asked for, or null; it is fresh, so that it cannot overlap the source.
        unsafe {
            let room = dav1d::dav1d_data_create(Some(NonNull::from(&mut data)), bytes.len());
            if room.is_null() {
                return Err(broken());
            }
            room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Ok(Self(data))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // SAFETY: see the type; giving back what is empty does nothing.
        unsafe { dav1d::dav1d_data_unref(Some(NonNull::from(&mut self.0))) }
    }
}

impl Picture {
    fn judged(self) -> Result<Self, Error> {
        let parameters = &self.0.p;
        let sound = parameters.w > 0
            && parameters.h > 0
            && matches!(parameters.bpc, 8 | 10 | 12)
            && (0..self.planes()).all(|plane| {
                self.0.data[plane].is_some()
                    && self.stride(plane).unsigned_abs() >= self.row_bytes(plane)
            });
        if sound { Ok(self) } else { Err(broken()) }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (self.0.p.w as u32, self.0.p.h as u32)
    }

    /// Bits of a sample: 8, 10 or 12.
    pub(super) fn bits(&self) -> u32 {
        self.0.p.bpc as u32
    }

    /// Whether there is brightness alone.
    pub(super) fn is_monochrome(&self) -> bool {
        self.0.p.layout == 0
    }

    /// Whether colour has half as many samples across, and down.
    pub(super) fn subsampling(&self) -> (bool, bool) {
        (matches!(self.0.p.layout, 1 | 2), self.0.p.layout == 1)
    }

    /// What the bitstream says about its samples.
    pub(super) fn coding(&self) -> Coding {
        // SAFETY: the header belongs to the picture and lives as long.
        let header = self.0.seq_hdr.map(|header| unsafe { header.as_ref() });
        header.map_or(
            Coding {
                primaries: 2,
                transfer: 2,
                matrix: 2,
                full_range: true,
            },
            |header| Coding {
                primaries: header.pri as u16,
                transfer: header.trc as u16,
                matrix: header.mtrx as u16,
                full_range: header.color_range != 0,
            },
        )
    }

    fn planes(&self) -> usize {
        if self.is_monochrome() { 1 } else { 3 }
    }

    fn stride(&self, plane: usize) -> isize {
        self.0.stride[usize::from(plane > 0)]
    }

    /// Samples of a row, and rows.
    fn plane_size(&self, plane: usize) -> (usize, usize) {
        let (width, height) = self.size();
        let (across, down) = self.subsampling();
        let half = |size: u32, halved: bool| {
            if plane > 0 && halved {
                size.div_ceil(2) as usize
            } else {
                size as usize
            }
        };
        (half(width, across), half(height, down))
    }

    fn row_bytes(&self, plane: usize) -> usize {
        self.plane_size(plane).0 * if self.bits() > 8 { 2 } else { 1 }
    }

    /// A row of a plane, the last one if there are fewer: 0 is brightness, 1 and 2 are colour.
    pub(super) fn row(&self, plane: usize, y: usize) -> Row<'_> {
        let (width, height) = self.plane_size(plane);
        let Some(start) = self.0.data.get(plane).copied().flatten() else {
            return Row::Bytes(&[]);
        };
        let offset = y.min(height - 1).cast_signed() * self.stride(plane);
        // SAFETY: the row is inside of the plane (see the type), which is aligned to 64 bytes, as
        // its stride is.
        unsafe {
            let start = start.as_ptr().cast::<u8>().offset(offset);
            if self.bits() > 8 {
                Row::Words(slice::from_raw_parts(start.cast(), width))
            } else {
                Row::Bytes(slice::from_raw_parts(start, width))
            }
        }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { dav1d::dav1d_picture_unref(Some(NonNull::from(&mut self.0))) }
        // What rav1d 1.1 leaves is no empty picture: it has made a list of metadata for it, which
        // nobody would ever give back.
        if let Some(list) = self.0.itut_t35_ref.take() {
            // SAFETY: the call before has just made it, and it is taken, so that this is the only one.
            drop(unsafe { list.into_arc() });
        }
    }
}
