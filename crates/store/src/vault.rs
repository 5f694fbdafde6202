use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use crate::Error;
use crate::data_folder::sync_folder;

/// The server's secret key: it seals secrets at rest, and other keys are derived from it.
#[derive(Clone)]
pub struct Vault {
    root: Prk,
    sealing: LessSafeKey,
}

/// The first byte of a sealed value; tells the cipher and the layout.
const VERSION: u8 = 1;

impl Vault {
    /// The vault of a key.
    pub fn from_key(key: [u8; 32]) -> Self {
        let root = Salt::new(HKDF_SHA256, b"calotype").extract(&key);
        let sealing = UnboundKey::new(&CHACHA20_POLY1305, &derived(&root, "seal"))
            .expect("32 bytes are a key of this cipher");
        Self {
            root,
            sealing: LessSafeKey::new(sealing),
        }
    }

    /// The vault of the key in this file: 64 hexadecimal characters. Without the file a fresh key
    /// is written there, which only the owner may read.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        let unusable = |error: io::Error| Error::folder(path, error);
        if let Some(key) = Self::read_key(path)? {
            return Ok(Self::from_key(key));
        }
        create(path, &model::random_hex::<32>()).map_err(unusable)?;
        // Another process may have been first.
        let key = Self::read_key(path)?.ok_or_else(|| no_key(path))?;
        Ok(Self::from_key(key))
    }

    /// The key in this file; `None` without the file.
    pub fn read_key(path: &Path) -> Result<Option<[u8; 32]>, Error> {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::folder(path, error)),
            Ok(text) => match parse(text.trim()) {
                Some(key) => Ok(Some(key)),
                None => Err(no_key(path)),
            },
        }
    }

    /// Writes a key which was made before into this file, which must not be there.
    pub fn write_key(path: &Path, key: [u8; 32]) -> Result<(), Error> {
        create(path, &model::to_hex(&key)).map_err(|error| Error::folder(path, error))
    }

    /// Encrypts a secret. It opens again only with the same key and `context`, which says whose
    /// secret it is, so that sealed values cannot be swapped in the database.
    pub fn seal(&self, plaintext: &[u8], context: &str) -> Vec<u8> {
        let nonce = model::random_bytes::<NONCE_LEN>();
        let mut text = plaintext.to_vec();
        self.sealing
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut text,
            )
            .expect("a secret is far smaller than what the cipher allows");
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed
    }

    /// Decrypts what `seal` made. `Sealed` if it was made with another key or context, or was
    /// changed.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Vec<u8>, Error> {
        let (version, rest) = sealed.split_first().ok_or(Error::Sealed)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Error::Sealed)?;
        if *version != VERSION {
            return Err(Error::Sealed);
        }
        let mut text = text.to_vec();
        let plaintext = self.sealing.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(context.as_bytes()),
            &mut text,
        );
        Ok(plaintext.map_err(|_| Error::Sealed)?.to_vec())
    }

    /// A key for another purpose. Equal for equal purposes, and telling nothing about the others.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        derived(&self.root, &format!("derive {purpose}"))
    }
}

/// Prints no key.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

fn derived(root: &Prk, purpose: &str) -> [u8; 32] {
    let mut key = [0; 32];
    root.expand(&[purpose.as_bytes()], HKDF_SHA256)
        .and_then(|material| material.fill(&mut key))
        .expect("32 bytes are within what one key gives");
    key
}

fn no_key(path: &Path) -> Error {
    Error::Folder(format!(
        "{} does not hold a secret key of 64 hexadecimal characters",
        path.display()
    ))
}

/// Writes a key. The file appears whole or not at all, and never in place of another.
fn create(path: &Path, key: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::remove_file(&draft)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn parse(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_sealed_value_opens_with_its_key_and_context_alone() {
        let vault = Vault::from_key([7; 32]);
        let sealed = vault.seal(b"secret", "mine");
        assert_eq!(vault.open(&sealed, "mine").unwrap(), b"secret");
        assert!(matches!(vault.open(&sealed, "yours"), Err(Error::Sealed)));
        let other = Vault::from_key([8; 32]);
        assert!(matches!(other.open(&sealed, "mine"), Err(Error::Sealed)));
    }

    #[test]
    fn a_changed_value_does_not_open() {
        let vault = Vault::from_key([7; 32]);
        let sealed = vault.seal(b"secret", "mine");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open(&changed, "mine").is_err(), "byte {at}");
            assert!(vault.open(&sealed[..at], "mine").is_err(), "{at} bytes");
        }
    }

    #[test]
    fn equal_secrets_are_sealed_differently() {
        let vault = Vault::from_key([7; 32]);
        assert_ne!(vault.seal(b"secret", ""), vault.seal(b"secret", ""));
    }

    #[test]
    fn derived_keys_depend_on_key_and_purpose() {
        let vault = Vault::from_key([7; 32]);
        assert_eq!(vault.derive("cursors"), vault.clone().derive("cursors"));
        assert_ne!(vault.derive("cursors"), vault.derive("batch tokens"));
        assert_ne!(
            vault.derive("cursors"),
            Vault::from_key([8; 32]).derive("cursors")
        );
    }

    #[test]
    fn a_key_file_is_created_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let first = Vault::load_or_create(&path).unwrap().derive("");
        assert_eq!(Vault::load_or_create(&path).unwrap().derive(""), first);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_which_holds_no_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        for text in ["", "abc", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(
                Vault::load_or_create(&path),
                Err(Error::Folder(_))
            ));
            assert_eq!(fs::read_to_string(&path).unwrap(), *text);
        }
    }

    #[test]
    fn debug_prints_no_key() {
        assert_eq!(format!("{:?}", Vault::from_key([7; 32])), "Vault");
    }
}
