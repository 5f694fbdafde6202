//! WebP through libwebp.
#![expect(unsafe_code, reason = "the codec is a C library")]

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use libwebp_sys as sys;

use crate::decode::{Frame, Plays};
use crate::planes::{Plane, Planes};
use crate::raster::Raster;
use crate::{Cancel, Error};

/// How much work goes into a picture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// For stills without alpha.
    Full,
    /// For pictures with alpha, whose plane is costly to pack, and for animations: `Full` takes half as
    /// long again and saves 3 to 8 %.
    Quick,
}

impl Effort {
    /// The library's number, 0 to 6. Its default, 4, takes as long as 3 and saves nothing.
    fn method(self) -> c_int {
        match self {
            Self::Full => 3,
            Self::Quick => 2,
        }
    }
}

/// Milliseconds a frame can be shown: the format has 24 bits for them.
const DELAY_MAX: u32 = (1 << 24) - 1;

/// Encodes a still image; quality 100 is lossless.
pub(super) fn encode(raster: &Raster, quality: u8, cancel: &Cancel) -> Result<Vec<u8>, Error> {
    let effort = if raster.has_alpha() {
        Effort::Quick
    } else {
        Effort::Full
    };
    let config = config(quality, effort)?;
    write(
        &config,
        Picture::new(raster, quality == 100, cancel)?,
        cancel,
    )
}

/// The same from planes in which four pixels share a sample of colour; quality is below 100.
pub(super) fn encode_planes(
    planes: Planes,
    quality: u8,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    let mut planes = Narrow::from(planes);
    write(
        &config(quality, Effort::Full)?,
        Picture::of(&mut planes, cancel)?,
        cancel,
    )
}

fn write(
    config: &sys::WebPConfig,
    mut picture: Picture<'_>,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    picture.inner.writer = Some(sys::WebPMemoryWrite);
    picture.inner.custom_ptr = (&raw mut writer.inner).cast();
    // SAFETY: the configuration is valid; the picture holds its pixels; the writer lives until the
    // end of this function and is what `WebPMemoryWrite` expects in `custom_ptr`.
    let encoded = unsafe { sys::WebPEncode(config, &raw mut picture.inner) };
    if encoded == 0 {
        return Err(picture.error(cancel));
    }
    Ok(writer.bytes().to_vec())
}

fn config(quality: u8, effort: Effort) -> Result<sys::WebPConfig, Error> {
    let mut config = sys::WebPConfig::new()
        .map_err(|()| Error::encode("the version of libwebp does not fit"))?;
    config.method = effort.method();
    if quality == 100 {
        // Here quality is effort. Colour beneath transparent pixels is kept: all are identical.
        config.lossless = 1;
        config.quality = 75.0;
        config.exact = 1;
    } else {
        config.quality = quality.into();
        if effort == Effort::Full {
            // More bits for what is smooth, and a simpler, weaker filter which smooths less: 3 % fewer
            // bytes at an equal score than by the library's preset (docs/decisions/0016).
            config.sns_strength = 85;
            config.filter_type = 0;
            config.filter_strength = 50;
            config.filter_sharpness = 7;
        }
    }
    Ok(config)
}

/// Planes in the range of video, which is the range of WebP: 16 to 235 for brightness, 16 to 240 for
/// colour (RFC 6386, section 9.2).
struct Narrow {
    luma: Plane,
    chroma: [Plane; 2],
}

impl From<Planes> for Narrow {
    fn from(planes: Planes) -> Self {
        let (columns, rows) = (planes.width.div_ceil(2), planes.height.div_ceil(2));
        let neutral = || Plane::new(columns, rows, vec![128; columns as usize * rows as usize]);
        let mut chroma = planes.chroma.unwrap_or_else(|| [neutral(), neutral()]);
        let mut luma = planes.luma;
        let narrow = |plane: &mut Plane, table: [u8; 256]| {
            for sample in &mut plane.data {
                *sample = table[usize::from(*sample)];
            }
        };
        narrow(&mut luma, table(|full| 16.0 + full * 219.0 / 255.0));
        for plane in &mut chroma {
            narrow(plane, table(|full| 128.0 + (full - 128.0) * 224.0 / 255.0));
        }
        Self { luma, chroma }
    }
}

fn table(function: impl Fn(f64) -> f64) -> [u8; 256] {
    std::array::from_fn(|full| function(full as f64).round().clamp(0.0, 255.0) as u8)
}

/// Pixels in the library's own memory, or planes lent to it.
///
/// Safety: `inner` was initialised by the library and is freed once, in `drop`. `user_data` points
/// to a `Cancel` which the lifetime keeps alive; the hook reads it from the same thread.
struct Picture<'a> {
    inner: sys::WebPPicture,
    _lent: PhantomData<(&'a Cancel, &'a mut Narrow)>,
}

impl<'a> Picture<'a> {
    fn of(planes: &'a mut Narrow, cancel: &'a Cancel) -> Result<Self, Error> {
        let Narrow {
            luma,
            chroma: [blue, red],
        } = planes;
        let half = (luma.width.div_ceil(2), luma.height.div_ceil(2));
        let fits = |plane: &Plane, (width, height): (u32, u32)| {
            (plane.width, plane.height) == (width, height)
                && plane.data.len() == width as usize * height as usize
        };
        if !(fits(luma, (luma.width, luma.height)) && fits(blue, half) && fits(red, half)) {
            return Err(Error::encode("the planes are not of the size they claim"));
        }
        let mut this = Self::empty((luma.width, luma.height), cancel)?;
        // The library frees only what it allocated itself, and does not here.
        this.inner.y = luma.data.as_mut_ptr();
        this.inner.y_stride = luma.width as c_int;
        this.inner.u = blue.data.as_mut_ptr();
        this.inner.v = red.data.as_mut_ptr();
        this.inner.uv_stride = half.0 as c_int;
        Ok(this)
    }

    fn new(raster: &Raster, lossless: bool, cancel: &'a Cancel) -> Result<Self, Error> {
        let mut this = Self::empty(raster.size(), cancel)?;
        this.inner.use_argb = lossless.into();
        let stride = raster.row_bytes() as c_int;
        let import = if raster.has_alpha() {
            sys::WebPPictureImportRGBA
        } else {
            sys::WebPPictureImportRGB
        };
        // SAFETY: the raster has height rows of stride bytes, as the picture was just told.
        let imported = unsafe { import(&raw mut this.inner, raster.data.as_ptr(), stride) };
        if imported == 0 {
            return Err(this.error(cancel));
        }
        Ok(this)
    }

    fn empty((width, height): (u32, u32), cancel: &'a Cancel) -> Result<Self, Error> {
        let inner = sys::WebPPicture::new()
            .map_err(|()| Error::encode("the version of libwebp does not fit"))?;
        let mut this = Self {
            inner,
            _lent: PhantomData,
        };
        this.inner.width = width as c_int;
        this.inner.height = height as c_int;
        this.inner.progress_hook = Some(go_on);
        this.inner.user_data = ptr::from_ref(cancel).cast_mut().cast();
        Ok(this)
    }

    fn error(&self, cancel: &Cancel) -> Error {
        match cancel.check() {
            Err(stopped) => stopped,
            Ok(()) => Error::encode(format!("libwebp reports {:?}", self.inner.error_code)),
        }
    }
}

impl Drop for Picture<'_> {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { sys::WebPPictureFree(&raw mut self.inner) };
    }
}

/// Asked by the library now and then; 0 makes it stop.
unsafe extern "C" fn go_on(_percent: c_int, picture: *const sys::WebPPicture) -> c_int {
    // SAFETY: the library passes the picture it was given, or a copy of it; see `Picture`.
    let cancel = unsafe { (*picture).user_data.cast::<Cancel>().as_ref() };
    cancel.is_none_or(|cancel| cancel.check().is_ok()).into()
}

/// Memory which the library enlarges.
///
/// Safety: `inner` was initialised by the library and is cleared once, in `drop`.
struct Writer {
    inner: sys::WebPMemoryWriter,
}

impl Writer {
    fn new() -> Self {
        let mut inner = MaybeUninit::zeroed();
        // SAFETY: the library writes every field; zeros are valid for them anyway.
        let inner = unsafe {
            sys::WebPMemoryWriterInit(inner.as_mut_ptr());
            inner.assume_init()
        };
        Self { inner }
    }

    fn bytes(&self) -> &[u8] {
        if self.inner.mem.is_null() {
            return &[];
        }
        // SAFETY: the library keeps `size` bytes there.
        unsafe { std::slice::from_raw_parts(self.inner.mem, self.inner.size) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { sys::WebPMemoryWriterClear(&raw mut self.inner) };
    }
}

/// An animation in the making.
///
/// Safety: `encoder` comes from the library, is not null, is owned by this value alone and is
/// deleted once, in `drop`. It copies every picture it is given.
pub(crate) struct Animation<'a> {
    encoder: *mut sys::WebPAnimEncoder,
    config: sys::WebPConfig,
    cancel: &'a Cancel,
    /// When the next frame begins, in milliseconds.
    time: c_int,
    /// Whether any frame has alpha.
    alpha: bool,
}

/// In a file with an extended header (RFC 9649, section 2.7): where its name and its flags are, and the
/// flag which says that there is transparency.
const EXTENDED: (std::ops::Range<usize>, &[u8]) = (12..16, b"VP8X");
const FLAGS: usize = 20;
const ALPHA: u8 = 0x10;

impl<'a> Animation<'a> {
    pub(super) fn new(
        (width, height): (u32, u32),
        plays: Plays,
        quality: u8,
        cancel: &'a Cancel,
    ) -> Result<Self, Error> {
        let mut options = MaybeUninit::<sys::WebPAnimEncoderOptions>::zeroed();
        let version = sys::WEBP_MUX_ABI_VERSION as c_int;
        // SAFETY: the library writes every field, or says that its version does not fit.
        let mut options = unsafe {
            if sys::WebPAnimEncoderOptionsInitInternal(options.as_mut_ptr(), version) == 0 {
                return Err(Error::encode("the version of libwebp does not fit"));
            }
            options.assume_init()
        };
        options.anim_params.loop_count = match plays {
            Plays::Forever => 0,
            // The format has 16 bits for it.
            Plays::Times(times) => times.clamp(1, 65_535) as c_int,
        };
        // SAFETY: the options are valid and copied.
        let encoder = unsafe {
            sys::WebPAnimEncoderNewInternal(
                width as c_int,
                height as c_int,
                &raw const options,
                version,
            )
        };
        if encoder.is_null() {
            return Err(Error::encode("libwebp refuses the animation"));
        }
        Ok(Self {
            encoder,
            config: config(quality, Effort::Quick)?,
            cancel,
            time: 0,
            alpha: false,
        })
    }

    pub(super) fn add(&mut self, frame: &Frame) -> Result<(), Error> {
        // The encoder compares pictures, for which it wants all of their colour.
        let mut picture = Picture::new(&frame.raster, true, self.cancel)?;
        // SAFETY: all three are valid; the encoder copies the picture.
        let added = unsafe {
            sys::WebPAnimEncoderAdd(
                self.encoder,
                &raw mut picture.inner,
                self.time,
                &raw const self.config,
            )
        };
        if added == 0 {
            return Err(picture.error(self.cancel));
        }
        self.alpha |= frame.raster.has_alpha();
        let delay = frame.delay.min(DELAY_MAX) as c_int;
        self.time = self.time.saturating_add(delay);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        let mut assembled = Assembled {
            data: sys::WebPData::default(),
        };
        // SAFETY: a frame of nothing at the end says how long the last one is shown; the assembled
        // data becomes ours.
        let assembled_well = unsafe {
            sys::WebPAnimEncoderAdd(self.encoder, ptr::null_mut(), self.time, ptr::null()) != 0
                && sys::WebPAnimEncoderAssemble(self.encoder, &raw mut assembled.data) != 0
        };
        if !assembled_well || assembled.data.bytes.is_null() {
            self.cancel.check()?;
            return Err(Error::encode("libwebp could not assemble the animation"));
        }
        // SAFETY: the library says so many bytes are there.
        let bytes =
            unsafe { std::slice::from_raw_parts(assembled.data.bytes, assembled.data.size) };
        let mut bytes = bytes.to_vec();
        // The library cuts frames to what changes. Where nothing of that is transparent, it does not
        // say that what it cut off is, and viewers make it black.
        let (place, name) = EXTENDED;
        if self.alpha
            && bytes.get(place) == Some(name)
            && let Some(flags) = bytes.get_mut(FLAGS)
        {
            *flags |= ALPHA;
        }
        Ok(bytes)
    }
}

impl Drop for Animation<'_> {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { sys::WebPAnimEncoderDelete(self.encoder) };
    }
}

/// Data which the library allocated for us. Safety: freed once, in `drop`; null is allowed.
struct Assembled {
    data: sys::WebPData,
}

impl Drop for Assembled {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { sys::WebPFree(self.data.bytes.cast_mut().cast::<c_void>()) };
    }
}
