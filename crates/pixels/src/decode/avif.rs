//! AVIF: items of AV1, alone or in a grid, with alpha in an item of its own, and sequences in tracks
//! (AV1 Image File Format).

mod conversion;
mod sequence;
#[cfg(test)]
mod tests;

use model::Limits;

use crate::colour::{self, Gamuts, Profile, Samples};
use crate::heif::{Display, Heif, Sequence};
use crate::inspect::u16_at;
use crate::raster::Raster;
use crate::steps::cut;
use crate::{Cancel, Error, Header};

use super::av1::{self, Coding};
use conversion::{Plain, Wanted, convert, with_alpha};

pub(crate) use sequence::Frames;

/// The primary picture, or the first of a sequence, as stored, cut to what is shown.
pub(super) fn decode(
    source: &[u8],
    header: &Header,
    gamuts: Gamuts,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    if let Some(sequence) = Sequence::read(source) {
        let first = Frames::of(sequence, header)?.next(cancel)?;
        return Ok(first.ok_or_else(|| Error::corrupt("no picture"))?.raster);
    }
    decode_item(source, gamuts, limits, cancel)
}

/// The primary picture, as stored, cut to what is shown.
pub(super) fn decode_item(
    source: &[u8],
    gamuts: Gamuts,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let heif = Heif::read(source).ok_or_else(|| Error::corrupt("no picture"))?;
    let item = heif.primary;
    let size = heif.size_within(item, limits)?;
    let colour = read(&heif, item, size, Wanted::Colour, cancel)?;
    let alpha = match (heif.alpha_of(item), alpha_of_tiles(&heif, item)) {
        (Some(alpha), _) => Some((
            read(&heif, alpha, size, Wanted::Alpha, cancel)?,
            heif.is_premultiplied(item, alpha),
        )),
        (None, Some(tiles)) => Some((
            read_grid(&heif, item, &tiles, size, Wanted::Alpha, cancel)?,
            false,
        )),
        (None, None) => None,
    };
    let icc = heif.icc(item);
    let said = (icc, heif.display(item));
    Ok(finish(size, colour, alpha, said, gamuts))
}

/// Colour, and alpha with whether colour was multiplied by it, to what is shown.
fn finish(
    (width, height): (u32, u32),
    colour: Plain,
    alpha: Option<(Plain, bool)>,
    (icc, display): (Option<&[u8]>, Display),
    gamuts: Gamuts,
) -> Raster {
    let coding = colour.coding;
    let samples = match alpha {
        Some((alpha, premultiplied)) => with_alpha(
            &colour.samples,
            colour.channels,
            &alpha.samples,
            premultiplied,
        ),
        None if colour.channels == 1 => Samples::Gray(colour.samples),
        None => Samples::Rgb(colour.samples),
    };
    let profile = match icc {
        Some(icc) => Profile::Icc(icc),
        None => Profile::Cicp {
            primaries: coding.primaries,
            transfer: coding.transfer,
        },
    };
    let raster = colour::to_rgb_from(width, height, samples, Some(profile), gamuts);
    match display.cut {
        Some(rect) => cut::cut(&raster, rect).in_gamut(raster.gamut),
        None => raster,
    }
}

/// Pixels of the picture in whole blocks, as it is coded.
fn area_of_blocks((width, height): (u32, u32)) -> u64 {
    u64::from(width.next_multiple_of(64)) * u64::from(height.next_multiple_of(64))
}

fn read(
    heif: &Heif<'_>,
    item: u32,
    size: (u32, u32),
    wanted: Wanted,
    cancel: &Cancel,
) -> Result<Plain, Error> {
    match heif.kind(item) {
        Some([b'a', b'v', b'0', b'1']) => {
            let plain = read_coded(heif, item, size, wanted, cancel)?;
            if plain.0 == size {
                Ok(plain.1)
            } else {
                Err(Error::corrupt("the picture has another size than it says"))
            }
        }
        Some([b'g', b'r', b'i', b'd']) => {
            let tiles = heif.referred(item, *b"dimg");
            read_grid(heif, item, tiles, size, wanted, cancel)
        }
        _ => Err(Error::corrupt("its picture is of an unknown kind")),
    }
}

/// The alpha of a grid whose every tile has its own.
fn alpha_of_tiles(heif: &Heif<'_>, item: u32) -> Option<Vec<u32>> {
    if heif.kind(item) != Some(*b"grid") {
        return None;
    }
    let tiles = heif.referred(item, *b"dimg").iter();
    tiles.map(|tile| heif.alpha_of(*tile)).collect()
}

/// An item which is AV1 itself, with its size.
fn read_coded(
    heif: &Heif<'_>,
    item: u32,
    most: (u32, u32),
    wanted: Wanted,
    cancel: &Cancel,
) -> Result<((u32, u32), Plain), Error> {
    cancel.check()?;
    let bytes = heif.bytes(item);
    let bytes = bytes.ok_or_else(|| Error::corrupt("the picture is cut off"))?;
    // Coded pictures are whole blocks, and may stand out a little where they are tiles.
    let picture = av1::decode(&bytes, area_of_blocks(most))?;
    let said = heif.properties(item, *b"colr").find_map(nclx);
    let coding = said.unwrap_or_else(|| picture.coding());
    let plain = convert(&picture, coding, wanted, cancel)?;
    Ok((picture.size(), plain))
}

/// The `tiles` of a grid side by side; what stands out on the right and below is not shown.
fn read_grid(
    heif: &Heif<'_>,
    item: u32,
    tiles: &[u32],
    (width, height): (u32, u32),
    wanted: Wanted,
    cancel: &Cancel,
) -> Result<Plain, Error> {
    let broken = || Error::corrupt("its grid is broken");
    let grid = heif.grid(item).ok_or_else(broken)?;
    if (grid.width, grid.height) != (width, height)
        || tiles.len() as u64 != u64::from(grid.rows) * u64::from(grid.columns)
    {
        return Err(broken());
    }
    let mut whole: Option<(Plain, (u32, u32))> = None;
    for (number, tile) in tiles.iter().enumerate() {
        // A grid in a grid could be its own tile.
        if heif.kind(*tile) != Some(*b"av01") {
            return Err(broken());
        }
        let (tile_size, plain) = read_coded(heif, *tile, (width, height), wanted, cancel)?;
        let (whole, expected) = match &mut whole {
            Some((whole, expected)) => (whole, *expected),
            empty => {
                let covers = |tile: u32, count: u32, side: u32| {
                    let across = u64::from(tile) * u64::from(count);
                    across >= u64::from(side) && across - u64::from(tile) < u64::from(side)
                };
                if !covers(tile_size.0, grid.columns, width)
                    || !covers(tile_size.1, grid.rows, height)
                {
                    return Err(broken());
                }
                let samples = width as usize * height as usize * plain.channels;
                let first = Plain {
                    channels: plain.channels,
                    samples: vec![0; samples],
                    coding: plain.coding,
                };
                let (whole, expected) = empty.insert((first, tile_size));
                (whole, *expected)
            }
        };
        if tile_size != expected || plain.channels != whole.channels {
            return Err(broken());
        }
        let column = number as u32 % grid.columns;
        let row = number as u32 / grid.columns;
        paste(whole, width, &plain, tile_size, (column, row));
    }
    let (mut whole, _) = whole.ok_or_else(broken)?;
    if let Some(said) = heif.properties(item, *b"colr").find_map(nclx) {
        (whole.coding.primaries, whole.coding.transfer) = (said.primaries, said.transfer);
    }
    Ok(whole)
}

fn paste(
    whole: &mut Plain,
    width: u32,
    tile: &Plain,
    (tile_width, tile_height): (u32, u32),
    (column, row): (u32, u32),
) {
    let channels = whole.channels;
    let left = column as usize * tile_width as usize;
    let kept = (tile_width as usize).min((width as usize).saturating_sub(left)) * channels;
    let rows = whole.samples.chunks_exact_mut(width as usize * channels);
    let tile_rows = tile.samples.chunks_exact(tile_width as usize * channels);
    let top = row as usize * tile_height as usize;
    for (to, from) in rows.skip(top).zip(tile_rows) {
        to[left * channels..][..kept].copy_from_slice(&from[..kept]);
    }
}

/// What a `colr` box of the kind `nclx` says (14496-12, section 12.1.5).
fn nclx(body: &[u8]) -> Option<Coding> {
    (body.get(..4)? == b"nclx").then_some(())?;
    Some(Coding {
        primaries: u16_at(body, 4)?,
        transfer: u16_at(body, 6)?,
        matrix: u16_at(body, 8)?,
        full_range: *body.get(10)? >> 7 == 1,
    })
}
