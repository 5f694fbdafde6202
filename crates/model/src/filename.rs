/// The name an image was uploaded under: a base name of at most 255 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filename(String);

impl Filename {
    /// Keeps the base name without control characters and truncates it; `None` if nothing is left.
    pub fn from_upload(text: &str, chars_max: usize) -> Option<Self> {
        let base = text.rsplit(['/', '\\']).next().unwrap_or(text);
        let name: String = base
            .chars()
            .filter(|character| !character.is_control())
            .take(chars_max)
            .collect();
        (!name.is_empty()).then_some(Self(name))
    }

    /// Trusts a stored text.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_base_name_is_kept() {
        let name = |text: &str| Filename::from_upload(text, 255).map(|name| name.0);
        assert_eq!(name("C:\\photos\\cat.png").as_deref(), Some("cat.png"));
        assert_eq!(name("a/b/ünï \".png").as_deref(), Some("ünï \".png"));
        assert_eq!(name("a\u{0}b\n.png").as_deref(), Some("ab.png"));
        assert_eq!(name("dir/"), None);
        assert_eq!(name(&"x".repeat(300)).map(|name| name.len()), Some(255));
    }
}
