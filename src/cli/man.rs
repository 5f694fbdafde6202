use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{Error, output};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Write the page of every command into this folder, instead of printing the first
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Error> {
        let program = super::Arguments::command();
        if let Some(folder) = self.into {
            return clap_mangen::generate_to(program, &folder).map_err(|error| {
                Error::Io(format!("{} cannot be written", folder.display()), error)
            });
        }
        let mut page = Vec::new();
        Man::new(program)
            .render(&mut page)
            .map_err(|error| Error::Io("the page cannot be made".to_owned(), error))?;
        output::bytes(&page)
    }
}
