use model::Limits;

use crate::{Error, Header, inspect};

/// Reads the header and makes sure that the picture is really there.
pub fn verify(source: &[u8], limits: &Limits) -> Result<Header, Error> {
    inspect(source, limits)
}
