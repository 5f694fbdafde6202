//! The calls to jpegli, and nothing else.
#![expect(unsafe_code, reason = "the codec is a C library")]

use std::any::Any;
use std::ffi::{c_int, c_uint};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jpegli_sys as sys;

use crate::planes::Plane;
use crate::{Cancel, Error};

unsafe extern "C-unwind" {
    /// 0 is sequential, 2 is the finest progression. The bindings lack it.
    fn jpegli_set_progressive_level(cinfo: *mut sys::jpegli_compress_struct, level: c_int);
}

/// What is asked of the encoder.
pub(super) struct Settings {
    pub width: u32,
    pub height: u32,
    /// 1 to 100, on jpegli's own scale.
    pub quality: u8,
    pub progressive: bool,
    /// One sample of colour for four of brightness.
    pub half_colour: bool,
    /// Numbers and bodies of segments with metadata.
    pub segments: Vec<(u8, Vec<u8>)>,
}

/// What is encoded, rows without gaps.
pub(super) enum Pixels<'a> {
    Grey(&'a [u8]),
    Rgb(&'a [u8]),
    /// Brightness, blue and red difference. The latter are as large as the picture or, with
    /// `half_colour`, half as wide and high, rounded up.
    YCbCr([&'a Plane; 3]),
}

impl Pixels<'_> {
    fn components(&self) -> u8 {
        match self {
            Self::Grey(_) => 1,
            Self::Rgb(_) | Self::YCbCr(_) => 3,
        }
    }

    /// Whether they are of the size which the settings say.
    fn fit(&self, settings: &Settings) -> bool {
        let (width, height) = (settings.width, settings.height);
        let rows = |data: &[u8], channels: usize| {
            width > 0 && data.len() == width as usize * channels * height as usize
        };
        let plane = |plane: &Plane, share: u32| {
            let (columns, rows) = (width.div_ceil(share), height.div_ceil(share));
            columns * rows > 0
                && (plane.width, plane.height) == (columns, rows)
                && plane.data.len() == columns as usize * rows as usize
        };
        match self {
            Self::Grey(data) => rows(data, 1),
            Self::Rgb(data) => rows(data, 3),
            Self::YCbCr([luma, blue, red]) => {
                let share = if settings.half_colour { 2 } else { 1 };
                plane(luma, 1) && plane(blue, share) && plane(red, share)
            }
        }
    }
}

/// The message of an error, as it travels through the library.
struct Failure(String);

pub(super) fn encode(
    pixels: &Pixels<'_>,
    settings: &Settings,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    if !pixels.fit(settings) {
        return Err(Error::encode("the pixels are not of the size they claim"));
    }
    let mut encoder = Encoder::new();
    // jpegli reports an error by calling `error_exit`, which must not return. Ours unwinds, and the
    // unwinding ends here.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: see `Encoder`; the pixels have been checked just now.
        unsafe { encoder.write(pixels, settings, cancel) }
    }));
    match outcome {
        Ok(Ok(())) => Ok(std::mem::take(&mut encoder.output.bytes)),
        Ok(Err(error)) => Err(error),
        Err(payload) => Err(failure(payload)),
    }
}

fn failure(payload: Box<dyn Any + Send>) -> Error {
    match payload.downcast::<Failure>() {
        Ok(failure) => Error::encode(failure.0),
        // Not the library's error but a bug of ours: it goes on.
        Err(payload) => resume_unwind(payload),
    }
}

/// The state of the library, at addresses which do not change.
///
/// Safety. `info` points to `errors` and, through `dest`, to `output`; all three are boxed and live
/// as long as the encoder, so the pointers stay valid. `jpegli_create_compress` initialises `info`
/// before anything else reads it, and `drop` destroys it once, which frees what the library
/// allocated also after an error.
///
/// Unwinding: `error_exit` unwinds through frames of C++ that is built without exceptions and keeps
/// all its memory in pools owned by `info`; skipping those frames is what the libjpeg interface asks
/// of every `error_exit` (commonly by `longjmp`), and the pools are freed by `drop`. The library is
/// built with unwind tables, which the usual targets have by default, and its functions are
/// declared `C-unwind`. Errors do not happen in practice: the settings are ours and valid, and no
/// input is parsed.
struct Encoder {
    info: Box<MaybeUninit<sys::jpegli_compress_struct>>,
    errors: Box<MaybeUninit<sys::jpegli_error_mgr>>,
    output: Box<Output>,
    created: bool,
}

/// Where the bytes go. The library knows the first field alone.
#[repr(C)]
struct Output {
    manager: sys::jpegli_destination_mgr,
    /// What the library writes into next.
    buffer: [u8; 16 * 1024],
    bytes: Vec<u8>,
}

impl Encoder {
    fn new() -> Self {
        Self {
            info: Box::new(MaybeUninit::zeroed()),
            errors: Box::new(MaybeUninit::zeroed()),
            output: Box::new(Output {
                manager: sys::jpegli_destination_mgr {
                    next_output_byte: std::ptr::null_mut(),
                    free_in_buffer: 0,
                    init_destination: Some(begin_buffer),
                    empty_output_buffer: Some(empty_buffer),
                    term_destination: Some(end_buffer),
                },
                buffer: [0; 16 * 1024],
                bytes: Vec::new(),
            }),
            created: false,
        }
    }

    /// The pixels fit the settings.
    unsafe fn write(
        &mut self,
        pixels: &Pixels<'_>,
        settings: &Settings,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        // SAFETY: see the type. Zeros are valid for both structures: numbers, null pointers, absent
        // functions, and enumerations which all have a value 0.
        unsafe {
            let errors = self.errors.assume_init_mut();
            sys::jpegli_std_error(errors);
            errors.error_exit = Some(error_exit);
            errors.emit_message = Some(emit_message);
            let info = self.info.assume_init_mut();
            info.common.err = errors;
            sys::jpegli_create_compress(info);
            self.created = true;
            info.dest = (&raw mut *self.output).cast();

            info.image_width = settings.width;
            info.image_height = settings.height;
            info.input_components = pixels.components().into();
            info.in_color_space = match pixels {
                Pixels::Grey(_) => sys::J_COLOR_SPACE::JCS_GRAYSCALE,
                Pixels::Rgb(_) => sys::J_COLOR_SPACE::JCS_RGB,
                Pixels::YCbCr(_) => sys::J_COLOR_SPACE::JCS_YCbCr,
            };
            sys::jpegli_set_defaults(info);
            info.raw_data_in = matches!(pixels, Pixels::YCbCr(_)).into();
            if pixels.components() == 3 {
                let factor = if settings.half_colour { 2 } else { 1 };
                let brightness = &mut *info.comp_info;
                brightness.h_samp_factor = factor;
                brightness.v_samp_factor = factor;
            }
            sys::jpegli_set_quality(info, settings.quality.into(), 1);
            jpegli_set_progressive_level(info, 0);
            // A third table, which jpegli makes where each colour has its own, is not baseline any
            // more (T.81, table B.1), so colour keeps to the typical ones there.
            info.optimize_coding = (settings.progressive || pixels.components() == 1).into();
            let script = if settings.progressive {
                scans(pixels.components())
            } else {
                Vec::new()
            };
            if !script.is_empty() {
                // Read when the compression starts and ends, both within this function.
                info.scan_info = script.as_ptr();
                info.num_scans = script.len() as c_int;
            }
            // EXIF wants to be the first segment, and so does JFIF.
            info.write_JFIF_header = settings.segments.is_empty().into();
            sys::jpegli_start_compress(info, 1);
            for (marker, body) in &settings.segments {
                let length = body.len() as c_uint;
                sys::jpegli_write_marker(info, (*marker).into(), body.as_ptr(), length);
            }
            match *pixels {
                Pixels::Grey(data) | Pixels::Rgb(data) => {
                    let stride = settings.width as usize * usize::from(pixels.components());
                    for (number, row) in data.chunks_exact(stride).enumerate() {
                        if number % 64 == 0 {
                            cancel.check()?;
                        }
                        let row = row.as_ptr();
                        sys::jpegli_write_scanlines(info, &raw const row, 1);
                    }
                }
                Pixels::YCbCr(planes) => write_planes(info, planes, settings, cancel)?,
            }
            sys::jpegli_finish_compress(info);
        }
        Ok(())
    }
}

/// The scans of a progressive file: means, the two coarsest waves, and the rest. The library's own five
/// deliver bits of the rest one after another, which takes a tenth of the CPU of a whole job and saves
/// nothing (docs/decisions/0016).
fn scans(components: u8) -> Vec<sys::jpegli_scan_info> {
    let scan = |component, (first, last)| sys::jpegli_scan_info {
        comps_in_scan: 1,
        component_index: [component, 0, 0, 0],
        Ss: first,
        Se: last,
        Ah: 0,
        Al: 0,
    };
    [(0, 0), (1, 2), (3, 63)]
        .into_iter()
        .flat_map(|waves| (0..components.into()).map(move |component| scan(component, waves)))
        .collect()
}

/// Rows and columns of a block.
const BLOCK: usize = 8;

/// Writes the rows of whole blocks, one row of them after the other.
///
/// Safety: the compression has started with `raw_data_in`, and the planes fit the settings.
unsafe fn write_planes(
    info: &mut sys::jpegli_compress_struct,
    planes: [&Plane; 3],
    settings: &Settings,
    cancel: &Cancel,
) -> Result<(), Error> {
    let factor = if settings.half_colour { 2 } else { 1 };
    let rows_at_once = factor * BLOCK;
    let mut strips = planes.map(|plane| Strip {
        plane,
        rows: if plane.width == settings.width {
            rows_at_once
        } else {
            BLOCK
        },
        // Whole blocks of all components side by side.
        stride: (plane.width as usize).next_multiple_of(rows_at_once),
        samples: Vec::new(),
    });
    let count = (settings.height as usize).div_ceil(rows_at_once);
    for number in 0..count {
        cancel.check()?;
        let mut rows = strips.each_mut().map(|strip| strip.rows(number));
        let mut components = rows.each_mut().map(Vec::as_mut_ptr);
        // SAFETY: every component has as many rows as are asked for, each at least as long as its
        // blocks are wide; the library only reads them.
        unsafe {
            sys::jpegli_write_raw_data(
                info,
                components.as_mut_ptr().cast(),
                rows_at_once as c_uint,
            );
        }
    }
    Ok(())
}

/// Some rows of a plane, made as long and as many as whole blocks want them by repeating the last
/// sample and row.
struct Strip<'a> {
    plane: &'a Plane,
    rows: usize,
    stride: usize,
    samples: Vec<u8>,
}

impl Strip<'_> {
    fn rows(&mut self, number: usize) -> Vec<*const u8> {
        let (width, height) = (self.plane.width as usize, self.plane.height as usize);
        self.samples.clear();
        for row in number * self.rows..(number + 1) * self.rows {
            let row = &self.plane.data[row.min(height - 1) * width..][..width];
            self.samples.extend_from_slice(row);
            let length = self.samples.len() + self.stride - width;
            self.samples.resize(length, row[width - 1]);
        }
        self.samples
            .chunks_exact(self.stride)
            .map(<[u8]>::as_ptr)
            .collect()
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if self.created {
            // SAFETY: it was created, and this is the only place which destroys it.
            unsafe { sys::jpegli_destroy_compress(self.info.assume_init_mut()) };
        }
    }
}

unsafe extern "C-unwind" fn error_exit(info: &mut sys::jpegli_common_struct) {
    // SAFETY: `err` is our error manager, and the message code in it was set by the caller.
    let code = unsafe { (*info.err).msg_code };
    // Unlike a panic this prints nothing: the error is reported by whoever asked for the picture.
    resume_unwind(Box::new(Failure(format!("jpegli reports error {code}"))));
}

/// The default prints to standard error.
unsafe extern "C-unwind" fn emit_message(_: &mut sys::jpegli_common_struct, _: c_int) {}

/// The output of an encoder.
///
/// Safety: `dest` was set to the `Output` of the encoder that owns `info`, from a pointer to all of
/// it, and nothing else refers to it while the library runs.
unsafe fn output(info: &mut sys::jpegli_compress_struct) -> &mut Output {
    // SAFETY: as above.
    unsafe { &mut *info.dest.cast::<Output>() }
}

unsafe extern "C-unwind" fn begin_buffer(info: &mut sys::jpegli_compress_struct) {
    // SAFETY: called by the library with the structure it was given.
    let output = unsafe { output(info) };
    output.manager.next_output_byte = output.buffer.as_mut_ptr();
    output.manager.free_in_buffer = output.buffer.len();
}

unsafe extern "C-unwind" fn empty_buffer(info: &mut sys::jpegli_compress_struct) -> c_int {
    {
        // SAFETY: as above. A full buffer is meant, whatever the manager says.
        let output = unsafe { output(info) };
        output.bytes.extend_from_slice(&output.buffer);
    }
    // SAFETY: as above.
    unsafe { begin_buffer(info) };
    1
}

unsafe extern "C-unwind" fn end_buffer(info: &mut sys::jpegli_compress_struct) {
    // SAFETY: as above.
    let output = unsafe { output(info) };
    let used = output.buffer.len() - output.manager.free_in_buffer;
    output.bytes.extend_from_slice(&output.buffer[..used]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32) -> Settings {
        Settings {
            width,
            height: 1,
            quality: 80,
            progressive: true,
            half_colour: false,
            segments: Vec::new(),
        }
    }

    #[test]
    fn an_error_of_the_library_is_an_error_and_nothing_else() {
        // Beyond what a JPEG can be, so that the library calls `error_exit`.
        for _ in 0..3 {
            let outcome = encode(
                &Pixels::Grey(&vec![0; 70_000]),
                &grey(70_000),
                &Cancel::never(),
            );
            assert!(matches!(outcome, Err(Error::Encode(_))), "{outcome:?}");
        }
        assert!(encode(&Pixels::Grey(&[0; 9]), &grey(9), &Cancel::never()).is_ok());
    }

    #[test]
    fn pixels_of_another_size_are_refused() {
        assert!(encode(&Pixels::Grey(&[0; 8]), &grey(9), &Cancel::never()).is_err());
    }
}
