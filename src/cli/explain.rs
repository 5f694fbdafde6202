use super::output::Output;
use super::remote::RemoteArguments;
use super::sign::target;
use super::{Error, Variables, block_on};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The address of a picture as it is requested, or its path and query alone. The server is asked,
    /// whatever the host of the address, which counts for remote images
    address: String,
    /// What the client says that it takes
    #[arg(long, default_value = "image/avif,image/webp,*/*")]
    accept: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    server: RemoteArguments,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let (host, target) = target(&self.address)?;
        let explained = block_on(async {
            let server = self.server.connect(variables).await?;
            let explained = server.client.explain(target, host, &self.accept).await?;
            Ok(explained)
        })?;
        // Fails never: it was read as JSON.
        let text = serde_json::to_string_pretty(&explained).unwrap_or_default();
        self.output.item(&explained, text)
    }
}
