//! Which format a rendition has (transformations.md, sections 3.3 to 3.5).

/// The formats which the client accepts beyond those that everybody does. Only a media type which
/// `Accept` names counts; a wildcard does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accepts {
    /// `image/avif`
    pub avif: bool,
    /// `image/webp`
    pub webp: bool,
}
