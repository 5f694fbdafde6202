use serde_json::{Value, json};

use crate::program::Program;

/// One setting as `config print --json` shows it.
#[track_caller]
fn setting(program: &Program, name: &str, flags: &[&str]) -> Value {
    let arguments = [&["config", "print", "--json"], flags].concat();
    let mut settings = program.run(&arguments).json();
    settings.retain(|setting| setting["name"] == name);
    settings.pop().expect("the setting is printed")
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let program = Program::new();
    let value = |program: &Program, flags: &[&str]| {
        let setting = setting(program, "render_queue", flags);
        (setting["value"].clone(), setting["origin"].clone())
    };
    assert_eq!(value(&program, &[]), (json!("256"), json!("default")));
    program.write("calotype.toml", "render_queue = 4");
    assert_eq!(value(&program, &[]), (json!("4"), json!("calotype.toml")));
    let program = program.with("CALOTYPE_RENDER_QUEUE", "3");
    let variable = json!("CALOTYPE_RENDER_QUEUE");
    assert_eq!(value(&program, &[]), (json!("3"), variable));
    let flags = ["--render-queue", "2"];
    assert_eq!(
        value(&program, &flags),
        (json!("2"), json!("--render-queue"))
    );
}

#[test]
fn the_file_can_be_named_and_must_exist_then() {
    let program = Program::new();
    program.write("other.toml", "data_dir = \"/srv/calotype\"");
    let flags = ["--config", "other.toml"];
    let database = setting(&program, "database", &flags);
    assert_eq!(database["value"], "sqlite:/srv/calotype/calotype.db");
    let program = program.with("CALOTYPE_CONFIG", "missing.toml");
    let error = program.run(&["config", "check"]).error(2);
    assert!(
        error.contains("missing.toml cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_or_variable_is_refused() {
    let program = Program::new();
    program.write("calotype.toml", "data_dri = \"x\"");
    let error = program.run(&["serve"]).error(2);
    assert!(error.contains("did you mean \"data_dir\"?"), "{error}");

    let program = Program::new().with("CALOTYPE_LISTN", "127.0.0.1:0");
    let error = program.run(&["serve"]).error(2);
    assert!(error.contains("did you mean CALOTYPE_LISTEN?"), "{error}");
}

#[test]
fn a_wrong_value_is_refused_with_where_it_came_from() {
    let program = Program::new().with("CALOTYPE_UPLOAD_BYTES_MAX", "ten");
    let error = program.run(&["config", "check"]).error(2);
    assert!(
        error.starts_with("error: upload_bytes_max must be a size"),
        "{error}"
    );
    assert!(
        error.contains("not \"ten\" (from CALOTYPE_UPLOAD_BYTES_MAX)"),
        "{error}"
    );
    let good = Program::new().run(&["config", "check"]).text();
    assert_eq!(good, "the settings are good\n");
}

#[test]
fn switches_can_be_given_without_a_value() {
    let program = Program::new();
    for (flag, value) in [
        ("--allow-private-sources", "true"),
        ("--allow-private-sources=true", "true"),
        ("--metadata-coercion=false", "false"),
    ] {
        let name = flag
            .trim_start_matches("--")
            .split('=')
            .next()
            .unwrap_or_default();
        let setting = setting(&program, &name.replace('-', "_"), &[flag]);
        assert_eq!(setting["value"], value, "{flag}");
    }
}

#[test]
fn what_is_printed_is_a_file_which_says_the_same() {
    let program = Program::new().with("CALOTYPE_LOG", "warn");
    let printed = program.run(&["config", "print", "--side-max", "7"]).text();
    let again = Program::new();
    again.write("calotype.toml", &printed);
    let values = |program: &Program, flags: &[&str]| -> Vec<(Value, Value)> {
        let arguments = [&["config", "print", "--json"], flags].concat();
        let settings = program.run(&arguments).json();
        let pair = |setting: Value| (setting["name"].clone(), setting["value"].clone());
        settings.into_iter().map(pair).collect()
    };
    assert_eq!(values(&again, &[]), values(&program, &["--side-max", "7"]));
}

#[test]
fn secrets_come_from_files_and_are_never_printed() {
    let key = "5ec2e7".repeat(11)[..64].to_owned();
    let program = Program::new()
        .with("CALOTYPE_API_TOKEN_FILE", "token")
        .with("CALOTYPE_SECRET_KEY", &key);
    program.write("token", "s3cret-token\n");
    for arguments in [
        &["config", "print"][..],
        &["config", "print", "--json"],
        &["config", "check"],
        &["serve", "--help"],
        &["config", "print", "--help"],
    ] {
        let text = program.run(arguments).text();
        assert!(
            !text.contains("s3cret") && !text.contains("5ec2e7"),
            "{text}"
        );
    }
    let token = setting(&program, "api_token", &[]);
    let origin = "CALOTYPE_API_TOKEN_FILE";
    assert_eq!(
        token,
        json!({"name": "api_token", "value": null, "set": true, "origin": origin})
    );

    let both = program.with("CALOTYPE_API_TOKEN", "s3cret-token");
    let error = both.run(&["config", "check"]).error(2);
    assert!(
        error.contains("not both") && !error.contains("s3cret"),
        "{error}"
    );
    let bad = ["config", "check", "--secret-key", "s3cret"];
    let error = Program::new().run(&bad).error(2);
    assert!(
        error.contains("64 hexadecimal") && !error.contains("s3cret"),
        "{error}"
    );
}
