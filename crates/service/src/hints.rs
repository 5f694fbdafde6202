use model::Transform;

/// What a client tells of itself besides the formats it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClientHints {
    /// Pixels.
    pub viewport_width: Option<f64>,
    /// Device pixels for one pixel.
    pub dpr: Option<f64>,
    /// Whether it is a phone, by its name.
    pub phone: bool,
    /// Whether its connection is slow, or it wants to save.
    pub slow: bool,
}

/// Which hints a rendition depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HintsUsed {
    /// Those of `width=auto`.
    pub width: bool,
    /// Whether that width also depends on the device's pixels.
    pub dpr: bool,
    /// Those of `slow-connection-quality`.
    pub connection: bool,
}

impl ClientHints {
    /// The transform without what is left to hints, and which of them it needed
    /// (transformations.md, sections 2.3 and 2.14).
    pub(crate) fn settle(self, transform: Transform, uses_dpr: bool) -> (Transform, HintsUsed) {
        let used = HintsUsed {
            width: transform.auto_width.is_some(),
            dpr: transform.auto_width.is_some() && uses_dpr,
            connection: transform.slow_quality.is_some(),
        };
        let dpr = self
            .dpr
            .filter(|dpr| uses_dpr && dpr.is_finite() && *dpr > 0.0);
        let width = self.viewport_width.map(|width| width * dpr.unwrap_or(1.0));
        let settled = transform
            .resolve_width(width, self.phone)
            .for_slow_connection(self.slow);
        (settled, used)
    }
}
