//! JPEG XL through `jxl`; of animations the first picture.

use std::io;

use jxl::api::{
    Endianness, Event, ExtraChannel, JxlColorEncoding, JxlColorProfile, JxlColorType,
    JxlDataFormat, JxlDecoder, JxlDecoderOptions, JxlOutputBuffer, JxlParallelRunner,
    JxlParallelRunnerFun, JxlPixelFormat,
};

use crate::colour::{self, Gamuts, Sample, Samples};
use crate::raster::Raster;
use crate::{Cancel, Error};

use super::without_panic;

/// `(width, height)` is what the header said, and is within the limits.
pub(super) fn decode(
    source: &[u8],
    size: (u32, u32),
    gamuts: Gamuts,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    without_panic(|| read(source, size, gamuts, cancel))
}

fn read(
    source: &[u8],
    (width, height): (u32, u32),
    gamuts: Gamuts,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let area = width as usize * height as usize;
    let mut options = JxlDecoderOptions::default();
    // That is part of the plan.
    options.adjust_orientation = false;
    // Frames may be a little larger than the picture, and have a few more channels.
    options.sample_limit = Some(area.saturating_mul(8).saturating_add(1 << 20));
    options.alpha_mode = jxl::api::AlphaMode::Unpremultiplied;
    let mut decoder = JxlDecoder::new(options);
    let mut input = source;
    until(&mut decoder, &mut input, None, cancel, Event::BasicInfo)?;
    let missing = || Error::corrupt("no picture");
    let info = decoder.basic_info().ok_or_else(missing)?;
    if info.size != (width as usize, height as usize) {
        return Err(Error::corrupt("the picture has another size than it says"));
    }
    let extra_channels = info.extra_channels.len();
    let has_alpha = info
        .extra_channels
        .iter()
        .any(|channel| channel.ec_type == ExtraChannel::Alpha);
    let deep = info.bit_depth.bits_per_sample() > 8;
    let embedded = decoder.embedded_color_profile().ok_or_else(missing)?;
    let (gray, cmyk) = (embedded.channels() == 1, embedded.is_cmyk());
    let colour_type = match (cmyk, gray, has_alpha) {
        (true, ..) => JxlColorType::Cmyk,
        (_, true, false) => JxlColorType::Grayscale,
        (_, true, true) => JxlColorType::GrayscaleAlpha,
        (_, false, false) => JxlColorType::Rgb,
        (_, false, true) => JxlColorType::Rgba,
    };
    decoder
        .set_pixel_format(JxlPixelFormat {
            color_type: colour_type,
            color_data_format: Some(if deep {
                JxlDataFormat::U16 {
                    endianness: Endianness::native(),
                    bit_depth: 16,
                }
            } else {
                JxlDataFormat::U8 { bit_depth: 8 }
            }),
            extra_channel_format: vec![None; extra_channels],
        })
        .map_err(Error::corrupt)?;
    until(&mut decoder, &mut input, None, cancel, Event::FrameHeader)?;
    let sample_bytes = if deep { 2 } else { 1 };
    let row_bytes = width as usize * colour_type.samples_per_pixel() * sample_bytes;
    let mut samples = vec![0; row_bytes * height as usize];
    let complete = Event::FrameComplete {
        has_more_frames: false,
    };
    let buffer = JxlOutputBuffer::new(&mut samples, height as usize, row_bytes);
    until(&mut decoder, &mut input, Some(buffer), cancel, complete)?;
    let profile = decoder.output_color_profile().filter(|profile| {
        !profile.same_color_encoding(&JxlColorProfile::Simple(JxlColorEncoding::srgb(gray)))
    });
    let profile = profile.and_then(JxlColorProfile::try_as_icc);
    let profile = profile.as_ref().map(|profile| profile.as_slice());
    let size = (width, height);
    Ok(if deep {
        let words = samples.as_chunks().0.iter();
        let words = words.map(|word| u16::from_ne_bytes(*word)).collect();
        raster(size, colour_type, words, profile, gamuts)
    } else {
        raster(size, colour_type, samples, profile, gamuts)
    })
}

fn raster<T: Sample>(
    (width, height): (u32, u32),
    colour_type: JxlColorType,
    mut samples: Vec<T>,
    profile: Option<&[u8]>,
    gamuts: Gamuts,
) -> Raster {
    let samples = match colour_type {
        JxlColorType::Grayscale => Samples::Gray(samples),
        JxlColorType::GrayscaleAlpha => Samples::GrayAlpha(samples),
        JxlColorType::Rgba => Samples::Rgba(samples),
        JxlColorType::Cmyk => {
            // The light that is left, not the ink.
            for value in &mut samples {
                *value = T::from_whole(T::MAX.whole() - value.whole());
            }
            Samples::Cmyk(samples)
        }
        _ => Samples::Rgb(samples),
    };
    colour::to_rgb(width, height, samples, profile, gamuts)
}

/// Goes on until the event, whatever it holds.
fn until(
    decoder: &mut JxlDecoder,
    input: &mut &[u8],
    mut buffer: Option<JxlOutputBuffer<'_>>,
    cancel: &Cancel,
    wanted: Event,
) -> Result<(), Error> {
    loop {
        cancel.check()?;
        let buffers = buffer.as_mut().map(std::slice::from_mut);
        let event = decoder.process(input, buffers, Some(&mut Stoppable(cancel)));
        // Whatever the decoder says about being stopped.
        cancel.check()?;
        match event.map_err(Error::corrupt)? {
            event if std::mem::discriminant(&event) == std::mem::discriminant(&wanted) => {
                return Ok(());
            }
            Event::NeedMoreInput { .. } => return Err(Error::corrupt("it is cut off")),
            Event::Complete => return Err(Error::corrupt("no picture")),
            _ => {}
        }
    }
}

/// One part of the picture after the other, and `cancel` looked at before each. Between two events
/// there may be hundreds of layers of the full size, of a few bytes each.
struct Stoppable<'a>(&'a Cancel);

impl JxlParallelRunner for Stoppable<'_> {
    fn run(&mut self, parts: usize, part: &JxlParallelRunnerFun<'_>) -> jxl::error::Result<()> {
        (0..parts).try_for_each(|number| {
            let going = self.0.check();
            going.map_err(|error| jxl::error::Error::IOError(io::Error::other(error)))?;
            part(number)
        })
    }

    fn num_threads(&self) -> usize {
        1
    }

    fn run_ordered(
        &mut self,
        parts: usize,
        _: Option<usize>,
        part: &JxlParallelRunnerFun<'_>,
    ) -> jxl::error::Result<()> {
        self.run(parts, part)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_picture_of_many_parts_is_stopped_between_them() {
        let cancel = Cancel::never();
        let done = AtomicUsize::new(0);
        let stopped = Stoppable(&cancel).run_ordered(9, Some(4), &|number| {
            done.fetch_add(1, Ordering::Relaxed);
            if number == 3 {
                cancel.cancel();
            }
            Ok(())
        });
        assert!(stopped.is_err());
        assert_eq!(done.load(Ordering::Relaxed), 4);
    }
}
