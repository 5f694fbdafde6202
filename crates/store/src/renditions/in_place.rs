//! Renditions which are sent from their files, without a detour through memory of ours. Nothing here
//! waits for a disk: what is not in the system's memory is left to be read the other way.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2, sendfile};
use rustix::io::{ReadWriteFlags, preadv2};

use super::shards::is_use_noted;

/// Of a file of which one byte is in memory, so many around it are: the system reads ahead as far.
const READ_AHEAD: u64 = 128 << 10;

/// Where a rendition lies which was read before and found whole. It may have gone since.
#[derive(Clone, Debug)]
pub struct RenditionFile {
    pub(super) path: Arc<Path>,
    /// Where the image begins.
    pub(super) offset: u64,
    /// Bytes of the image.
    pub(super) length: u64,
}

/// The image in an open file.
#[derive(Debug)]
pub struct OpenRendition {
    file: File,
    offset: u64,
    length: u64,
}

impl RenditionFile {
    /// Bytes of the image.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The open file, if it is still there, in memory, and was used lately: another use is noted when
    /// it is read the other way.
    pub fn open_at_once(&self) -> Option<OpenRendition> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = openat2(
            CWD,
            self.path.as_ref(),
            flags,
            Mode::empty(),
            ResolveFlags::CACHED,
        );
        let file = File::from(opened.ok()?);
        let metadata = file.metadata().ok()?;
        if metadata.len() != self.offset + self.length || !is_use_noted(&metadata) {
            return None;
        }
        let open = OpenRendition {
            file,
            offset: self.offset,
            length: self.length,
        };
        open.is_in_memory().then_some(open)
    }
}

impl OpenRendition {
    /// Bytes of the image.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn is_in_memory(&self) -> bool {
        // Short ones are read at once, which tells as well.
        let mut places = (0..self.length).step_by(READ_AHEAD as usize).skip(1);
        places.all(|place| {
            self.read_at_once(place, &mut [0])
                .is_ok_and(|count| count == 1)
        })
    }

    fn read_at_once(&self, from: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut slices = [io::IoSliceMut::new(buffer)];
        let from = self.offset + from;
        Ok(preadv2(
            &self.file,
            &mut slices,
            from,
            ReadWriteFlags::NOWAIT,
        )?)
    }

    /// Appends the whole image, if it is in memory.
    pub fn append_to(&self, bytes: &mut Vec<u8>) -> Option<()> {
        let start = bytes.len();
        bytes.resize(start + self.length as usize, 0);
        let count = self.read_at_once(0, &mut bytes[start..]).ok();
        if count != Some(self.length as usize) {
            bytes.truncate(start);
            return None;
        }
        Some(())
    }

    /// Sends what is left from a byte of the image on, as far as the socket takes it.
    pub fn send(&self, socket: BorrowedFd<'_>, from: u64) -> io::Result<usize> {
        let mut place = self.offset + from;
        let left = self.length.saturating_sub(from) as usize;
        Ok(sendfile(socket, &self.file, Some(&mut place), left)?)
    }
}
