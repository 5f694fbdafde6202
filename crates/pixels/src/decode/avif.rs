//! AVIF: items of AV1, alone or in a grid, with alpha in an item of its own, and sequences in tracks
//! (AV1 Image File Format).

use model::Limits;

use crate::colour::{self, Profile, Samples};
use crate::heif::{self, Display, Heif, Sample, Sequence, Track};
use crate::inspect::u16_at;
use crate::raster::Raster;
use crate::steps::cut;
use crate::{Cancel, Error, Header};

use super::av1::{self, Coding, Decoder, Picture, Row};
use super::{Frame, Plays};

/// The primary picture, or the first of a sequence, as stored, cut to what is shown.
pub(super) fn decode(
    source: &[u8],
    header: &Header,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    if let Some(sequence) = Sequence::read(source) {
        let first = Frames::of(sequence, header)?.next(cancel)?;
        return Ok(first.ok_or_else(|| Error::corrupt("no picture"))?.raster);
    }
    decode_item(source, limits, cancel)
}

/// The primary picture, as stored, cut to what is shown.
pub(super) fn decode_item(
    source: &[u8],
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
    Ok(finish(size, colour, alpha, icc, heif.display(item)))
}

/// Colour, and alpha with whether colour was multiplied by it, to what is shown.
fn finish(
    (width, height): (u32, u32),
    colour: Plain,
    alpha: Option<(Plain, bool)>,
    icc: Option<&[u8]>,
    display: Display,
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
    let raster = colour::to_srgb_from(width, height, samples, Some(profile));
    match display.cut {
        Some(rect) => cut::cut(&raster, rect),
        None => raster,
    }
}

/// The pictures of a sequence.
pub(crate) struct Frames<'a> {
    colour: Pictures<'a>,
    alpha: Option<Pictures<'a>>,
    premultiplied: bool,
    plays: Plays,
    size: (u32, u32),
    icc: Option<&'a [u8]>,
    display: Display,
}

impl<'a> Frames<'a> {
    pub(super) fn new(source: &'a [u8], header: &Header) -> Result<Self, Error> {
        let sequence = Sequence::read(source);
        Self::of(
            sequence.ok_or_else(|| Error::corrupt("no pictures"))?,
            header,
        )
    }

    fn of(sequence: Sequence<'a>, header: &Header) -> Result<Self, Error> {
        let colour = &sequence.colour;
        let size = colour.size();
        // The number of frames was judged.
        if colour.samples() != header.frames {
            return Err(Error::corrupt("its number of frames is broken"));
        }
        let properties = || colour.properties();
        let colr = properties().filter(|(name, _)| *name == b"colr");
        Ok(Self {
            icc: colr.map(|(_, body)| body).find_map(heif::icc),
            display: Display::of(size, properties()),
            premultiplied: sequence.premultiplied,
            plays: sequence.plays,
            size,
            alpha: match sequence.alpha {
                Some(alpha) => Some(Pictures::of(alpha, size, Wanted::Alpha)?),
                None => None,
            },
            colour: Pictures::of(sequence.colour, size, Wanted::Colour)?,
        })
    }

    pub(super) fn plays(&self) -> Plays {
        self.plays
    }

    pub(super) fn next(&mut self, cancel: &Cancel) -> Result<Option<Frame>, Error> {
        let Some((colour, delay)) = self.colour.next(self.size, cancel)? else {
            return Ok(None);
        };
        let alpha = match &mut self.alpha {
            Some(pictures) => pictures.next(self.size, cancel)?,
            None => None,
        };
        let alpha = alpha.map(|(alpha, _)| (alpha, self.premultiplied));
        Ok(Some(Frame {
            raster: finish(self.size, colour, alpha, self.icc, self.display),
            delay,
        }))
    }
}

/// The pictures of one track.
struct Pictures<'a> {
    track: Track<'a>,
    samples: std::vec::IntoIter<Sample>,
    decoder: Decoder,
    said: Option<Coding>,
    wanted: Wanted,
}

impl<'a> Pictures<'a> {
    /// All of `size`; of a track whose number of samples was judged.
    fn of(track: Track<'a>, size: (u32, u32), wanted: Wanted) -> Result<Self, Error> {
        let samples = track.find_samples();
        let samples = samples.ok_or_else(|| Error::corrupt("its frames are not there"))?;
        let mut colr = track.properties().filter(|(name, _)| *name == b"colr");
        Ok(Self {
            said: colr.find_map(|(_, body)| nclx(body)),
            track,
            samples: samples.into_iter(),
            decoder: Decoder::open(area_of_blocks(size))?,
            wanted,
        })
    }

    /// The next picture and the milliseconds for which it is shown.
    fn next(&mut self, size: (u32, u32), cancel: &Cancel) -> Result<Option<(Plain, u32)>, Error> {
        let Some(sample) = self.samples.next() else {
            return Ok(None);
        };
        let bytes = self.track.bytes(&sample);
        let bytes = bytes.ok_or_else(|| Error::corrupt("a frame is cut off"))?;
        let picture = self.decoder.next(bytes)?;
        if picture.size() != size {
            return Err(Error::corrupt("a frame has another size"));
        }
        let coding = self.said.unwrap_or_else(|| picture.coding());
        let plain = convert(&picture, coding, self.wanted, cancel)?;
        Ok(Some((plain, sample.delay)))
    }
}

/// Pixels of the picture in whole blocks, as it is coded.
fn area_of_blocks((width, height): (u32, u32)) -> u64 {
    u64::from(width.next_multiple_of(64)) * u64::from(height.next_multiple_of(64))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Colour,
    /// The brightness alone.
    Alpha,
}

/// The samples of an item, 8 bits each.
struct Plain {
    /// 1 or 3.
    channels: usize,
    samples: Vec<u8>,
    coding: Coding,
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

/// Colour and alpha together.
fn with_alpha(colour: &[u8], channels: usize, alpha: &[u8], premultiplied: bool) -> Samples {
    let undo = |value: u8, alpha: u8| match alpha {
        255 => value,
        0 => 0,
        _ => ((u32::from(value) * 255 + u32::from(alpha) / 2) / u32::from(alpha)).min(255) as u8,
    };
    let mut samples = Vec::with_capacity(alpha.len() * (channels + 1));
    for (pixel, alpha) in colour.chunks_exact(channels).zip(alpha) {
        samples.extend(pixel.iter().map(|value| {
            if premultiplied {
                undo(*value, *alpha)
            } else {
                *value
            }
        }));
        samples.push(*alpha);
    }
    if channels == 1 {
        Samples::GrayAlpha(samples)
    } else {
        Samples::Rgba(samples)
    }
}

/// Brightness and colour to red, green and blue (AV1 specification, section 6.4.2, and H.273).
fn convert(
    picture: &Picture,
    coding: Coding,
    wanted: Wanted,
    cancel: &Cancel,
) -> Result<Plain, Error> {
    let (width, height) = picture.size();
    let (width, height) = (width as usize, height as usize);
    let monochrome = picture.is_monochrome() || wanted == Wanted::Alpha;
    let channels = if monochrome { 1 } else { 3 };
    let range = Range::new(picture.bits(), coding.full_range);
    let mixing = Mixing::of(coding.matrix);
    let mut samples = vec![0; width * height * channels];
    let mut brightness = vec![0.0; width];
    let mut colours = [Upsampled::new(picture), Upsampled::new(picture)];
    for (y, row) in samples.chunks_exact_mut(width * channels).enumerate() {
        if y % 64 == 0 {
            cancel.check()?;
        }
        read_row(&picture.row(0, y), &mut brightness);
        if monochrome {
            for (to, value) in row.iter_mut().zip(&brightness) {
                *to = byte(range.brightness(*value));
            }
            continue;
        }
        for (number, colour) in colours.iter_mut().enumerate() {
            colour.read(picture, number + 1, y);
        }
        let pixels = row.chunks_exact_mut(3).zip(&brightness);
        let pairs = colours[0].row.iter().zip(&colours[1].row);
        for ((pixel, value), (blue, red)) in pixels.zip(pairs) {
            let rgb = match mixing {
                // Green, blue and red as they are.
                Mixing::Identity => [
                    range.brightness(*red),
                    range.brightness(*value),
                    range.brightness(*blue),
                ],
                Mixing::Linear(mix) => {
                    let (blue, red) = (range.colour(*blue), range.colour(*red));
                    mix.rgb(range.brightness(*value), blue, red)
                }
                Mixing::Ycgco => {
                    let (green, orange) = (range.colour(*blue), range.colour(*red));
                    let rest = range.brightness(*value) - green;
                    [
                        rest + orange,
                        range.brightness(*value) + green,
                        rest - orange,
                    ]
                }
            };
            pixel.copy_from_slice(&rgb.map(byte));
        }
    }
    Ok(Plain {
        channels,
        samples,
        coding,
    })
}

fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

fn read_row(row: &Row<'_>, to: &mut [f32]) {
    match row {
        Row::Bytes(bytes) => {
            for (to, value) in to.iter_mut().zip(*bytes) {
                *to = f32::from(*value);
            }
        }
        Row::Words(words) => {
            for (to, value) in to.iter_mut().zip(*words) {
                *to = f32::from(*value);
            }
        }
    }
}

/// What numbers mean: 0 to 1 for brightness, -0.5 to 0.5 for colour.
#[derive(Clone, Copy)]
struct Range {
    black: f32,
    brightness: f32,
    middle: f32,
    colour: f32,
}

impl Range {
    fn new(bits: u32, full: bool) -> Self {
        let unit = (1 << (bits - 8)) as f32;
        let most = ((1 << bits) - 1) as f32;
        let (black, brightness, colour) = if full {
            (0.0, most, most)
        } else {
            (16.0 * unit, 219.0 * unit, 224.0 * unit)
        };
        Self {
            black,
            brightness: 1.0 / brightness,
            middle: 128.0 * unit,
            colour: 1.0 / colour,
        }
    }

    fn brightness(self, value: f32) -> f32 {
        (value - self.black) * self.brightness
    }

    fn colour(self, value: f32) -> f32 {
        (value - self.middle) * self.colour
    }
}

#[derive(Clone, Copy)]
enum Mixing {
    Identity,
    Linear(Mix),
    Ycgco,
}

/// The shares of red and blue in brightness, and what follows from them.
#[derive(Clone, Copy)]
struct Mix {
    red: f32,
    blue: f32,
}

impl Mixing {
    /// By the number of H.273, table 4. What is unknown is taken for the matrix of JPEG.
    fn of(matrix: u16) -> Self {
        let (red, blue) = match matrix {
            0 => return Self::Identity,
            8 => return Self::Ycgco,
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        Self::Linear(Mix { red, blue })
    }
}

impl Mix {
    fn rgb(self, brightness: f32, blue: f32, red: f32) -> [f32; 3] {
        let r = brightness + 2.0 * (1.0 - self.red) * red;
        let b = brightness + 2.0 * (1.0 - self.blue) * blue;
        let g = (brightness - self.red * r - self.blue * b) / (1.0 - self.red - self.blue);
        [r, g, b]
    }
}

/// A row of colour at the resolution of brightness. Samples lie in the middle of those which share
/// them, as in JPEG, and in between is interpolated.
struct Upsampled {
    row: Vec<f32>,
    near: Vec<f32>,
    far: Vec<f32>,
}

impl Upsampled {
    fn new(picture: &Picture) -> Self {
        let width = picture.size().0 as usize;
        let stored = if picture.subsampling().0 {
            width.div_ceil(2)
        } else {
            width
        };
        Self {
            row: vec![0.0; width],
            near: vec![0.0; stored],
            far: vec![0.0; stored],
        }
    }

    fn read(&mut self, picture: &Picture, plane: usize, y: usize) {
        let (across, down) = picture.subsampling();
        if down {
            let near = y / 2;
            let far = if y.is_multiple_of(2) {
                near.saturating_sub(1)
            } else {
                near + 1
            };
            read_row(&picture.row(plane, near), &mut self.near);
            read_row(&picture.row(plane, far), &mut self.far);
            for (near, far) in self.near.iter_mut().zip(&self.far) {
                *near = 0.75 * *near + 0.25 * far;
            }
        } else {
            read_row(&picture.row(plane, y), &mut self.near);
        }
        if !across {
            self.row.copy_from_slice(&self.near);
            return;
        }
        let last = self.near.len().saturating_sub(1);
        for (x, pair) in self.row.chunks_mut(2).enumerate() {
            let here = self.near[x];
            let before = self.near[x.saturating_sub(1)];
            let after = self.near[(x + 1).min(last)];
            pair[0] = 0.75 * here + 0.25 * before;
            if let Some(second) = pair.get_mut(1) {
                *second = 0.75 * here + 0.25 * after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::avif::Encoders;
    use crate::encode::{self, Target};
    use crate::heif::tests::boxed;

    /// The pixels at some places are within a few steps of those of libavif.
    fn assert_near(raster: &Raster, expected: &[((u32, u32), &[u8])]) {
        for ((x, y), expected) in expected {
            let at = (y * raster.width + x) as usize * raster.channels;
            let found = &raster.data[at..at + raster.channels];
            let near = found.len() == expected.len()
                && found
                    .iter()
                    .zip(*expected)
                    .all(|(a, b)| a.abs_diff(*b) <= 8);
            assert!(near, "{found:?} at {x}, {y} is not {expected:?}");
        }
    }

    fn decoded(source: &[u8]) -> Raster {
        let header = crate::inspect(source, &Limits::default()).unwrap();
        decode(source, &header, &Limits::default(), &Cancel::never()).unwrap()
    }

    #[test]
    fn depths_subsamplings_and_ranges_give_the_same_colours() {
        macro_rules! picture {
            ($name:literal) => {
                include_bytes!(concat!("../../../../tests/pictures/", $name)).as_slice()
            };
        }
        for (source, expected) in [
            (
                // BT.709, 10 bits, 4:2:0, limited range.
                picture!("ten_bits.avif"),
                [
                    ((10, 8), &[200, 30, 40][..]),
                    ((60, 8), &[20, 180, 60]),
                    ((10, 32), &[30, 60, 210]),
                    ((60, 32), &[128, 128, 128]),
                ],
            ),
            (
                picture!("gray_limited.avif"),
                [
                    ((3, 3), &[57, 57, 57][..]),
                    ((59, 3), &[70, 70, 70]),
                    ((3, 57), &[118, 118, 118]),
                    ((59, 57), &[149, 149, 149]),
                ],
            ),
            (
                picture!("subsampled_422.avif"),
                [
                    ((3, 3), &[12, 58, 169][..]),
                    ((59, 3), &[82, 56, 90]),
                    ((3, 57), &[17, 175, 84]),
                    ((59, 57), &[80, 175, 175]),
                ],
            ),
            (
                picture!("subsampled_444.avif"),
                [
                    ((3, 3), &[12, 57, 173][..]),
                    ((59, 3), &[83, 56, 86]),
                    ((3, 57), &[16, 175, 88]),
                    ((59, 57), &[81, 175, 171]),
                ],
            ),
            (
                // As stored: it is turned by a step.
                picture!("orientation_6.avif"),
                [
                    ((3, 3), &[10, 57, 174][..]),
                    ((36, 3), &[57, 57, 19]),
                    ((3, 20), &[8, 94, 222]),
                    ((36, 20), &[55, 94, 63]),
                ],
            ),
        ] {
            assert_near(&decoded(source), &expected);
        }
        let turned = crate::inspect(picture!("orientation_6.avif"), &Limits::default()).unwrap();
        assert_eq!(
            (turned.width, turned.height, turned.orientation),
            (24, 40, 6)
        );
    }

    /// An item of a file made here.
    struct Piece {
        kind: [u8; 4],
        size: (u32, u32),
        properties: Vec<Vec<u8>>,
        bytes: Vec<u8>,
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// A file of these items, of which the first is shown; their numbers begin with 1, and each lies in
    /// two extents of `idat`.
    fn file(pieces: &[Piece], references: &[([u8; 4], u8, &[u8])]) -> Vec<u8> {
        let (mut infos, mut declared) = (vec![0, 0, 0, 0, 0, pieces.len() as u8], Vec::new());
        let mut associations = numbers(&[0, pieces.len() as u32]);
        let mut places = vec![1, 0, 0, 0, 0x44, 0, 0, pieces.len() as u8];
        let mut property = 0;
        let mut bytes = Vec::new();
        for (piece, id) in pieces.iter().zip(1..) {
            let info = [&[2, 0, 0, 0, 0, id, 0, 0], &piece.kind[..], &[0]].concat();
            infos.extend(boxed(*b"infe", &info));
            let ispe = boxed(*b"ispe", &numbers(&[0, piece.size.0, piece.size.1]));
            associations.extend([0, id, piece.properties.len() as u8 + 1]);
            for body in [&[ispe], piece.properties.as_slice()].concat() {
                property += 1;
                associations.push(property);
                declared.extend(body);
            }
            let (first, half) = (bytes.len() as u32, piece.bytes.len() as u32 / 2);
            places.extend([0, id, 0, 1, 0, 0, 0, 2]);
            let rest = piece.bytes.len() as u32 - half;
            places.extend(numbers(&[first, half, first + half, rest]));
            bytes.extend(&piece.bytes);
        }
        let references: Vec<u8> = references
            .iter()
            .flat_map(|(kind, from, to)| {
                let to = to.iter().flat_map(|to| [0, *to]);
                let head = [0, *from, 0, to.clone().count() as u8 / 2];
                boxed(*kind, &head.into_iter().chain(to).collect::<Vec<u8>>())
            })
            .collect();
        let properties = [boxed(*b"ipco", &declared), boxed(*b"ipma", &associations)].concat();
        let meta = [
            vec![0; 4],
            boxed(*b"pitm", &[0, 0, 0, 0, 0, 1]),
            boxed(*b"iinf", &infos),
            boxed(*b"iloc", &places),
            boxed(*b"iref", &[&[0; 4], references.as_slice()].concat()),
            boxed(*b"iprp", &properties),
            boxed(*b"idat", &bytes),
        ];
        let meta = boxed(*b"meta", &meta.concat());
        [boxed(*b"ftyp", b"avif\0\0\0\0"), meta].concat()
    }

    fn alpha_kind() -> Vec<u8> {
        boxed(
            *b"auxC",
            b"\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
        )
    }

    /// The AV1 of a picture of one colour, and that of its alpha.
    fn coded(size: (u32, u32), colour: [u8; 4]) -> (Vec<u8>, Vec<u8>) {
        let pixels = colour.repeat(size.0 as usize * size.1 as usize);
        let raster = Raster::new(size.0, size.1, 4, pixels);
        let encoders = Encoders::find(Some("/nowhere".as_ref()));
        let bytes = encode::picture(
            raster,
            Target::Avif { quality: 95 },
            None,
            None,
            &encoders,
            &Cancel::never(),
        )
        .unwrap();
        let heif = Heif::read(&bytes).unwrap();
        let alpha = heif.alpha_of(heif.primary).unwrap();
        let bytes = |item| heif.bytes(item).unwrap().into_owned();
        (bytes(heif.primary), bytes(alpha))
    }

    /// Two by two tiles of 64 by 64 pixels, of which 100 by 90 are shown.
    fn grid(rows: u8, tiles: &[u8]) -> Vec<u8> {
        let colours = [
            [200, 30, 40, 255],
            [20, 180, 60, 200],
            [30, 60, 210, 100],
            [128, 128, 128, 50],
        ];
        let mut pieces = vec![Piece {
            kind: *b"grid",
            size: (100, 90),
            properties: Vec::new(),
            bytes: vec![0, 0, rows - 1, 1, 0, 100, 0, 90],
        }];
        let (tile_colours, tile_alphas): (Vec<_>, Vec<_>) = colours
            .iter()
            .map(|colour| coded((64, 64), *colour))
            .unzip();
        let tile = |bytes, properties| Piece {
            kind: *b"av01",
            size: (64, 64),
            properties,
            bytes,
        };
        pieces.extend(
            tile_colours
                .into_iter()
                .map(|bytes| tile(bytes, Vec::new())),
        );
        pieces.extend(
            tile_alphas
                .into_iter()
                .map(|bytes| tile(bytes, vec![alpha_kind()])),
        );
        let mut references = vec![(*b"dimg", 1, tiles)];
        let alphas: [(u8, &[u8]); 4] = [(6, &[2]), (7, &[3]), (8, &[4]), (9, &[5])];
        references.extend(alphas.map(|(from, to)| (*b"auxl", from, to)));
        file(&pieces, &references)
    }

    #[test]
    fn tiles_lie_side_by_side_with_their_alpha() {
        let raster = decoded(&grid(2, &[2, 3, 4, 5]));
        assert_eq!(raster.size(), (100, 90));
        assert_near(
            &raster,
            &[
                ((32, 32), &[200, 30, 40, 255]),
                ((63, 63), &[200, 30, 40, 255]),
                ((64, 0), &[20, 180, 60, 200]),
                ((0, 64), &[30, 60, 210, 100]),
                ((99, 89), &[128, 128, 128, 50]),
            ],
        );
    }

    #[test]
    fn a_grid_which_does_not_fit_is_refused() {
        for (rows, tiles) in [
            (2, &[2, 3, 4][..]),
            (1, &[2, 3]),
            (2, &[2, 3, 4, 99]),
            // Its own tile.
            (2, &[2, 3, 4, 1]),
            (3, &[2, 3, 4, 5, 2, 3]),
        ] {
            let file = grid(rows, tiles);
            let header = crate::inspect(&file, &Limits::default()).unwrap();
            let outcome = decode(&file, &header, &Limits::default(), &Cancel::never());
            assert!(
                matches!(outcome, Err(Error::Corrupt(_))),
                "{rows} {tiles:?}"
            );
        }
    }

    #[test]
    fn premultiplied_colours_are_divided_by_their_alpha() {
        let (colour, alpha) = coded((16, 16), [100, 50, 20, 128]);
        let piece = |bytes, properties| Piece {
            kind: *b"av01",
            size: (16, 16),
            properties,
            bytes,
        };
        let pieces = [piece(colour, Vec::new()), piece(alpha, vec![alpha_kind()])];
        let auxiliary: ([u8; 4], u8, &[u8]) = (*b"auxl", 2, &[1]);
        let straight = decoded(&file(&pieces, &[auxiliary]));
        assert_near(&straight, &[((8, 8), &[100, 50, 20, 128])]);
        let premultiplied = decoded(&file(&pieces, &[auxiliary, (*b"prem", 1, &[2])]));
        assert_near(&premultiplied, &[((8, 8), &[199, 100, 40, 128])]);
    }

    #[test]
    fn a_sequence_has_its_pictures_alpha_delays_and_no_end() {
        let source = include_bytes!("../../../../tests/pictures/animated_alpha.avif");
        let header = crate::inspect(source, &Limits::default()).unwrap();
        assert_eq!((header.width, header.height, header.frames), (63, 61, 4));
        let mut frames = Frames::new(source, &header).unwrap();
        assert_eq!(frames.plays(), Plays::Forever);
        for (delay, expected) in [
            (
                50,
                [[17, 64, 171, 237], [50, 117, 150, 128], [22, 159, 83, 216]],
            ),
            (
                100,
                [[78, 60, 76, 22], [50, 116, 143, 126], [16, 71, 188, 213]],
            ),
            (
                150,
                [[78, 173, 187, 19], [48, 117, 138, 126], [75, 73, 76, 40]],
            ),
            (
                200,
                [[19, 171, 80, 235], [47, 117, 143, 127], [71, 161, 177, 43]],
            ),
        ] {
            let frame = frames.next(&Cancel::never()).unwrap().unwrap();
            assert_eq!(frame.delay, delay);
            let [a, b, c] = &expected;
            assert_near(&frame.raster, &[((5, 5), a), ((31, 30), b), ((10, 50), c)]);
        }
        assert!(frames.next(&Cancel::never()).unwrap().is_none());
    }
}
