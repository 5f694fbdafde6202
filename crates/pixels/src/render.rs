use model::{Limits, Transform};

use crate::{Accepts, Cancel, Error, Rendition, inspect};

/// Makes a rendition of `source`. A pure function: equal arguments give equal bytes.
pub fn render(
    source: &[u8],
    _transform: &Transform,
    _accepts: Accepts,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    cancel.check()?;
    let header = inspect(source, limits)?;
    Err(Error::NoDecoder(header.format))
}
