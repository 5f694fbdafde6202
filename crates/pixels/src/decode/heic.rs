//! HEIC: items of HEVC, alone or in a grid, through `heic-rs`.

use heic_rs::{DecodeOptions, PixelLayout};

use model::Limits;

use crate::colour::{self, Gamuts, Profile, Sample, Samples};
use crate::heif::Heif;
use crate::inspect::u16_at;
use crate::raster::Raster;
use crate::steps::cut;
use crate::{Cancel, Error};

use super::{avif, without_panic};

/// Coded pixels beyond those of the picture: blocks stand out, and tiles do so more.
const SPARE_AREA: u64 = 4 * 1024 * 1024;
/// The type of a sequence parameter set (H.265, table 7-1).
const SEQUENCE_PARAMETER_SET: u8 = 33;

/// The primary picture as stored, cut to what is shown. One of AV1 in a file which calls itself HEIC
/// is read as well.
pub(super) fn decode(
    source: &[u8],
    gamuts: Gamuts,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let heif = Heif::read(source).ok_or_else(|| Error::corrupt("no picture"))?;
    let item = heif.primary;
    let size = heif.size_within(item, limits)?;
    let tiles = heif.referred(item, *b"dimg");
    let coded = tiles.first().copied().unwrap_or(item);
    if heif.kind(coded) == Some(*b"av01") {
        return avif::decode_item(source, gamuts, limits, cancel);
    }
    let alpha = heif.alpha_of(item);
    judge_coded_area(&heif, size, alpha)?;
    cancel.check()?;
    let deep = is_deep(&heif, item);
    let options = DecodeOptions {
        layout: match (alpha.is_some(), deep) {
            (true, true) => PixelLayout::Rgba16,
            (true, false) => PixelLayout::Rgba8,
            (false, true) => PixelLayout::Rgb16,
            (false, false) => PixelLayout::Rgb8,
        },
        max_pixels: Some(u64::from(size.0) * u64::from(size.1)),
        // These are part of the plan, or done below.
        apply_transforms: false,
        decode_alpha: true,
        strict: false,
        threads: Some(1),
    };
    let image = without_panic(|| heic_rs::decode(source, &options).map_err(refused))?;
    if (image.width, image.height) != size {
        return Err(Error::corrupt("the picture has another size than it says"));
    }
    let alpha = alpha.map(|alpha| heif.is_premultiplied(item, alpha));
    let profile = match heif.icc(item) {
        Some(icc) => Some(Profile::Icc(icc)),
        None => heif.properties(item, *b"colr").find_map(cicp),
    };
    let raster = if deep {
        let words = image.data.as_chunks().0.iter();
        let words = words.map(|word| u16::from_ne_bytes(*word)).collect();
        raster(size, words, alpha, profile, gamuts)
    } else {
        raster(size, image.data, alpha, profile, gamuts)
    };
    Ok(match heif.display(item).cut {
        Some(rect) => cut::cut(&raster, rect).in_gamut(raster.gamut),
        None => raster,
    })
}

/// `alpha` is whether colours were multiplied by it, if there is some.
fn raster<T: Sample>(
    size: (u32, u32),
    mut data: Vec<T>,
    alpha: Option<bool>,
    profile: Option<Profile<'_>>,
    gamuts: Gamuts,
) -> Raster {
    if alpha == Some(true) {
        colour::undo_alpha(&mut data);
    }
    let samples = if alpha.is_some() {
        Samples::Rgba(data)
    } else {
        Samples::Rgb(data)
    };
    colour::to_rgb_from(size.0, size.1, samples, profile, gamuts)
}

/// Whether brightness has more than 8 bits (14496-15, section 8.3.3.1).
fn is_deep(heif: &Heif<'_>, item: u32) -> bool {
    let coded = heif.referred(item, *b"dimg").first().copied();
    let mut configurations = heif.properties(coded.unwrap_or(item), *b"hvcC");
    let bits = configurations.next().and_then(|hvcc| hvcc.get(17));
    bits.is_some_and(|bits| bits & 7 > 0)
}

fn refused(error: heic_rs::Error) -> Error {
    match error {
        heic_rs::Error::Unsupported(_) => Error::Unsupported("such HEIC"),
        error => Error::corrupt(error),
    }
}

fn cicp(colr: &[u8]) -> Option<Profile<'_>> {
    (colr.get(..4)? == b"nclx").then_some(())?;
    Some(Profile::Cicp {
        primaries: u16_at(colr, 4)?,
        transfer: u16_at(colr, 6)?,
    })
}

/// The decoder allocates what the HEVC data says, whatever the boxes say, so that is judged here.
fn judge_coded_area(heif: &Heif<'_>, size: (u32, u32), alpha: Option<u32>) -> Result<(), Error> {
    let allowed = 2 * u64::from(size.0) * u64::from(size.1) + SPARE_AREA;
    for whole in [Some(heif.primary), alpha].into_iter().flatten() {
        let tiles = heif.referred(whole, *b"dimg");
        let coded = if heif.kind(whole) == Some(*b"grid") {
            tiles
        } else {
            &[whole]
        };
        let mut area = 0_u64;
        for item in coded {
            let configuration = heif.properties(*item, *b"hvcC").next();
            area = area.saturating_add(configuration.map_or(0, coded_area));
        }
        if area > allowed {
            return Err(Error::corrupt("the picture is larger than it says"));
        }
    }
    Ok(())
}

/// Pixels of the largest picture which a decoder configuration allows (14496-15, section 8.3.3.1).
fn coded_area(configuration: &[u8]) -> u64 {
    let mut largest = 0;
    let mut at = 23;
    for _ in 0..configuration.get(22).copied().unwrap_or_default() {
        let count = u16_at(configuration, at + 1).unwrap_or_default();
        at += 3;
        for _ in 0..count {
            let Some(length) = u16_at(configuration, at) else {
                return largest;
            };
            at += 2;
            let unit = configuration.get(at..at + usize::from(length));
            at += usize::from(length);
            // What cannot be read here, the decoder does not read either.
            largest = largest.max(unit.and_then(area_of_sequence).unwrap_or_default());
        }
    }
    largest
}

/// The size in a sequence parameter set, before its margins are cut off (H.265, section 7.3.2.2).
fn area_of_sequence(unit: &[u8]) -> Option<u64> {
    if unit.first()? >> 1 & 0x3f != SEQUENCE_PARAMETER_SET {
        return None;
    }
    let mut bits = Bits::new(unit.get(2..)?);
    bits.skip(4)?;
    let layers = bits.read(3)?;
    bits.skip(1 + 96)?;
    let mut present = Vec::new();
    for _ in 0..layers {
        present.push((bits.read(1)?, bits.read(1)?));
    }
    if layers > 0 {
        bits.skip(2 * (8 - layers))?;
    }
    for (profile, level) in present {
        bits.skip(88 * profile + 8 * level)?;
    }
    bits.exponential()?;
    if bits.exponential()? == 3 {
        bits.skip(1)?;
    }
    Some(u64::from(bits.exponential()?) * u64::from(bits.exponential()?))
}

/// Bits from the highest on, without the bytes that only keep start codes away.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn new(unit: &[u8]) -> Self {
        let mut bytes: Vec<u8> = Vec::new();
        // The size comes early; what follows may be long.
        for byte in unit.iter().take(256) {
            if *byte == 3 && bytes.ends_with(&[0, 0]) {
                continue;
            }
            bytes.push(*byte);
        }
        Self { bytes, at: 0 }
    }

    fn read(&mut self, count: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            number = number << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(number)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.at += count as usize;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// An Exp-Golomb number (H.265, section 9.2).
    fn exponential(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        let rest = self.read(zeros)?;
        ((1_u32 << zeros) - 1).checked_add(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts numbers of so many bits one after another.
    fn packed(fields: &[(u32, u32)]) -> Vec<u8> {
        let bits: Vec<u32> = fields
            .iter()
            .flat_map(|(number, count)| (0..*count).rev().map(move |place| number >> place & 1))
            .collect();
        bits.chunks(8)
            .map(|byte| {
                let byte = byte.iter().chain(&[1; 7]).take(8);
                byte.fold(0, |sum, bit| sum << 1 | *bit as u8)
            })
            .collect()
    }

    fn unit(layers: u32) -> Vec<u8> {
        let mut fields = vec![(0, 4), (layers, 3), (0, 1)];
        // Not zero, as no bytes are to be left out.
        fields.extend([(0x5555_5555, 32); 3]);
        if layers > 0 {
            fields.extend([(0b11, 2), (0, 14)]);
            fields.extend([(0x5555_5555, 32), (0x5555_5555, 32), (0x5555_5555, 32)]);
        }
        // 0, then 1 (4:2:0), then 4,000 and 3,000.
        fields.extend([(1, 1), (2, 3), (4001, 23), (3001, 23)]);
        let mut unit = vec![SEQUENCE_PARAMETER_SET << 1, 1];
        unit.extend(packed(&fields));
        unit
    }

    #[test]
    fn the_coded_size_is_that_of_the_sequence_parameters() {
        for layers in [0, 1] {
            assert_eq!(area_of_sequence(&unit(layers)), Some(12_000_000));
        }
        let unit = unit(0);
        let mut configuration = vec![0; 22];
        configuration.extend([1, SEQUENCE_PARAMETER_SET, 0, 1, 0, unit.len() as u8]);
        configuration.extend(&unit);
        assert_eq!(coded_area(&configuration), 12_000_000);
        for length in 0..configuration.len() - 1 {
            coded_area(&configuration[..length]);
        }
    }
}
