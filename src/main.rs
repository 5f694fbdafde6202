//! `calotype`: parses the arguments, runs one command, prints one error.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Fails only if a provider is installed already, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    calotype::cli::main(std::env::args_os(), std::env::vars_os())
}
