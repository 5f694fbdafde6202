//! The calls to `TurboJPEG`, and nothing else.
#![expect(unsafe_code, reason = "the codec is a C library")]

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;

use model::Limits;
use turbojpeg_sys as sys;

use crate::Error;
use crate::colour::Samples;

/// Real progressive files have about ten scans; each one more costs a pass over all coefficients.
const SCANS_MAX: c_int = 100;

/// A decoder with the header read.
///
/// Safety of the whole file: `handle` comes from `tj3Init`, is not null, is owned by this value
/// alone, and is destroyed once, in `drop`. `source` outlives the value. Every output buffer is
/// allocated here, with the size which the library documents for the call. The library catches the
/// errors of libjpeg by itself, so nothing unwinds into Rust.
pub(super) struct Decompressor<'a> {
    handle: *mut c_void,
    source: &'a [u8],
    width: usize,
    height: usize,
    precision: c_int,
    colour_space: c_int,
    lossless: bool,
    _not_send: PhantomData<*mut ()>,
}

impl<'a> Decompressor<'a> {
    pub(super) fn new(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        // SAFETY: no argument can be wrong.
        let handle = unsafe { sys::tj3Init(sys::TJINIT_TJINIT_DECOMPRESS as c_int) };
        if handle.is_null() {
            return Err(Error::corrupt("no memory for a JPEG decoder"));
        }
        let mut this = Self {
            handle,
            source,
            width: 0,
            height: 0,
            precision: 8,
            colour_space: 0,
            lossless: false,
            _not_send: PhantomData,
        };
        // Coefficients of a progressive image take two bytes for each of up to four components.
        let megabytes = limits.pixels_max / (1024 * 1024 / 8) + 64;
        this.set(sys::TJPARAM_TJPARAM_SCANLIMIT, SCANS_MAX)?;
        this.set(
            sys::TJPARAM_TJPARAM_MAXPIXELS,
            limits.pixels_max.min(c_int::MAX as u64) as c_int,
        )?;
        this.set(
            sys::TJPARAM_TJPARAM_MAXMEMORY,
            megabytes.min(c_int::MAX as u64) as c_int,
        )?;
        this.set(sys::TJPARAM_TJPARAM_SAVEMARKERS, 0)?;
        // SAFETY: the pointer and the length are those of a slice.
        let code = unsafe {
            sys::tj3DecompressHeader(handle, source.as_ptr(), source.len() as sys::size_t)
        };
        this.check(code)?;
        this.width = this.get(sys::TJPARAM_TJPARAM_JPEGWIDTH).max(0) as usize;
        this.height = this.get(sys::TJPARAM_TJPARAM_JPEGHEIGHT).max(0) as usize;
        this.precision = this.get(sys::TJPARAM_TJPARAM_PRECISION);
        this.colour_space = this.get(sys::TJPARAM_TJPARAM_COLORSPACE);
        this.lossless = this.get(sys::TJPARAM_TJPARAM_LOSSLESS) == 1;
        Ok(this)
    }

    /// Sets the scale and returns the size which follows. Lossless JPEG has only the full size.
    pub(super) fn scale(&mut self, eighths: u32) -> Result<(u32, u32), Error> {
        if eighths != 8 && !self.lossless {
            let factor = sys::tjscalingfactor {
                num: eighths as c_int,
                denom: 8,
            };
            // The library compares with its own table, where fractions are reduced.
            let factor = match eighths {
                2 => sys::tjscalingfactor { num: 1, denom: 4 },
                4 => sys::tjscalingfactor { num: 1, denom: 2 },
                _ => factor,
            };
            // SAFETY: the handle is valid; other scales are refused with an error.
            let code = unsafe { sys::tj3SetScalingFactor(self.handle, factor) };
            self.check(code)?;
            self.width = super::scaled(self.width as u32, eighths) as usize;
            self.height = super::scaled(self.height as u32, eighths) as usize;
        }
        Ok((self.width as u32, self.height as u32))
    }

    /// Decodes the whole image at the scale which was set.
    pub(super) fn decode(&mut self) -> Result<Samples, Error> {
        let (format, channels) = match self.colour_space as sys::TJCS {
            sys::TJCS_TJCS_GRAY => (sys::TJPF_TJPF_GRAY, 1),
            sys::TJCS_TJCS_CMYK | sys::TJCS_TJCS_YCCK => (sys::TJPF_TJPF_CMYK, 4),
            _ => (sys::TJPF_TJPF_RGB, 3),
        };
        let length = self.width * self.height * channels;
        let (source, bytes) = (self.source.as_ptr(), self.source.len() as sys::size_t);
        let samples = match self.precision {
            ..=8 => {
                let mut samples = vec![0_u8; length];
                // SAFETY: a pitch of 0 stands for rows without gaps, and the buffer has room for
                // width * height pixels of the format at the scale which was set.
                let code = unsafe {
                    sys::tj3Decompress8(self.handle, source, bytes, samples.as_mut_ptr(), 0, format)
                };
                self.check(code)?;
                if self.precision < 8 {
                    let shift = 8 - self.precision.max(1);
                    for sample in &mut samples {
                        *sample <<= shift;
                    }
                }
                samples
            }
            9..=12 => {
                let mut samples = vec![0_i16; length];
                // SAFETY: as above, with two bytes a sample.
                let code = unsafe {
                    sys::tj3Decompress12(
                        self.handle,
                        source,
                        bytes,
                        samples.as_mut_ptr(),
                        0,
                        format,
                    )
                };
                self.check(code)?;
                let shift = self.precision - 8;
                samples
                    .into_iter()
                    .map(|sample| (sample >> shift) as u8)
                    .collect()
            }
            _ => {
                let mut samples = vec![0_u16; length];
                // SAFETY: as above, with two bytes a sample.
                let code = unsafe {
                    sys::tj3Decompress16(
                        self.handle,
                        source,
                        bytes,
                        samples.as_mut_ptr(),
                        0,
                        format,
                    )
                };
                self.check(code)?;
                let shift = self.precision.min(16) - 8;
                samples
                    .into_iter()
                    .map(|sample| (sample >> shift) as u8)
                    .collect()
            }
        };
        Ok(match channels {
            1 => Samples::Gray(samples),
            4 => Samples::Cmyk(samples),
            _ => Samples::Rgb(samples),
        })
    }

    /// The defaults of the limits are none at all, so that a value which is refused is an error.
    fn set(&self, parameter: sys::TJPARAM, value: c_int) -> Result<(), Error> {
        // SAFETY: the handle is valid.
        match unsafe { sys::tj3Set(self.handle, parameter as c_int, value) } {
            0 => Ok(()),
            _ => Err(Error::corrupt("a limit of the JPEG decoder cannot be set")),
        }
    }

    fn get(&self, parameter: sys::TJPARAM) -> c_int {
        // SAFETY: the handle is valid.
        unsafe { sys::tj3Get(self.handle, parameter as c_int) }
    }

    /// Warnings are common in the wild and the picture is there; but a file which breaks off has
    /// lost part of it. The library calls a fatal error after a warning a warning, too, so that
    /// only its words tell.
    fn check(&self, code: c_int) -> Result<(), Error> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the handle is valid; the text is the library's, ends with 0, and lives until the
        // next call.
        let text = unsafe { CStr::from_ptr(sys::tj3GetErrorStr(self.handle)).to_string_lossy() };
        let warned = WARNINGS.iter().any(|warning| text.starts_with(warning));
        if warned && !text.contains("premature end") {
            return Ok(());
        }
        Err(Error::corrupt(text))
    }
}

/// How the library's warnings begin, except for the one about a file which ends early.
const WARNINGS: [&str; 5] = [
    "Corrupt JPEG data",
    "Inconsistent progression sequence",
    "Invalid SOS parameters",
    "Unknown Adobe color transform",
    "Warning: unknown JFIF revision",
];

impl Drop for Decompressor<'_> {
    fn drop(&mut self) {
        // SAFETY: see the type.
        unsafe { sys::tj3Destroy(self.handle) };
    }
}
