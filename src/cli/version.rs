use model::Limits;
use pixels::Engine;
use serde_json::json;

use super::output::Output;
use super::{Error, Variables, setting_flags};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    output: Output,
}

impl Arguments {
    pub(super) fn run(&self, variables: &Variables) -> Result<(), Error> {
        let version = env!("CARGO_PKG_VERSION");
        // Settings which cannot be read are for other commands to complain about.
        let policy = setting_flags::config(variables).map(|config| config.policy());
        let engine = Engine::new(Limits::default(), policy.unwrap_or_default());
        let avif = engine.avif_encoder();
        let json = json!({"name": "calotype", "version": version, "avif_encoder": avif});
        let text = format!("calotype {version}\nAVIF by {avif}");
        self.output.item(&json, text)
    }
}
