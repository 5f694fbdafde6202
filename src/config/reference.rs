use std::fmt::Write as _;

use super::SETTINGS;

const HEAD: &str = "\
# Settings

<!-- Made from src/config.rs by `ACCEPT=1 cargo test --test cli`; edit there. -->

Every setting is a flag of `calotype serve`, an environment variable and a key of a TOML file:
`--data-dir`, `CALOTYPE_DATA_DIR` and `data_dir` are the same. A flag overrides a variable, a variable
overrides the file, the file overrides the default. The file is the one which `--config` or
`CALOTYPE_CONFIG` names, else `./calotype.toml`, else `/etc/calotype/calotype.toml`.

- An unknown key or `CALOTYPE_` variable is an error. An empty variable counts as not given.
- Relative paths start at the folder in which the program runs.
- Sizes are bytes: `10485760`, `10MB` (10,000,000) or `10MiB` (10,485,760). Times have a unit: `500ms`,
  `25s`, `30m`, `1h`, `2d`.
- A secret can also be the content of a file: `--api-token-file`, `CALOTYPE_API_TOKEN_FILE`,
  `api_token_file`; so can `database`, whose address may hold a password. Secrets are never printed.
- `calotype config print` shows each value and where it came from; `calotype config check` only says
  whether they are good.

`CALOTYPE_URL`, `CALOTYPE_TOKEN` and `CALOTYPE_ACCOUNT` are no settings of the server but tell
`calotype images` and its like which server to use; `CALOTYPE_IMPORT_ACCESS_KEY_ID` and
`CALOTYPE_IMPORT_SECRET_ACCESS_KEY` open the bucket of `calotype import`.
";

/// `docs/reference/config.md`.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = write!(
                page,
                "\n## {group}\n\n| key | default | meaning | value |\n| --- | --- | --- | --- |\n"
            );
        }
        let default = match setting.default {
            "" | "<cores>" => setting.default_text().to_owned(),
            text => format!("`{text}`"),
        };
        let secret = if setting.kind.is_secret() {
            " (secret)"
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "| `{}` | {default} | {} | {}{secret} |",
            setting.name,
            setting.sentence(),
            setting.kind.describe(),
        );
    }
    page
}
