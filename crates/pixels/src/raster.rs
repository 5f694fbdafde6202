use crate::colour::Gamut;

/// Pixels, 8 bits a channel, row by row without gaps, alpha not premultiplied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raster {
    pub width: u32,
    pub height: u32,
    /// 3 without alpha, 4 with it.
    pub channels: usize,
    pub data: Vec<u8>,
    /// What the numbers mean. Steps do not look at it and make pictures of sRGB; who needs it keeps it.
    pub gamut: Gamut,
}

impl Raster {
    /// `data` has `width * height * channels` bytes.
    pub(crate) fn new(width: u32, height: u32, channels: usize, data: Vec<u8>) -> Self {
        debug_assert_eq!(data.len(), width as usize * height as usize * channels);
        Self {
            width,
            height,
            channels,
            data,
            gamut: Gamut::Srgb,
        }
    }

    pub(crate) fn in_gamut(self, gamut: Gamut) -> Self {
        Self { gamut, ..self }
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    pub(crate) fn has_alpha(&self) -> bool {
        self.channels == 4
    }

    /// Bytes of one row; at least 1, so that rows can be counted off.
    pub(crate) fn row_bytes(&self) -> usize {
        (self.width as usize * self.channels).max(1)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact(self.row_bytes())
    }

    /// Without alpha where no pixel makes use of it.
    pub(crate) fn without_idle_alpha(self) -> Self {
        if !self.has_alpha() || self.data.chunks_exact(4).any(|pixel| pixel[3] != 255) {
            return self;
        }
        let data = self
            .data
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
        Self::new(self.width, self.height, 3, data)
    }

    /// With alpha.
    pub(crate) fn with_alpha(self) -> Self {
        if self.has_alpha() {
            return self;
        }
        let data = self
            .data
            .chunks_exact(3)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255])
            .collect();
        Self::new(self.width, self.height, 4, data)
    }
}
