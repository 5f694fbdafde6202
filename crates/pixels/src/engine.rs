use std::sync::Arc;

use model::transform::binding::Command;
use model::{Limits, MediaType, Policy, Transform};

use crate::encode::avif::Encoders;
use crate::plan::Plan;
use crate::vision::{FaceDetector, Models, Segmenter, Upscaler};
use crate::{
    Accepts, Assets, Cancel, Composition, Error, Header, Input, Rendition, composition, cost,
    inspect, negotiate, render, svg, verify,
};

/// The engine with what it was given at the start: bounds, preferences and models. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    given: Arc<Given>,
    models: Models,
}

#[derive(Debug)]
struct Given {
    limits: Limits,
    policy: Policy,
    avif: Encoders,
}

/// What a rendition is made of.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// An encoded image.
    pub source: &'a [u8],
    /// What is to be made of it.
    pub transform: &'a Transform,
    /// What the client takes; it matters only where the transform leaves the format to negotiation.
    pub accepts: Accepts,
}

impl Engine {
    /// An engine within these bounds. Looks for the library of an AVIF encoder, which takes a
    /// millisecond.
    pub fn new(limits: Limits, policy: Policy) -> Self {
        let avif = Encoders::find(policy.svt_av1.as_deref());
        Self {
            given: Arc::new(Given {
                limits,
                policy,
                avif,
            }),
            models: Models::default(),
        }
    }

    /// With a detector for `gravity=face`, which is `gravity=auto` and a warning without one.
    #[must_use]
    pub fn with_face_detector(mut self, detector: Arc<dyn FaceDetector>) -> Self {
        self.models.faces = Some(detector);
        self
    }

    /// With a model for `segment=foreground`, which is [`Error::Unavailable`] without one.
    #[must_use]
    pub fn with_segmenter(mut self, segmenter: Arc<dyn Segmenter>) -> Self {
        self.models.segmenter = Some(segmenter);
        self
    }

    /// With a model for `upscale=generate`, which interpolates and warns without one.
    #[must_use]
    pub fn with_upscaler(mut self, upscaler: Arc<dyn Upscaler>) -> Self {
        self.models.upscaler = Some(upscaler);
        self
    }

    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// Name and version of the encoder of AVIF.
    pub fn avif_encoder(&self) -> String {
        self.given.avif.name()
    }

    pub(crate) fn avif(&self) -> &Encoders {
        &self.given.avif
    }

    /// Names what renditions depend on besides source, transform and formats: those which are made
    /// under equal names are equal.
    pub fn rendering(&self) -> String {
        let avif = self.given.avif.kind();
        let models = self.models.names();
        format!("{} av1={avif} {models}", self.policy().rendering())
    }

    /// The bounds it keeps to.
    pub fn limits(&self) -> &Limits {
        &self.given.limits
    }

    /// The preferences it follows.
    pub fn policy(&self) -> &Policy {
        &self.given.policy
    }

    /// Reads the header of an image, whose type follows from its bytes. What is no image or over the
    /// limits is an error; nothing is allocated on the word of the header.
    pub fn inspect(&self, source: &[u8]) -> Result<Header, Error> {
        inspect::with_apng(source, self.limits(), self.policy().animate_png)
    }

    /// The same where pixels are needed: a drawing which may be drawn has a size then.
    pub(crate) fn inspect_pixels(&self, source: &[u8]) -> Result<Header, Error> {
        let header = self.inspect(source)?;
        if header.format != MediaType::Svg {
            return Ok(header);
        }
        if !self.policy().rasterize_svg {
            return Err(Error::SvgConversion);
        }
        let (width, height) = svg::measured(source, self.limits())?;
        let header = Header {
            width,
            height,
            ..header
        };
        inspect::judge(&header, self.limits())?;
        Ok(header)
    }

    /// The header of an image as far as this transform needs it.
    pub(crate) fn inspect_for(
        &self,
        source: &[u8],
        transform: &Transform,
    ) -> Result<Header, Error> {
        if self.policy().rasterize_svg && negotiate::names_pixels(transform) {
            self.inspect_pixels(source)
        } else {
            self.inspect(source)
        }
    }

    /// The format of an image, by its first bytes, if it is accepted.
    pub fn recognise(&self, source: &[u8]) -> Result<MediaType, Error> {
        let format = inspect::recognise(source)?;
        let accepted = match format {
            MediaType::Avif => self.policy().accept_avif,
            MediaType::Heic => self.policy().accept_heic,
            MediaType::Jxl | MediaType::Tiff | MediaType::Bmp | MediaType::Ico => {
                self.policy().accept_more
            }
            MediaType::Jpeg
            | MediaType::Png
            | MediaType::Gif
            | MediaType::Webp
            | MediaType::Svg => true,
        };
        if !accepted {
            return Err(Error::NotAccepted(format));
        }
        Ok(format)
    }

    /// Judges an upload: [`Engine::inspect`], whether the format is accepted, and whether the picture
    /// is really there. What was stored before a format was refused can still be rendered.
    /// `cancel` is looked at between rows and frames.
    pub fn verify(&self, source: &[u8], cancel: &Cancel) -> Result<Header, Error> {
        self.recognise(source)?;
        let header = self.inspect(source)?;
        cost::judge(cost::of_decoding(&header, 1), self.limits())?;
        verify::verify(source, &header, self.limits(), cancel)?;
        Ok(header)
    }

    /// Bytes which [`Engine::render`] takes besides its source and its result, estimated from the
    /// header; nothing is decoded.
    pub fn rendering_bytes(&self, source: &[u8], transform: &Transform) -> u64 {
        self.inspect_for(source, transform)
            .map_or(0, |header| cost::of_rendering(&header, transform, self))
    }

    /// Work of [`Engine::render`] without an overlay, estimated from the header: in pixels of a JPEG
    /// which is decoded, a few nanoseconds each.
    pub fn rendering_work(&self, source: &[u8], transform: &Transform, accepts: Accepts) -> u64 {
        let header = self.inspect_for(source, transform);
        header.map_or(0, |header| cost::of_work(&header, transform, accepts, self))
    }

    /// Pixels of the longest side of what is made of an image with this header, if it can be made.
    pub fn longest_side(&self, header: &Header, transform: &Transform) -> Option<u32> {
        let light = self.policy().resize_light;
        let plan = Plan::new(header, transform, None, 0, self.limits(), light).ok()?;
        Some(plan.size.0.max(plan.size.1))
    }

    /// Bytes which [`Engine::verify`] takes besides its source, estimated from the header.
    pub fn verifying_bytes(&self, source: &[u8]) -> u64 {
        let header = self.inspect(source);
        header.map_or(0, |header| cost::of_decoding(&header, 1))
    }

    /// Makes a rendition: equal requests give equal bytes.
    ///
    /// SVG is sanitised whatever is asked of it, unless [`Policy::rasterize_svg`] is set and a raster
    /// format is asked for by name. An animation over
    /// `animation_transform_pixels_max` is returned as it is, less its metadata. What is asked for and not available is
    /// named in the warnings, or is an error where leaving it out would make another picture.
    pub fn render(&self, request: &Request<'_>, cancel: &Cancel) -> Result<Rendition, Error> {
        render::render(self, request, &Assets::default(), cancel)
    }

    /// The same with what the overlays of the transform are made of: see [`Transform::assets`]. What
    /// is needed and missing is [`Error::NoAsset`].
    pub fn render_with(
        &self,
        request: &Request<'_>,
        assets: &Assets<'_>,
        cancel: &Cancel,
    ) -> Result<Rendition, Error> {
        render::render(self, request, assets, cancel)
    }

    /// Bytes which [`Engine::compose`] takes besides its inputs and its result, estimated from headers
    /// and options.
    pub fn composing_bytes(&self, inputs: &[Input<'_>], commands: &[Command]) -> u64 {
        composition::bytes_of(self, inputs, commands)
    }

    /// Runs a program of the Images binding (transformations.md, section 7.5) and writes its canvas.
    pub fn compose(
        &self,
        composition: &Composition<'_>,
        cancel: &Cancel,
    ) -> Result<Rendition, Error> {
        composition::compose(self, composition, cancel)
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(Limits::default(), Policy::default())
    }
}
