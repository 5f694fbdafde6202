//! SVG is never rasterised: whatever is asked of it, it is delivered sanitised
//! (transformations.md, section 3.6).

use model::Limits;
use svg_hush::{Filter, data_url_filter};

use crate::Error;

/// Takes scripts, event attributes, foreign elements and references to other documents out of an
/// SVG image. Anything which is not SVG is an error.
pub fn sanitise_svg(source: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let length = source.len() as u64;
    if length > limits.upload_bytes_max {
        return Err(Error::TooLarge {
            limit: "upload_bytes_max",
            value: length,
            maximum: limits.upload_bytes_max,
        });
    }
    let mut filter = Filter::new();
    filter.set_data_url_filter(data_url_filter::allow_standard_images);
    let mut sanitised = Vec::with_capacity(source.len());
    filter
        .filter(source, &mut sanitised)
        .map_err(Error::corrupt)?;
    // The filter drops elements which are not SVG's, so an HTML page would come out empty.
    if !sanitised.windows(4).any(|text| text == b"<svg") {
        return Err(Error::NotAnImage);
    }
    Ok(sanitised)
}
