use std::path::PathBuf;

/// Why the settings cannot be used. The sentences never show a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is not what its setting needs.
    #[error("{name} {reason} (from {origin})")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// What is wrong, to follow the name.
        reason: String,
        /// Where the text came from.
        origin: String,
    },
    /// A key of the file which no setting has.
    #[error("{path}: there is no setting {key:?}{hint}")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The nearest known name, as a sentence.
        hint: String,
    },
    /// A variable of the environment which no setting has.
    #[error("there is no setting for the environment variable {variable}{hint}")]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The nearest known name, as a sentence.
        hint: String,
    },
    /// A secret and a file which holds it, in the same place.
    #[error("give {name} or {name}_file, not both (from {origin})")]
    Both {
        /// The setting.
        name: &'static str,
        /// Where both came from.
        origin: String,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML. The offending line may hold a secret and is not shown.
    #[error("{path}, line {line}: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
}
