//! Backups as named pieces of bytes, one after the other: a folder of files, or a tar stream of the
//! same names. Only what we write is read back: plain files, with names as short as ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::draft;

/// Where a backup goes.
pub enum ArchiveSink {
    /// A new folder, which appears under its name when it is complete.
    Folder(PathBuf),
    /// A new file, which appears under its name when it is complete.
    File(PathBuf),
    /// A stream.
    Stream(Box<dyn Write + Send>),
}

/// Where a backup comes from.
pub enum ArchiveSource {
    /// A folder.
    Folder(PathBuf),
    /// A tar file or stream.
    Stream(Box<dyn Read + Send>),
}

/// What every backup begins with, and the folders of the rest.
pub(super) const MANIFEST: &str = "calotype-backup.json";
pub(super) const RECORDS: &str = "records";
pub(super) const BLOBS: &str = "blobs";

/// Tar knows blocks of this size.
const BLOCK: usize = 512;

/// Where a header says the size, in octal digits, before a zero.
const SIZE: Range<usize> = 124..135;

/// The largest size which twelve octal digits, one of them the end, can say.
const SIZE_MAX: u64 = 0o77_777_777_777;

/// A backup which is being written, on a thread of its own, since pipes may be slow.
pub(super) struct Writing {
    pieces: mpsc::Sender<(String, Bytes)>,
    thread: JoinHandle<io::Result<()>>,
}

impl Writing {
    pub(super) fn start(sink: ArchiveSink) -> Self {
        let (pieces, mut taken) = mpsc::channel::<(String, Bytes)>(4);
        let thread = tokio::task::spawn_blocking(move || {
            let mut open = Open::create(sink)?;
            let mut complete = false;
            while let Some((name, bytes)) = taken.blocking_recv() {
                if name.is_empty() {
                    complete = true;
                } else if let Err(error) = open.write(&name, &bytes) {
                    open.discard();
                    return Err(error);
                }
            }
            if complete {
                open.finish()
            } else {
                open.discard();
                Ok(())
            }
        });
        Self { pieces, thread }
    }

    /// Writes a piece. What goes wrong is told by `finish`.
    pub(super) async fn piece(&self, name: String, bytes: Bytes) -> bool {
        self.pieces.send((name, bytes)).await.is_ok()
    }

    /// Makes it complete and durable. Dropped without this, nothing is left of it.
    pub(super) async fn finish(self) -> io::Result<()> {
        // No piece has an empty name.
        let _ = self.pieces.send((String::new(), Bytes::new())).await;
        self.end().await
    }

    /// Leaves nothing, and tells what went wrong.
    pub(super) async fn end(self) -> io::Result<()> {
        drop(self.pieces);
        self.thread.await.map_err(io::Error::other)?
    }
}

/// What is being written to.
enum Open {
    Folder {
        /// The folder itself, for as long as it is written.
        lock: File,
        draft: PathBuf,
        path: PathBuf,
    },
    File {
        file: File,
        draft: PathBuf,
        path: PathBuf,
    },
    Stream(Box<dyn Write + Send>),
}

impl Open {
    fn create(sink: ArchiveSink) -> io::Result<Self> {
        let (ArchiveSink::Folder(path) | ArchiveSink::File(path)) = &sink else {
            let ArchiveSink::Stream(stream) = sink else {
                return Err(ErrorKind::Unsupported.into());
            };
            return Ok(Self::Stream(stream));
        };
        // Without a slash at its end, behind which the draft would be in the folder.
        let path: PathBuf = path.components().collect();
        if path.symlink_metadata().is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let draft = draft::beside(&path);
        if let ArchiveSink::Folder(_) = sink {
            let lock = draft::folder(&draft)?;
            return Ok(Self::Folder { lock, draft, path });
        }
        let file = draft::file(&draft)?;
        Ok(Self::File { file, draft, path })
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Folder { draft, .. } => {
                let path = draft.join(name);
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)?;
                file.write_all(bytes)?;
                file.sync_all()
            }
            Self::File { file, .. } => write_entry(file, name, bytes),
            Self::Stream(stream) => write_entry(stream, name, bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        let end = [0; 2 * BLOCK];
        let (_lock, draft, path) = match self {
            Self::Stream(mut stream) => {
                stream.write_all(&end)?;
                return stream.flush();
            }
            Self::File {
                mut file,
                draft,
                path,
            } => {
                file.write_all(&end)?;
                file.sync_all()?;
                (file, draft, path)
            }
            Self::Folder { lock, draft, path } => {
                sync_folders(&draft)?;
                (lock, draft, path)
            }
        };
        // Something may have come there meanwhile.
        if path.symlink_metadata().is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        fs::rename(&draft, &path)?;
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }

    fn discard(self) {
        // What cannot be removed is called unfinished, and the next run removes it.
        let _ = match self {
            Self::Stream(_) => Ok(()),
            Self::File { draft, .. } => fs::remove_file(draft),
            Self::Folder { draft, .. } => fs::remove_dir_all(draft),
        };
    }
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// One file of a tar archive, as POSIX has it (ustar).
fn write_entry(stream: &mut dyn Write, name: &str, bytes: &[u8]) -> io::Result<()> {
    let size = bytes.len() as u64;
    if size > SIZE_MAX {
        let words = format!("{name} is larger than a tar archive allows; make a folder instead");
        return Err(io::Error::new(ErrorKind::FileTooLarge, words));
    }
    stream.write_all(&header(name, size))?;
    stream.write_all(bytes)?;
    stream.write_all(&[0; BLOCK][..padding(bytes.len())])
}

/// What stands before the bytes of an entry.
fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(SIZE.start, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The sum is taken over blanks in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn padding(bytes: usize) -> usize {
    (BLOCK - bytes % BLOCK) % BLOCK
}

/// A backup which is being read, on a thread of its own: the names which are asked for, in the
/// order in which they were written.
pub(super) struct Reading {
    /// None at all asks for the end.
    names: mpsc::Sender<Vec<String>>,
    pieces: mpsc::Receiver<io::Result<Option<Bytes>>>,
}

impl Reading {
    pub(super) fn start(source: ArchiveSource) -> Self {
        let (names, mut asked) = mpsc::channel::<Vec<String>>(1);
        let (send, pieces) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let mut source = source;
            while let Some(names) = asked.blocking_recv() {
                if names.is_empty() {
                    let ended = read_end(&mut source).map(|()| None);
                    let _ = send.blocking_send(ended);
                    return;
                }
                for name in names {
                    let piece = read(&mut source, &name).map(|bytes| bytes.map(Bytes::from));
                    let failed = piece.is_err();
                    if send.blocking_send(piece).is_err() || failed {
                        return;
                    }
                }
            }
        });
        Self { names, pieces }
    }

    /// Asks for the pieces of these names.
    pub(super) async fn ask(&mut self, names: Vec<String>) {
        if !names.is_empty() {
            self.send(names).await;
        }
    }

    /// Reads to the end, behind which nothing may follow. Whoever sends it may not stop before.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        self.send(Vec::new()).await;
        self.piece().await.map(drop)
    }

    async fn send(&mut self, names: Vec<String>) {
        // A thread which has ended said why.
        let _ = self.names.send(names).await;
    }

    /// The next of the pieces which were asked for; `None` if the backup was made without it.
    pub(super) async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let piece = self.pieces.recv().await;
        piece.unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()))
    }

    /// The piece of this name, which every backup has.
    pub(super) async fn one(&mut self, name: &str) -> io::Result<Bytes> {
        self.ask(vec![name.to_owned()]).await;
        let piece = self.piece().await?;
        piece.ok_or_else(|| ErrorKind::InvalidData.into())
    }
}

/// What takes the place of a piece which could not be had: an empty one of this name.
pub(super) fn left_out(name: &str) -> String {
    format!("{name}.missing")
}

fn read(source: &mut ArchiveSource, name: &str) -> io::Result<Option<Vec<u8>>> {
    match source {
        ArchiveSource::Folder(folder) => match read_file(&folder.join(name)) {
            Err(error)
                if error.kind() == ErrorKind::NotFound && folder.join(left_out(name)).exists() =>
            {
                Ok(None)
            }
            read => read.map(Some),
        },
        ArchiveSource::Stream(stream) => read_entry(stream.as_mut(), name),
    }
}

/// A plain file: another kind may have no end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() {
        return fs::read(path);
    }
    let words = format!("{} is no file", path.display());
    Err(io::Error::new(ErrorKind::InvalidData, words))
}

/// Behind the last entry of a tar archive are two blocks of zeros at least.
fn read_end(source: &mut ArchiveSource) -> io::Result<()> {
    let ArchiveSource::Stream(stream) = source else {
        return Ok(());
    };
    let (mut zeros, mut block) = (0, [0; BLOCK]);
    loop {
        let read = stream.read(&mut block)?;
        if block[..read].iter().any(|byte| *byte != 0) {
            let words = "something follows its end";
            return Err(io::Error::new(ErrorKind::InvalidData, words));
        }
        zeros += read;
        match read {
            0 if zeros < 2 * BLOCK => return Err(ErrorKind::UnexpectedEof.into()),
            0 => return Ok(()),
            _ => {}
        }
    }
}

fn read_entry(stream: &mut dyn Read, name: &str) -> io::Result<Option<Vec<u8>>> {
    let invalid = |words: &str| io::Error::new(ErrorKind::InvalidData, format!("{words}: {name}"));
    let mut read = [0; BLOCK];
    stream.read_exact(&mut read)?;
    let size = std::str::from_utf8(&read[SIZE]).ok();
    let size = size.and_then(|digits| u64::from_str_radix(digits, 8).ok());
    let size = size.ok_or_else(|| invalid("what should be there is not a tar header"))?;
    // The sum of a header does not tell every damage, and no digest covers a header.
    let is_left_out = read == header(&left_out(name), 0);
    if !is_left_out && read != header(name, size) {
        return Err(invalid("its header is not as it was written"));
    }
    let mut bytes = Vec::new();
    // Memory grows with what is there, and not with what a header promises.
    if stream.take(size).read_to_end(&mut bytes)? as u64 != size {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let mut pad = [0; BLOCK];
    let pad = &mut pad[..padding(bytes.len())];
    stream.read_exact(pad)?;
    if pad.iter().any(|byte| *byte != 0) {
        return Err(invalid("something follows it"));
    }
    Ok((!is_left_out).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<u8> {
        let mut out = Vec::new();
        for (name, bytes) in [
            ("a", vec![1; 512]),
            ("b/c", vec![2; 513]),
            ("d", Vec::new()),
        ] {
            write_entry(&mut out, name, &bytes).unwrap();
        }
        out
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let mut bytes = &entries()[..];
        assert_eq!(read_entry(&mut bytes, "a").unwrap().unwrap(), [1; 512]);
        assert_eq!(read_entry(&mut bytes, "b/c").unwrap().unwrap(), [2; 513]);
        let empty = read_entry(&mut bytes, "d").unwrap();
        assert_eq!(empty.map(|bytes| bytes.len()), Some(0));
        assert!(read_entry(&mut bytes, "e").is_err());
    }

    #[test]
    fn what_was_left_out_is_told() {
        let mut out = Vec::new();
        write_entry(&mut out, &left_out("a"), &[]).unwrap();
        assert_eq!(read_entry(&mut &out[..], "a").unwrap(), None);
        assert!(read_entry(&mut &out[..], "b").is_err());
    }

    #[test]
    fn a_damaged_header_is_refused() {
        let whole = entries();
        for bit in 0..8 * BLOCK {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read_entry(&mut &damaged[..], "a").is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_truncated_entry_is_refused() {
        let whole = entries();
        for length in 0..2 * BLOCK {
            assert!(
                read_entry(&mut &whole[..length], "a").is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_size_which_is_not_there_takes_no_memory() {
        let promised = header("a", SIZE_MAX);
        let error = read_entry(&mut &promised[..], "a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
