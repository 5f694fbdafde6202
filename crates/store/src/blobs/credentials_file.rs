//! Keys in the file which the tools of AWS share, `~/.aws/credentials`.
//!
//! Source: "Configuration and credential file settings" in the user guide of the AWS command line:
//! `[profile]`, then `name = value` lines; lines which begin with `#` or `;` say nothing.

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use crate::Error;

/// Whoever puts other keys into the file need not start the server anew.
const READ_EVERY: Duration = Duration::from_secs(10);

/// The keys of one profile.
#[derive(Debug)]
pub(super) struct CredentialsFile {
    path: PathBuf,
    profile: String,
    read: Mutex<(Instant, Arc<AwsCredential>)>,
}

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0} cannot be read")]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{0} has no aws_access_key_id with its aws_secret_access_key in [{1}]")]
    NoKeys(PathBuf, String),
}

impl CredentialsFile {
    /// The file of the variables `AWS_SHARED_CREDENTIALS_FILE` and `AWS_PROFILE`, or the usual one.
    /// `None` if there is none and none was asked for, or if other variables come first.
    pub(super) fn of_variables() -> Result<Option<Self>, Error> {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        if is_set("AWS_ACCESS_KEY_ID") || is_set("AWS_WEB_IDENTITY_TOKEN_FILE") {
            return Ok(None);
        }
        let named = is_set("AWS_SHARED_CREDENTIALS_FILE") || is_set("AWS_PROFILE");
        let path = env::var_os("AWS_SHARED_CREDENTIALS_FILE").filter(|path| !path.is_empty());
        let usual = || Some(Path::new(&env::var_os("HOME")?).join(".aws/credentials"));
        let Some(path) = path.map(PathBuf::from).or_else(usual) else {
            return Ok(None);
        };
        let profile = env::var("AWS_PROFILE").ok();
        let profile = profile.filter(|profile| !profile.is_empty());
        let profile = profile.unwrap_or_else(|| "default".to_owned());
        match Self::open(path, profile) {
            Ok(file) => Ok(Some(file)),
            Err(unusable) if named => Err(Error::Blobs(Box::new(unusable))),
            // What is asked next is the role of the container or machine.
            Err(unusable) => {
                tracing::debug!(%unusable, "no keys of a bucket are in the usual file");
                Ok(None)
            }
        }
    }

    fn open(path: PathBuf, profile: String) -> Result<Self, Unusable> {
        let read = keys_of(&path, &profile, fs::read_to_string(&path))?;
        Ok(Self {
            path,
            profile,
            read: Mutex::new((Instant::now(), Arc::new(read))),
        })
    }
}

#[async_trait]
impl CredentialProvider for CredentialsFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut known = self.read.lock().await;
        if known.0.elapsed() >= READ_EVERY {
            known.0 = Instant::now();
            let text = tokio::fs::read_to_string(&self.path).await;
            match keys_of(&self.path, &self.profile, text) {
                Ok(read) => known.1 = Arc::new(read),
                // It may be being written: what was in it before may still open the bucket.
                Err(error) => tracing::warn!(%error, "the keys of the bucket are not read again"),
            }
        }
        Ok(Arc::clone(&known.1))
    }
}

fn keys_of(
    path: &Path,
    profile: &str,
    text: io::Result<String>,
) -> Result<AwsCredential, Unusable> {
    let text = text.map_err(|error| {
        let error = match error.kind() {
            ErrorKind::InvalidData => io::Error::new(ErrorKind::InvalidData, "it is no text"),
            _ => error,
        };
        Unusable::Unreadable(path.to_owned(), error)
    })?;
    parse(&text, profile).ok_or_else(|| Unusable::NoKeys(path.to_owned(), profile.to_owned()))
}

fn parse(text: &str, profile: &str) -> Option<AwsCredential> {
    let (mut within, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            within = name.split(']').next().map(str::trim) == Some(profile);
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within) {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim().to_ascii_lowercase().as_str() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsCredential {
        key_id: id?,
        secret_key: secret?,
        token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# keys\n[default]\naws_access_key_id=A1\naws_secret_access_key = s=1/+\n\
        region = eu-west-1\n\n[ other ]\r\nAWS_ACCESS_KEY_ID = A2\r\naws_secret_access_key = s2\r\n\
        ;aws_session_token = none\r\naws_session_token = t2\r\n[role]\nrole_arn = arn:aws:iam::1\n";

    #[test]
    fn profiles_have_their_keys() {
        for (profile, expected) in [
            ("default", Some(("A1", "s=1/+", None))),
            ("other", Some(("A2", "s2", Some("t2")))),
            ("role", None),
            ("nobody", None),
        ] {
            let found = parse(TEXT, profile);
            let found = found
                .as_ref()
                .map(|keys| (&*keys.key_id, &*keys.secret_key, keys.token.as_deref()));
            assert_eq!(found, expected, "{profile}");
        }
    }

    #[tokio::test]
    async fn other_keys_are_found_and_broken_files_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let absent = CredentialsFile::open(path.clone(), "default".to_owned());
        assert!(matches!(absent, Err(Unusable::Unreadable(..))));
        fs::write(&path, TEXT).unwrap();
        let file = CredentialsFile::open(path.clone(), "default".to_owned()).unwrap();
        let key = async || {
            let long_ago = Instant::now().checked_sub(READ_EVERY).unwrap();
            file.read.lock().await.0 = long_ago;
            file.get_credential().await.unwrap().key_id.clone()
        };
        assert_eq!(key().await, "A1");
        fs::write(&path, "[default]\naws_access_key_id=A3").unwrap();
        assert_eq!(key().await, "A1");
        fs::write(&path, TEXT.replace("A1", "A3")).unwrap();
        assert_eq!(key().await, "A3");
    }
}
