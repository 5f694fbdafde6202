//! What a Worker's Images binding asks for (transformations.md, sections 7.4 and 7.5): bytes in,
//! bytes out, nothing kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use model::Transform;
use model::transform::Text;
use model::transform::binding::Command;
use pixels::{Assets, Cancel, Composition, Header, Input};
use tokio::time::timeout;

use crate::rendering::CancelOnDrop;
use crate::{DeliveryError, Rendered, Service, Tier};

/// A program of the binding and what it works on.
#[derive(Clone, Debug)]
pub struct Program {
    /// The pictures, of which the first is written in the end.
    pub inputs: Vec<ProgramInput>,
    /// What is done, in this order.
    pub commands: Vec<Command>,
    /// The options of what is written.
    pub output: Transform,
}

/// A picture of a program.
#[derive(Clone, Debug)]
pub enum ProgramInput {
    /// An encoded image.
    Image(Bytes),
    /// A text.
    Text(Text),
}

/// What a program made.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The picture.
    pub rendered: Rendered,
    /// Its pixels, which raw ones do not tell.
    pub width: u32,
    /// Likewise.
    pub height: u32,
}

/// Work for each byte of memory which a program takes: a pixel takes some bytes.
const WORK_OF_BYTE: u64 = 2;

impl Service {
    /// What the header of an image says.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Header, DeliveryError> {
        let header = self.engine.recognise(bytes);
        let header = header.and_then(|_| self.engine.inspect(bytes));
        header.map_err(|error| DeliveryError::Pixels(Arc::new(error)))
    }

    /// Fetches the fonts and runs the program. When the caller is dropped, the work stops.
    pub async fn compose(&self, program: Program) -> Result<Composed, DeliveryError> {
        let fonts = timeout(self.settings.source_timeout, self.fonts(&program)).await;
        let fonts = fonts.unwrap_or_else(|_| {
            let late = "the fonts did not come in time".to_owned();
            Err(DeliveryError::Font(late))
        })?;
        let cancel = Cancel::at(Instant::now() + self.settings.limits.render_deadline);
        let _stop = CancelOnDrop(cancel.clone());
        let needed = self
            .engine
            .composing_bytes(&inputs(&program), &program.commands);
        // What a program does with pixels is known by how much memory they take.
        let lane = self.lane_of(needed.saturating_mul(WORK_OF_BYTE), needed);
        self.refuse_large(lane)?;
        let _turn = self.lanes.turn(lane).await?;
        let share = self.share(lane, needed).await?;
        let engine = self.engine.clone();
        let work = move || {
            for input in &program.inputs {
                if let ProgramInput::Image(bytes) = input {
                    engine.recognise(bytes)?;
                }
            }
            let mut assets = Assets::new();
            for (address, font) in &fonts {
                assets.insert(address, font);
            }
            let composition = Composition {
                inputs: &inputs(&program),
                commands: &program.commands,
                output: &program.output,
                assets: &assets,
            };
            let rendition = engine.compose(&composition, &cancel);
            // With the job and not with its caller, who may go before it ends.
            drop(share);
            rendition
        };
        let mut size = (0, 0);
        let composing = async {
            let made = self.lanes.get(lane).run(work).await?;
            let made = made.map_err(|error| DeliveryError::Pixels(Arc::new(error)))?;
            size = (made.width, made.height);
            Ok(Rendered {
                media_type: made.format.as_str(),
                bytes: made.bytes.into(),
                warnings: made.warnings.iter().map(ToString::to_string).collect(),
                tier: Tier::Made,
                times: None,
                substitute: None,
            })
        };
        let rendered = self.meters.watch(composing).await?;
        let (width, height) = size;
        Ok(Composed {
            rendered,
            width,
            height,
        })
    }

    /// The fonts of all texts, each fetched once, from where sources of uploads may be fetched. There
    /// are no more of them than draws, and one time is for all.
    async fn fonts(&self, program: &Program) -> Result<HashMap<String, Bytes>, DeliveryError> {
        let mut fonts = HashMap::new();
        for input in &program.inputs {
            let ProgramInput::Text(Text {
                font: Some(address),
                ..
            }) = input
            else {
                continue;
            };
            if !fonts.contains_key(address) {
                let bytes_max = self.settings.limits.binding_bytes_max;
                let memory = &self.sources.memory;
                let font = self.fetcher.font(address, bytes_max, memory).await;
                let bytes = font.map_err(|error| DeliveryError::Font(error.to_string()))?;
                fonts.insert(address.clone(), bytes);
            }
        }
        Ok(fonts)
    }
}

fn inputs(program: &Program) -> Vec<Input<'_>> {
    let inputs = program.inputs.iter().map(|input| match input {
        ProgramInput::Image(bytes) => Input::Image(bytes),
        ProgramInput::Text(text) => Input::Text(text),
    });
    inputs.collect()
}
