use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Error, output};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The shell which is to complete commands
    shell: Shell,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<(), Error> {
        let mut script = Vec::new();
        let mut program = super::Arguments::command();
        clap_complete::generate(self.shell, &mut program, "calotype", &mut script);
        output::bytes(&script)
    }
}
