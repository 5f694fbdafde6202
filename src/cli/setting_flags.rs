//! The settings as flags, made from the table in `config.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::{Error, Variables};
use crate::config::{Config, Kind, SETTINGS, Setting, Settings, Sources};

/// Every setting as a flag, and `--config`.
#[derive(Clone, Debug, Default)]
pub(super) struct SettingFlags {
    file: Option<PathBuf>,
    flags: BTreeMap<String, String>,
}

/// The same, where only those which say where the data is are worth a line in the help.
#[derive(Clone, Debug, Default)]
pub(super) struct QuietFlags(SettingFlags);

const SHOWN: [&str; 3] = ["data_dir", "database", "secret_key_file"];

impl SettingFlags {
    /// Resolves the settings from these flags, the environment and the file.
    pub(super) fn resolve(self, variables: &Variables) -> Result<Settings, Error> {
        let sources = Sources {
            file: self.file,
            flags: self.flags,
            variables: variables.clone(),
            read: &|path| std::fs::read_to_string(path),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        };
        Ok(Settings::resolve(sources)?)
    }
}

impl QuietFlags {
    /// The same with another text for this setting.
    pub(super) fn with(&self, name: &str, text: &str) -> Self {
        let mut flags = self.clone();
        flags.0.flags.insert(name.to_owned(), text.to_owned());
        flags
    }

    /// Resolves and reads the settings.
    pub(super) fn config(self, variables: &Variables) -> Result<Config, Error> {
        Ok(Config::read(&self.0.resolve(variables)?)?)
    }

    /// Resolves the settings.
    pub(super) fn resolve(self, variables: &Variables) -> Result<Settings, Error> {
        self.0.resolve(variables)
    }
}

/// The settings when the command line has none of them.
pub(super) fn config(variables: &Variables) -> Result<Config, Error> {
    QuietFlags::default().config(variables)
}

/// A flag of a command and the TOML key it stands for.
fn arguments() -> impl Iterator<Item = (String, Arg)> {
    SETTINGS.iter().flat_map(|setting| {
        let help = format!(
            "{} [default: {}]",
            sentence(setting),
            setting.default_text()
        );
        let mut argument = Arg::new(setting.name)
            .long(setting.flag())
            .value_name(setting.kind.placeholder())
            .help_heading(setting.group)
            .help(help)
            // A flow may begin with its arrow.
            .allow_hyphen_values(setting.kind == Kind::Flows);
        if setting.kind == Kind::Switch {
            argument = argument.num_args(0..=1).default_missing_value("true");
        }
        let file = setting.kind.may_be_a_file().then(|| {
            let key = format!("{}_file", setting.name);
            let argument = Arg::new(key.clone())
                .long(format!("{}-file", setting.flag()))
                .value_name("PATH")
                .help_heading(setting.group)
                .help(format!("The file which holds --{}", setting.flag()));
            (key, argument)
        });
        std::iter::once((setting.name.to_owned(), argument)).chain(file)
    })
}

/// The help without a full stop, as clap's own help is.
fn sentence(setting: &Setting) -> String {
    setting.sentence().trim_end_matches('.').to_owned()
}

fn file_argument() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("PATH")
        .value_parser(ValueParser::path_buf())
        .help("The settings file [default: ./calotype.toml, else /etc/calotype/calotype.toml]")
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let command = command.arg(file_argument());
        command.args(arguments().map(|(_, argument)| argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = arguments().filter_map(|(key, _)| {
            let text = matches.get_one::<String>(&key)?;
            Some((key, text.clone()))
        });
        Ok(Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            flags: flags.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for QuietFlags {
    fn augment_args(command: Command) -> Command {
        let quiet = |(key, argument): (String, Arg)| {
            // These commands have arguments, which a switch must not take for its value.
            let switch = argument
                .get_num_args()
                .is_some_and(|values| values.min_values() == 0);
            argument
                .require_equals(switch)
                .hide(!SHOWN.contains(&key.as_str()))
                .help_heading("Settings (those of `calotype serve`)")
        };
        let command =
            command.arg(file_argument().help_heading("Settings (those of `calotype serve`)"));
        command.args(arguments().map(quiet))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for QuietFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        SettingFlags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
