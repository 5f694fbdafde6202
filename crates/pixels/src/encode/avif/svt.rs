//! AV1 through SVT-AV1, 4.1 or newer, found when the program starts. Its settings are given as texts,
//! so that nothing needs to be known of the structure which holds them but that it is small.
#![expect(unsafe_code, reason = "the codec is a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::{ptr, slice};

use super::Planes;
use crate::Error;

/// The library's name where the system keeps its libraries.
const NAME: &str = "libSvtAv1Enc.so.4";

/// Effort, and what belongs to stills (codecs.md, section 3). One picture is one thread.
const SETTINGS: [(&str, &str); 10] = [
    ("preset", "8"),
    ("tune", "2"),
    ("lp", "1"),
    ("avif", "1"),
    ("keyint", "1"),
    ("rc", "0"),
    ("color-primaries", "1"),
    ("transfer-characteristics", "13"),
    ("matrix-coefficients", "6"),
    ("color-range", "1"),
];

/// Pixels of a side which the library takes at least.
pub(super) const SIDE_MIN: u32 = 4;

/// Far more than the structure of settings takes, which has grown to about a kilobyte.
const SETTINGS_BYTES: usize = 1 << 16;

const NO_ERROR: c_int = 0;

/// Marks the last picture, and the last packet.
const END_OF_STREAM: u32 = 1;

/// Takes what the library has to say; the last argument is a list of arguments, never read.
type Log = extern "C" fn(*mut c_void, c_int, *const c_char, *const c_char, *mut c_void);
type SetLog = unsafe extern "C" fn(Option<Log>, *mut c_void);

extern "C" fn be_silent(
    _: *mut c_void,
    _: c_int,
    _: *const c_char,
    _: *const c_char,
    _: *mut c_void,
) {
}

type Handle = *mut c_void;
type Settings = *mut c_void;

/// The library, loaded.
///
/// Safety: the functions were looked up by name in a library of a version whose header declares them
/// with these types; they stay valid as long as the library, which is never closed while this lives.
pub(super) struct Library {
    version: String,
    init_handle: unsafe extern "C" fn(*mut Handle, Settings) -> c_int,
    parse_parameter: unsafe extern "C" fn(Settings, *const c_char, *const c_char) -> c_int,
    set_parameter: unsafe extern "C" fn(Handle, Settings) -> c_int,
    init: unsafe extern "C" fn(Handle) -> c_int,
    send_picture: unsafe extern "C" fn(Handle, *mut Buffer) -> c_int,
    get_packet: unsafe extern "C" fn(Handle, *mut *mut Buffer, u8) -> c_int,
    release: unsafe extern "C" fn(*mut *mut Buffer),
    deinit: unsafe extern "C" fn(Handle) -> c_int,
    deinit_handle: unsafe extern "C" fn(Handle) -> c_int,
    /// Kept for its functions.
    _kept: libloading::Library,
}

/// `EbBufferHeaderType` of version 4.
#[repr(C)]
struct Buffer {
    size: u32,
    bytes: *mut u8,
    filled: u32,
    allocated: u32,
    private: *mut c_void,
    wrapper: *mut c_void,
    ticks: u32,
    decoding_time: i64,
    presentation_time: i64,
    temporal_layer: u8,
    quantizer: u32,
    mean_quantizer: u32,
    kind: c_int,
    errors: [u64; 3],
    flags: u32,
    similarities: [f64; 3],
    metadata: *mut c_void,
}

/// `EbSvtIOFormat` of version 4.
#[repr(C)]
struct Picture {
    brightness: *mut u8,
    blue: *mut u8,
    red: *mut u8,
    brightness_stride: u32,
    red_stride: u32,
    blue_stride: u32,
}

/// A key picture, whose type the encoder is free to choose.
const INVALID_PICTURE: c_int = 0xff;

impl Library {
    /// The library at `path`; without a path, beside the program or where the system keeps its
    /// libraries. `None` if it is not there or too old.
    pub(super) fn find(path: Option<&Path>) -> Option<Self> {
        let candidates = match path {
            Some(path) => vec![path.to_owned()],
            None => std::env::current_exe()
                .ok()
                .and_then(|program| Some(program.parent()?.join(NAME)))
                .into_iter()
                .chain([PathBuf::from(NAME)])
                .collect(),
        };
        candidates.iter().find_map(|path| Self::load(path))
    }

    fn load(path: &Path) -> Option<Self> {
        // SAFETY: loading runs the initialisers of the library, which the operator chose; the types
        // of its functions are those of its header, which the version is checked for first.
        unsafe {
            let library = libloading::Library::new(path).ok()?;
            let version = *library
                .get::<unsafe extern "C" fn() -> *const c_char>(b"svt_av1_get_version\0")
                .ok()?;
            let version = CStr::from_ptr(version()).to_str().ok()?;
            let version = version.trim_start_matches('v').to_owned();
            if !is_fit(&version) {
                return None;
            }
            // Without it the library writes to the standard error.
            let set_log = library.get::<SetLog>(b"svt_av1_set_log_callback\0").ok()?;
            set_log(Some(be_silent), ptr::null_mut());
            macro_rules! function {
                ($name:literal) => {
                    *library.get(concat!($name, "\0").as_bytes()).ok()?
                };
            }
            Some(Self {
                version,
                init_handle: function!("svt_av1_enc_init_handle"),
                parse_parameter: function!("svt_av1_enc_parse_parameter"),
                set_parameter: function!("svt_av1_enc_set_parameter"),
                init: function!("svt_av1_enc_init"),
                send_picture: function!("svt_av1_enc_send_picture"),
                get_packet: function!("svt_av1_enc_get_packet"),
                release: function!("svt_av1_enc_release_out_buffer"),
                deinit: function!("svt_av1_enc_deinit"),
                deinit_handle: function!("svt_av1_enc_deinit_handle"),
                _kept: library,
            })
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// One key frame; `quantizer` is 0, the best, to 63.
    pub(super) fn encode(&self, planes: &Planes, quantizer: u8) -> Result<Vec<u8>, Error> {
        let mut encoder = Encoder::open(self, planes, quantizer)?;
        encoder.send(planes)?;
        encoder.receive()
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SVT-AV1 {}", self.version)
    }
}

/// Older ones can hang when several encode at once, and newer majors may change their structures.
fn is_fit(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| {
        let end = part.find(|digit: char| !digit.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse::<u32>()
    });
    matches!(
        (numbers.next(), numbers.next()),
        (Some(Ok(4)), Some(Ok(1..)))
    )
}

fn checked(code: c_int) -> Result<(), Error> {
    if code == NO_ERROR {
        Ok(())
    } else {
        Err(Error::encode(format!("SVT-AV1 failed with code {code:#x}")))
    }
}

/// Safety: the handle comes from `init_handle`, is owned by this value alone, and is given back once,
/// in `drop`.
struct Encoder<'a> {
    library: &'a Library,
    handle: Handle,
    initialised: bool,
}

impl<'a> Encoder<'a> {
    fn open(library: &'a Library, planes: &Planes, quantizer: u8) -> Result<Self, Error> {
        // Aligned like any structure.
        let mut settings = vec![0_u128; SETTINGS_BYTES / size_of::<u128>()];
        let settings: Settings = settings.as_mut_ptr().cast();
        let mut encoder = Self {
            library,
            handle: ptr::null_mut(),
            initialised: false,
        };
        // SAFETY: the settings are larger than the structure and live until the end of this function;
        // the library copies them.
        unsafe {
            checked((library.init_handle)(&raw mut encoder.handle, settings))?;
            for (name, value) in SETTINGS {
                encoder.set(settings, name, value)?;
            }
            encoder.set(settings, "width", &planes.width.to_string())?;
            encoder.set(settings, "height", &planes.height.to_string())?;
            encoder.set(settings, "crf", &quantizer.to_string())?;
            checked((library.set_parameter)(encoder.handle, settings))?;
            checked((library.init)(encoder.handle))?;
        }
        encoder.initialised = true;
        Ok(encoder)
    }

    /// Safety: `settings` were filled by `init_handle`.
    unsafe fn set(&self, settings: Settings, name: &str, value: &str) -> Result<(), Error> {
        let (name, value) = (CString::new(name), CString::new(value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Error::encode("a setting holds a zero"));
        };
        // SAFETY: both texts live during the call, which reads them.
        let code =
            unsafe { (self.library.parse_parameter)(settings, name.as_ptr(), value.as_ptr()) };
        checked(code)
    }

    fn send(&mut self, planes: &Planes) -> Result<(), Error> {
        let plane = |plane: &[u8]| plane.as_ptr().cast_mut();
        let mut picture = Picture {
            brightness: plane(&planes.brightness),
            blue: plane(&planes.blue),
            red: plane(&planes.red),
            brightness_stride: planes.width,
            red_stride: planes.half_width(),
            blue_stride: planes.half_width(),
        };
        let mut buffer = Buffer::empty();
        buffer.bytes = (&raw mut picture).cast();
        let bytes = planes.brightness.len() + planes.blue.len() + planes.red.len();
        buffer.filled = bytes as u32;
        buffer.allocated = bytes as u32;
        // SAFETY: the encoder is initialised for pictures of this size; the library copies the
        // planes, which it does not write to, before the calls return.
        unsafe {
            checked((self.library.send_picture)(self.handle, &raw mut buffer))?;
            let mut end = Buffer::empty();
            end.flags = END_OF_STREAM;
            checked((self.library.send_picture)(self.handle, &raw mut end))
        }
    }

    fn receive(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            let mut packet: *mut Buffer = ptr::null_mut();
            // SAFETY: the encoder is initialised and all pictures are sent, so that the call waits
            // for a packet. A packet belongs to us until it is released, and holds as many bytes as
            // it says.
            unsafe {
                checked((self.library.get_packet)(self.handle, &raw mut packet, 1))?;
                let Some(found) = packet.as_ref() else {
                    break;
                };
                if found.filled > 0 && !found.bytes.is_null() {
                    let found = slice::from_raw_parts(found.bytes, found.filled as usize);
                    bytes.extend_from_slice(found);
                }
                let last = found.flags & END_OF_STREAM != 0;
                (self.library.release)(&raw mut packet);
                if last {
                    break;
                }
            }
        }
        if bytes.is_empty() {
            return Err(Error::encode("SVT-AV1 made nothing"));
        }
        Ok(bytes)
    }
}

impl Drop for Encoder<'_> {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        // SAFETY: see the type.
        unsafe {
            if self.initialised {
                (self.library.deinit)(self.handle);
            }
            (self.library.deinit_handle)(self.handle);
        }
    }
}

impl Buffer {
    fn empty() -> Self {
        // SAFETY: zeros are valid for all fields: numbers and null pointers.
        let mut buffer: Self = unsafe { MaybeUninit::zeroed().assume_init() };
        buffer.size = size_of::<Self>() as u32;
        buffer.kind = INVALID_PICTURE;
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_which_were_tried_are_fit() {
        for (version, fit) in [
            ("4.1.0", true),
            ("4.2.0-rc1", true),
            ("4.10", true),
            ("4.0.1", false),
            ("3.1.2", false),
            ("1.4.1", false),
            ("5.0.0", false),
            ("", false),
            ("4", false),
        ] {
            assert_eq!(is_fit(version), fit, "{version}");
        }
    }
}
