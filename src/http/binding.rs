//! `POST /info` and `POST /transform`: the Images binding of a Worker (transformations.md, section
//! 7.5; clients.md, section 5). The runtime calls them on a host of its own, so only the path counts.

use bytes::{Bytes, BytesMut};
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderName};
use hyper::{Method, StatusCode};
use model::MediaType;
use model::transform::binding::{self, Output};
use model::transform::{InvalidOptions, Text};
use multer::{Constraints, Field, Multipart, SizeLimit};
use pixels::RenditionFormat;
use serde_json::json;
use service::{DeliveryError, Program, ProgramInput};

use super::form::boundary;
use super::refusal::{CF_RESIZED, refusal, refuse, secure, warn};
use super::response::{self, Response};
use super::{App, Req, auth};

const CF_IMAGES_BINDING: HeaderName = HeaderName::from_static("cf-images-binding");
const IMAGE_WIDTH: HeaderName = HeaderName::from_static("x-image-width");
const IMAGE_HEIGHT: HeaderName = HeaderName::from_static("x-image-height");

/// All images of one program together may be so many times as large as one.
const PROGRAM_IMAGES: u64 = 3;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `/info`
    Info,
    /// `/transform`
    Transform,
}

/// Why a call fails.
enum Failure {
    /// A status, a code and the words for it.
    Plain(StatusCode, u16, String),
    Delivery(DeliveryError),
}

impl Failure {
    fn bad_request(words: impl std::fmt::Display) -> Self {
        let words = words.to_string();
        let words = if words.starts_with("Bad request") {
            words
        } else {
            format!("Bad request: {words}")
        };
        Self::Plain(StatusCode::BAD_REQUEST, 9432, words)
    }

    fn too_large() -> Self {
        let words = "Could not fetch the image: file too large".to_owned();
        Self::Plain(StatusCode::PAYLOAD_TOO_LARGE, 9402, words)
    }
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        Self::Delivery(error)
    }
}

impl From<InvalidOptions> for Failure {
    fn from(error: InvalidOptions) -> Self {
        Self::bad_request(error)
    }
}

impl From<multer::Error> for Failure {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamSizeExceeded { .. } => Self::too_large(),
            _ => Self::bad_request("the form is broken or was cut off"),
        }
    }
}

pub(super) async fn answer(app: &App, request: Req, call: Call) -> Response {
    let mut answer = match respond(app, request, call).await {
        Ok(answer) => answer,
        Err(failure) => {
            let mut answer = match failure {
                Failure::Plain(status, code, words) => refusal(status, code, &words),
                Failure::Delivery(error) => refuse(&error),
            };
            if let Some(error) = answer.headers().get(CF_RESIZED).cloned() {
                answer.headers_mut().insert(CF_IMAGES_BINDING, error);
            }
            if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                response::set(&mut answer, ALLOW, "POST");
            }
            answer
        }
    };
    response::set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

async fn respond(app: &App, request: Req, call: Call) -> Result<Response, Failure> {
    if request.method() != Method::POST {
        let words = "Bad request: only POST is allowed".to_owned();
        return Err(Failure::Plain(StatusCode::METHOD_NOT_ALLOWED, 9432, words));
    }
    authorise(app, &request).await?;
    let parts = Parts::read(app, request).await?;
    match call {
        Call::Info => info(app, &parts),
        Call::Transform => transform(app, parts).await,
    }
}

/// Any valid token will do: nothing of an account is touched.
async fn authorise(app: &App, request: &Req) -> Result<(), Failure> {
    let denied = |reason: &str| {
        let words = format!("Images Binding access denied: {reason}");
        Failure::Plain(StatusCode::FORBIDDEN, 9430, words)
    };
    let token = auth::credentials(request).map_err(|_| denied("a token is needed"))?;
    let access = app.service.authenticate(&token).await;
    match access.map_err(DeliveryError::from)? {
        Some(_) => Ok(()),
        None => Err(denied("the token is not valid")),
    }
}

/// The parts of a form, pictures in the order in which they came.
#[derive(Default)]
struct Parts {
    image: Option<Bytes>,
    text_input: Option<Text>,
    drawn: Vec<ProgramInput>,
    transforms: Option<String>,
    output_format: Option<String>,
    output_quality: Option<String>,
    background: Option<String>,
    anim: Option<String>,
    /// Room for the bytes.
    _room: Option<service::Share>,
}

impl Parts {
    async fn read(app: &App, request: Req) -> Result<Self, Failure> {
        let limits = &app.service.settings().limits;
        let boundary = boundary(&request)
            .ok_or_else(|| Failure::bad_request("a form of multipart/form-data is wanted"))?;
        let texts = limits.form_field_bytes_max as u64 * 8 + limits.json_bytes_max as u64;
        let bytes_max = limits.binding_bytes_max * PROGRAM_IMAGES + texts;
        let announced = request.body().announced_bytes().unwrap_or(bytes_max);
        let room = app.service.admit(announced.min(bytes_max)).await;
        let whole = SizeLimit::new().whole_stream(bytes_max);
        let constraints = Constraints::new().size_limit(whole);
        let mut form = Multipart::with_constraints(request.into_body(), boundary, constraints);
        let mut parts = Self {
            _room: Some(room.map_err(DeliveryError::from)?),
            ..Self::default()
        };
        let mut count = 0;
        while let Some(part) = form.next_field().await? {
            count += 1;
            if count > limits.form_parts_max {
                return Err(Failure::bad_request("the form has too many parts"));
            }
            parts.take(part, limits).await?;
        }
        Ok(parts)
    }

    async fn take(&mut self, part: Field<'_>, limits: &model::Limits) -> Result<(), Failure> {
        let name = part.name().unwrap_or_default().to_owned();
        let image_max = limits.binding_bytes_max;
        let text_max = match name.as_str() {
            "transforms" => limits.json_bytes_max,
            _ => limits.form_field_bytes_max,
        };
        match name.as_str() {
            "image" => once(&mut self.image, &name, read(part, image_max).await?),
            "draw_image" => {
                let image = read(part, image_max).await?;
                self.drawn.push(ProgramInput::Image(image));
                Ok(())
            }
            "text_input" => {
                let text = read_text(part, text_max).await?;
                once(&mut self.text_input, &name, binding::text(&text)?)
            }
            "draw_text" => {
                let text = binding::text(&read_text(part, text_max).await?)?;
                self.drawn.push(ProgramInput::Text(text));
                Ok(())
            }
            _ => {
                let place = match name.as_str() {
                    "transforms" => &mut self.transforms,
                    "output_format" => &mut self.output_format,
                    "output_quality" => &mut self.output_quality,
                    "background" => &mut self.background,
                    "anim" => &mut self.anim,
                    // Read and dropped, so that what follows it can be read.
                    _ => return read(part, image_max).await.map(drop),
                };
                let text = read_text(part, text_max).await?;
                once(place, &name, text)
            }
        }
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Failure> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Failure::bad_request(format!(
            "the part '{name}' was sent twice"
        ))),
    }
}

async fn read(mut part: Field<'_>, bytes_max: u64) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = part.chunk().await? {
        if (bytes.len() + piece.len()) as u64 > bytes_max {
            return Err(Failure::too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

async fn read_text(part: Field<'_>, bytes_max: usize) -> Result<String, Failure> {
    let bytes = read(part, bytes_max as u64).await?;
    String::from_utf8(bytes.into()).map_err(|_| Failure::bad_request("a part is no UTF-8"))
}

fn info(app: &App, parts: &Parts) -> Result<Response, Failure> {
    let image = parts.image.as_deref();
    let image = image.ok_or_else(|| Failure::bad_request("the part 'image' is missing"))?;
    let header = app.service.inspect(image)?;
    let body = match header.format {
        MediaType::Svg => json!({ "format": header.format.as_str() }),
        format => json!({
            "format": format.as_str(),
            "file_size": image.len(),
            "width": header.width,
            "height": header.height,
        }),
    };
    Ok(response::json(StatusCode::OK, &body))
}

async fn transform(app: &App, parts: Parts) -> Result<Response, Failure> {
    let canvas = match (parts.image, parts.text_input) {
        (Some(image), None) => ProgramInput::Image(image),
        (None, Some(text)) => ProgramInput::Text(text),
        _ => {
            let words = "one of the parts 'image' and 'text_input' is wanted";
            return Err(Failure::bad_request(words));
        }
    };
    let inputs: Vec<ProgramInput> = std::iter::once(canvas).chain(parts.drawn).collect();
    if inputs.len() > binding::PICTURES_MAX {
        let most = binding::PICTURES_MAX - 1;
        return Err(Failure::bad_request(format!(
            "at most {most} pictures may be drawn"
        )));
    }
    let commands = parts.transforms.as_deref().unwrap_or("[]");
    let commands = binding::commands(commands, inputs.len())?;
    let output = Output {
        format: parts.output_format.as_deref(),
        quality: parts.output_quality.as_deref(),
        background: parts.background.as_deref(),
        anim: parts.anim.as_deref(),
    };
    let program = Program {
        inputs,
        commands,
        output: output.transform()?,
    };
    let made = app.service.compose(program).await?;
    let rendered = made.rendered;
    let mut answer = response::bytes(StatusCode::OK, rendered.media_type, rendered.bytes);
    if rendered.media_type == RenditionFormat::Rgba.as_str() {
        response::set_text(&mut answer, IMAGE_WIDTH, &made.width.to_string());
        response::set_text(&mut answer, IMAGE_HEIGHT, &made.height.to_string());
    }
    warn(&mut answer, &rendered.warnings);
    secure(&mut answer);
    Ok(answer)
}
