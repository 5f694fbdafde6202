//! What is drawn on a picture (transformations.md, section 7).

use super::{Amount, Colour, Transform, word_of};

/// A picture or a text which is drawn on the result; the output keeps its size.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay {
    /// What is drawn.
    pub content: OverlayContent,
    /// How it is drawn.
    pub draw: Draw,
}

/// What an overlay shows.
#[derive(Clone, Debug, PartialEq)]
pub enum OverlayContent {
    /// An image; of an animation its first frame.
    Image {
        /// Where it is fetched from.
        url: String,
        /// Width of its box: pixels, or a fraction of the width of what it is drawn on.
        width: Option<Amount>,
        /// Height of its box.
        height: Option<Amount>,
        /// What else is done to it first; its own width and height are not set.
        transform: Box<Transform>,
    },
    /// A text.
    Text(Text),
}

/// A text which becomes a picture on transparent ground (section 7.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// At most [`Text::CHARACTERS_MAX`] characters; line feeds start lines.
    pub content: String,
    /// Address of a TrueType font, bare or as WOFF or WOFF2; `None` is the font which is built in.
    pub font: Option<String>,
    /// Pixels of an em, above 0 and at most [`Text::SIZE_MAX`].
    pub size: f64,
    /// Colour of the letters.
    pub colour: Colour,
}

impl Text {
    /// Characters of a text.
    pub const CHARACTERS_MAX: usize = 1_000;
    /// Pixels of an em: no larger letter fits into a picture of text.
    pub const SIZE_MAX: f64 = 4_096.0;
    /// Pixels of an em where nothing is said.
    pub const SIZE: f64 = 12.0;
}

/// How a picture is drawn on another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Where between left and right.
    pub across: Offset,
    /// Where between top and bottom.
    pub down: Offset,
    /// Whether it is repeated.
    pub repeat: Repeat,
    /// Multiplies its alpha, 0 to 1.
    pub opacity: f64,
    /// How both are combined, within the bounds of what is drawn.
    pub composite: Composite,
}

impl Default for Draw {
    fn default() -> Self {
        Self {
            across: Offset::Center,
            down: Offset::Center,
            repeat: Repeat::None,
            opacity: 1.0,
            composite: Composite::Over,
        }
    }
}

/// Where on an axis a picture is drawn; what lies outside is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offset {
    /// In the middle.
    #[default]
    Center,
    /// So many pixels from the left or upper edge.
    Start(i32),
    /// So many pixels from the right or lower edge.
    End(i32),
}

/// Tiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Drawn once.
    #[default]
    None,
    /// Everywhere.
    Both,
    /// One row.
    Across,
    /// One column.
    Down,
}

/// How what is drawn and what is beneath are combined: operators of Porter and Duff, "Compositing
/// Digital Images", 1984, with names as in section 7.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Composite {
    /// On top.
    #[default]
    Over,
    /// Only where something is beneath, and nothing else stays.
    In,
    /// Only where something is beneath, which stays.
    Atop,
    /// Only where nothing is beneath, and nothing else stays.
    Out,
    /// Each where the other is not.
    Xor,
    /// The sum.
    Lighter,
}

impl Composite {
    pub(super) const WORDS: [(Self, &str); 6] = [
        (Self::Over, "over"),
        (Self::In, "in"),
        (Self::Atop, "atop"),
        (Self::Out, "out"),
        (Self::Xor, "xor"),
        (Self::Lighter, "lighter"),
    ];
}

/// What has to be fetched before a rendition can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asset<'a> {
    /// An image, by its address.
    Image(&'a str),
    /// A font, by its address.
    Font(&'a str),
}

impl Transform {
    /// What its overlays need, in the order in which they are drawn; nothing is named twice.
    pub fn assets(&self) -> Vec<Asset<'_>> {
        let mut assets = Vec::new();
        self.collect_assets(&mut assets);
        assets
    }

    fn collect_assets<'a>(&'a self, assets: &mut Vec<Asset<'a>>) {
        for overlay in &self.draw {
            let asset = match &overlay.content {
                OverlayContent::Image { url, transform, .. } => {
                    transform.collect_assets(assets);
                    Some(Asset::Image(url))
                }
                OverlayContent::Text(text) => text.font.as_deref().map(Asset::Font),
            };
            assets.extend(asset.filter(|asset| !assets.contains(asset)));
        }
    }
}

impl Overlay {
    /// One spelling of each, for cache keys: a JSON array of texts, which no content can imitate.
    pub(super) fn canonical(&self) -> String {
        let length = |length: &Option<Amount>| length.map_or(String::new(), |it| it.to_string());
        let (kind, words) = match &self.content {
            OverlayContent::Image {
                url,
                width,
                height,
                transform,
            } => {
                let size = format!("{}x{}", length(width), length(height));
                ("image", vec![url.clone(), size, transform.to_string()])
            }
            OverlayContent::Text(Text {
                content,
                font,
                size,
                colour,
            }) => {
                let font = font.clone().unwrap_or_default();
                let look = format!("{size};{colour}");
                ("text", vec![content.clone(), font, look])
            }
        };
        let Draw {
            across,
            down,
            repeat,
            opacity,
            composite,
        } = self.draw;
        let offset = |offset| match offset {
            Offset::Center => "center".to_owned(),
            Offset::Start(pixels) => format!("{pixels}"),
            Offset::End(pixels) => format!("-({pixels})"),
        };
        let repeat = match repeat {
            Repeat::None => "once",
            Repeat::Both => "both",
            Repeat::Across => "x",
            Repeat::Down => "y",
        };
        let composite = word_of(&Composite::WORDS, composite);
        let draw = format!(
            "{};{};{repeat};{opacity};{composite}",
            offset(across),
            offset(down)
        );
        let all = [kind.to_owned(), draw].into_iter().chain(words);
        all.collect::<serde_json::Value>().to_string()
    }
}
