//! A drawing to pixels, at whatever size is wanted.

use std::sync::{Arc, LazyLock};

use model::Limits;
use resample::Region;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::roxmltree::{self, Document, ParsingOptions};
use resvg::usvg::{ImageHrefResolver, Options, Size, Tree};

use super::size::{DEFAULT, EM, Extent};
use super::{expansion, sanitise_svg, work};
use crate::decode::without_panic;
use crate::raster::Raster;
use crate::{Cancel, Error, Header, text};

/// Elements, texts and comments of a document.
const NODES_MAX: u32 = 100_000;
/// Bytes of a document, as it was uploaded.
const SOURCE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes which drawing takes at most: the document with all of its references followed, and layers.
pub(crate) const BYTES: u64 = 32 * 1024 * 1024 + work::LAYER_BYTES_LEAST;
/// The same for each pixel: layers, and the pixels themselves, before and after their alpha is
/// divided out.
pub(crate) const BYTES_PER_PIXEL: u64 = work::LAYER_BYTES + 8;

/// The one font there is, under every name.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_source(Source::Binary(Arc::new(text::built_in_font())));
    let family = fonts.faces().next().and_then(|face| face.families.first());
    if let Some(family) = family.map(|(name, _)| name.clone()) {
        fonts.set_serif_family(family.clone());
        fonts.set_sans_serif_family(family.clone());
        fonts.set_cursive_family(family.clone());
        fonts.set_fantasy_family(family.clone());
        fonts.set_monospace_family(family);
    }
    Arc::new(fonts)
});

/// A drawing which was drawn.
pub(crate) struct Drawing {
    /// With alpha.
    pub raster: Raster,
    /// Whether pictures within it were left out.
    pub lacks_pictures: bool,
}

/// Pixels which a drawing has unless another size is asked for, by its first tag.
pub(crate) fn measured(source: &[u8], limits: &Limits) -> Result<(u32, u32), Error> {
    Ok(Extent::of(source)?.pixels(limits))
}

/// Draws all of it as large as it is.
pub(crate) fn draw_whole(
    source: &[u8],
    header: &Header,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Drawing, Error> {
    let whole = Region {
        left: 0.0,
        top: 0.0,
        width: header.width.into(),
        height: header.height.into(),
    };
    draw(source, whole, (header.width, header.height), limits, cancel)
}

/// Draws a region, in the pixels which [`measured`] says, at the given size. What it takes is judged
/// before it begins; `cancel` is looked at in between.
pub(crate) fn draw(
    source: &[u8],
    region: Region,
    (width, height): (u32, u32),
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Drawing, Error> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(Error::TooComplex {
            what: "bytes",
            value: source.len() as u64,
            maximum: SOURCE_BYTES_MAX as u64,
        });
    }
    let extent = Extent::of(source)?;
    let sanitised = sanitise_svg(source, limits)?;
    cancel.check()?;
    let sanitised = str::from_utf8(&sanitised).map_err(Error::corrupt)?;
    let document = parse(sanitised)?;
    expansion::judge(&document)?;
    cancel.check()?;
    let lacks_pictures = document.descendants().any(|node| {
        let href = node
            .attributes()
            .find(|attribute| attribute.name() == "href");
        let data = |text: &str| text.trim_ascii_start().starts_with("data:");
        href.is_some_and(|href| data(href.value()))
    });
    let tree = without_panic(|| Tree::from_xmltree(&document, &options()).map_err(Error::corrupt))?;
    drop(document);
    cancel.check()?;
    let size = if extent.assumed {
        (extent.width, extent.height)
    } else {
        (tree.size().width(), tree.size().height())
    };
    let pixels = extent.pixels(limits);
    // From units to pixels, and from those of the region to those which are wanted.
    let across = f64::from(width) / region.width;
    let down = f64::from(height) / region.height;
    let transform = Transform::from_row(
        (f64::from(pixels.0) / f64::from(size.0) * across) as f32,
        0.0,
        0.0,
        (f64::from(pixels.1) / f64::from(size.1) * down) as f32,
        (-region.left * across) as f32,
        (-region.top * down) as f32,
    );
    work::judge(&tree, transform, (width, height), limits)?;
    let mut pixmap = Pixmap::new(width, height).ok_or(Error::Empty)?;
    without_panic(|| {
        resvg::render(&tree, transform, &mut pixmap.as_mut());
        Ok(())
    })?;
    cancel.check()?;
    let mut data = pixmap.take();
    crate::colour::undo_alpha(&mut data);
    Ok(Drawing {
        raster: Raster::new(width, height, 4, data),
        lacks_pictures,
    })
}

fn parse(sanitised: &str) -> Result<Document<'_>, Error> {
    let options = ParsingOptions {
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(sanitised, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => Error::TooComplex {
            what: "nodes",
            value: u64::from(NODES_MAX) + 1,
            maximum: NODES_MAX.into(),
        },
        error => Error::corrupt(error),
    })
}

/// Nothing outside of the document is read, and no pictures within it.
fn options() -> Options<'static> {
    let mut options = Options {
        font_size: EM,
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|_, _| None),
        },
        fontdb: Arc::clone(&FONTS),
        ..Options::default()
    };
    if let Some(size) = Size::from_wh(DEFAULT.0, DEFAULT.1) {
        options.default_size = size;
    }
    options
}
