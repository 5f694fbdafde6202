//! The calls to `TurboJPEG`, and nothing else.
#![expect(unsafe_code, reason = "the codec is a C library")]

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;

use model::Limits;
use turbojpeg_sys as sys;

use crate::Error;
use crate::colour::Samples;
use crate::planes::{Plane, Planes};

/// Real progressive files have about ten scans; each one more costs a pass over all coefficients.
pub(super) const SCANS_MAX: u8 = 100;

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
        this.set(sys::TJPARAM_TJPARAM_SCANLIMIT, SCANS_MAX.into())?;
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

    /// Decodes the whole image at the scale which was set, and leaves brightness and colour apart.
    /// `None` if the file is not of that kind, or its samples lie in a way which has no name.
    pub(super) fn planes(&mut self) -> Result<Option<Planes>, Error> {
        let components = match self.colour_space as sys::TJCS {
            sys::TJCS_TJCS_GRAY => 1,
            sys::TJCS_TJCS_YCbCr => 3,
            _ => return Ok(None),
        };
        let layout = self.get(sys::TJPARAM_TJPARAM_SUBSAMP);
        let subsampling = match layout {
            sys::TJSAMP_TJSAMP_444 | sys::TJSAMP_TJSAMP_GRAY => (1, 1),
            sys::TJSAMP_TJSAMP_422 => (2, 1),
            sys::TJSAMP_TJSAMP_420 => (2, 2),
            sys::TJSAMP_TJSAMP_440 => (1, 2),
            sys::TJSAMP_TJSAMP_411 => (4, 1),
            sys::TJSAMP_TJSAMP_441 => (1, 4),
            _ => return Ok(None),
        };
        if self.precision != 8 || self.lossless {
            return Ok(None);
        }
        let mut planes = Vec::with_capacity(components);
        for component in 0..components as c_int {
            // SAFETY: no argument can be wrong; what makes no sense gives 0.
            let (width, height) = unsafe {
                (
                    sys::tj3YUVPlaneWidth(component, self.width as c_int, layout),
                    sys::tj3YUVPlaneHeight(component, self.height as c_int, layout),
                )
            };
            if width <= 0 || height <= 0 {
                return Ok(None);
            }
            let data = vec![0; width as usize * height as usize];
            planes.push(Plane::new(width as u32, height as u32, data));
        }
        let mut pointers = [std::ptr::null_mut(); 3];
        for (pointer, plane) in pointers.iter_mut().zip(&mut planes) {
            *pointer = plane.data.as_mut_ptr();
        }
        // SAFETY: every plane has the size which the library asks for, and without strides its rows
        // have no gaps; a grey image has one plane, and the other pointers are not used.
        let code = unsafe {
            sys::tj3DecompressToYUVPlanes8(
                self.handle,
                self.source.as_ptr(),
                self.source.len() as sys::size_t,
                pointers.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        self.check(code)?;
        let mut planes = planes.into_iter();
        let Some(luma) = planes.next() else {
            return Ok(None);
        };
        Ok(Some(Planes {
            width: self.width as u32,
            height: self.height as u32,
            luma,
            chroma: planes.next().zip(planes.next()).map(<[Plane; 2]>::from),
            subsampling,
        }))
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

/// Makes a JPEG of RGB pixels in one of the layouts which the library calls `TJSAMP`, for tests.
#[cfg(test)]
pub(crate) fn compress(rgb: &[u8], size: (u32, u32), layout: c_int, progressive: bool) -> Vec<u8> {
    compress_as(
        rgb,
        size,
        &[
            (sys::TJPARAM_TJPARAM_SUBSAMP, layout),
            (sys::TJPARAM_TJPARAM_QUALITY, 98),
            (sys::TJPARAM_TJPARAM_PROGRESSIVE, progressive.into()),
        ],
    )
}

/// The same with any parameters of the library.
#[cfg(test)]
pub(super) fn compress_as(
    rgb: &[u8],
    (width, height): (u32, u32),
    parameters: &[(sys::TJPARAM, c_int)],
) -> Vec<u8> {
    assert_eq!(rgb.len(), width as usize * height as usize * 3);
    let (mut bytes, mut length) = (std::ptr::null_mut(), 0);
    // SAFETY: the pixels are of the size claimed; the library allocates the bytes, which are copied
    // before they are freed.
    unsafe {
        let handle = sys::tj3Init(sys::TJINIT_TJINIT_COMPRESS as c_int);
        for (parameter, value) in parameters {
            assert_eq!(sys::tj3Set(handle, *parameter as c_int, *value), 0);
        }
        let code = sys::tj3Compress8(
            handle,
            rgb.as_ptr(),
            width as c_int,
            0,
            height as c_int,
            sys::TJPF_TJPF_RGB,
            &raw mut bytes,
            &raw mut length,
        );
        assert_eq!(code, 0);
        let copy = std::slice::from_raw_parts(bytes, length as usize).to_vec();
        sys::tj3Free(bytes.cast());
        sys::tj3Destroy(handle);
        copy
    }
}
