use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use model::{BlobKey, from_hex};

use super::known::Known;
use super::{Emptied, RenditionKey, blob_path};
use crate::error::is_no_space;

const SHARDS: usize = 256;

/// What a file takes at least; sizes are counted in such blocks.
const BLOCK_BYTES: u64 = 4096;

/// A use is noted as the file's time of modification, but not more often than this.
const USE_NOTED: Duration = Duration::from_mins(10);

/// Of a shard whose turn it is, at most this part is given up at once.
const GIVEN_UP: u64 = 8;

/// How many removed blobs are remembered. More than are removed while one rendition is made.
const REMOVED_MAX: usize = 1 << 16;

/// The files, and the rules by which they come and go.
#[derive(Debug)]
pub(super) struct Shards {
    /// Holds the shards.
    root: PathBuf,
    /// Holds files which are being written.
    drafts: PathBuf,
    next_draft: AtomicU64,
    bytes_max: u64,
    known: Known,
    gate: Mutex<Gate>,
}

/// Whoever adds or removes a file holds this, so that sizes are exact, and so that nothing is
/// added for a blob which was removed.
#[derive(Debug)]
struct Gate {
    /// The bytes of each shard; `None` until it was counted.
    sizes: Vec<Option<u64>>,
    /// The shard whose turn it is to give up files.
    turn: usize,
    removed: Removed,
}

/// The blobs which were removed last.
#[derive(Debug, Default)]
struct Removed {
    known: HashSet<BlobKey>,
    order: VecDeque<BlobKey>,
}

/// A file as a shard's listing shows it.
struct Entry {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Shards {
    pub(super) fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        let (root, drafts) = (dir.join("r"), dir.join("new"));
        fs::create_dir_all(&root)?;
        absent_is_fine(fs::remove_dir_all(&drafts))?;
        fs::create_dir(&drafts)?;
        Ok(Self {
            root,
            drafts,
            next_draft: AtomicU64::new(0),
            bytes_max,
            known: Known::new(),
            gate: Mutex::new(Gate {
                sizes: vec![None; SHARDS],
                turn: 0,
                removed: Removed::default(),
            }),
        })
    }

    pub(super) fn are_off(&self) -> bool {
        self.bytes_max == 0
    }

    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// Whether there may be a file of this key. Takes no look at the disk.
    pub(super) fn may_have(&self, key: &RenditionKey) -> bool {
        self.known.may_have(key)
    }

    /// Whether it is time to count again, for too much is kept in mind that has gone.
    pub(super) fn is_overfull(&self) -> bool {
        self.known.is_full()
    }

    /// Counts every shard, one at a time.
    pub(super) fn count(&self) {
        self.known.begin();
        let mut complete = true;
        for shard in 0..SHARDS {
            let mut gate = self.lock();
            match self.entries(shard) {
                Ok(entries) => {
                    gate.sizes[shard] = Some(total(&entries));
                    let keys = entries.iter().filter_map(|entry| key_at(&entry.path));
                    keys.for_each(|key| self.known.add(&key));
                }
                Err(error) => {
                    complete = false;
                    failed("counted", &error);
                }
            }
        }
        if complete {
            self.known.complete();
        }
        let mut gate = self.lock();
        if let Err(error) = self.shrink(&mut gate, self.bytes_max) {
            failed("emptied", &error);
        }
    }

    /// What `parse` reads from the file of this key; a file which it cannot read goes.
    pub(super) fn get<T>(
        &self,
        key: &RenditionKey,
        parse: impl FnOnce(&Bytes) -> Option<T>,
    ) -> Option<T> {
        let path = self.root.join(key.path());
        let content = match read(&path) {
            Ok(content) => content,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    failed("read", &error);
                }
                return None;
            }
        };
        let parsed = parse(&content.into());
        if parsed.is_none() {
            tracing::info!(path = %path.display(), "removed a torn rendition");
            let mut gate = self.lock();
            if let Err(error) = self.remove_file(&mut gate, shard_of(&key.blob), &path) {
                failed("removed", &error);
            }
        }
        parsed
    }

    /// Where the file of this key is, or would be.
    pub(super) fn path(&self, key: &RenditionKey) -> PathBuf {
        self.root.join(key.path())
    }

    pub(super) fn put(&self, key: &RenditionKey, content: &[u8]) {
        if blocks(content.len() as u64) > self.bytes_max {
            return;
        }
        let number = self.next_draft.fetch_add(1, Ordering::Relaxed);
        let draft = self.drafts.join(number.to_string());
        let kept = fs::write(&draft, content)
            .and_then(|()| self.publish(key, &draft, content.len() as u64));
        if let Err(error) = kept {
            // The draft may be published already, or was never made.
            let _ = fs::remove_file(&draft);
            if is_no_space(&error) {
                tracing::debug!(%error, "no space to keep a rendition");
            } else {
                failed("kept", &error);
            }
        }
    }

    fn publish(&self, key: &RenditionKey, draft: &Path, bytes: u64) -> io::Result<()> {
        let path = self.root.join(key.path());
        let shard = shard_of(&key.blob);
        let mut gate = self.lock();
        if gate.removed.known.contains(&key.blob) {
            return fs::remove_file(draft);
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        self.known.add(key);
        let replaced = path.metadata().map_or(0, |found| blocks(found.len()));
        fs::rename(draft, &path)?;
        gate.add(shard, blocks(bytes));
        gate.subtract(shard, replaced);
        self.shrink(&mut gate, self.bytes_max)
    }

    /// Whether a blob is among those which were removed last.
    pub(super) fn is_removed(&self, blob: &BlobKey) -> bool {
        self.lock().removed.known.contains(blob)
    }

    /// Removes what there is of a blob, and refuses what comes later.
    pub(super) fn remove_blob(&self, blob: &BlobKey) {
        let mut gate = self.lock();
        gate.removed.insert(blob.clone());
        self.empty(&mut gate, blob);
    }

    /// Removes what there is of a blob.
    pub(super) fn empty_blob(&self, blob: &BlobKey) -> Emptied {
        self.empty(&mut self.lock(), blob)
    }

    /// Removes what there is under a key.
    pub(super) fn remove(&self, key: &RenditionKey) -> Emptied {
        let path = self.root.join(key.path());
        let removed = self.remove_file(&mut self.lock(), shard_of(&key.blob), &path);
        removed.unwrap_or_else(|error| {
            failed("removed", &error);
            Emptied::default()
        })
    }

    fn empty(&self, gate: &mut Gate, blob: &BlobKey) -> Emptied {
        let folder = self.root.join(blob_path(blob));
        let mut emptied = Emptied::default();
        let removed = entries_of(&folder).and_then(|entries| {
            for entry in entries {
                emptied.add(self.remove_file(gate, shard_of(blob), &entry.path)?);
            }
            absent_is_fine(fs::remove_dir(&folder))
        });
        if let Err(error) = removed {
            failed("removed", &error);
        }
        emptied
    }

    pub(super) fn give_up_bytes(&self, bytes: u64) {
        let mut gate = self.lock();
        let bytes_max = gate.bytes().saturating_sub(bytes);
        if let Err(error) = self.shrink(&mut gate, bytes_max) {
            failed("given up", &error);
        }
    }

    /// Lets the shards give up files in turn until at most `bytes_max` are left.
    fn shrink(&self, gate: &mut Gate, bytes_max: u64) -> io::Result<()> {
        // After as many rounds as there are parts, every shard is empty.
        for _ in 0..SHARDS * (GIVEN_UP as usize + 1) {
            let excess = gate.bytes().saturating_sub(bytes_max);
            if excess == 0 {
                break;
            }
            let shard = gate.turn;
            gate.turn = (shard + 1) % SHARDS;
            if gate.sizes[shard] != Some(0) {
                self.give_up(gate, shard, excess)?;
            }
        }
        Ok(())
    }

    fn give_up(&self, gate: &mut Gate, shard: usize, excess: u64) -> io::Result<()> {
        let mut entries = self.entries(shard)?;
        let bytes = total(&entries);
        gate.sizes[shard] = Some(bytes);
        entries.sort_by_key(|entry| entry.used);
        let mut rest = excess.min(bytes.div_ceil(GIVEN_UP));
        for entry in entries {
            if rest == 0 {
                break;
            }
            self.remove_file(gate, shard, &entry.path)?;
            if let Some(folder) = entry.path.parent() {
                // Fails, as it should, while the blob has other renditions.
                let _ = fs::remove_dir(folder);
            }
            rest = rest.saturating_sub(entry.bytes);
        }
        Ok(())
    }

    fn remove_file(&self, gate: &mut Gate, shard: usize, path: &Path) -> io::Result<Emptied> {
        debug_assert!(path.starts_with(&self.root));
        let bytes = match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Emptied::default()),
            found => blocks(found?.len()),
        };
        fs::remove_file(path)?;
        gate.subtract(shard, bytes);
        Ok(Emptied { entries: 1, bytes })
    }

    fn entries(&self, shard: usize) -> io::Result<Vec<Entry>> {
        let folder = self.root.join(format!("{shard:02x}"));
        let mut entries = Vec::new();
        for blob in absent_is_empty(fs::read_dir(folder))? {
            entries.extend(entries_of(&blob?.path())?);
        }
        Ok(entries)
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn bytes(&self) -> u64 {
        self.sizes.iter().flatten().sum()
    }

    fn add(&mut self, shard: usize, bytes: u64) {
        if let Some(size) = &mut self.sizes[shard] {
            *size += bytes;
        }
    }

    fn subtract(&mut self, shard: usize, bytes: u64) {
        if let Some(size) = &mut self.sizes[shard] {
            *size = size.saturating_sub(bytes);
        }
    }
}

impl Removed {
    fn insert(&mut self, blob: BlobKey) {
        if self.known.insert(blob.clone()) {
            self.order.push_back(blob);
        }
        if self.order.len() > REMOVED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Reads a file and notes its use.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut content = Vec::with_capacity(metadata.len() as usize);
    file.read_to_end(&mut content)?;
    if !is_use_noted(&metadata) {
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
    }
    Ok(content)
}

/// Whether a file's use was noted lately enough.
pub(super) fn is_use_noted(metadata: &Metadata) -> bool {
    let noted = metadata.modified();
    // A time to come, or none at all, is not worth another note.
    noted.map_or(true, |noted| {
        let elapsed = SystemTime::now().duration_since(noted);
        elapsed.map_or(true, |elapsed| elapsed <= USE_NOTED)
    })
}

fn entries_of(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in absent_is_empty(fs::read_dir(folder))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        entries.push(Entry {
            used: metadata.modified()?,
            bytes: blocks(metadata.len()),
            path: entry.path(),
        });
    }
    Ok(entries)
}

/// The key whose file is at this path.
fn key_at(path: &Path) -> Option<RenditionKey> {
    let blob = path.parent()?.file_name()?.to_str()?;
    let transform = from_hex(path.file_name()?.to_str()?)?;
    Some(RenditionKey {
        blob: BlobKey::parse(blob)?,
        transform: transform.try_into().ok()?,
    })
}

fn shard_of(blob: &BlobKey) -> usize {
    usize::from(blob.bytes()[0])
}

fn total(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.bytes).sum()
}

fn blocks(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn absent_is_empty(
    listing: io::Result<fs::ReadDir>,
) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match listing {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        listing => Ok(Some(listing?).into_iter().flatten()),
    }
}

fn failed(what: &str, error: &io::Error) {
    tracing::warn!(%error, "a rendition could not be {what}");
}
