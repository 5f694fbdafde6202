use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::output::{self, Output};
use super::remote::{Remote, RemoteArguments};
use super::{Error, Variables, block_on};
use crate::client;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Upload files, or what web addresses lead to.
    Upload {
        /// Files, or `http://` and `https://` addresses
        #[arg(required = true)]
        sources: Vec<String>,
        /// The id of the image, if there is only one
        #[arg(long)]
        id: Option<String>,
        /// A JSON object to keep with each image
        #[arg(long, value_name = "JSON", value_parser = metadata)]
        metadata: Option<Value>,
        /// Whose images these are
        #[arg(long)]
        creator: Option<String>,
        /// Deliver them only to signed URLs
        #[arg(long)]
        require_signed_urls: bool,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// List images.
    List {
        /// Only those of this creator; an empty one means those without
        #[arg(long)]
        creator: Option<String>,
        /// Only those whose metadata match, like `meta.album[eq]=7`; can be repeated
        #[arg(long, value_name = "CONDITION")]
        filter: Vec<String>,
        /// The order of their upload times
        #[arg(long, value_enum, default_value_t = Order::Desc)]
        order: Order,
        /// Images at most; all without it
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// Show one image.
    Get {
        /// Its id
        id: String,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// Change an image. Another access control changes the id of the image.
    Edit {
        /// Its id
        id: String,
        /// A JSON object which replaces the metadata; `{}` clears it
        #[arg(long, value_name = "JSON", value_parser = metadata)]
        metadata: Option<Value>,
        /// Whose image it is; an empty one clears it
        #[arg(long)]
        creator: Option<String>,
        /// Whether to deliver it only to signed URLs
        #[arg(long, value_name = "BOOL")]
        require_signed_urls: Option<bool>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// Delete images.
    Delete {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// Remove what the server keeps of images, or of sources of remote images, in its caches.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
        .args(["ids", "variant", "source", "all"]))]
    Purge {
        /// Ids of images
        ids: Vec<String>,
        /// In this variant alone; of all images, if none is named
        #[arg(long, value_name = "NAME")]
        variant: Option<String>,
        /// The address of a source of remote images; may be repeated
        #[arg(long, value_name = "URL", conflicts_with_all = ["ids", "variant"])]
        source: Vec<String>,
        /// All images of the account
        #[arg(long, conflicts_with_all = ["ids", "variant", "source"])]
        all: bool,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
    /// Download the uploaded bytes of all images, and `images.jsonl`, which says what they are.
    Export {
        /// The folder to write; created if need be
        folder: PathBuf,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: RemoteArguments,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Order {
    /// Oldest first
    Asc,
    /// Newest first
    Desc,
}

/// Requests of one command which are under way at the same time.
const CONCURRENCY: usize = 4;
/// Images on one page of a list.
const PAGE: usize = 1_000;

impl Command {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        block_on(self.perform(variables))
    }

    async fn perform(self, variables: &Variables) -> Result<(), Error> {
        match self {
            Self::Upload {
                sources,
                id,
                metadata,
                creator,
                require_signed_urls,
                output,
                server,
            } => {
                if id.is_some() && sources.len() > 1 {
                    return Err(Error::Usage("--id is for a single image".to_owned()));
                }
                let fields = [
                    ("id", id),
                    ("metadata", metadata.map(|json| json.to_string())),
                    ("creator", creator),
                    (
                        "requireSignedURLs",
                        require_signed_urls.then(|| "true".to_owned()),
                    ),
                ];
                let fields: Vec<(&'static str, String)> = fields
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                let server = server.connect(variables).await?;
                each(sources, output, |source| upload(&server, source, &fields)).await
            }
            Self::List {
                creator,
                filter,
                order,
                limit,
                output,
                server,
            } => {
                let mut query = vec![("sort_order".to_owned(), order.word().to_owned())];
                query.extend(creator.map(|creator| ("creator".to_owned(), creator)));
                for condition in filter {
                    let (field, value) = condition.split_once('=').ok_or_else(|| {
                        Error::Usage(format!(
                            "{condition:?} is not of the form meta.FIELD[OP]=VALUE"
                        ))
                    })?;
                    query.push((field.to_owned(), value.to_owned()));
                }
                let server = server.connect(variables).await?;
                let mut pages = Pages::new(&server, query, limit);
                while let Some(images) = pages.next().await? {
                    for image in images {
                        print(output, &image)?;
                    }
                }
                Ok(())
            }
            Self::Get { id, output, server } => {
                let server = server.connect(variables).await?;
                let path = server.path(&["images", "v1", &id]);
                let request = server.client.request(Method::GET, &path);
                let image: Value = server.client.call(request).await?;
                print_whole(output, &image)
            }
            Self::Edit {
                id,
                metadata,
                creator,
                require_signed_urls,
                output,
                server,
            } => {
                let mut body = Map::new();
                body.extend(metadata.map(|json| ("metadata".to_owned(), json)));
                body.extend(creator.map(|text| ("creator".to_owned(), text.into())));
                body.extend(
                    require_signed_urls.map(|on| ("requireSignedURLs".to_owned(), on.into())),
                );
                if body.is_empty() {
                    return Err(Error::Usage("say what to change; see --help".to_owned()));
                }
                let server = server.connect(variables).await?;
                let path = server.path(&["images", "v1", &id]);
                let request = server.client.request(Method::PATCH, &path).json(&body);
                let image: Value = server.client.call(request).await?;
                print_whole(output, &image)
            }
            Self::Delete {
                ids,
                output,
                server,
            } => {
                let server = server.connect(variables).await?;
                each(ids, output, |id| delete(&server, id)).await
            }
            Self::Purge {
                ids,
                variant,
                source,
                all,
                output,
                server,
            } => {
                let some = |names: Vec<String>| Some(names).filter(|names| !names.is_empty());
                let body = serde_json::json!({
                    "images": some(ids),
                    "variant": variant,
                    "sources": some(source),
                    "everything": all,
                });
                let server = server.connect(variables).await?;
                purge(&server, &body, output).await
            }
            Self::Export {
                folder,
                output,
                server,
            } => {
                let server = server.connect(variables).await?;
                export(&server, &folder, output).await
            }
        }
    }
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

/// Does `work` for every item, a few at a time, prints what comes of each, and goes on after a
/// failure. Fails at the end if anything failed.
async fn each<F, W>(items: Vec<String>, output: Output, work: F) -> Result<(), Error>
where
    F: Fn(String) -> W,
    W: Future<Output = Result<Value, Error>>,
{
    let total = items.len();
    let bar = output::progress(total);
    let work = &work;
    let mut done = stream::iter(items)
        .map(|item| async move { (item.clone(), work(item).await) })
        .buffer_unordered(CONCURRENCY);
    let mut failures = Vec::new();
    while let Some((item, outcome)) = done.next().await {
        bar.inc(1);
        match outcome {
            Ok(image) => bar.suspend(|| print(output, &image))?,
            Err(error) => failures.push((item, error)),
        }
    }
    bar.finish_and_clear();
    output::conclude(total, failures)
}

async fn upload(
    server: &Remote,
    source: String,
    fields: &[(&'static str, String)],
) -> Result<Value, Error> {
    let mut form = Form::new();
    for (name, value) in fields {
        form = form.text(*name, value.clone());
    }
    let is_address = source.starts_with("http://") || source.starts_with("https://");
    let form = if is_address {
        form.text("url", source)
    } else {
        form.part("file", part(&source).await?)
    };
    let path = server.path(&["images", "v1"]);
    Ok(server.client.upload(&path, form).await?)
}

/// A file as a part of a form, read while it is sent.
async fn part(source: &str) -> Result<Part, Error> {
    let failed = |error| Error::Io(format!("{source} cannot be read"), error);
    let file = File::open(source).await.map_err(failed)?;
    let bytes = file.metadata().await.map_err(failed)?.len();
    let name = Path::new(source).file_name().unwrap_or_default();
    let part = Part::stream_with_length(file, bytes);
    Ok(part.file_name(name.to_string_lossy().into_owned()))
}

async fn delete(server: &Remote, id: String) -> Result<Value, Error> {
    let path = server.path(&["images", "v1", &id]);
    let request = server.client.request(Method::DELETE, &path);
    let _: Value = server.client.call(request).await?;
    Ok(serde_json::json!({ "id": id, "deleted": true }))
}

async fn purge(server: &Remote, body: &Value, output: Output) -> Result<(), Error> {
    let path = server.path(&["images", "v1", "purge"]);
    let request = server.client.request(Method::POST, &path).json(body);
    let receipt: Value = server.client.call(request).await?;
    let text = format!("{} entries, {} bytes", receipt["entries"], receipt["bytes"]);
    output.item(&receipt, text)
}

/// Walks a list page by page.
struct Pages<'a> {
    server: &'a Remote,
    query: Vec<(String, String)>,
    left: Option<usize>,
    token: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn new(server: &'a Remote, query: Vec<(String, String)>, limit: Option<usize>) -> Self {
        Self {
            server,
            query,
            left: limit,
            token: None,
            ended: limit == Some(0),
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<Value>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let size = self.left.unwrap_or(PAGE).min(PAGE);
        let path = self.server.path(&["images", "v2"]);
        let mut request = self
            .server
            .client
            .request(Method::GET, &path)
            .query(&self.query)
            .query(&[("per_page", size)]);
        if let Some(token) = &self.token {
            request = request.query(&[("continuation_token", token)]);
        }
        let mut page: Value = self.server.client.call(request).await?;
        let images = match page["images"].take() {
            Value::Array(images) => images,
            _ => Vec::new(),
        };
        self.token = page["continuation_token"].as_str().map(str::to_owned);
        self.left = self.left.map(|left| left.saturating_sub(images.len()));
        self.ended = self.token.is_none() || self.left == Some(0);
        Ok(Some(images))
    }
}

async fn export(server: &Remote, folder: &Path, output: Output) -> Result<(), Error> {
    let failed = |path: &Path| format!("{} cannot be written", path.display());
    tokio::fs::create_dir_all(folder)
        .await
        .map_err(|error| Error::Io(failed(folder), error))?;
    let list = folder.join("images.jsonl");
    let mut lines = File::create(&list)
        .await
        .map_err(|error| Error::Io(failed(&list), error))?;
    let query = vec![("sort_order".to_owned(), "asc".to_owned())];
    let mut pages = Pages::new(server, query, None);
    let mut number = 0;
    while let Some(images) = pages.next().await? {
        for mut image in images {
            let id = image["id"].as_str().unwrap_or_default().to_owned();
            number += 1;
            let name = file_name(&id, number);
            download(server, &id, &folder.join(&name)).await?;
            image["file"] = name.into();
            let line = format!("{image}\n");
            lines
                .write_all(line.as_bytes())
                .await
                .map_err(|error| Error::Io(failed(&list), error))?;
            print(output, &image)?;
        }
    }
    lines
        .sync_all()
        .await
        .map_err(|error| Error::Io(failed(&list), error))
}

/// Writes the uploaded bytes of an image; under their name they are whole.
async fn download(server: &Remote, id: &str, path: &Path) -> Result<(), Error> {
    let failed = |error| Error::Io(format!("{} cannot be written", path.display()), error);
    let segments = server.path(&["images", "v1", id, "blob"]);
    let request = server.client.request(Method::GET, &segments);
    let mut answer = server.client.download(request).await?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = File::create(&part).await.map_err(failed)?;
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| client::Error::Unreadable(error.into()))?
    {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.sync_all().await.map_err(failed)?;
    tokio::fs::rename(&part, path).await.map_err(failed)
}

/// A file name for an id, which may hold slashes and be longer than a name may be.
fn file_name(id: &str, number: usize) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    const BYTES_MAX: usize = 200;
    let name = utf8_percent_encode(id, PLAIN).to_string();
    let taken = name == "images.jsonl" || name.starts_with('.') || name.contains(".part");
    if name.len() <= BYTES_MAX && !name.is_empty() && !taken {
        return name;
    }
    // An encoded id has no tilde, so that this is the name of no other image.
    format!("{number}~{}", &name[..name.len().min(BYTES_MAX)])
}

fn metadata(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("metadata must be a JSON object".to_owned()),
        Err(error) => Err(format!("metadata must be a JSON object: {error}")),
    }
}

/// An image in one line.
fn print(output: Output, image: &Value) -> Result<(), Error> {
    let text = |name: &str| image[name].as_str().unwrap_or_default();
    let line = ["id", "uploaded", "filename"].map(text).join("  ");
    output.item(image, line.trim_end())
}

/// An image in many lines.
fn print_whole(output: Output, image: &Value) -> Result<(), Error> {
    if output.is_json() {
        return output.item(image, "");
    }
    for (name, value) in image.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => output::line(format_args!("{name:18} {text}"))?,
            Value::Array(items) => {
                for item in items {
                    let text = item.as_str().unwrap_or_default();
                    output::line(format_args!("{name:18} {text}"))?;
                }
            }
            other => output::line(format_args!("{name:18} {other}"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_file_name() {
        assert_eq!(file_name("a-b_c.png", 1), "a-b_c.png");
        assert_eq!(file_name("shop/a b", 2), "shop%2Fa%20b");
        assert_eq!(file_name("images.jsonl", 3), "3~images.jsonl");
        assert_eq!(file_name(".hidden", 4), "4~.hidden");
        assert_eq!(file_name("a.part", 6), "6~a.part");
        let long = file_name(&"é".repeat(1024), 5);
        assert!(long.len() < 255 && long.starts_with("5~"), "{long}");
    }
}
