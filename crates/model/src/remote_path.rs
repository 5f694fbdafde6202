//! The path of a remote image: `[flow/ or fastly/]<options>/<source>` (transformations.md, sections 1.1 and
//! 9.1).

use percent_encoding::percent_decode_str;

/// What stands before every such path.
pub const PREFIX: &str = "/cdn-cgi/image/";

/// The path below [`PREFIX`], split and not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePath {
    /// The list of options as it was sent, percent-encoding included.
    pub options: String,
    /// What the options are written in.
    pub language: Language,
    /// The source as it was sent. The query of the request belongs to it, because a source may be
    /// appended without being encoded.
    pub source: String,
    /// Whether the source is at the address which was asked, as with flows, so that nobody can be sent
    /// there.
    pub is_at_source: bool,
}

/// What options are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A list of options.
    List,
    /// The query parameters of Fastly's Image Optimizer.
    Fastly,
}

impl RemotePath {
    /// Splits a path and its query. `None` if there is no source, or if the options are in the
    /// language of a service which is not understood (`akamai/`).
    pub fn parse(path: &str, query: Option<&str>) -> Option<Self> {
        let (first, rest) = path.split_once('/')?;
        let (language, (options, source)) = match first {
            // Made by a flow; the same otherwise.
            "flow" => (Language::List, rest.split_once('/')?),
            "fastly" => (Language::Fastly, rest.split_once('/')?),
            "akamai" => return None,
            _ => (Language::List, (first, rest)),
        };
        if source.is_empty() {
            return None;
        }
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let options = match language {
            Language::List => options.to_owned(),
            // The whole segment may be encoded, and then it has no names and values yet.
            Language::Fastly => {
                let decoded = percent_decode_str(options).decode_utf8_lossy();
                decoded.replace('%', "%25")
            }
        };
        Some(Self {
            options,
            language,
            source: format!("{source}{query}"),
            is_at_source: false,
        })
    }

    /// Whether the options ask for `onerror=redirect`, also if they are wrong otherwise: what cannot
    /// be read is an error like any other, for which visitors are to see the source.
    pub fn redirects_on_error(&self) -> bool {
        if self.is_at_source || self.language != Language::List {
            return false;
        }
        let options = percent_decode_str(&self.options).decode_utf8_lossy();
        let mut named = options.split(',').filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            (name.trim_ascii() == "onerror").then(|| value.trim_ascii().to_owned())
        });
        named.next_back().is_some_and(|value| value == "redirect")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_at_the_first_slash_and_the_query_belongs_to_the_source() {
        for (path, query, expected) in [
            ("width=80/a.jpg", None, Some(("width=80", "a.jpg"))),
            ("width=80//a.jpg", None, Some(("width=80", "/a.jpg"))),
            ("width=80///h/a", None, Some(("width=80", "//h/a"))),
            (
                "w=1/https://h/a.png",
                Some("v=2"),
                Some(("w=1", "https://h/a.png?v=2")),
            ),
            ("w=1/a.png", Some(""), Some(("w=1", "a.png?"))),
            ("w=1/a.png", Some("b=/c"), Some(("w=1", "a.png?b=/c"))),
            ("a%2Fb=1/a.png", None, Some(("a%2Fb=1", "a.png"))),
            ("/a.png", None, Some(("", "a.png"))),
            ("flow/w=1/a.png", None, Some(("w=1", "a.png"))),
            ("flow/w=1", None, None),
            ("flow/w=1/", None, None),
            ("fastly/width=1", None, None),
            ("akamai/w=1/a.png", None, None),
            ("width=50", None, None),
            ("width=50/", None, None),
            ("width=50/", Some("x=/a.png"), None),
            ("width=50", Some("x=/a.png"), None),
            ("", None, None),
        ] {
            let parsed = RemotePath::parse(path, query);
            let expected = expected.map(|(options, source)| RemotePath {
                options: options.to_owned(),
                language: Language::List,
                source: source.to_owned(),
                is_at_source: false,
            });
            assert_eq!(parsed, expected, "{path} {query:?}");
        }
        let encoded = RemotePath::parse("fastly/width%3D1%26x=%2525/a.png", None).unwrap();
        assert_eq!(encoded.options, "width=1&x=%2525");
        let spoken = RemotePath::parse("fastly/width=1&fit=crop/a.png", Some("v=2")).unwrap();
        assert_eq!(spoken.language, Language::Fastly);
        assert_eq!(
            (&*spoken.options, &*spoken.source),
            ("width=1&fit=crop", "a.png?v=2")
        );
    }

    #[test]
    fn a_redirect_is_found_in_broken_options() {
        for (options, expected) in [
            ("onerror=redirect", true),
            ("format=jpg, onerror = redirect", true),
            ("format%3Djpg%2Conerror%3Dredirect", true),
            ("onerror=redirect,onerror=none", false),
            ("onerror=redirected", false),
            ("xonerror=redirect", false),
            ("width=5", false),
            ("", false),
        ] {
            let path = RemotePath {
                options: options.to_owned(),
                language: Language::List,
                source: "a".to_owned(),
                is_at_source: false,
            };
            assert_eq!(path.redirects_on_error(), expected, "{options}");
            let flow = RemotePath {
                is_at_source: true,
                ..path
            };
            assert!(!flow.redirects_on_error(), "{options}");
        }
    }
}
