use serde_json::json;

use super::Error;
use super::output::Output;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    output: Output,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<(), Error> {
        let version = env!("CARGO_PKG_VERSION");
        let json = json!({"name": "calotype", "version": version});
        self.output.item(&json, format_args!("calotype {version}"))
    }
}
