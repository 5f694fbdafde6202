//! Everything which a client writes as text, all of it read from one input: options as a list, as
//! `cf.image` and as programs of the Images binding, addresses, signatures and filters.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use model::signed_url::{self, Refusal};
use model::transform::binding::{self, Command, Output};
use model::transform::fastly::{self, Offered, Spoken};
use model::transform::{Colour, Format, Gravity, OverlayContent};
use model::{
    AllowedOrigin, Creator, Filename, FlatMetadata, ImageId, KeyName, Metadata, MetadataFilter,
    RemotePath, SigningKey, Site, SourceUrl, Timestamp, Transform, VariantOptions, Zone,
    split_authority,
};
use serde_json::{Map, Value};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(text) = str::from_utf8(input) else {
        return Corpus::Reject;
    };
    list(text);
    if let Ok(object) = serde_json::from_str::<Map<String, Value>>(text) {
        in_json(&object);
        let _ = VariantOptions::from_json(&object);
        let _ = binding::text(text);
    }
    program(text);
    output(text);
    address(text);
    signature(text);
    filter(text);
    metadata(text);
    words(text);
    Corpus::Keep
});

/// One spelling of a transform means that transform, and is its spelling.
fn round_trip(transform: &Transform) {
    let mut listed = transform.clone();
    // Which have no form in a list; what is drawn has transforms of its own.
    listed.border = None;
    if matches!(listed.format, Format::Rgb | Format::Rgba) {
        listed.format = Format::Standard;
    }
    for overlay in std::mem::take(&mut listed.draw) {
        if let OverlayContent::Image { transform, .. } = &overlay.content {
            round_trip(transform);
        }
    }
    let printed = listed.to_string();
    if printed.is_empty() {
        assert_eq!(listed, Transform::default());
        return;
    }
    let (again, warnings) = Transform::parse_list(&printed).expect("what we print can be read");
    assert_eq!(again, listed, "{printed}");
    assert!(warnings.is_empty(), "{printed}: {warnings:?}");
    assert_eq!(again.to_string(), printed);
}

fn list(text: &str) {
    let Ok((transform, _)) = Transform::parse_list(text) else {
        return;
    };
    round_trip(&transform);
    for (hint, phone) in [(None, true), (Some(500.0), false), (Some(f64::MAX), false)] {
        let resolved = transform.clone().resolve_width(hint, phone);
        assert!(resolved.auto_width.is_none());
        assert!(resolved.width != Some(0));
        round_trip(&resolved.for_slow_connection(phone).or_negotiated());
    }
}

fn spoken(query: &str) {
    if let Ok(spoken) = Spoken::parse(query, Offered::default()) {
        let transform = spoken.transform;
        assert!(transform.width != Some(0) && transform.dpr > 0.0);
        assert!(transform.brightness > 0.0 && transform.contrast > 0.0);
    }
    if let Some(rest) = fastly::without(query) {
        assert!(!fastly::is_spoken(&rest));
    }
}

fn in_json(object: &Map<String, Value>) {
    let Ok(Some(transform)) = Transform::from_json(object) else {
        return;
    };
    round_trip(&transform);
    let _ = transform.assets();
    if let Some(list) = as_list(object) {
        assert_eq!(list.parse(), Ok(transform), "{list}");
    }
}

/// Members which both forms have, in the form of a list; `None` if there are others.
fn as_list(object: &Map<String, Value>) -> Option<String> {
    let pieces = object.iter().filter(|(_, value)| !value.is_null());
    let pieces = pieces.map(|(name, value)| {
        let plain = |text: &str| !text.contains([',', '(', ')', '=', '%']) && text.trim() == text;
        // Short names and those with dots are members of lists alone.
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_lowercase()) || name == "scq" {
            return None;
        }
        let value = match value {
            Value::String(value) if plain(value) => value.clone(),
            Value::Number(value) => value.as_f64()?.to_string(),
            Value::Bool(value) => value.to_string(),
            _ => return None,
        };
        // To members which a list has and JSON has not, a list would listen.
        let listed_alone = matches!(name.as_str(), "onerror");
        (!listed_alone).then(|| format!("{name}={value}"))
    });
    pieces
        .collect::<Option<Vec<_>>>()
        .map(|pieces| pieces.join(","))
}

fn program(text: &str) {
    for pictures in 1..=binding::PICTURES_MAX.min(4) {
        let Ok(commands) = binding::commands(text, pictures) else {
            continue;
        };
        for command in &commands {
            match command {
                Command::Transform { picture, transform } => {
                    assert!(*picture < pictures);
                    assert!(transform.draw.is_empty());
                    round_trip(transform);
                }
                Command::Draw {
                    picture,
                    target,
                    draw,
                } => {
                    assert!(*picture < pictures && *target < pictures && picture != target);
                    assert!((0.0..=1.0).contains(&draw.opacity));
                }
            }
        }
    }
}

fn output(text: &str) {
    let mut parts = text.split('&').map(Some).chain(std::iter::repeat(None));
    let mut part = || parts.next().flatten();
    let output = Output {
        format: part(),
        quality: part(),
        background: part(),
        anim: part(),
    };
    if let Ok(transform) = output.transform() {
        round_trip(&transform);
    }
}

fn address(text: &str) {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let source = match RemotePath::parse(path, query) {
        Some(path) => {
            let _ = path.redirects_on_error();
            list(&path.options);
            spoken(&path.options);
            path.source
        }
        None => text.to_owned(),
    };
    let site = Site {
        secure: true,
        host: "example.com".to_owned(),
        port: Some(8443),
    };
    for address in [
        SourceUrl::resolve(&source, &site, |host| host == "example.com"),
        SourceUrl::parse(text),
    ] {
        let Ok(address) = address else { continue };
        assert!(
            !address.host().is_empty() && address.port() > 0 || address.url().port() == Some(0)
        );
        assert_eq!(SourceUrl::parse(address.as_str()).as_ref(), Ok(&address));
        if let Ok(redirected) = address.redirected(text) {
            assert_eq!(SourceUrl::parse(redirected.as_str()), Ok(redirected));
        }
    }
    let _ = (
        AllowedOrigin::parse(text),
        Zone::parse(text),
        split_authority(text),
    );
}

fn signature(text: &str) {
    let now = Timestamp::from_seconds(1_700_000_000);
    let key = SigningKey {
        name: KeyName::default_name(),
        value: "a secret".to_owned(),
    };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let keys = [key];
    // Nobody guesses.
    let guessed = signed_url::verify(&keys, path, Some(query), now);
    assert!(guessed.is_err(), "{guessed:?}");
    for expires in [None, Some(1_700_000_000), Some(i64::MAX)] {
        let signed = signed_url::signed_path(&keys[0], path, expires);
        let (path, query) = signed.split_once('?').expect("a signature");
        assert_eq!(
            signed_url::verify(&keys, path, Some(query), now),
            Ok(expires)
        );
        let other = format!("{path}x");
        let moved = signed_url::verify(&keys, &other, Some(query), now);
        assert_eq!(moved, Err(Refusal::Mismatch));
    }
}

fn filter(text: &str) {
    let mut filter = MetadataFilter::default();
    let held = Metadata::from_json(r#"{"a":{"b":1},"c":"d","e":true}"#, 1024);
    let held = held.expect("an object");
    for pair in text.split('&') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        if filter.add(name, value).is_ok() {
            assert!(MetadataFilter::is_parameter(name));
            assert!(!filter.matches(None));
        }
        let _ = filter.matches(held.as_ref());
    }
    assert!(filter.conditions.len() <= 5);
}

fn metadata(text: &str) {
    if let Ok(Some(metadata)) = Metadata::from_json(text, 1024) {
        assert!(metadata.as_json().len() <= 1024);
        let stored = Metadata::from_stored(metadata.as_json()).expect("what was stored");
        assert_eq!(stored.to_map(), metadata.to_map());
        let again = Metadata::from_json(metadata.as_json(), 1024);
        assert_eq!(
            again.ok().flatten().map(|again| again.to_map()),
            Some(metadata.to_map())
        );
    }
    for coerce in [false, true] {
        let mut flat = FlatMetadata::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "1"));
            if FlatMetadata::is_part(name) {
                let _ = flat.insert(name, value.to_owned(), 1024);
            }
        }
        let _ = flat.finish(coerce, 1024);
    }
}

fn words(text: &str) {
    if let Some(colour) = Colour::parse(text) {
        assert_eq!(Colour::parse(&colour.to_string()), Some(colour));
    }
    let _ = (
        Gravity::parse(text),
        Timestamp::parse(text),
        Timestamp::parse_http_date(text),
    );
    if let Ok(id) = ImageId::custom(text, 1024) {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(Some(creator)) = Creator::parse(text, 1024) {
        assert!(creator.as_str().chars().count() <= 1024);
    }
    if let Some(name) = Filename::from_upload(text, 255) {
        assert!(name.as_str().chars().count() <= 255);
    }
}
