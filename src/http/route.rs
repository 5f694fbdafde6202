//! From method, host and undecoded path to a route (management-api.md, section 1.3).
//!
//! The path is split before it is decoded, so that `a%2Fb` and `a/b` both name the image `a/b`
//! while `keys%2Fa` still names an image and not a key.

use hyper::{Method, Request, header};
use model::{AccountHash, ImageId, RemotePath};

use super::binding::Call;
use super::path::decode_segment;
use super::{AppSettings, OwnHosts};
use super::{cf_image, remote};

/// Where a request belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/client/v4/accounts/{account_id}/…`, with the account id decoded.
    Api(String, Resource),
    /// `/client/v4/user…`, `/client/v4/accounts`, `/client/v4/memberships`: the path below
    /// `/client/v4/`.
    User(String),
    /// `/client/v4/zones…`: the segments below, decoded.
    Zones(Vec<String>),
    /// `/batch/images/…`, or `/images/…` on `batch.…`.
    Batch(Resource),
    /// `/upload/{hash}/{id}`, or `/{hash}/{id}` on `upload.…`: the path from the hash on.
    OneTimeUpload(String),
    /// `/{hash}/{id}/{variant}`, also below `/cdn-cgi/imagedelivery`.
    Delivery(DeliveryPath),
    /// `/cdn-cgi/image/<options>/<source>`, or what a flow makes the same of, with the host and port which
    /// were asked.
    Remote(String, RemotePath),
    /// What a Worker fetches with `cf.image`, by way of this server as a proxy.
    WorkerFetch,
    /// `/info` or `/transform`.
    Binding(Call),
    /// `/livez`, `/readyz`, `/health`.
    Health(Check),
    /// Nothing of ours.
    Unknown,
}

/// A path which is a delivery address by its form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeliveryPath {
    /// From the hash on, undecoded.
    pub(super) path: String,
}

/// Which health is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Whether the process answers.
    Live,
    /// Whether it can do its work.
    Ready,
}

/// What below an account a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// The account itself.
    Account,
    /// `images/v1`
    Images,
    /// `images/v1/{image_id}`
    Image(ImageId),
    /// `images/v1/{image_id}/blob`
    Blob(ImageId),
    /// `images/v1/stats`
    Stats,
    /// `images/v1/keys`
    Keys,
    /// `images/v1/keys/{name}`
    Key(String),
    /// `images/v1/variants`
    Variants,
    /// `images/v1/variants/{variant_id}`
    Variant(String),
    /// `images/v1/config`
    Config,
    /// `images/v1/batch_token`
    BatchToken,
    /// `images/v1/direct_upload`
    DirectUploadV1,
    /// `images/v1/purge`
    Purge,
    /// `images/v2`
    ImagesV2,
    /// `images/v2/direct_upload`
    DirectUploadV2,
    /// `alerting/v3/destinations/webhooks`
    Webhooks,
    /// `alerting/v3/destinations/webhooks/{webhook_id}`
    Webhook(String),
    /// `alerting/v3/policies`
    Policies,
    /// `alerting/v3/policies/{policy_id}`
    Policy(String),
    /// `images/import/sources`
    ImportSources,
    /// `images/import/sources/{source_id}`
    ImportSource(String),
    /// `images/import/jobs`
    Imports,
    /// `images/import/jobs/{job_id}`
    Import(String),
    /// `images/import/jobs/{job_id}/abort`
    ImportAbort(String),
    /// `images/import/jobs/{job_id}/log`
    ImportLog(String),
    /// `tokens/verify`
    TokenVerify,
}

impl Route {
    pub(super) fn of<B>(request: &Request<B>, settings: &AppSettings) -> Self {
        if cf_image::is_fetch(request) {
            return Self::WorkerFetch;
        }
        let host = request
            .uri()
            .host()
            .or_else(|| request.headers().get(header::HOST)?.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let path = request.uri().path();
        if let Some(rest) = remote_path(path, &settings.mount_prefix) {
            let parsed = RemotePath::parse(rest, request.uri().query());
            return parsed.map_or(Self::Unknown, |parsed| Self::Remote(host, parsed));
        }
        let route = Self::parse(request.method(), &settings.hosts, &host, path);
        // A source is fetched from where flows are, perhaps.
        if route == Self::Unknown
            && matches!(*request.method(), Method::GET | Method::HEAD)
            && !remote::is_looped(request.headers())
            && let Some(path) = settings.flows.route(&host, path, request.uri().query())
        {
            return Self::Remote(host, path);
        }
        route
    }

    fn parse(method: &Method, hosts: &OwnHosts, host: &str, path: &str) -> Self {
        if let Some(rest) = path.strip_prefix("/client/v4/") {
            return Self::parse_api(method, rest);
        }
        match path {
            "/livez" => return Self::Health(Check::Live),
            "/readyz" | "/health" => return Self::Health(Check::Ready),
            "/info" => return Self::Binding(Call::Info),
            "/transform" => return Self::Binding(Call::Transform),
            _ => {}
        }
        if let Some(rest) = path.strip_prefix("/upload/") {
            return Self::OneTimeUpload(rest.to_owned());
        }
        if let Some(rest) = path.strip_prefix("/batch/images/") {
            return resource(method, &images_segments(rest)).map_or(Self::Unknown, Self::Batch);
        }
        if hosts.serves_batches(host)
            && let Some(rest) = path.strip_prefix("/images/")
        {
            return resource(method, &images_segments(rest)).map_or(Self::Unknown, Self::Batch);
        }
        let delivery = path
            .strip_prefix(model::signed_url::PREFIX)
            .filter(|rest| rest.starts_with('/'));
        if let Some(delivery) = delivery {
            let path = delivery[1..].to_owned();
            return Self::Delivery(DeliveryPath { path });
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        let first = path.split('/').next().unwrap_or(path);
        if AccountHash::try_from(first).is_err() {
            return Self::Unknown;
        }
        let path = path.to_owned();
        if hosts.serves_uploads(host) {
            Self::OneTimeUpload(path)
        } else {
            Self::Delivery(DeliveryPath { path })
        }
    }

    fn parse_api(method: &Method, rest: &str) -> Self {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let Some(below) = rest.strip_prefix("accounts/") else {
            if let Some(below) = rest.strip_prefix("zones") {
                let segments = below.split('/').map(decode_segment).collect::<Vec<_>>();
                // What follows the word is empty, or begins with a slash.
                return match segments.split_first() {
                    Some((first, below)) if first.is_empty() => Self::Zones(below.to_vec()),
                    _ => Self::Unknown,
                };
            }
            return match rest {
                "accounts" | "memberships" | "user" | "user/tokens/verify" => {
                    Self::User(rest.to_owned())
                }
                _ => Self::Unknown,
            };
        };
        let (account, below) = below.split_once('/').unwrap_or((below, ""));
        let account = decode_segment(account);
        if below.is_empty() {
            return Self::Api(account, Resource::Account);
        }
        let segments: Vec<&str> = below.split('/').collect();
        resource(method, &segments).map_or(Self::Unknown, |found| Self::Api(account, found))
    }
}

/// What follows `/cdn-cgi/image/`.
fn remote_path<'a>(path: &'a str, mount_prefix: &str) -> Option<&'a str> {
    let mounted = path.strip_prefix(mount_prefix);
    let prefix = model::remote_path::PREFIX;
    path.strip_prefix(prefix)
        .or_else(|| mounted?.strip_prefix(prefix))
}

/// `v1/…` as `images/v1/…`: the batch host has the same paths.
fn images_segments(rest: &str) -> Vec<&str> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    std::iter::once("images").chain(rest.split('/')).collect()
}

fn resource(method: &Method, segments: &[&str]) -> Option<Resource> {
    let reading = matches!(*method, Method::GET | Method::HEAD);
    let found = match segments {
        ["tokens", "verify"] => Resource::TokenVerify,
        ["alerting", "v3", "destinations", "webhooks"] => Resource::Webhooks,
        ["alerting", "v3", "destinations", "webhooks", id] => Resource::Webhook(decode_segment(id)),
        ["images", "import", "sources"] => Resource::ImportSources,
        ["images", "import", "sources", id] => Resource::ImportSource(decode_segment(id)),
        ["images", "import", "jobs"] => Resource::Imports,
        ["images", "import", "jobs", id] => Resource::Import(decode_segment(id)),
        ["images", "import", "jobs", id, "abort"] => Resource::ImportAbort(decode_segment(id)),
        ["images", "import", "jobs", id, "log"] => Resource::ImportLog(decode_segment(id)),
        ["alerting", "v3", "policies"] => Resource::Policies,
        ["alerting", "v3", "policies", id] => Resource::Policy(decode_segment(id)),
        ["images", "v2"] => Resource::ImagesV2,
        ["images", "v2", "direct_upload"] => Resource::DirectUploadV2,
        ["images", "v1"] => Resource::Images,
        ["images", "v1", "stats"] => Resource::Stats,
        ["images", "v1", "config"] => Resource::Config,
        ["images", "v1", "batch_token"] => Resource::BatchToken,
        ["images", "v1", "direct_upload"] => Resource::DirectUploadV1,
        // Others of this name are an image.
        ["images", "v1", "purge"] if *method == Method::POST => Resource::Purge,
        ["images", "v1", "keys"] => Resource::Keys,
        ["images", "v1", "keys", name] => Resource::Key(decode_segment(name)),
        ["images", "v1", "variants"] => Resource::Variants,
        ["images", "v1", "variants", name] => Resource::Variant(decode_segment(name)),
        ["images", "v1", first, ..] if ImageId::RESERVED.contains(first) => return None,
        ["images", "v1", id @ .., "blob"] if reading && !id.is_empty() => {
            Resource::Blob(image_id(id))
        }
        ["images", "v1", id @ ..] => Resource::Image(image_id(id)),
        _ => return None,
    };
    Some(found)
}

/// Segments of an id, decoded once each: raw and encoded slashes name the same image.
fn image_id(segments: &[&str]) -> ImageId {
    let decoded: Vec<String> = segments
        .iter()
        .map(|segment| decode_segment(segment))
        .collect();
    ImageId::from_path(decoded.join("/"))
}

#[cfg(test)]
mod tests {
    use model::Flows;
    use model::remote_path::Language;

    use super::*;
    use crate::http::AccessLog;

    fn api(method: &Method, path: &str) -> Option<Resource> {
        let path = format!("/client/v4/accounts/a/{path}");
        match Route::parse(method, &OwnHosts::default(), "", &path) {
            Route::Api(account, resource) => {
                assert_eq!(account, "a");
                Some(resource)
            }
            _ => None,
        }
    }

    fn id(text: &str) -> ImageId {
        ImageId::from_path(text.to_owned())
    }

    #[test]
    fn every_spelling_of_an_id_names_the_same_image() {
        for path in [
            "images/v1/a%2Fb%20c%25%C3%A9",
            "images/v1/a%2fb%20c%25%c3%a9",
            "images/v1/a/b%20c%%C3%A9",
            "images/v1/a/b%20c%25é",
        ] {
            let expected = Resource::Image(id("a/b c%é"));
            assert_eq!(api(&Method::GET, path), Some(expected), "{path}");
        }
        let plus = Resource::Image(id("a+b!$&'()*,;=:@"));
        assert_eq!(
            api(&Method::DELETE, "images/v1/a+b!$&'()*,;=:@"),
            Some(plus)
        );
    }

    #[test]
    fn blobs_are_told_from_ids() {
        let get = |path| api(&Method::GET, path);
        assert_eq!(get("images/v1/x/blob"), Some(Resource::Blob(id("x"))));
        assert_eq!(get("images/v1/a/b/blob"), Some(Resource::Blob(id("a/b"))));
        assert_eq!(
            get("images/v1/a%2Fblob"),
            Some(Resource::Image(id("a/blob")))
        );
        assert_eq!(
            get("images/v1/a%2Fblob/blob"),
            Some(Resource::Blob(id("a/blob")))
        );
        assert_eq!(get("images/v1/blob"), Some(Resource::Image(id("blob"))));
        let deleted = api(&Method::DELETE, "images/v1/a/blob");
        assert_eq!(deleted, Some(Resource::Image(id("a/blob"))));
    }

    #[test]
    fn purging_is_told_from_an_image_by_the_method() {
        let path = "images/v1/purge";
        assert_eq!(api(&Method::POST, path), Some(Resource::Purge));
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            assert_eq!(api(&method, path), Some(Resource::Image(id("purge"))));
        }
    }

    #[test]
    fn reserved_words_win_unless_encoded() {
        let get = |path| api(&Method::GET, path);
        assert_eq!(get("images/v1/stats"), Some(Resource::Stats));
        assert_eq!(
            get("images/v1/keys/k%201"),
            Some(Resource::Key("k 1".into()))
        );
        assert_eq!(
            get("images/v1/keys%2Fk"),
            Some(Resource::Image(id("keys/k")))
        );
        assert_eq!(get("images/v1/keys/a/b"), None);
        assert_eq!(get("images/v1/config/x"), None);
        assert_eq!(get("images/v3"), None);
        assert_eq!(get("images"), None);
        assert_eq!(get("images/v1/"), Some(Resource::Images));
    }

    #[test]
    fn remote_images_are_found_below_the_mount_prefix_as_well() {
        let route = |uri: &str, mount_prefix: &str| {
            let request = Request::builder().uri(uri).header("host", "Zone.test:80");
            let settings = AppSettings {
                list_v1_items: true,
                upload_idle_timeout: std::time::Duration::ZERO,
                batch_requests_per_second: 1,
                server_timing: false,
                mount_prefix: mount_prefix.to_owned(),
                flows: Flows::default(),
                hosts: OwnHosts::default(),
                access_log: AccessLog::off(),
            };
            Route::of(&request.body(()).unwrap(), &settings)
        };
        let remote = |options: &str, source: &str| {
            let path = RemotePath {
                options: options.to_owned(),
                language: Language::List,
                source: source.to_owned(),
                is_at_source: false,
            };
            Route::Remote("zone.test:80".to_owned(), path)
        };
        let uri = "/cdn-cgi/image/w=1/a.png?x=1";
        assert_eq!(route(uri, ""), remote("w=1", "a.png?x=1"));
        assert_eq!(route(uri, "/base"), remote("w=1", "a.png?x=1"));
        let mounted = format!("/base{uri}");
        assert_eq!(route(&mounted, "/base"), remote("w=1", "a.png?x=1"));
        assert_eq!(route(&mounted, ""), Route::Unknown);
        assert_eq!(route("/cdn-cgi/image/w=1", ""), Route::Unknown);
        assert_eq!(route("/CDN-CGI/image/w=1/a", ""), Route::Unknown);
        assert_eq!(route("/cdn-cgi/image//a.png", ""), remote("", "a.png"));
    }

    #[test]
    fn hosts_and_prefixes_choose_the_surface() {
        let hash = "Vi7wi5KSItxGFsWRG2Us6Q";
        let hosts = OwnHosts {
            upload: Some("u.example".to_owned()),
            batch: Some("b.example".to_owned()),
        };
        let route = |host: &str, path: &str| Route::parse(&Method::GET, &hosts, host, path);
        let delivery = |path: String| Route::Delivery(DeliveryPath { path });
        let path = format!("{hash}/a/b%2Fc/public");
        assert_eq!(route("", &format!("/{path}")), delivery(path.clone()));
        let prefixed = format!("/cdn-cgi/imagedelivery/{path}");
        assert_eq!(route("any.example", &prefixed), delivery(path.clone()));
        assert_eq!(
            route("", &format!("/upload/{hash}/x")),
            Route::OneTimeUpload(format!("{hash}/x"))
        );
        assert_eq!(
            route("upload.example:80", &format!("/{hash}/x")),
            Route::OneTimeUpload(format!("{hash}/x"))
        );
        for host in ["u.example", "u.example:8443"] {
            let upload = Route::OneTimeUpload(format!("{hash}/x"));
            assert_eq!(route(host, &format!("/{hash}/x")), upload, "{host}");
        }
        for host in ["au.example", "u.example.org", "b.example"] {
            let path = format!("{hash}/x/public");
            assert_eq!(route(host, &format!("/{path}")), delivery(path), "{host}");
        }
        assert_eq!(
            route("b.example", "/images/v2"),
            Route::Batch(Resource::ImagesV2)
        );
        assert_eq!(route("u.example", "/images/v2"), Route::Unknown);
        assert_eq!(
            route("", "/batch/images/v2"),
            Route::Batch(Resource::ImagesV2)
        );
        assert_eq!(
            route("batch.example", "/images/v1/a/b"),
            Route::Batch(Resource::Image(id("a/b")))
        );
        assert_eq!(route("", "/images/v1/a"), Route::Unknown);
        assert_eq!(route("", "/"), Route::Unknown);
        assert_eq!(route("", ""), Route::Unknown);
        assert_eq!(route("", "*"), Route::Unknown);
        assert_eq!(route("", "/livez"), Route::Health(Check::Live));
    }
}
