//! Settings of the C library's allocator, which our codecs and we share.
#![expect(unsafe_code, reason = "the allocator is a C library's")]

/// Keeps memory from piling up in arenas: with one arena per thread, as is the default, each keeps
/// the largest picture which it ever held.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn tune() {
    use std::ffi::c_int;

    // From glibc's malloc.h.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;
    const M_ARENA_MAX: c_int = -8;

    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    for (parameter, value) in [
        (M_ARENA_MAX, 2),
        (M_TRIM_THRESHOLD, 128 * 1024),
        (M_MMAP_THRESHOLD, 1024 * 1024),
    ] {
        // SAFETY: the function has this signature in every glibc, may be called at any time, and
        // leaves things as they are where it does not know a parameter.
        unsafe { mallopt(parameter, value) };
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn tune() {}
