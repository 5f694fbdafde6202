/// Free text naming an internal user of the customer. Never empty: an empty creator is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Creator(String);

impl Creator {
    /// `None` for the empty text, which means "not set" everywhere in the API; an error with the
    /// limit when the text has more than `chars_max` characters.
    pub fn parse(text: &str, chars_max: usize) -> Result<Option<Self>, usize> {
        if text.chars().count() > chars_max {
            Err(chars_max)
        } else if text.is_empty() {
            Ok(None)
        } else {
            Ok(Some(Self(text.to_owned())))
        }
    }

    /// Trusts a stored text.
    pub fn from_stored(text: String) -> Option<Self> {
        (!text.is_empty()).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which images a list shows, by creator (management-api.md, section 4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum CreatorFilter {
    /// All of them.
    #[default]
    Any,
    /// Those without a creator.
    Unset,
    /// Those of exactly this creator.
    Is(Creator),
}
