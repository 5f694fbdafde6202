use clap::Subcommand;
use serde_json::json;

use super::output::{Output, line};
use super::setting_flags::QuietFlags;
use super::{Error, Variables};
use crate::config::{Config, Given};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print every setting and where it came from, as a settings file. Secrets are not printed.
    Print {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// Say whether the settings are good.
    Check {
        #[command(flatten)]
        settings: QuietFlags,
    },
}

impl Command {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        match self {
            Self::Print { output, settings } => {
                let settings = settings.resolve(variables)?;
                Config::read(&settings)?;
                for given in settings.iter() {
                    let json = json!({
                        "name": given.setting.name,
                        "value": given.shown(),
                        "set": given.is_set(),
                        "origin": given.origin.to_string(),
                    });
                    output.item(&json, to_text(given))?;
                }
                Ok(())
            }
            Self::Check { settings } => {
                settings.config(variables)?;
                line("the settings are good")
            }
        }
    }
}

/// A line of a settings file.
fn to_text(given: &Given) -> String {
    let name = given.setting.name;
    let origin = &given.origin;
    match given.shown() {
        _ if !given.is_set() => format!("# {name} is not set"),
        None => format!("# {name} is set and not shown  # {origin}"),
        Some(text) if given.setting.kind.is_bare() => format!("{name} = {text}  # {origin}"),
        // JSON quotes are TOML quotes for every text without DEL.
        Some(text) => format!("{name} = {}  # {origin}", json!(text)),
    }
}
