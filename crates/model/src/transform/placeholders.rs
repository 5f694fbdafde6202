use std::fmt;

/// What `format=json` says besides sizes, so that a page can show something until the picture is
/// there. An option of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placeholders {
    /// `ThumbHash`, in Base64.
    pub thumbhash: bool,
    /// `BlurHash`.
    pub blurhash: bool,
    /// The dominant colour.
    pub colour: bool,
}

impl Placeholders {
    /// Whether any of them is wanted.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Reads words with semicolons between them.
    pub(super) fn parse(words: &str) -> Option<Self> {
        let mut found = Self::default();
        for word in words.split(';') {
            match word.trim_ascii() {
                "thumbhash" => found.thumbhash = true,
                "blurhash" => found.blurhash = true,
                "color" => found.colour = true,
                _ => return None,
            }
        }
        Some(found)
    }
}

impl fmt::Display for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.thumbhash, "thumbhash"),
            (self.blurhash, "blurhash"),
            (self.colour, "color"),
        ];
        let wanted = words.into_iter().filter(|(wanted, _)| *wanted);
        let wanted: Vec<&str> = wanted.map(|(_, word)| word).collect();
        f.write_str(&wanted.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_order_and_printed_in_one() {
        for (words, printed) in [
            ("color", Some("color")),
            ("blurhash;thumbhash", Some("thumbhash;blurhash")),
            ("color; color ;blurhash", Some("blurhash;color")),
            ("", None),
            ("blurhash;", None),
            ("Color", None),
        ] {
            let found = Placeholders::parse(words).map(|found| found.to_string());
            assert_eq!(found.as_deref(), printed, "{words:?}");
        }
    }
}
