//! AV1 through libaom.
#![expect(unsafe_code, reason = "the codec is a C library")]

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::{ptr, slice};

use libaom_sys as sys;

use super::Planes;
use crate::Error;

/// Effort, 0 to 9, the quickest (codecs.md, section 3).
const SPEED: c_int = 9;

/// The version of the library, such as `3.11.0`.
pub(super) fn version() -> String {
    // SAFETY: the library returns a static text which ends with a zero.
    let text = unsafe { CStr::from_ptr(sys::aom_codec_version_str()) };
    let text = text.to_string_lossy();
    text.trim_start_matches('v').to_owned()
}

/// One key frame; `quantizer` is 0, the best, to 63.
pub(super) fn encode(planes: &Planes, quantizer: u8) -> Result<Vec<u8>, Error> {
    let mut encoder = Encoder::open(planes, quantizer)?;
    let image = image(planes);
    let mut bytes = Vec::new();
    encoder.send(Some(&image), &mut bytes)?;
    encoder.send(None, &mut bytes)?;
    if bytes.is_empty() {
        return Err(Error::encode("libaom made nothing"));
    }
    Ok(bytes)
}

fn checked(code: sys::aom_codec_err_t) -> Result<(), Error> {
    if code == sys::AOM_CODEC_OK {
        Ok(())
    } else {
        Err(Error::encode(format!("libaom failed with code {code}")))
    }
}

/// Safety: the context was initialised with success, is owned by this value alone and is destroyed
/// once, in `drop`. It points into itself nowhere.
struct Encoder(Box<sys::aom_codec_ctx_t>);

impl Encoder {
    fn open(planes: &Planes, quantizer: u8) -> Result<Self, Error> {
        let mut config = MaybeUninit::<sys::aom_codec_enc_cfg_t>::zeroed();
        // SAFETY: the interface is a static of the library; the configuration is written as a whole
        // when the call succeeds, and zeros are valid for all of its fields in any case.
        let (interface, mut config) = unsafe {
            let interface = sys::aom_codec_av1_cx();
            checked(sys::aom_codec_enc_config_default(
                interface,
                config.as_mut_ptr(),
                sys::AOM_USAGE_ALL_INTRA,
            ))?;
            (interface, config.assume_init())
        };
        config.g_w = planes.width;
        config.g_h = planes.height;
        config.g_threads = 1;
        config.g_limit = 1;
        config.g_lag_in_frames = 0;
        config.monochrome = planes.is_monochrome().into();
        config.rc_end_usage = sys::AOM_Q;
        let mut context = Box::new(MaybeUninit::<sys::aom_codec_ctx_t>::zeroed());
        // SAFETY: all pointers are to values which live during the call; the library copies the
        // configuration. After success the context is initialised, and zeros are valid for it before.
        let mut encoder = unsafe {
            checked(sys::aom_codec_enc_init_ver(
                context.as_mut_ptr(),
                interface,
                &raw const config,
                0,
                sys::AOM_ENCODER_ABI_VERSION as c_int,
            ))?;
            Self(context.assume_init())
        };
        encoder.set(sys::AOME_SET_CPUUSED, SPEED)?;
        encoder.set(sys::AOME_SET_CQ_LEVEL, quantizer.into())?;
        // sRGB in full range, mixed as in JPEG (H.273).
        encoder.set(sys::AV1E_SET_COLOR_PRIMARIES, 1)?;
        encoder.set(sys::AV1E_SET_TRANSFER_CHARACTERISTICS, 13)?;
        encoder.set(sys::AV1E_SET_MATRIX_COEFFICIENTS, 6)?;
        encoder.set(sys::AV1E_SET_COLOR_RANGE, 1)?;
        Ok(encoder)
    }

    fn set(&mut self, control: sys::aome_enc_control_id, value: c_int) -> Result<(), Error> {
        // SAFETY: the context is initialised, and each of these controls takes an int.
        checked(unsafe { sys::aom_codec_control(&raw mut *self.0, control as c_int, value) })
    }

    /// Takes a picture, or the end, and appends what is finished.
    fn send(&mut self, image: Option<&sys::aom_image_t>, to: &mut Vec<u8>) -> Result<(), Error> {
        let image = image.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the context is initialised, and the image is null or lives during the call, as its
        // planes do. Packets are valid until the next call, and a packet of this kind holds a frame.
        unsafe {
            let context = &raw mut *self.0;
            checked(sys::aom_codec_encode(context, image, 0, 1, 0))?;
            let mut position = ptr::null();
            while let Some(packet) = sys::aom_codec_get_cx_data(context, &raw mut position).as_ref()
            {
                if packet.kind == sys::AOM_CODEC_CX_FRAME_PKT {
                    let frame = packet.data.frame;
                    to.extend_from_slice(slice::from_raw_parts(frame.buf.cast(), frame.sz));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe {
            sys::aom_codec_destroy(&raw mut *self.0);
        }
    }
}

/// The planes as the library wants to see them. It reads them and never writes.
fn image(planes: &Planes) -> sys::aom_image_t {
    // SAFETY: zeros are valid for all fields: numbers and null pointers.
    let mut image: sys::aom_image_t = unsafe { MaybeUninit::zeroed().assume_init() };
    image.fmt = sys::AOM_IMG_FMT_I420;
    image.cp = 1;
    image.tc = 13;
    image.mc = 6;
    image.range = 1;
    image.monochrome = planes.is_monochrome().into();
    (image.w, image.h) = (planes.width, planes.height);
    (image.d_w, image.d_h) = (planes.width, planes.height);
    image.bit_depth = 8;
    image.bps = 12;
    (image.x_chroma_shift, image.y_chroma_shift) = (1, 1);
    let plane = |plane: &[u8]| {
        if plane.is_empty() {
            ptr::null_mut()
        } else {
            plane.as_ptr().cast_mut()
        }
    };
    image.planes = [
        plane(&planes.brightness),
        plane(&planes.blue),
        plane(&planes.red),
    ];
    let half = planes.half_width() as c_int;
    image.stride = [planes.width as c_int, half, half];
    image
}
