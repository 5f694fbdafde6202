//! Programs of the Images binding: commands over several pictures, of which the first is written in
//! the end (transformations.md, section 7.5).

use std::sync::Arc;

use model::transform::binding::Command;
use model::transform::{Draw, Text};
use model::{MediaType, Transform};

use crate::colour::Gamuts;
use crate::plan::Plan;
use crate::raster::Raster;
use crate::render::{Image, Planned, first_picture, plan, written};
use crate::steps::{Step, apply};
use crate::{
    Accepts, Assets, Cancel, Engine, Error, Header, Rendition, Request, Warning, cost, look,
    negotiate, overlay, text,
};

/// Pictures, what is done with them, and what is written.
#[derive(Clone, Copy, Debug)]
pub struct Composition<'a> {
    /// The pictures which commands name by their index; the first is the canvas.
    pub inputs: &'a [Input<'a>],
    /// In the order in which they are obeyed; indices are below the number of inputs.
    pub commands: &'a [Command],
    /// The options of what is written: format, quality, background and `anim`.
    pub output: &'a Transform,
    /// The fonts of texts.
    pub assets: &'a Assets<'a>,
}

/// A picture to begin with.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// An encoded image.
    Image(&'a [u8]),
    /// A text.
    Text(&'a Text),
}

pub(crate) fn compose(
    engine: &Engine,
    composition: &Composition<'_>,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    let Composition {
        inputs,
        commands,
        output,
        assets,
    } = *composition;
    let (canvas, rest) = inputs.split_first().ok_or(Error::NotAnImage)?;
    judge(engine, inputs)?;
    cost::judge(bytes_of(engine, inputs, commands), engine.limits())?;
    let studio = Studio {
        engine,
        assets,
        cancel,
    };
    let mut canvas = studio.canvas(canvas, output)?;
    let mut others: Vec<Other<'_>> = rest.iter().map(|input| Other::Input(*input)).collect();
    let missing = || Error::NoAsset("a picture of this number".to_owned());
    for command in commands {
        cancel.check()?;
        match command {
            Command::Transform {
                picture: 0,
                transform,
            } => studio.stage_canvas(&mut canvas, transform)?,
            Command::Transform { picture, transform } => {
                let other = others.get_mut(picture - 1).ok_or_else(missing)?;
                *other = studio.stage(other, transform, &mut canvas.warnings)?;
            }
            Command::Draw {
                picture,
                target,
                draw,
            } => {
                let drawn = if picture == &0 {
                    Arc::new(studio.picture_of(&canvas)?)
                } else {
                    let other = others.get_mut(picture - 1).ok_or_else(missing)?;
                    studio.picture(other, &mut canvas.warnings)?
                };
                let step = draw_step(drawn, *draw);
                if target == &0 {
                    canvas.steps.push(step);
                } else {
                    let other = others.get_mut(target - 1).ok_or_else(missing)?;
                    let below = studio.picture(other, &mut canvas.warnings)?;
                    // So that it is changed and not copied, unless it was drawn before.
                    *other = Other::Input(Input::Image(&[]));
                    let below = step.apply(Arc::unwrap_or_clone(below), cancel)?;
                    *other = Other::Picture(Arc::new(below));
                }
            }
        }
    }
    let request = Request {
        source: canvas.source,
        transform: output,
        // Where AVIF cannot be had, a program can do with WebP.
        accepts: Accepts {
            avif: true,
            webp: true,
        },
    };
    let plan = Plan {
        eighths: canvas.eighths,
        steps: canvas.steps,
        size: canvas.size,
        warnings: canvas.warnings,
        ..Plan::idle(&canvas.header)
    };
    let (header, animated) = (&canvas.header, canvas.animated);
    written(
        engine,
        &request,
        header,
        plan,
        canvas.decoded,
        animated,
        cancel,
    )
}

/// Refuses what is no picture, and SVG where that is not drawn, whether or not a command needs it: a
/// program which sends a picture for nothing is wrong, and should hear of a wrong picture before it
/// needs it.
fn judge(engine: &Engine, inputs: &[Input<'_>]) -> Result<(), Error> {
    for input in inputs {
        let Input::Image(source) = input else {
            continue;
        };
        engine.inspect_pixels(source)?;
    }
    Ok(())
}

/// Bytes which the program takes: each picture at its largest, and the most which one step needs
/// besides. Sizes follow from headers and options.
pub(crate) fn bytes_of(engine: &Engine, inputs: &[Input<'_>], commands: &[Command]) -> u64 {
    let headers = inputs.iter().map(|input| match input {
        // What cannot be read is an error to come.
        Input::Image(source) => engine.inspect_pixels(source).unwrap_or(header_of((0, 0))),
        Input::Text(text) => header_of(text::size_at_most(text)),
    });
    let mut headers: Vec<Header> = headers.collect();
    let decoding = headers.iter().map(|header| cost::of_decoding(header, 8));
    let mut step = decoding.max().unwrap_or(0);
    let held = |header: &Header| cost::of_holding((header.width, header.height));
    let mut holding: Vec<u64> = headers.iter().map(held).collect();
    let (limits, light) = (engine.limits(), engine.policy().resize_light);
    for command in commands {
        let Command::Transform { picture, transform } = command else {
            continue;
        };
        let (Some(header), Some(held)) = (headers.get_mut(*picture), holding.get_mut(*picture))
        else {
            continue;
        };
        if let Ok(plan) = Plan::new(header, transform, None, 0, limits, light) {
            let drawn = match header.format {
                MediaType::Svg => cost::of_decoding(&sized(header, plan.size), 8),
                _ => 0,
            };
            step = step.max(cost::of_making(plan.size) + drawn);
            *held = (*held).max(cost::of_holding(plan.size));
            *header = header_of(plan.size);
        }
    }
    holding.iter().sum::<u64>() + step
}

fn draw_step(picture: Arc<Raster>, draw: Draw) -> Step {
    Step::Draw { picture, draw }
}

/// The picture which is written. What is done to it is kept as steps, for each frame of it.
struct Canvas<'a> {
    source: &'a [u8],
    header: Header,
    animated: bool,
    eighths: u32,
    steps: Vec<Step>,
    size: (u32, u32),
    /// The first picture before the steps, if it was needed.
    decoded: Option<(u32, Raster)>,
    warnings: Vec<Warning>,
    untouched: bool,
}

/// Another picture.
enum Other<'a> {
    Input(Input<'a>),
    Picture(Arc<Raster>),
}

struct Studio<'a> {
    engine: &'a Engine,
    assets: &'a Assets<'a>,
    cancel: &'a Cancel,
}

impl Studio<'_> {
    fn canvas<'a>(&self, input: &Input<'a>, output: &Transform) -> Result<Canvas<'a>, Error> {
        let (source, header, decoded) = match *input {
            Input::Image(source) => (source, self.engine.inspect_pixels(source)?, None),
            Input::Text(text) => {
                let raster = self.text(text)?;
                (&[][..], header_of(raster.size()), Some((8, raster)))
            }
        };
        let animated = header.is_animated() && negotiate::keeps_animation(output);
        let maximum = self.engine.limits().animation_transform_pixels_max;
        if animated && header.area() > maximum {
            return Err(Error::TooLarge {
                limit: "animation_transform_pixels_max",
                value: header.area(),
                maximum,
            });
        }
        let turn = Plan::idle(&header);
        Ok(Canvas {
            source,
            animated,
            eighths: turn.eighths,
            steps: turn.steps,
            size: turn.size,
            header,
            decoded,
            warnings: Vec::new(),
            untouched: true,
        })
    }

    fn stage_canvas(&self, canvas: &mut Canvas<'_>, transform: &Transform) -> Result<(), Error> {
        let from_source = std::mem::take(&mut canvas.untouched)
            && !canvas
                .steps
                .iter()
                .any(|step| matches!(step, Step::Draw { .. }));
        if from_source {
            let image = Image {
                source: canvas.source,
                header: &canvas.header,
                animated: canvas.animated,
                gamuts: Gamuts::Srgb,
                decoded: canvas.decoded.take(),
            };
            let Planned { plan, decoded, .. } =
                plan(self.engine, image, transform, self.assets, self.cancel)?;
            canvas.decoded = decoded;
            canvas.eighths = plan.eighths;
            canvas.steps = plan.steps;
            canvas.size = plan.size;
            canvas.warnings.extend(plan.warnings);
            return Ok(());
        }
        let header = header_of(canvas.size);
        let picture = if look::is_needed(transform) {
            Some((8, self.picture_of(canvas)?))
        } else {
            None
        };
        let image = Image {
            source: &[],
            header: &header,
            animated: false,
            gamuts: Gamuts::Srgb,
            decoded: picture,
        };
        let Planned { plan, .. } = plan(self.engine, image, transform, self.assets, self.cancel)?;
        canvas.steps.extend(plan.steps);
        canvas.size = plan.size;
        canvas.warnings.extend(plan.warnings);
        Ok(())
    }

    /// The first picture of the canvas as it is by now.
    fn picture_of(&self, canvas: &Canvas<'_>) -> Result<Raster, Error> {
        let mut plan = Plan {
            eighths: canvas.eighths,
            steps: canvas.steps.clone(),
            ..Plan::idle(&canvas.header)
        };
        let drawn = canvas.header.format == MediaType::Svg;
        let raster = match &canvas.decoded {
            Some((eighths, raster)) if *eighths == canvas.eighths && !drawn => raster.clone(),
            _ => first_picture(
                self.engine,
                canvas.source,
                &canvas.header,
                &mut plan,
                self.cancel,
            )?,
        };
        apply(&plan.steps, raster, self.cancel)
    }

    fn stage<'a>(
        &self,
        other: &Other<'a>,
        transform: &Transform,
        warnings: &mut Vec<Warning>,
    ) -> Result<Other<'a>, Error> {
        let raster = match other {
            Other::Input(Input::Image(source)) => {
                let (engine, assets) = (self.engine, self.assets);
                overlay::picture(engine, source, transform, assets, warnings, self.cancel)?
            }
            Other::Input(Input::Text(text)) => {
                self.restage(self.text(text)?, transform, warnings)?
            }
            Other::Picture(picture) => self.restage(Raster::clone(picture), transform, warnings)?,
        };
        Ok(Other::Picture(Arc::new(raster)))
    }

    /// A further stage.
    fn restage(
        &self,
        raster: Raster,
        transform: &Transform,
        warnings: &mut Vec<Warning>,
    ) -> Result<Raster, Error> {
        let header = header_of(raster.size());
        let image = Image {
            source: &[],
            header: &header,
            animated: false,
            gamuts: Gamuts::Srgb,
            decoded: Some((8, raster)),
        };
        let Planned { plan, decoded, .. } =
            plan(self.engine, image, transform, self.assets, self.cancel)?;
        warnings.extend(plan.warnings);
        let (_, raster) = decoded.ok_or_else(|| Error::corrupt("no picture"))?;
        apply(&plan.steps, raster, self.cancel)
    }

    /// The picture as it is by now.
    fn picture(
        &self,
        other: &mut Other<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Arc<Raster>, Error> {
        let picture = match other {
            Other::Picture(picture) => return Ok(Arc::clone(picture)),
            Other::Input(_) => match self.stage(other, &Transform::default(), warnings)? {
                Other::Picture(picture) => picture,
                Other::Input(_) => return Err(Error::corrupt("no picture")),
            },
        };
        *other = Other::Picture(Arc::clone(&picture));
        Ok(picture)
    }

    fn text(&self, text: &Text) -> Result<Raster, Error> {
        let font = text.font.as_deref().map(|font| self.assets.get(font));
        text::picture(text, font.transpose()?, self.cancel)
    }
}

fn sized(header: &Header, (width, height): (u32, u32)) -> Header {
    Header {
        width,
        height,
        ..header.clone()
    }
}

/// What stands for the header of a picture which never was in a file.
fn header_of((width, height): (u32, u32)) -> Header {
    Header {
        format: MediaType::Png,
        width,
        height,
        frames: 1,
        orientation: 1,
    }
}
