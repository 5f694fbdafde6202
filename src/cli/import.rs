use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use reqwest::Method;
use serde_json::{Value, json};

use super::output::Output;
use super::remote::{Remote, RemoteArguments};
use super::{Error, Variables, block_on, interrupted, output};
use crate::config::Secret;

/// Time between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long the server is asked to abort an import.
const ABORT_TIME: Duration = Duration::from_secs(30);

/// How long a server needs to see that an import was aborted.
const LAST_NOTE_TIME: Duration = Duration::from_secs(4);

/// Lines of the log which are read at a time.
const PAGE: usize = 1_000;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The bucket
    bucket: String,
    /// The folder of it which is imported [default: all]
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    root: String,
    /// What the ids of the images begin with
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,
    /// Replace images whose object changed; else what is there is kept
    #[arg(long)]
    overwrite: bool,
    /// Where the store is, if it is not Amazon's
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Its region [default: us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// Whether the bucket is named in the path of an address, and not in its host [default: with an
    /// endpoint]
    #[arg(long, value_name = "BOOL")]
    path_style: Option<bool>,
    /// The id of the key which opens the bucket [variable: `CALOTYPE_IMPORT_ACCESS_KEY_ID`]
    #[arg(long, value_name = "ID")]
    access_key_id: Option<String>,
    /// Its secret [variable: `CALOTYPE_IMPORT_SECRET_ACCESS_KEY`, better than the flag, which other
    /// users can see]
    #[arg(long, value_name = "SECRET", value_parser = |text: &str| Ok::<_, String>(Secret::new(text)))]
    secret_access_key: Option<Secret>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    server: RemoteArguments,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let variable = |name: &str| variables.get(name).filter(|text| !text.is_empty());
        let id = self.access_key_id.as_ref();
        let id = id.or_else(|| variable("CALOTYPE_IMPORT_ACCESS_KEY_ID"));
        let secret = self.secret_access_key.as_ref().map(Secret::expose);
        let secret =
            secret.or_else(|| variable("CALOTYPE_IMPORT_SECRET_ACCESS_KEY").map(String::as_str));
        let (Some(id), Some(secret)) = (id, secret) else {
            return Err(Error::Usage(
                "give the key of the bucket, with CALOTYPE_IMPORT_ACCESS_KEY_ID and \
                 CALOTYPE_IMPORT_SECRET_ACCESS_KEY"
                    .to_owned(),
            ));
        };
        let source = json!({
            "name": format!("calotype import {}", self.bucket),
            "bucket": self.bucket,
            "endpoint": self.endpoint,
            "region": self.region,
            "path_style": self.path_style,
            "access_key_id": id,
            "secret_access_key": secret,
        });
        let job = json!({
            "root_path": self.root,
            "prefix": self.prefix,
            "overwrite": self.overwrite,
        });
        block_on(async {
            let server = self.server.connect(variables).await?;
            let twice = async {
                interrupted().await;
                interrupted().await;
            };
            tokio::select! {
                biased;
                () = twice => Err(Error::Failed(
                    "left alone: the import may go on, and its source stays".to_owned(),
                )),
                done = import(&server, source, job, self.output) => done,
            }
        })
    }
}

/// From a source of its own, which goes with its key, since that was for this one import.
async fn import(
    server: &Remote,
    source: Value,
    mut job: Value,
    output: Output,
) -> Result<(), Error> {
    let mut interruption = pin!(interrupted());
    // Listens from here on, so that nothing is left behind which is made below.
    tokio::select! {
        biased;
        () = interruption.as_mut() => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let source = call(server, Method::POST, &["sources"], Some(&source)).await?;
    let source = text(&source, "id")?;
    job["source_id"] = source.as_str().into();
    let imported = match call(server, Method::POST, &["jobs"], Some(&job)).await {
        Ok(job) => follow(server, &job, interruption, output).await,
        Err(error) => Err(error),
    };
    let deleted = call(server, Method::DELETE, &["sources", &source], None).await;
    imported.and(deleted.map(drop))
}

/// Waits for the end, and prints what did not become an image.
async fn follow(
    server: &Remote,
    job: &Value,
    mut interruption: Pin<&mut impl Future<Output = ()>>,
    output: Output,
) -> Result<(), Error> {
    let id = text(job, "id")?;
    let bar = output::spinner();
    let mut interrupted_at: Option<Instant> = None;
    let ended = loop {
        let looked = call(server, Method::GET, &["jobs", &id], None).await;
        match looked {
            Ok(job) if !matches!(text(&job, "status")?.as_str(), "pending" | "running") => {
                break job;
            }
            Ok(job) => show(&bar, &job),
            // It is to end, even if the server is away for a moment.
            Err(_) if interrupted_at.is_some_and(|at| at.elapsed() < ABORT_TIME) => {}
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = interruption.as_mut(), if interrupted_at.is_none() => {
                interrupted_at = Some(Instant::now());
            }
        }
        if interrupted_at.is_some() {
            // It may have ended meanwhile, which the next look shows.
            let _ = call(server, Method::POST, &["jobs", &id, "abort"], None).await;
        }
    };
    let ended = if interrupted_at.is_some() {
        // The server notes the last of it when it has learnt of that.
        tokio::time::sleep(LAST_NOTE_TIME).await;
        call(server, Method::GET, &["jobs", &id], None).await?
    } else {
        ended
    };
    bar.finish_and_clear();
    print_log(server, &id, output).await?;
    let count = |name: &str| ended[name].as_u64().unwrap_or(0);
    let summary = format!(
        "{} objects: {} imported, {} skipped, {} failed",
        count("found"),
        count("imported"),
        count("skipped"),
        count("failed")
    );
    output.item(&ended, &summary)?;
    match ended["status"].as_str() {
        Some("completed") => Ok(()),
        status => {
            let reason = ended["error"].as_str();
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            let status = status.unwrap_or_default();
            Err(Error::Failed(format!("the import is {status}{reason}")))
        }
    }
}

async fn print_log(server: &Remote, id: &str, output: Output) -> Result<(), Error> {
    let mut cursor = 0;
    loop {
        let path = server.path(&["images", "import", "jobs", id, "log"]);
        let (after, page) = (cursor.to_string(), PAGE.to_string());
        let request = server.client.request(Method::GET, &path);
        let request = request.query(&[("cursor", after), ("per_page", page)]);
        let lines: Vec<Value> = server.client.call(request).await?;
        for line in &lines {
            let of = |name: &str| line[name].as_str().unwrap_or_default();
            if of("outcome") != "imported" || output.is_json() {
                let words = format!("{} {}: {}", of("outcome"), of("key"), of("reason"));
                output.item(line, words)?;
            }
        }
        // They are numbered one by one.
        cursor += lines.len();
        if lines.len() < PAGE {
            return Ok(());
        }
    }
}

fn show(bar: &ProgressBar, job: &Value) {
    let count = |name: &str| job[name].as_u64().unwrap_or(0);
    bar.set_message(format!(
        "{} objects, {} imported",
        count("found"),
        count("imported")
    ));
    bar.tick();
}

fn text(value: &Value, name: &str) -> Result<String, Error> {
    let found = value[name].as_str().map(str::to_owned);
    found.ok_or_else(|| Error::Failed(format!("the answer has no {name}")))
}

async fn call(
    server: &Remote,
    method: Method,
    rest: &[&str],
    body: Option<&Value>,
) -> Result<Value, Error> {
    let path = server.path(&[&["images", "import"], rest].concat());
    let mut request = server.client.request(method, &path);
    if let Some(body) = body {
        request = request.json(body);
    }
    Ok(server.client.call(request).await?)
}
