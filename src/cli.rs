//! The command line: what `calotype` understands, and one file per command.

mod account;
mod backup;
mod check;
mod completions;
mod config;
mod error;
mod explain;
mod export;
mod health;
mod images;
mod import;
mod keeping;
mod key;
mod local;
mod man;
mod migrate;
mod output;
mod remote;
mod restore;
pub mod serve;
mod setting_flags;
mod sign;
mod stores;
mod token;
mod transform;
mod variant;
mod verify;
mod version;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Config, PREFIX};

pub use error::Error;
use setting_flags::SettingFlags;

/// A self-hosted image service which speaks the Cloudflare Images API.
#[derive(Parser)]
#[command(name = "calotype", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service.
    Serve {
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Create, list, show and delete accounts.
    #[command(subcommand)]
    Account(account::Command),
    /// Create, list and revoke API tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Create, list and delete the keys which sign delivery URLs.
    #[command(subcommand)]
    Key(key::Command),
    /// Create, list, edit and delete variants on a running server.
    #[command(subcommand)]
    Variant(variant::Command),
    /// Upload, list, edit, delete and export images on a running server.
    #[command(subcommand)]
    Images(images::Command),
    /// Make images of the objects in a bucket, on a running server.
    Import(import::Arguments),
    /// Transform a file into another, with the options of a delivery URL.
    Transform(transform::Arguments),
    /// Sign a delivery URL.
    Sign(sign::Arguments),
    /// Verify a signed delivery URL.
    Verify(verify::Arguments),
    /// Find, and repair, differences between records and bytes.
    Check(check::Arguments),
    /// Copy everything into another store, while this one serves.
    Migrate(migrate::Arguments),
    /// Write everything into a folder or a file, while servers go on.
    Backup(backup::Arguments),
    /// Fill an empty store from a backup.
    Restore(restore::Arguments),
    /// List all images of an account, with addresses at which a bucket hands out their bytes.
    Export(export::Arguments),
    /// Say how a picture comes to be which a running server delivers.
    Explain(explain::Arguments),
    /// Print or check the settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Ask a running server whether it is ready.
    Health(health::Arguments),
    /// Print what completes commands in a shell.
    Completions(completions::Arguments),
    /// Print the manual page.
    Man(man::Arguments),
    /// Print the version.
    Version(version::Arguments),
}

/// Runs the program: the only place which turns an outcome into an exit code. 0 is done, 1 failed,
/// 2 wrong usage.
pub fn main(
    arguments: impl Iterator<Item = OsString>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Fails if nobody reads any more, and then there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = ours(variables).and_then(|variables| run(arguments.command, &variables));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// The environment: our variables alone.
type Variables = BTreeMap<String, String>;

fn run(command: Command, variables: &Variables) -> Result<(), Error> {
    match command {
        Command::Serve { settings } => {
            let config = Config::read(&settings.resolve(variables)?)?;
            serve::run(config).map_err(Error::Serve)
        }
        Command::Account(command) => command.run(variables),
        Command::Token(command) => command.run(variables),
        Command::Key(command) => command.run(variables),
        Command::Variant(command) => command.run(variables),
        Command::Images(command) => command.run(variables),
        Command::Import(arguments) => arguments.run(variables),
        Command::Transform(arguments) => arguments.run(variables),
        Command::Sign(arguments) => arguments.run(variables),
        Command::Verify(arguments) => arguments.run(variables),
        Command::Check(arguments) => arguments.run(variables),
        Command::Migrate(arguments) => arguments.run(variables),
        Command::Backup(arguments) => arguments.run(variables),
        Command::Restore(arguments) => arguments.run(variables),
        Command::Export(arguments) => arguments.run(variables),
        Command::Explain(arguments) => arguments.run(variables),
        Command::Config(command) => command.run(variables),
        Command::Health(arguments) => arguments.run(variables),
        Command::Completions(arguments) => arguments.run(),
        Command::Man(arguments) => arguments.run(),
        Command::Version(arguments) => arguments.run(variables),
    }
}

fn ours(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Variables, Error> {
    let mut ours = Variables::new();
    for (name, text) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        let text = text
            .into_string()
            .map_err(|_| Error::Usage(format!("the variable {name} is not UTF-8")))?;
        ours.insert(name.to_owned(), text);
    }
    Ok(ours)
}

/// Runs one command which waits for a network or a disk.
fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Io("the runtime cannot start".to_owned(), error))?;
    let done = runtime.block_on(work);
    // A thread which waits for a pipe must not hold up the end; others tidy up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    done
}

/// Returns when somebody wants the program to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // The signals end it without our doing.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// `docs/reference/cli.md`.
pub fn reference() -> String {
    let mut page = "\
# Command line

<!-- Made from src/cli.rs by `ACCEPT=1 cargo test --test cli`; edit there. -->

Exit codes: 0 done, 1 failed, 2 wrong usage. With `--json` a command prints one JSON line per item.
The settings which `serve` takes as flags are in [config.md](config.md).
"
    .to_owned();
    let mut program = Arguments::command().mut_subcommand("serve", |serve| {
        serve.mut_args(|argument| argument.hide(true))
    });
    program.build();
    describe(&mut page, &mut program);
    page
}

fn describe(page: &mut String, command: &mut clap::Command) {
    let has_commands = command.has_subcommands();
    if !has_commands {
        let name = command.get_bin_name().unwrap_or("calotype").to_owned();
        let help = command.render_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        let help = lines.join("\n");
        // Fails only out of memory.
        let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    }
    for command in command.get_subcommands_mut() {
        if command.get_name() != "help" {
            describe(page, command);
        }
    }
}
