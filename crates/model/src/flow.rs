//! Flows: pictures which are transformed at their own addresses (transformations.md, section 9.1).

use crate::remote_path::Language;
use crate::transform::fastly;
use crate::{RemotePath, SourceUrl, Transform, split_authority};

/// Flows in their order. The first which holds for a request is the only one which runs.
///
/// As text they are separated by line breaks or semicolons, and each is a number of conditions, `->` and
/// what is done: a list of options, or `fastly` for the parameters of Fastly's Image Optimizer.
///
/// ```text
/// zone=a.com path=/images/* extension=jpg,png query=thumb -> width=200,format=auto
/// path=/media/* -> fastly
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows(Vec<Flow>);

/// Conditions, which must all hold, and what is done then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Flow {
    /// The host which is asked; `None` is every zone.
    zone: Option<String>,
    /// What the whole path must look like: `*` stands for anything, slashes included.
    path: Option<String>,
    /// In lower case; none is every one of [`EXTENSIONS`].
    extensions: Vec<String>,
    /// A parameter which the query must have, with a value or without.
    query: Option<String>,
    action: Action,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Action {
    /// A list of options.
    Options(String),
    /// What the query says in the words of Fastly, if it says anything.
    #[default]
    Fastly,
}

/// The extensions of pictures. Flows are for no others.
const EXTENSIONS: [&str; 9] = [
    "jpg", "jpeg", "png", "gif", "webp", "svg", "avif", "heic", "heif",
];

/// Below these all paths are the server's own, those which it does not know included.
const OWN: [&str; 4] = ["/client/", "/batch/", "/upload/", "/cdn-cgi/"];

/// The most flows which there can be.
const FLOWS_MAX: usize = 100;

impl Flows {
    /// Reads the text. `None` if a flow of it makes no sense.
    pub fn parse(text: &str) -> Option<Self> {
        let flows = text.split(['\n', ';']).map(str::trim);
        let flows = flows.filter(|flow| !flow.is_empty()).map(Flow::parse);
        let flows = flows.collect::<Option<Vec<_>>>()?;
        (flows.len() <= FLOWS_MAX).then_some(Self(flows))
    }

    /// What a request for this path at this host becomes; the host in lower case, with its port or
    /// without. `None` leaves the request as it is.
    pub fn route(&self, host: &str, path: &str, query: Option<&str>) -> Option<RemotePath> {
        if self.0.is_empty() {
            return None;
        }
        // As it is fetched: without dot segments.
        let normal = SourceUrl::parse(&format!("http://zone{path}")).ok()?;
        let normal = normal.path();
        if !path.starts_with('/') || OWN.iter().any(|own| normal.starts_with(own)) {
            return None;
        }
        let extension = extension(normal)?;
        let host = split_authority(host).map_or_else(|| host.to_owned(), |(host, _)| host);
        let holds = |flow: &&Flow| flow.holds(&host, normal, &extension, query);
        self.0.iter().find(holds)?.run(path, query)
    }
}

impl Flow {
    fn parse(text: &str) -> Option<Self> {
        let (conditions, action) = text.split_once("->")?;
        let mut flow = Self {
            action: Action::parse(action.trim())?,
            ..Self::default()
        };
        for condition in conditions.split_whitespace() {
            let (name, value) = condition.split_once('=')?;
            let place = match name {
                "zone" => &mut flow.zone,
                "path" => &mut flow.path,
                "query" => &mut flow.query,
                "extension" if flow.extensions.is_empty() => {
                    let chosen = value.split(',').map(str::to_ascii_lowercase);
                    flow.extensions = chosen.collect();
                    continue;
                }
                _ => return None,
            };
            if value.is_empty() || place.replace(value.to_owned()).is_some() {
                return None;
            }
        }
        if let Some(zone) = &mut flow.zone {
            *zone = host(zone)?;
        }
        // Other texts would hold for nothing.
        let rooted = |path: &String| {
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
            path.starts_with(['/', '*']) && path.bytes().all(plain)
        };
        let name = |name: &String| {
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"=&?#".contains(&byte);
            name.bytes().all(plain)
        };
        if !flow.query.as_ref().is_none_or(name) {
            return None;
        }
        let known = |extension: &String| EXTENSIONS.contains(&extension.as_str());
        (flow.path.as_ref().is_none_or(rooted) && flow.extensions.iter().all(known)).then_some(flow)
    }

    fn holds(&self, host: &str, path: &str, extension: &str, query: Option<&str>) -> bool {
        let mut chosen = self.extensions.iter();
        let named = |name: &String| query.is_some_and(|query| has_parameter(query, name));
        self.zone.as_ref().is_none_or(|zone| zone == host)
            && (self.extensions.is_empty() || chosen.any(|chosen| chosen == extension))
            && self.path.as_ref().is_none_or(|shape| is_like(path, shape))
            && self.query.as_ref().is_none_or(named)
            && match self.action {
                Action::Options(_) => true,
                Action::Fastly => query.is_some_and(fastly::is_spoken),
            }
    }

    /// The path keeps its slash at the start, without which `/https://b.com/a.png` were another host.
    fn run(&self, path: &str, query: Option<&str>) -> Option<RemotePath> {
        let (language, options, rest) = match &self.action {
            Action::Options(options) => (Language::List, options.clone(), query.map(str::to_owned)),
            Action::Fastly => {
                let query = query?;
                (
                    Language::Fastly,
                    fastly::understood(query),
                    fastly::without(query),
                )
            }
        };
        let rest = rest.map_or(String::new(), |rest| format!("?{rest}"));
        Some(RemotePath {
            language,
            options,
            source: format!("{path}{rest}"),
            is_at_source: true,
        })
    }
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        if text == "fastly" {
            return Some(Self::Fastly);
        }
        let (_, ignored) = Transform::parse_list(text).ok()?;
        ignored.is_empty().then(|| Self::Options(text.to_owned()))
    }
}

/// A host as requests name it: in ASCII and in lower case, without port.
fn host(text: &str) -> Option<String> {
    let plain = !text.contains(['/', ':', '@', '*', '?', '#', '\\']);
    let url = SourceUrl::parse(&format!("http://{text}/")).ok();
    url.filter(|_| plain).map(|url| url.host().to_owned())
}

/// In lower case, if it is that of a picture.
fn extension(path: &str) -> Option<String> {
    let (name, extension) = path.rsplit_once('/')?.1.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    (!name.is_empty() && EXTENSIONS.contains(&extension.as_str())).then_some(extension)
}

fn has_parameter(query: &str, name: &str) -> bool {
    let mut names = query.split('&').map(|pair| pair.split('=').next());
    names.any(|known| known == Some(name))
}

/// Whether the whole text looks like the shape, in which `*` stands for anything.
fn is_like(text: &str, shape: &str) -> bool {
    let Some((start, rest)) = shape.split_once('*') else {
        return text == shape;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(flows: &str, path: &str, query: Option<&str>) -> Option<(String, String)> {
        let flows = Flows::parse(flows).unwrap();
        let path = flows.route("zone.test:8080", path, query)?;
        assert!(path.is_at_source);
        Some((path.options, path.source))
    }

    #[test]
    fn all_conditions_must_hold() {
        let all = "zone=Zone.test path=/images/* extension=jpg,PNG query=w -> format=auto";
        let hit = |path: &str| Some(("format=auto".to_owned(), path.to_owned()));
        for (flows, path, query, expected) in [
            (all, "/images/a.jpg", Some("w=5"), hit("/images/a.jpg?w=5")),
            (
                all,
                "/images/b/a.PNG",
                Some("x&w"),
                hit("/images/b/a.PNG?x&w"),
            ),
            (all, "/images/a.jpg", Some("ww=5"), None),
            (all, "/images/a.jpg", None, None),
            (all, "/images/a.gif", Some("w=5"), None),
            (all, "/image/a.jpg", Some("w=5"), None),
            (all, "/x/images/a.jpg", Some("w=5"), None),
            ("zone=b.test -> format=auto", "/a.jpg", None, None),
            ("-> format=auto", "/a.heic", None, hit("/a.heic")),
            ("-> format=auto", "/a.html", None, None),
            ("-> format=auto", "/a.jpg/b", None, None),
            ("-> format=auto", "/.jpg", None, None),
            ("-> format=auto", "*", None, None),
            (
                "-> format=auto",
                "/https://b.com/a.jpg",
                None,
                hit("/https://b.com/a.jpg"),
            ),
            (
                "zone=ZONE.test. -> width=1",
                "/a.jpg",
                None,
                Some(("width=1".into(), "/a.jpg".into())),
            ),
            // Conditions are for what is fetched.
            ("path=/a/* -> width=1", "/a/../b/c.jpg", None, None),
            ("path=/a/* -> width=1", "/a/%2e%2E/b/c.jpg", None, None),
            (
                "path=/a/* -> width=1",
                "/b/../a/c.jpg",
                None,
                Some(("width=1".into(), "/b/../a/c.jpg".into())),
            ),
            ("-> width=1", "/client/v4/a.jpg", None, None),
            ("-> width=1", "/x/../batch/a.jpg", None, None),
            ("-> width=1", "/upload/a.jpg", None, None),
            ("", "/a.jpg", None, None),
        ] {
            assert_eq!(
                run(flows, path, query),
                expected,
                "{flows} {path} {query:?}"
            );
        }
    }

    /// Row 195.
    #[test]
    fn the_first_flow_which_holds_is_the_only_one() {
        let flows = "path=/a/* -> width=1; path=/a/b/* -> width=2\n-> width=3";
        let options = |path| run(flows, path, None).map(|(options, _)| options);
        assert_eq!(options("/a/b/c.png").as_deref(), Some("width=1"));
        assert_eq!(options("/c.png").as_deref(), Some("width=3"));
    }

    #[test]
    fn parameters_of_fastly_are_taken_from_the_query_if_there_are_any() {
        let flows = "-> fastly; query=v -> width=9";
        let run = |query| run(flows, "/a.jpg", Some(query));
        let (options, source) = run("v=2&width=40&fit=crop").unwrap();
        assert_eq!(options, "width=40&fit=crop");
        assert_eq!(source, "/a.jpg?v=2");
        assert_eq!(run("width=40").unwrap().1, "/a.jpg");
        // Nothing of Fastly's: the next flow may hold.
        assert_eq!(run("v=2").unwrap().0, "width=9");
        assert_eq!(run("x=2"), None);
    }

    #[test]
    fn shapes_are_of_the_whole_path() {
        for (text, shape, expected) in [
            ("/a/b.jpg", "/a/*", true),
            ("/a/b.jpg", "*.jpg", true),
            ("/a/b.jpg", "/a/b.jpg", true),
            ("/a/b.jpg", "/a", false),
            ("/a/b/c.jpg", "/*/c.jpg", true),
            ("/a/b/c.jpg", "/a*b*c*", true),
            ("/a/b/c.jpg", "/a*c*b*", false),
            ("/aa.jpg", "/aa*a.jpg", false),
        ] {
            assert_eq!(is_like(text, shape), expected, "{text} {shape}");
        }
    }

    #[test]
    fn flows_which_make_no_sense_are_refused() {
        for broken in [
            "format=auto",
            "-> ",
            "-> nothing",
            "-> width=abc",
            "-> akamai",
            "path=images/* -> width=1",
            "path= -> width=1",
            "path=/a?b -> width=1",
            "path=/ü/* -> width=1",
            "query=v=1 -> width=1",
            "zone=a.test:80 -> width=1",
            "zone=http://a.test -> width=1",
            "zone=*.a.test -> width=1",
            "path=/a path=/b -> width=1",
            "extension=html -> width=1",
            "extension= -> width=1",
            "extension=jpg extension=png -> width=1",
            "method=GET -> width=1",
            "path -> width=1",
        ] {
            assert_eq!(Flows::parse(broken), None, "{broken}");
        }
        let many = "-> width=1;".repeat(FLOWS_MAX + 1);
        assert_eq!(Flows::parse(&many), None);
        assert_eq!(Flows::parse(" \n;"), Some(Flows::default()));
    }
}
