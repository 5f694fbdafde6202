//! Undoing the compression of HTTP, which is asked not to be used and is used all the same.

use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use super::FetchError;

/// A coding of the body which can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// Reads `Content-Encoding`; `None` is no coding.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, FetchError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            _ => Err(FetchError::Coding),
        }
    }

    /// The bytes as they were, of which there may be so many.
    pub(crate) fn undo(self, bytes: &[u8], bytes_max: u64) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Gzip => read(MultiGzDecoder::new(bytes), bytes_max),
            Self::Deflate => read(ZlibDecoder::new(bytes), bytes_max),
        }
    }
}

fn read(decoder: impl Read, bytes_max: u64) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    // One more tells too many from just enough.
    let mut decoder = decoder.take(bytes_max.saturating_add(1));
    let read = decoder.read_to_end(&mut bytes);
    read.map_err(|_| FetchError::Coding)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FetchError::TooManyBytes(bytes_max));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    #[test]
    fn compression_is_undone_up_to_the_limit() {
        let zeros = vec![0; 1_000_000];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&zeros).unwrap();
        let gzip = gzip.finish().unwrap();
        assert!(gzip.len() < 2_000);
        assert_eq!(Coding::Gzip.undo(&gzip, 1_000_000), Ok(zeros));
        let bomb = Coding::Gzip.undo(&gzip, 999_999);
        assert_eq!(bomb, Err(FetchError::TooManyBytes(999_999)));
        let torn = Coding::Gzip.undo(&gzip[..100], 1_000_000);
        assert_eq!(torn, Err(FetchError::Coding));
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(b"light").unwrap();
        let deflate = deflate.finish().unwrap();
        assert_eq!(Coding::Deflate.undo(&deflate, 5), Ok(b"light".to_vec()));
        assert_eq!(
            Coding::Deflate.undo(b"nonsense", 5),
            Err(FetchError::Coding)
        );
    }

    #[test]
    fn codings_are_told_apart() {
        assert_eq!(Coding::parse("identity"), Ok(None));
        assert_eq!(Coding::parse(" GZIP "), Ok(Some(Coding::Gzip)));
        assert_eq!(Coding::parse("deflate"), Ok(Some(Coding::Deflate)));
        assert_eq!(Coding::parse("gzip, gzip"), Err(FetchError::Coding));
        assert_eq!(Coding::parse("br"), Err(FetchError::Coding));
    }
}
