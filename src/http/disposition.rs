//! `Content-Disposition` of a source, for a rendition of another format.

/// The header with the extension of its file names corrected.
pub(super) fn for_media_type(text: &str, media_type: &str) -> String {
    let Some(extension) = extension_of(media_type) else {
        return text.to_owned();
    };
    let pieces = pieces(text).into_iter().map(|piece| {
        let Some((name, value)) = piece.split_once('=') else {
            return piece.to_owned();
        };
        let known = ["filename", "filename*"];
        if known
            .iter()
            .any(|known| name.trim().eq_ignore_ascii_case(known))
        {
            format!("{name}={}", renamed(value, extension))
        } else {
            piece.to_owned()
        }
    });
    pieces.collect::<Vec<_>>().join(";")
}

/// A name, in quotes or not, with another extension.
fn renamed(value: &str, extension: &str) -> String {
    let bare = value.trim_end();
    let (stem, quote) = match bare.strip_suffix('"') {
        Some(stem) => (stem, "\""),
        None => (bare, ""),
    };
    let known = stem.rsplit_once('.').filter(|(_, old)| is_extension(old));
    match known {
        Some((_, old)) if is_same(old, extension) => value.to_owned(),
        Some((stem, _)) => format!("{stem}.{extension}{quote}"),
        None => value.to_owned(),
    }
}

/// Splits at semicolons outside of quotes.
fn pieces(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(|character| {
        let was_escaped = escaped;
        escaped = quoted && !was_escaped && character == '\\';
        quoted ^= character == '"' && !was_escaped;
        character == ';' && !quoted
    })
    .collect()
}

fn is_extension(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_same(old: &str, extension: &str) -> bool {
    let old = old.to_ascii_lowercase();
    old == extension || (extension == "jpg" && matches!(old.as_str(), "jpeg" | "jpe" | "jfif"))
}

fn extension_of(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/avif" => "avif",
        "image/svg+xml" => "svg",
        "application/json" => "json",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_the_extension_of_what_is_sent() {
        for (text, expected) in [
            ("inline", "inline"),
            ("inline; filename=\"a.png\"", "inline; filename=\"a.webp\""),
            (
                "attachment; filename=a.b.png",
                "attachment; filename=a.b.webp",
            ),
            (
                "inline; filename=\"a.png\"; filename*=UTF-8''%e2%82%ac.png",
                "inline; filename=\"a.webp\"; filename*=UTF-8''%e2%82%ac.webp",
            ),
            (
                "inline; filename=\"a;filename=b.png\"",
                "inline; filename=\"a;filename=b.webp\"",
            ),
            ("inline; filename=\"a.WebP\"", "inline; filename=\"a.WebP\""),
            (
                "inline; filename=\"noextension\"",
                "inline; filename=\"noextension\"",
            ),
            (
                "inline; filename=\"v1.2 final\"",
                "inline; filename=\"v1.2 final\"",
            ),
            ("inline; size=1.5", "inline; size=1.5"),
        ] {
            assert_eq!(for_media_type(text, "image/webp"), expected, "{text}");
        }
        let jpeg = "inline; filename=\"a.jpeg\"";
        assert_eq!(for_media_type(jpeg, "image/jpeg"), jpeg);
        assert_eq!(for_media_type(jpeg, "text/plain"), jpeg);
    }
}
