//! The HTTP client which the remote commands share. It reads the envelope of the API and turns its
//! errors into one sentence.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::multipart::Form;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{BaseUrl, Secret};

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered, or the connection broke.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// Whom it was sent to.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused; the sentence is its own.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The answer is not that of this API.
    #[error("{url} answered {status}, which is not an answer of the API")]
    NotTheApi {
        /// Whom it was sent to.
        url: String,
        /// The status of the answer.
        status: StatusCode,
    },
    /// The answer was cut off, or is not what was expected.
    #[error("the answer cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A connection to one server, with one token.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Secret>,
}

/// An account as `GET /accounts` lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct AccountSummary {
    /// Its id.
    pub id: String,
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
}

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    #[serde(default)]
    errors: Vec<Item>,
    success: bool,
}

#[derive(Deserialize)]
struct Item {
    code: i64,
    message: String,
}

/// Time in which a connection must be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for the next piece of an answer.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

impl Client {
    /// A client of the server at `url`, with or without `/client/v4`.
    pub fn new(url: &BaseUrl, token: Option<Secret>) -> Result<Self, Error> {
        let url = url.as_str();
        let url = url.strip_suffix("/client/v4").unwrap_or(url);
        let base = Url::parse(url).map_err(|error| Error::Unreadable(error.into()))?;
        let mut builder = reqwest::Client::builder();
        if is_loopback(&base) {
            // Else a proxy of the environment would be asked for this very machine.
            builder = builder.no_proxy();
        }
        let http = builder
            .user_agent(concat!("calotype/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|source| Error::Unreachable {
                url: url.to_owned(),
                source,
            })?;
        Ok(Self { http, base, token })
    }

    /// Succeeds if the server is ready.
    pub async fn ready(&self) -> Result<(), Error> {
        let url = self.url(&["readyz"]);
        let answer = self.send(self.http.get(url)).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "it is not ready ({})",
            answer.status()
        )))
    }

    /// The accounts which the token opens.
    pub async fn accounts(&self) -> Result<Vec<AccountSummary>, Error> {
        let request = self.request(Method::GET, &["accounts"]);
        self.call(request).await
    }

    /// A request to a path below `/client/v4`, given by its segments.
    pub fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let segments = [&["client", "v4"], segments].concat();
        let request = self.http.request(method, self.url(&segments));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    /// Sends a request and reads `result` of the answer.
    pub async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let answer = self.send(request).await?;
        let value = Self::envelope(answer).await?;
        serde_json::from_value(value).map_err(|error| Error::Unreadable(error.into()))
    }

    /// Sends a form and reads `result` of the answer.
    pub async fn upload(&self, segments: &[&str], form: Form) -> Result<Value, Error> {
        self.call(self.request(Method::POST, segments).multipart(form))
            .await
    }

    /// Sends a request whose answer is bytes, and returns it with its body unread.
    pub async fn download(&self, request: RequestBuilder) -> Result<Response, Error> {
        let answer = self.send(request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (url, status) = (answer.url().to_string(), answer.status());
        // An error is an envelope; an envelope which reports success with an error status is none.
        Self::envelope(answer).await?;
        Err(Error::NotTheApi { url, status })
    }

    /// How the picture at a path and query comes to be, for a client of this `host` and `Accept`.
    pub async fn explain(
        &self,
        target: &str,
        host: Option<&str>,
        accept: &str,
    ) -> Result<Value, Error> {
        let base = self.base.as_str().trim_end_matches('/');
        let word = if target.contains('?') { '&' } else { '?' };
        let url = format!("{base}{target}{word}explain=1");
        let mut request = self.http.get(url).header("accept", accept);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = self.send(request).await?;
        let (url, status) = (answer.url().to_string(), answer.status());
        let body = answer.bytes().await;
        let body = body.map_err(|error| Error::Unreadable(error.into()))?;
        let explained: Value =
            serde_json::from_slice(&body).map_err(|_| Error::NotTheApi { url, status })?;
        if explained.get("status").is_some() {
            return Ok(explained);
        }
        // The envelope of an error: the address is not one of a picture.
        let words = explained["errors"][0]["message"].as_str();
        let words = words.unwrap_or("the server explains nothing; is the token valid?");
        Err(Error::Refused(words.to_owned()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        request.send().await.map_err(|error| Error::Unreachable {
            url: self.base.to_string(),
            source: error.without_url(),
        })
    }

    async fn envelope(answer: Response) -> Result<Value, Error> {
        let (url, status) = (answer.url().to_string(), answer.status());
        let body = answer.bytes().await;
        let body = body.map_err(|error| Error::Unreadable(error.into()))?;
        let envelope: Envelope<Value> =
            serde_json::from_slice(&body).map_err(|_| Error::NotTheApi { url, status })?;
        if envelope.success {
            return Ok(envelope.result.unwrap_or(Value::Null));
        }
        Err(Error::Refused(sentence(&envelope.errors, status)))
    }

    /// The address of a path, each segment percent-encoded.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only addresses like `data:` have no segments, and `BaseUrl` is never one.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn sentence(errors: &[Item], status: StatusCode) -> String {
    let items = errors
        .iter()
        .map(|item| format!("{} ({})", item.message, item.code));
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        format!("it answered {status}")
    } else {
        items.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (url, expected) in [
            ("http://localhost:8787", true),
            ("http://127.0.0.2", true),
            ("http://[::1]:80", true),
            ("http://10.0.0.1", false),
            ("http://127.example", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn errors_become_one_sentence() {
        let item = |code, message: &str| Item {
            code,
            message: message.to_owned(),
        };
        let errors = [item(7003, "Could not route"), item(7000, "No route")];
        let status = StatusCode::NOT_FOUND;
        assert_eq!(
            sentence(&errors, status),
            "Could not route (7003); No route (7000)"
        );
        assert_eq!(sentence(&[], status), "it answered 404 Not Found");
    }
}
