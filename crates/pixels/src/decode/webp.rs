//! WebP through libwebp.
#![expect(unsafe_code, reason = "the codec is a C library")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use libwebp_sys as sys;

use super::{Frame, Plays};
use crate::colour::{self, Gamuts, Samples};
use crate::raster::Raster;
use crate::{Error, Header, inspect};

/// A still image.
pub(super) fn decode(source: &[u8], gamuts: Gamuts) -> Result<Raster, Error> {
    let features = features(source)?;
    let (width, height) = (features.width.max(0) as u32, features.height.max(0) as u32);
    let has_alpha = features.has_alpha != 0;
    let channels = if has_alpha { 4 } else { 3 };
    let stride = width as usize * channels;
    let mut data = vec![0_u8; stride * height as usize];
    let into = if has_alpha {
        sys::WebPDecodeRGBAInto
    } else {
        sys::WebPDecodeRGBInto
    };
    // SAFETY: source and target are slices with their lengths, and the stride is that of the rows;
    // the library refuses a target which is too small. It neither keeps the pointers nor unwinds.
    let decoded = unsafe {
        into(
            source.as_ptr(),
            source.len(),
            data.as_mut_ptr(),
            data.len(),
            stride as i32,
        )
    };
    if decoded.is_null() {
        return Err(Error::corrupt("the WebP data is broken or cut off"));
    }
    let samples = if has_alpha {
        Samples::Rgba(data)
    } else {
        Samples::Rgb(data)
    };
    Ok(colour::to_rgb(
        width,
        height,
        samples,
        inspect::webp::icc(source),
        gamuts,
    ))
}

fn features(source: &[u8]) -> Result<sys::WebPBitstreamFeatures, Error> {
    let mut features = MaybeUninit::zeroed();
    // SAFETY: source is a slice with its length, and the structure is written before it is read; it
    // has only numbers, for which zeros are valid.
    unsafe {
        let status = sys::WebPGetFeatures(source.as_ptr(), source.len(), features.as_mut_ptr());
        if status != sys::VP8StatusCode::VP8_STATUS_OK {
            return Err(Error::corrupt("the header of the WebP is broken"));
        }
        Ok(features.assume_init())
    }
}

/// The pictures of an animation, composed by libwebp.
///
/// Safety: `decoder` comes from `WebPAnimDecoderNew`, is not null, is owned by this value alone and
/// is deleted once, in `drop`. It keeps a pointer to the source, which the lifetime keeps alive.
pub(crate) struct Frames<'a> {
    decoder: *mut sys::WebPAnimDecoder,
    info: sys::WebPAnimInfo,
    profile: Option<&'a [u8]>,
    /// When the last frame ended, in milliseconds.
    time: i32,
    _source: PhantomData<&'a [u8]>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(source: &'a [u8], header: &Header) -> Result<Self, Error> {
        let data = sys::WebPData {
            bytes: source.as_ptr(),
            size: source.len(),
        };
        // SAFETY: the data describes a slice which lives for 'a. Options are left out, which the
        // library allows: RGBA, one thread. It copies the description of the data.
        let decoder = unsafe { sys::WebPAnimDecoderNew(&raw const data, ptr::null()) };
        if decoder.is_null() {
            return Err(Error::corrupt("the WebP animation is broken or cut off"));
        }
        let mut this = Self {
            decoder,
            info: sys::WebPAnimInfo::default(),
            profile: inspect::webp::icc(source),
            time: 0,
            _source: PhantomData,
        };
        // SAFETY: the decoder is valid and the structure is ours.
        let known = unsafe { sys::WebPAnimDecoderGetInfo(this.decoder, &raw mut this.info) };
        // The canvas was judged by our own reading of the header; both must mean the same.
        if known == 0 || (this.info.canvas_width, this.info.canvas_height) != header.stored_size() {
            return Err(Error::corrupt("the header of the WebP is broken"));
        }
        Ok(this)
    }

    pub(super) fn plays(&self) -> Plays {
        match self.info.loop_count {
            0 => Plays::Forever,
            times => Plays::Times(times),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        // SAFETY: the decoder is valid.
        if unsafe { sys::WebPAnimDecoderHasMoreFrames(self.decoder) } == 0 {
            return Ok(None);
        }
        let mut canvas = ptr::null_mut();
        let mut time = 0;
        // SAFETY: the decoder is valid, and both targets are ours.
        let decoded =
            unsafe { sys::WebPAnimDecoderGetNext(self.decoder, &raw mut canvas, &raw mut time) };
        if decoded == 0 || canvas.is_null() {
            return Err(Error::corrupt("a frame of the WebP is broken"));
        }
        let (width, height) = (self.info.canvas_width, self.info.canvas_height);
        let length = width as usize * height as usize * 4;
        // SAFETY: the library documents a canvas of width * height * 4 bytes which is its own until
        // the next call; it is copied before that.
        let data = unsafe { std::slice::from_raw_parts(canvas, length) }.to_vec();
        let delay = time.saturating_sub(self.time).max(0) as u32;
        self.time = time;
        Ok(Some(Frame {
            raster: colour::to_rgb(
                width,
                height,
                Samples::Rgba(data),
                self.profile,
                Gamuts::Srgb,
            ),
            delay,
        }))
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { sys::WebPAnimDecoderDelete(self.decoder) };
    }
}
