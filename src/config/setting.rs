use super::Kind;

/// One setting: a row of the table from which flags, variables, keys and documentation are made.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The TOML key.
    pub name: &'static str,
    /// Where the documentation puts it.
    pub group: &'static str,
    /// What its text may be.
    pub kind: Kind,
    /// The text without which it is used; empty is none. `<data_dir>` and their like stand for
    /// other values.
    pub default: &'static str,
    /// What it means.
    pub help: &'static str,
}

impl Setting {
    /// The environment variable: `CALOTYPE_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// The command line flag without its dashes: `data-dir`.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The help as one line, without the spaces of a doc comment.
    pub fn sentence(&self) -> String {
        self.help.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The default in words.
    pub fn default_text(&self) -> &'static str {
        match self.default {
            "" => "none",
            "<cores>" => "the number of CPU cores",
            text => text,
        }
    }
}

/// What every environment variable of the program starts with.
pub const PREFIX: &str = "CALOTYPE_";
