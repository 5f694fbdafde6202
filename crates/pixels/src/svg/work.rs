//! How long a drawing takes and how much memory, told before it begins: the renderer cannot be
//! stopped. What is counted is what it will do, at the size at which it will do it, in units of
//! about a nanosecond.

use model::Limits;
use resvg::tiny_skia::{IntSize, PathSegment, Rect, Transform};
use resvg::usvg::filter::{Filter, Kind, Primitive};
use resvg::usvg::{BlendMode, ClipPath, Group, Mask, Node, Paint, Path, Pattern, Stroke, Tree};

use crate::Error;

/// The share of the time for a rendering which drawing may take.
const SHARE_OF_DEADLINE: u32 = 4;
/// Bytes of layers for each pixel of the picture, and for all of them.
pub(super) const LAYER_BYTES: u64 = 64;
pub(super) const LAYER_BYTES_LEAST: u64 = 24 * 1024 * 1024;

/// Of each node, edge and crossing of an edge with a row of samples, whatever their size.
const NODE: f64 = 2_000.0;
const EDGE: f64 = 400.0;
const ROW: f64 = 40.0;
/// Of each piece of a line which has a width.
const PIECE: f64 = 2_500.0;
/// Bytes of an edge and of such a piece, as long as they are drawn.
const EDGE_BYTES: f64 = 40.0;
const PIECE_BYTES: f64 = 800.0;
/// More pieces than this are not drawn.
const DASHES_MAX: f64 = 1_000_000.0;

/// Of each pixel.
const SOLID: f64 = 3.0;
const TRANSLUCENT: f64 = 32.0;
const GRADIENT: f64 = 60.0;
const STOP: f64 = 1.0;
const TILE: f64 = 60.0;
const LAYER: f64 = 90.0;
const MIXED_LAYER: f64 = 200.0;
const CLIP: f64 = 10.0;
const MASK: f64 = 40.0;
/// Of each pixel and step of a filter: copies, and from one space of colours to another.
const PASSING: f64 = 60.0;

/// Refuses a drawing which would take too long or too much memory at this size.
pub(super) fn judge(
    tree: &Tree,
    transform: Transform,
    size: (u32, u32),
    limits: &Limits,
) -> Result<(), Error> {
    let canvas = Canvas {
        width: size.0.into(),
        height: size.1.into(),
    };
    let deadline = limits.render_deadline / SHARE_OF_DEADLINE;
    let mut work = Work {
        done: 0.0,
        most: deadline.as_nanos() as f64,
        bytes_most: (LAYER_BYTES_LEAST as f64) + canvas.area() * LAYER_BYTES as f64,
        picture: canvas,
    };
    let bytes = work.nodes(tree.root(), transform, canvas)?;
    work.hold(bytes).map(drop)
}

/// Pixels of what is drawn on.
#[derive(Clone, Copy)]
struct Canvas {
    width: f64,
    height: f64,
}

impl Canvas {
    fn area(self) -> f64 {
        self.width * self.height
    }

    /// As much of a box as may lie on it.
    fn share(self, bounds: Option<Rect>) -> f64 {
        bounds.map_or(0.0, |bounds| {
            // An edge touches pixels on both sides of it.
            let across = f64::from(bounds.width()) + 2.0;
            let down = f64::from(bounds.height()) + 2.0;
            across.min(self.width) * down.min(self.height)
        })
    }
}

struct Work {
    done: f64,
    most: f64,
    bytes_most: f64,
    picture: Canvas,
}

impl Work {
    fn add(&mut self, work: f64) -> Result<(), Error> {
        self.done += work;
        // Not so if it is no number, either.
        if self.done <= self.most {
            return Ok(());
        }
        Err(Error::TooComplex {
            what: "nanoseconds of drawing",
            value: self.done as u64,
            maximum: self.most as u64,
        })
    }

    /// Bytes which are there at the same time.
    fn hold(&self, bytes: f64) -> Result<f64, Error> {
        if bytes <= self.bytes_most {
            return Ok(bytes);
        }
        Err(Error::TooComplex {
            what: "bytes of layers",
            value: bytes as u64,
            maximum: self.bytes_most as u64,
        })
    }

    /// The most bytes which drawing them takes at a time.
    fn nodes(&mut self, group: &Group, transform: Transform, canvas: Canvas) -> Result<f64, Error> {
        let mut most: f64 = 0.0;
        for node in group.children() {
            self.add(NODE)?;
            let bytes = match node {
                Node::Group(group) => self.group(group, transform, canvas)?,
                Node::Path(path) => self.path(path, transform, canvas)?,
                Node::Text(text) => self.group(text.flattened(), transform, canvas)?,
                // Pictures within pictures are left out.
                Node::Image(_) => 0.0,
            };
            most = most.max(bytes);
        }
        Ok(most)
    }

    fn group(&mut self, group: &Group, transform: Transform, canvas: Canvas) -> Result<f64, Error> {
        let transform = transform.pre_concat(group.transform());
        if !group.should_isolate() {
            return self.nodes(group, transform, canvas);
        }
        let filtered = !group.filters().is_empty();
        // Filters work upright, and what they make is turned afterwards.
        let placed = if filtered {
            let across = transform.sx.hypot(transform.ky);
            let down = transform.kx.hypot(transform.sy);
            Transform::from_scale(across, down)
        } else {
            transform
        };
        let Some(bounds) = group.layer_bounding_box().transform(placed) else {
            return Ok(0.0);
        };
        // The renderer keeps layers within five times the picture, whichever way that is turned.
        let longest = 5.0 * self.picture.width.hypot(self.picture.height);
        let (across, down) = if filtered {
            (longest, longest)
        } else {
            (5.0 * self.picture.width, 5.0 * self.picture.height)
        };
        let layer = Canvas {
            width: (f64::from(bounds.width()).ceil() + 4.0).min(across),
            height: (f64::from(bounds.height()).ceil() + 4.0).min(down),
        };
        let area = layer.area();
        self.hold(area * 4.0)?;
        self.add(match group.blend_mode() {
            BlendMode::Normal => area * LAYER,
            _ => area * MIXED_LAYER,
        })?;
        let mut most = self.nodes(group, transform, layer)?;
        for filter in group.filters() {
            most = most.max(self.filter(filter, transform, layer)?);
        }
        if let Some(clip) = group.clip_path() {
            most = most.max(self.clip(clip, transform, layer)?);
        }
        if let Some(mask) = group.mask() {
            most = most.max(self.mask(mask, transform, layer)?);
        }
        self.hold(area * 4.0 + most)
    }

    fn clip(&mut self, clip: &ClipPath, transform: Transform, layer: Canvas) -> Result<f64, Error> {
        self.add(layer.area() * CLIP)?;
        let own = layer.area() * 5.0;
        let inside = transform.pre_concat(clip.transform());
        let shapes = self.clipping(clip.root(), inside, layer)?;
        let further = match clip.clip_path() {
            Some(clip) => self.clip(clip, transform, layer)?,
            None => 0.0,
        };
        self.hold(own + shapes.max(further))
    }

    /// Shapes which clip, some of which are clipped themselves.
    fn clipping(
        &mut self,
        group: &Group,
        transform: Transform,
        layer: Canvas,
    ) -> Result<f64, Error> {
        let mut most: f64 = 0.0;
        for node in group.children() {
            self.add(NODE)?;
            let bytes = match node {
                Node::Path(path) => self.path(path, transform, layer)?,
                Node::Text(text) => self.clipping(text.flattened(), transform, layer)?,
                Node::Group(group) => {
                    let inside = transform.pre_concat(group.transform());
                    let shapes = self.clipping(group, inside, layer)?;
                    match group.clip_path() {
                        Some(clip) => {
                            self.add(layer.area() * LAYER)?;
                            let clipped = self.clip(clip, inside, layer)?;
                            self.hold(layer.area() * 4.0 + shapes.max(clipped))?
                        }
                        None => shapes,
                    }
                }
                Node::Image(_) => 0.0,
            };
            most = most.max(bytes);
        }
        Ok(most)
    }

    fn mask(&mut self, mask: &Mask, transform: Transform, layer: Canvas) -> Result<f64, Error> {
        self.add(layer.area() * MASK)?;
        let own = layer.area() * 6.0;
        let shapes = self.nodes(mask.root(), transform, layer)?;
        let further = match mask.mask() {
            Some(mask) => self.mask(mask, transform, layer)?,
            None => 0.0,
        };
        self.hold(own + shapes.max(further))
    }

    fn filter(
        &mut self,
        filter: &Filter,
        transform: Transform,
        layer: Canvas,
    ) -> Result<f64, Error> {
        // Each result is kept to the end, besides what is worked with.
        let steps = filter.primitives().len() as f64;
        let own = self.hold(layer.area() * 4.0 * (steps + 4.0))?;
        let mut most: f64 = 0.0;
        for primitive in filter.primitives() {
            self.add(layer.area() * per_pixel(primitive, transform, layer))?;
            if let Kind::Image(image) = primitive.kind() {
                let (across, down) = transform.get_scale();
                let scale = Transform::from_scale(across, down);
                most = most.max(self.nodes(image.root(), scale, layer)?);
            }
        }
        self.hold(own + most)
    }

    fn path(&mut self, path: &Path, transform: Transform, canvas: Canvas) -> Result<f64, Error> {
        if !path.is_visible() {
            return Ok(0.0);
        }
        let lines = Lines::of(path, transform, canvas);
        let mut most: f64 = 0.0;
        if let Some(fill) = path.fill() {
            let area = canvas.share(path.data().bounds().transform(transform));
            let (per_pixel, bytes) = self.paint(fill.paint(), fill.opacity().get(), transform)?;
            self.add(lines.edges * EDGE + lines.rows * ROW + area * per_pixel)?;
            most = most.max(self.hold(lines.edges * EDGE_BYTES + bytes)?);
        }
        if let Some(stroke) = path.stroke() {
            let (across, down) = transform.get_scale();
            let width = f64::from(stroke.width().get()) * f64::from(across.max(down));
            let pieces = lines.edges + lines.dashes(stroke);
            let outline = lines.length * width + pieces * width * width;
            let area = canvas
                .share(path.stroke_bounding_box().transform(transform))
                .min(outline + 4.0 * lines.length + 9.0 * pieces);
            let rows = 2.0 * lines.rows + pieces * width.min(canvas.height);
            let (per_pixel, bytes) =
                self.paint(stroke.paint(), stroke.opacity().get(), transform)?;
            self.add(pieces * PIECE + rows * ROW + area * per_pixel)?;
            most = most.max(self.hold(pieces * PIECE_BYTES + bytes)?);
        }
        Ok(most)
    }

    /// What a pixel of this paint costs, and the bytes which it takes.
    fn paint(
        &mut self,
        paint: &Paint,
        opacity: f32,
        transform: Transform,
    ) -> Result<(f64, f64), Error> {
        Ok(match paint {
            Paint::Color(_) if opacity < 1.0 => (TRANSLUCENT, 0.0),
            Paint::Color(_) => (SOLID, 0.0),
            Paint::LinearGradient(gradient) => {
                (GRADIENT + STOP * gradient.stops().len() as f64, 0.0)
            }
            Paint::RadialGradient(gradient) => {
                (GRADIENT + STOP * gradient.stops().len() as f64, 0.0)
            }
            Paint::Pattern(pattern) => (TILE, self.pattern(pattern, transform)?),
        })
    }

    /// A tile is drawn for each shape which is filled with it, as large as its pattern says.
    fn pattern(&mut self, pattern: &Pattern, transform: Transform) -> Result<f64, Error> {
        let (across, down) = transform.pre_concat(pattern.transform()).get_scale();
        let size = IntSize::from_wh(
            (pattern.rect().width() * across).round() as u32,
            (pattern.rect().height() * down).round() as u32,
        );
        let Some(size) = size else {
            return Ok(0.0);
        };
        let tile = Canvas {
            width: size.width().into(),
            height: size.height().into(),
        };
        let own = self.hold(tile.area() * 4.0)?;
        self.add(tile.area() * SOLID)?;
        let scale = Transform::from_scale(across, down);
        let inside = self.nodes(pattern.root(), scale, tile)?;
        self.hold(own + inside)
    }
}

/// What a step of a filter costs for each pixel.
fn per_pixel(primitive: &Primitive, transform: Transform, layer: Canvas) -> f64 {
    let (across, down) = transform.get_scale();
    PASSING
        + match primitive.kind() {
            Kind::GaussianBlur(blur) => {
                let sigma = (blur.std_dev_x().get() * across).max(blur.std_dev_y().get() * down);
                // Another method is used where little is blurred.
                if sigma < 2.0 { 260.0 } else { 110.0 }
            }
            Kind::DropShadow(shadow) => {
                let sigma =
                    (shadow.std_dev_x().get() * across).max(shadow.std_dev_y().get() * down);
                if sigma < 2.0 { 340.0 } else { 190.0 }
            }
            Kind::ConvolveMatrix(convolve) => {
                let matrix = convolve.matrix();
                8.0 * f64::from(matrix.columns()) * f64::from(matrix.rows())
            }
            Kind::Morphology(morphology) => {
                let side = |radius: f32, scale: f32, most: f64| {
                    (2.0 * f64::from(radius * scale) + 2.0).min(most + 1.0)
                };
                let across = side(morphology.radius_x().get(), across, layer.width);
                let down = side(morphology.radius_y().get(), down, layer.height);
                2.5 * across * down
            }
            Kind::Turbulence(turbulence) => 75.0 * f64::from(turbulence.num_octaves()),
            Kind::DiffuseLighting(_) | Kind::SpecularLighting(_) => 120.0,
            Kind::Tile(_) => TILE,
            Kind::Merge(merge) => 40.0 * merge.inputs().len() as f64,
            Kind::Blend(_) => 160.0,
            Kind::Composite(_)
            | Kind::DisplacementMap(_)
            | Kind::ColorMatrix(_)
            | Kind::ComponentTransfer(_)
            | Kind::Flood(_)
            | Kind::Image(_)
            | Kind::Offset(_) => 40.0,
        }
}

/// The lines of a path as they are drawn.
#[derive(Default)]
struct Lines {
    edges: f64,
    /// Rows of pixels which they cross, each by itself.
    rows: f64,
    /// Pixels.
    length: f64,
    /// Units of the drawing.
    own_length: f64,
}

impl Lines {
    fn of(path: &Path, transform: Transform, canvas: Canvas) -> Self {
        let mut lines = Self::default();
        let mut last = (0.0, 0.0);
        let mut to = |x: f32, y: f32, edges: f64| {
            let (across, down) = (f64::from(x) - last.0, f64::from(y) - last.1);
            last = (f64::from(x), f64::from(y));
            let right = f64::from(transform.sx) * across + f64::from(transform.kx) * down;
            let below = f64::from(transform.ky) * across + f64::from(transform.sy) * down;
            lines.edges += edges;
            lines.rows += below.abs().min(canvas.height) + edges;
            lines.length += right.hypot(below);
            lines.own_length += across.hypot(down);
        };
        for segment in path.data().segments() {
            match segment {
                // Whoever begins anew closes what was open.
                PathSegment::MoveTo(point) | PathSegment::LineTo(point) => {
                    to(point.x, point.y, 1.0);
                }
                PathSegment::QuadTo(a, b) => {
                    to(a.x, a.y, 2.0);
                    to(b.x, b.y, 2.0);
                }
                PathSegment::CubicTo(a, b, c) => {
                    to(a.x, a.y, 2.0);
                    to(b.x, b.y, 2.0);
                    to(c.x, c.y, 2.0);
                }
                PathSegment::Close => {}
            }
        }
        // Back to where it began.
        lines.rows *= 2.0;
        lines
    }

    /// Pieces into which dashes cut them.
    fn dashes(&self, stroke: &Stroke) -> f64 {
        let Some(dashes) = stroke.dasharray() else {
            return 0.0;
        };
        let whole: f64 = dashes.iter().map(|length| f64::from(*length)).sum();
        let pieces = self.own_length / whole * dashes.len() as f64;
        if pieces.is_finite() {
            pieces.min(DASHES_MAX)
        } else {
            DASHES_MAX
        }
    }
}
