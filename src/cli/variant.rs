use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::output::Output;
use super::remote::{Remote, RemoteArguments};
use super::{Error, Variables, block_on};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a variant.
    Create {
        /// Its name: up to 99 letters and digits
        name: String,
        /// What it asks for, like `width=400,height=300,fit=cover`
        options: String,
        /// Serve it without signature even for images which require one
        #[arg(long)]
        never_require_signed_urls: bool,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// List the variants of the account.
    List {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// Change a variant.
    Edit {
        /// Its name
        name: String,
        /// What it is to ask for, like `width=400,height=300,fit=cover`
        options: String,
        /// Whether to serve it without signature even for images which require one
        #[arg(long, value_name = "BOOL")]
        never_require_signed_urls: Option<bool>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// Delete a variant.
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        server: RemoteArguments,
    },
}

impl Command {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        block_on(async {
            match self {
                Self::Create {
                    name,
                    options,
                    never_require_signed_urls,
                    output,
                    server,
                } => {
                    let body = json!({
                        "id": name,
                        "options": options_json(&options)?,
                        "neverRequireSignedURLs": never_require_signed_urls,
                    });
                    let server = server.connect(variables).await?;
                    let answer = call(&server, Method::POST, &[], Some(&body)).await?;
                    print(output, &answer["variant"])
                }
                Self::List { output, server } => {
                    let server = server.connect(variables).await?;
                    let answer = call(&server, Method::GET, &[], None).await?;
                    let variants = answer["variants"].as_object();
                    for variant in variants.into_iter().flat_map(Map::values) {
                        print(output, variant)?;
                    }
                    Ok(())
                }
                Self::Edit {
                    name,
                    options,
                    never_require_signed_urls,
                    output,
                    server,
                } => {
                    let mut body = json!({"options": options_json(&options)?});
                    if let Some(never) = never_require_signed_urls {
                        body["neverRequireSignedURLs"] = never.into();
                    }
                    let server = server.connect(variables).await?;
                    let answer = call(&server, Method::PATCH, &[&name], Some(&body)).await?;
                    print(output, &answer["variant"])
                }
                Self::Delete { name, server } => {
                    let server = server.connect(variables).await?;
                    call(&server, Method::DELETE, &[&name], None).await?;
                    Ok(())
                }
            }
        })
    }
}

async fn call(
    server: &Remote,
    method: Method,
    rest: &[&str],
    body: Option<&Value>,
) -> Result<Value, Error> {
    let rest = [&["images", "v1", "variants"], rest].concat();
    let mut request = server.client.request(method, &server.path(&rest));
    if let Some(body) = body {
        request = request.json(body);
    }
    Ok(server.client.call(request).await?)
}

/// The options as the API takes them; the server judges names and values.
fn options_json(options: &str) -> Result<Value, Error> {
    let mut json = Map::new();
    for pair in options.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Error::Usage(format!("{pair:?} is not of the form name=value")))?;
        let value = match value.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => value.into(),
        };
        json.insert(name.to_owned(), value);
    }
    Ok(Value::Object(json))
}

fn print(output: Output, variant: &Value) -> Result<(), Error> {
    let options = variant["options"].as_object();
    let options: Vec<String> = options
        .into_iter()
        .flatten()
        .map(|(name, value)| match value.as_str() {
            Some(word) => format!("{name}={word}"),
            None => format!("{name}={value}"),
        })
        .collect();
    let public = match variant["neverRequireSignedURLs"].as_bool() {
        Some(true) => "  never requires signed URLs",
        _ => "",
    };
    let name = variant["id"].as_str().unwrap_or_default();
    output.item(
        variant,
        format_args!("{name}  {}{public}", options.join(",")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_keep_numbers_and_words() {
        let json = options_json("width=400,fit=cover").unwrap();
        assert_eq!(json, json!({"width": 400, "fit": "cover"}));
        assert!(options_json("width").is_err());
    }
}
