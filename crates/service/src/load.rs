//! Where renderings are done, and what is left undone under load (transformations.md, section 4.3).
//!
//! Three lanes, each with threads and a queue of its own: what is quick is not stalled by giants, and
//! what nobody waits for stalls neither. The system divides the cores between the threads of all lanes.

use std::time::Duration;

use tokio::time::timeout;

use crate::memory::Shares;
use crate::renderer::{Renderer, Turn};
use crate::{DeliveryError, Error, Service, Settings};

/// More work than this is heavy, in pixels of a JPEG which is decoded: about a third of a second of one
/// core (docs/decisions/0017).
const HEAVY_WORK: u64 = 60_000_000;

/// Renderings which nobody waits for; further ones are left out.
const LATER_MAX: usize = 64;

/// Pixels of the longest side up to which AVIF is made under load.
pub(crate) const AVIF_SIDE_LOADED: u32 = 640;

/// The lanes of renderings.
pub(crate) struct Lanes {
    light: Renderer,
    heavy: Renderer,
    later: Renderer,
    patience: Duration,
}

/// Which lane a rendering takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Light,
    Heavy,
    /// Nobody waits for it.
    Later,
}

impl Lane {
    /// `light`, `heavy` or `later`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Heavy => "heavy",
            Self::Later => "later",
        }
    }
}

/// What is left undone. Each step holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shed {
    /// Nothing.
    Nothing,
    /// AVIF of more than a small side.
    LargeAvif,
    /// AVIF.
    Avif,
    /// Renderings of much work.
    Large,
}

impl Shed {
    pub(crate) const STEPS: [Self; 3] = [Self::LargeAvif, Self::Avif, Self::Large];

    /// `large_avif`, `avif` or `large`; `nothing` for none.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::LargeAvif => "large_avif",
            Self::Avif => "avif",
            Self::Large => "large",
        }
    }

    /// A quarter of the queue is nothing to worry about.
    fn at(waiting: usize, waiting_max: usize) -> Self {
        match waiting.saturating_mul(4) / waiting_max.max(1) {
            0 => Self::Nothing,
            1 => Self::LargeAvif,
            2 => Self::Avif,
            _ => Self::Large,
        }
    }
}

impl Service {
    /// Refuses work of the heavy lane where so much waits already that large pictures are left undone.
    pub(crate) fn refuse_large(&self, lane: Lane) -> Result<(), DeliveryError> {
        let spared = lane == Lane::Heavy
            && self.lanes.shed() == Shed::Large
            && self.lanes.get(lane).is_busy();
        if spared {
            self.meters.count_shed(Shed::Large);
            return Err(DeliveryError::BusyForLarge);
        }
        Ok(())
    }

    /// The lane for so much work which takes so many bytes of memory.
    pub(crate) fn lane_of(&self, work: u64, bytes: u64) -> Lane {
        if work > HEAVY_WORK || !self.memory.is_light(bytes) {
            Lane::Heavy
        } else {
            Lane::Light
        }
    }

    /// Waits for memory for pixels.
    pub(crate) async fn share(&self, lane: Lane, bytes: u64) -> Result<Shares, Error> {
        match lane {
            Lane::Light => self.memory.share_light(bytes).await,
            Lane::Heavy | Lane::Later => self.memory.share(bytes).await,
        }
    }
}

impl Lanes {
    pub(crate) fn start(settings: &Settings) -> Result<Self, Error> {
        let (threads, queue) = (settings.render_threads, settings.render_queue);
        Ok(Self {
            light: Renderer::start("render", threads, queue)?,
            heavy: Renderer::start("heavy", threads.div_ceil(2), queue)?,
            later: Renderer::start("later", threads.div_ceil(2), LATER_MAX)?,
            patience: settings.render_queue_timeout,
        })
    }

    pub(crate) fn get(&self, lane: Lane) -> &Renderer {
        match lane {
            Lane::Light => &self.light,
            Lane::Heavy => &self.heavy,
            Lane::Later => &self.later,
        }
    }

    /// Waits for a turn, where somebody waits not for ever.
    pub(crate) async fn turn(&self, lane: Lane) -> Result<Turn<'_>, DeliveryError> {
        let turn = self.get(lane).turn();
        let turn = match lane {
            Lane::Later => turn.await?,
            Lane::Light => timeout(self.patience, turn)
                .await
                .map_err(|_| DeliveryError::Busy)??,
            Lane::Heavy => {
                let turn = timeout(self.patience, turn).await;
                let turn = turn.map_err(|_| DeliveryError::BusyForLarge)?;
                turn.map_err(|_| DeliveryError::BusyForLarge)?
            }
        };
        Ok(turn)
    }

    /// What is to be left undone now.
    pub(crate) fn shed(&self) -> Shed {
        let shed = |lane: &Renderer| Shed::at(lane.waiting(), lane.waiting_max());
        shed(&self.light).max(shed(&self.heavy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_the_queue_the_more_is_left_undone() {
        let steps = [
            (0, Shed::Nothing),
            (63, Shed::Nothing),
            (64, Shed::LargeAvif),
            (127, Shed::LargeAvif),
            (128, Shed::Avif),
            (192, Shed::Large),
            (500, Shed::Large),
        ];
        for (waiting, expected) in steps {
            assert_eq!(Shed::at(waiting, 256), expected, "{waiting}");
        }
        assert_eq!(Shed::at(0, 1), Shed::Nothing);
        assert_eq!(Shed::at(1, 1), Shed::Large);
    }
}
