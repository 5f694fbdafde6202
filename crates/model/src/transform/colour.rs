//! CSS colours, as `background` takes them (transformations.md, section 2.8).

use std::fmt;

/// A colour of the sRGB space, not premultiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
    /// 0 is transparent, 255 opaque.
    pub alpha: u8,
}

impl Colour {
    /// What borders are made of when nothing else is said.
    pub const BLACK: Self = Self::opaque([0, 0, 0]);

    /// What pictures lie on when nothing else is said.
    pub const WHITE: Self = Self::opaque([255, 255, 255]);

    const fn opaque([red, green, blue]: [u8; 3]) -> Self {
        Self {
            red,
            green,
            blue,
            alpha: 255,
        }
    }

    /// Reads hexadecimal digits after `#`, a name, or `rgb()`, `rgba()`, `hsl()`, `hsla()` with
    /// commas or with spaces and a slash. `None` is no colour.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(digits) = text.strip_prefix('#') {
            return hexadecimal(digits);
        }
        let Some((function, arguments)) = text.split_once('(') else {
            return named(&text);
        };
        let arguments: Vec<&str> = arguments
            .strip_suffix(')')?
            .split([',', '/', ' ', '\t'])
            .filter(|argument| !argument.is_empty())
            .collect();
        let (first, second, third, alpha) = match arguments[..] {
            [first, second, third] => (first, second, third, 255),
            [first, second, third, alpha] => (first, second, third, unit(alpha)?),
            _ => return None,
        };
        let [red, green, blue] = match function.trim() {
            "rgb" | "rgba" => [channel(first)?, channel(second)?, channel(third)?],
            "hsl" | "hsla" => from_hsl(
                number(first.trim_end_matches("deg"))?,
                percentage(second)?,
                percentage(third)?,
            ),
            _ => return None,
        };
        Some(Self {
            red,
            green,
            blue,
            alpha,
        })
    }
}

impl fmt::Display for Colour {
    /// `#rrggbb`, or `#rrggbbaa` where it is not opaque.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)?;
        if self.alpha == 255 {
            return Ok(());
        }
        write!(f, "{:02x}", self.alpha)
    }
}

fn hexadecimal(digits: &str) -> Option<Colour> {
    let nibbles: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = match nibbles.len() {
        3 | 4 => nibbles.iter().map(|nibble| nibble * 17).collect(),
        6 | 8 => nibbles
            .chunks_exact(2)
            .map(|pair| pair[0] * 16 + pair[1])
            .collect(),
        _ => return None,
    };
    Some(Colour {
        red: bytes[0],
        green: bytes[1],
        blue: bytes[2],
        alpha: bytes.get(3).copied().unwrap_or(255),
    })
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn percentage(text: &str) -> Option<f64> {
    Some((number(text.strip_suffix('%')?)? / 100.0).clamp(0.0, 1.0))
}

/// A channel: 0 to 255, or a percentage.
fn channel(text: &str) -> Option<u8> {
    let value = percentage(text).map_or_else(|| number(text), |part| Some(part * 255.0))?;
    Some(value.round().clamp(0.0, 255.0) as u8)
}

/// An alpha value: 0 to 1, or a percentage. More than 1 is 1, which an example of the vendor needs.
fn unit(text: &str) -> Option<u8> {
    let value = percentage(text).map_or_else(|| number(text), Some)?;
    Some((value.clamp(0.0, 1.0) * 255.0).round() as u8)
}

fn from_hsl(hue: f64, saturation: f64, lightness: f64) -> [u8; 3] {
    let amplitude = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset| {
        let position = (offset + hue / 30.0).rem_euclid(12.0);
        let value = lightness - amplitude * (position - 3.0).min(9.0 - position).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    })
}

fn named(name: &str) -> Option<Colour> {
    if name == "transparent" {
        return Some(Colour {
            red: 0,
            green: 0,
            blue: 0,
            alpha: 0,
        });
    }
    let position = NAMES.binary_search_by_key(&name, |(known, _)| known).ok()?;
    let [_, red, green, blue] = NAMES[position].1.to_be_bytes();
    Some(Colour::opaque([red, green, blue]))
}

/// The names of CSS Color Module Level 4, in order.
#[rustfmt::skip]
#[expect(clippy::unreadable_literal, reason = "colours are read in pairs of digits")]
const NAMES: [(&str, u32); 148] = [
    ("aliceblue", 0xf0f8ff), ("antiquewhite", 0xfaebd7), ("aqua", 0x00ffff),
    ("aquamarine", 0x7fffd4), ("azure", 0xf0ffff), ("beige", 0xf5f5dc), ("bisque", 0xffe4c4),
    ("black", 0x000000), ("blanchedalmond", 0xffebcd), ("blue", 0x0000ff),
    ("blueviolet", 0x8a2be2), ("brown", 0xa52a2a), ("burlywood", 0xdeb887),
    ("cadetblue", 0x5f9ea0), ("chartreuse", 0x7fff00), ("chocolate", 0xd2691e),
    ("coral", 0xff7f50), ("cornflowerblue", 0x6495ed), ("cornsilk", 0xfff8dc),
    ("crimson", 0xdc143c), ("cyan", 0x00ffff), ("darkblue", 0x00008b), ("darkcyan", 0x008b8b),
    ("darkgoldenrod", 0xb8860b), ("darkgray", 0xa9a9a9), ("darkgreen", 0x006400),
    ("darkgrey", 0xa9a9a9), ("darkkhaki", 0xbdb76b), ("darkmagenta", 0x8b008b),
    ("darkolivegreen", 0x556b2f), ("darkorange", 0xff8c00), ("darkorchid", 0x9932cc),
    ("darkred", 0x8b0000), ("darksalmon", 0xe9967a), ("darkseagreen", 0x8fbc8f),
    ("darkslateblue", 0x483d8b), ("darkslategray", 0x2f4f4f), ("darkslategrey", 0x2f4f4f),
    ("darkturquoise", 0x00ced1), ("darkviolet", 0x9400d3), ("deeppink", 0xff1493),
    ("deepskyblue", 0x00bfff), ("dimgray", 0x696969), ("dimgrey", 0x696969),
    ("dodgerblue", 0x1e90ff), ("firebrick", 0xb22222), ("floralwhite", 0xfffaf0),
    ("forestgreen", 0x228b22), ("fuchsia", 0xff00ff), ("gainsboro", 0xdcdcdc),
    ("ghostwhite", 0xf8f8ff), ("gold", 0xffd700), ("goldenrod", 0xdaa520), ("gray", 0x808080),
    ("green", 0x008000), ("greenyellow", 0xadff2f), ("grey", 0x808080), ("honeydew", 0xf0fff0),
    ("hotpink", 0xff69b4), ("indianred", 0xcd5c5c), ("indigo", 0x4b0082), ("ivory", 0xfffff0),
    ("khaki", 0xf0e68c), ("lavender", 0xe6e6fa), ("lavenderblush", 0xfff0f5),
    ("lawngreen", 0x7cfc00), ("lemonchiffon", 0xfffacd), ("lightblue", 0xadd8e6),
    ("lightcoral", 0xf08080), ("lightcyan", 0xe0ffff), ("lightgoldenrodyellow", 0xfafad2),
    ("lightgray", 0xd3d3d3), ("lightgreen", 0x90ee90), ("lightgrey", 0xd3d3d3),
    ("lightpink", 0xffb6c1), ("lightsalmon", 0xffa07a), ("lightseagreen", 0x20b2aa),
    ("lightskyblue", 0x87cefa), ("lightslategray", 0x778899), ("lightslategrey", 0x778899),
    ("lightsteelblue", 0xb0c4de), ("lightyellow", 0xffffe0), ("lime", 0x00ff00),
    ("limegreen", 0x32cd32), ("linen", 0xfaf0e6), ("magenta", 0xff00ff), ("maroon", 0x800000),
    ("mediumaquamarine", 0x66cdaa), ("mediumblue", 0x0000cd), ("mediumorchid", 0xba55d3),
    ("mediumpurple", 0x9370db), ("mediumseagreen", 0x3cb371), ("mediumslateblue", 0x7b68ee),
    ("mediumspringgreen", 0x00fa9a), ("mediumturquoise", 0x48d1cc), ("mediumvioletred", 0xc71585),
    ("midnightblue", 0x191970), ("mintcream", 0xf5fffa), ("mistyrose", 0xffe4e1),
    ("moccasin", 0xffe4b5), ("navajowhite", 0xffdead), ("navy", 0x000080), ("oldlace", 0xfdf5e6),
    ("olive", 0x808000), ("olivedrab", 0x6b8e23), ("orange", 0xffa500), ("orangered", 0xff4500),
    ("orchid", 0xda70d6), ("palegoldenrod", 0xeee8aa), ("palegreen", 0x98fb98),
    ("paleturquoise", 0xafeeee), ("palevioletred", 0xdb7093), ("papayawhip", 0xffefd5),
    ("peachpuff", 0xffdab9), ("peru", 0xcd853f), ("pink", 0xffc0cb), ("plum", 0xdda0dd),
    ("powderblue", 0xb0e0e6), ("purple", 0x800080), ("rebeccapurple", 0x663399),
    ("red", 0xff0000), ("rosybrown", 0xbc8f8f), ("royalblue", 0x4169e1),
    ("saddlebrown", 0x8b4513), ("salmon", 0xfa8072), ("sandybrown", 0xf4a460),
    ("seagreen", 0x2e8b57), ("seashell", 0xfff5ee), ("sienna", 0xa0522d), ("silver", 0xc0c0c0),
    ("skyblue", 0x87ceeb), ("slateblue", 0x6a5acd), ("slategray", 0x708090),
    ("slategrey", 0x708090), ("snow", 0xfffafa), ("springgreen", 0x00ff7f),
    ("steelblue", 0x4682b4), ("tan", 0xd2b48c), ("teal", 0x008080), ("thistle", 0xd8bfd8),
    ("tomato", 0xff6347), ("turquoise", 0x40e0d0), ("violet", 0xee82ee), ("wheat", 0xf5deb3),
    ("white", 0xffffff), ("whitesmoke", 0xf5f5f5), ("yellow", 0xffff00),
    ("yellowgreen", 0x9acd32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn css_colours_are_read() {
        for (text, printed) in [
            ("#f00", "#ff0000"),
            ("#f008", "#ff000088"),
            ("#00FF7f", "#00ff7f"),
            ("#00ff7f80", "#00ff7f80"),
            ("red", "#ff0000"),
            ("RebeccaPurple", "#663399"),
            ("aliceblue", "#f0f8ff"),
            ("yellowgreen", "#9acd32"),
            ("transparent", "#00000000"),
            ("rgb(240,40,145)", "#f02891"),
            ("rgb(240, 40, 145)", "#f02891"),
            ("rgb(100% 0% 50%)", "#ff0080"),
            ("rgb(1 2 3 / 50%)", "#01020380"),
            ("rgba(255 255 0 100)", "#ffff00"),
            ("rgba(0,0,0,0.5)", "#00000080"),
            ("hsl(120, 100%, 25%)", "#008000"),
            ("hsl(240deg 100% 50% / 0)", "#0000ff00"),
        ] {
            let colour = Colour::parse(text).map(|colour| colour.to_string());
            assert_eq!(colour.as_deref(), Some(printed), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_colours() {
        for text in [
            "",
            "#",
            "#12",
            "#12345",
            "#ggg",
            "#é12",
            "blurple",
            "rgb(1,2)",
            "rgb(1,2,3",
            "rgb(a,b,c)",
            "hsl(1,2,3)",
            "rgb(nan,0,0)",
            "lab(1 2 3)",
        ] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_in_order() {
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
    }
}
