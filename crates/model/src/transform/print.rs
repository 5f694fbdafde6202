//! The canonical spelling of a transform: sorted by name, defaults left out (section 1.9).

use std::fmt;

use super::{
    Amount, AutoWidth, Border, Exif, Fit, Flip, Format, Frame, Gravity, Overlay, Quality, Rotate,
    Transform, Upscale, word_of,
};

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options: Vec<(&str, String)> = Vec::new();
        let mut add = |name, value: String| options.push((name, value));

        let numbers = [
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("dpr", self.dpr, 1.0),
            ("gamma", self.gamma, 1.0),
            ("saturation", self.saturation, 1.0),
            ("blur", self.blur, 0.0),
            ("sharpen", self.sharpen, 0.0),
            ("zoom", self.zoom, 0.0),
        ];
        for (name, value, neutral) in numbers {
            if value.total_cmp(&neutral).is_ne() {
                add(name, value.to_string());
            }
        }
        for (name, length) in [("height", self.height), ("width", self.width)] {
            if let Some(length) = length {
                add(name, length.to_string());
            }
        }
        let shares = [
            ("height-share", self.height_share),
            ("width-share", self.width_share),
        ];
        for (name, share) in shares {
            if let Some(share) = share {
                add(name, share.to_string());
            }
        }
        if let Some(auto) = &self.auto_width {
            add("width", "auto".to_owned());
            let default = AutoWidth::default();
            if auto.breakpoints != default.breakpoints {
                let widths: Vec<String> = auto.breakpoints.iter().map(u32::to_string).collect();
                add("wbreakpoints", widths.join(";"));
            }
            if auto.phone != default.phone {
                add("wmobile", auto.phone.to_string());
            }
            if auto.desktop != default.desktop {
                add("wdesktop", auto.desktop.to_string());
            }
        }
        if self.fit != Fit::default() {
            add("fit", self.fit.as_str().to_owned());
        }
        if self.gravity != Gravity::default() {
            add("gravity", gravity(self.gravity));
        }
        if self.flip != Flip::None {
            add("flip", word_of(&Flip::WORDS, self.flip).to_owned());
        }
        if self.rotate != Rotate::None {
            add("rotate", word_of(&Rotate::WORDS, self.rotate).to_owned());
        }
        if let Some(colour) = self.background {
            add("background", colour.to_string());
        }
        if let Some(Frame {
            colour,
            top,
            right,
            bottom,
            left,
        }) = self.border
        {
            add("border", format!("{colour};{top};{right};{bottom};{left}"));
        }
        if !self.draw.is_empty() {
            let overlays: Vec<String> = self.draw.iter().map(Overlay::canonical).collect();
            add("draw", overlays.concat());
        }
        if self.segment {
            add("segment", "foreground".to_owned());
        }
        if self.upscale != Upscale::default() {
            add("upscale", word_of(&Upscale::WORDS, self.upscale).to_owned());
        }
        let qualities = [
            ("quality", self.quality),
            ("slow-connection-quality", self.slow_quality),
        ];
        for (name, value) in qualities {
            if let Some(value) = value {
                add(name, quality(value));
            }
        }
        if self.exif != Exif::default() {
            add("metadata", self.exif.as_str().to_owned());
        }
        if self.format != Format::Standard {
            add("format", self.format.as_str().to_owned());
        }
        if self.placeholders.any() {
            add("placeholder", self.placeholders.to_string());
        }
        if !self.anim {
            add("anim", "false".to_owned());
        }
        if self.fast {
            add("compression", "fast".to_owned());
        }
        if self.redirect_on_error {
            add("onerror", "redirect".to_owned());
        }

        let trim = &self.trim;
        let sides = [trim.top, trim.right, trim.bottom, trim.left];
        if sides != [Amount::default(); 4] {
            let [top, right, bottom, left] = sides;
            add("trim", format!("{top};{right};{bottom};{left}"));
        }
        for (name, kept) in [("trim.height", trim.height), ("trim.width", trim.width)] {
            if let Some(kept) = kept {
                add(name, kept.to_string());
            }
        }
        if let Some(border) = trim.border {
            let default = Border::default();
            add("trim.border", "true".to_owned());
            if let Some(colour) = border.colour {
                add("trim.border.color", colour.to_string());
            }
            if border.tolerance != default.tolerance {
                add("trim.border.tolerance", border.tolerance.to_string());
            }
            if border.keep != default.keep {
                add("trim.border.keep", border.keep.to_string());
            }
        }

        options.sort_unstable();
        let pieces: Vec<String> = options
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        f.write_str(&pieces.join(","))
    }
}

fn gravity(gravity: Gravity) -> String {
    match (word_of(&Gravity::WORDS, gravity), gravity) {
        ("", Gravity::Point { x, y }) => format!("{x}x{y}"),
        ("", Gravity::BoxCenter { x, y }) => format!("{}{x}x{y}", Gravity::BOX_CENTER),
        (word, _) => word.to_owned(),
    }
}

fn quality(quality: Quality) -> String {
    match quality {
        Quality::Number(number) => number.to_string(),
        level => word_of(&Quality::WORDS, level).to_owned(),
    }
}
