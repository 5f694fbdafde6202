//! What a request tells of its client: the formats it takes, its viewport, its connection
//! (transformations.md, sections 2.3, 2.14 and 3.3).

use hyper::HeaderMap;
use hyper::header::{ACCEPT, USER_AGENT};
use pixels::Accepts;
use service::{ClientHints, HintsUsed};

const VIEWPORT_WIDTH: &str = "sec-ch-viewport-width";
const OLD_VIEWPORT_WIDTH: &str = "viewport-width";
const DPR: &str = "sec-ch-dpr";
const RTT: &str = "rtt";
const SAVE_DATA: &str = "save-data";
const ECT: &str = "ect";
const DOWNLINK: &str = "downlink";

/// Milliseconds above which, and megabits a second below which a connection is slow.
const SLOW_RTT: f64 = 150.0;
const SLOW_DOWNLINK: f64 = 5.0;

/// The hints of a request. One which cannot be read counts as absent.
pub(super) fn of(headers: &HeaderMap) -> ClientHints {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let number = |name: &str| {
        let number: f64 = text(name)?.parse().ok()?;
        number.is_finite().then_some(number)
    };
    let agent = text(USER_AGENT.as_str()).unwrap_or_default();
    let slow = number(RTT).is_some_and(|rtt| rtt > SLOW_RTT)
        || number(DOWNLINK).is_some_and(|downlink| downlink < SLOW_DOWNLINK)
        || text(SAVE_DATA).is_some_and(|word| word.eq_ignore_ascii_case("on"))
        || text(ECT).is_some_and(|word| matches!(word, "slow-2g" | "2g" | "3g"));
    ClientHints {
        viewport_width: number(VIEWPORT_WIDTH).or_else(|| number(OLD_VIEWPORT_WIDTH)),
        dpr: number(DPR),
        phone: agent.contains("iPhone") || agent.contains("Android"),
        slow,
    }
}

/// The value of `Vary`, which starts with `first`. The client's name is left out: it has two classes,
/// and caches would tell thousands apart.
pub(super) fn vary(first: Option<&'static str>, used: HintsUsed) -> String {
    let mut names = Vec::from_iter(first);
    if used.width {
        names.extend([VIEWPORT_WIDTH, OLD_VIEWPORT_WIDTH]);
    }
    if used.dpr {
        names.push(DPR);
    }
    if used.connection {
        names.extend([SAVE_DATA, ECT, RTT, DOWNLINK]);
    }
    names.join(", ")
}

/// The formats which `Accept` names. Wildcards do not count, and `q=0` refuses
/// (transformations.md, section 3.3).
pub(super) fn accepts(headers: &HeaderMap) -> Accepts {
    let values = headers.get_all(ACCEPT).iter();
    accepted(values.filter_map(|value| value.to_str().ok()))
}

/// The same, from the values of `Accept`.
pub(super) fn accepted<'a>(values: impl Iterator<Item = &'a str>) -> Accepts {
    let mut accepts = Accepts::default();
    for range in values.flat_map(|value| value.split(',')) {
        let mut pieces = range.split(';').map(str::trim);
        let name = pieces.next().unwrap_or_default();
        let format = match name {
            _ if name.eq_ignore_ascii_case("image/avif") => &mut accepts.avif,
            _ if name.eq_ignore_ascii_case("image/webp") => &mut accepts.webp,
            _ => continue,
        };
        let is_refused = pieces.any(|piece| {
            let quality = piece
                .split_once('=')
                .filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
            quality.is_some_and(|(_, value)| value.trim().parse() == Ok(0.0_f32))
        });
        *format |= !is_refused;
    }
    accepts
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_explicit_media_types_are_accepted() {
        let accepted = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            let Accepts { avif, webp } = accepts(&headers);
            (avif, webp)
        };
        assert_eq!(accepted("image/avif,image/webp,*/*;q=0.8"), (true, true));
        assert_eq!(accepted("IMAGE/WEBP ; q=0.1"), (false, true));
        assert_eq!(
            accepted("image/webp;q=0, image/avif; q=0.0"),
            (false, false)
        );
        assert_eq!(accepted("image/*, */*"), (false, false));
        assert_eq!(accepted("image/webpx"), (false, false));
    }

    #[test]
    fn connections_are_slow_by_any_documented_hint() {
        let slow = |name, value| of(&headers(&[(name, value)])).slow;
        for (name, value, expected) in [
            ("rtt", "150", false),
            ("rtt", "151", true),
            ("rtt", "slow", false),
            ("downlink", "5", false),
            ("downlink", "4.9", true),
            ("downlink", "NaN", false),
            ("save-data", "ON", true),
            ("save-data", "1", false),
            ("ect", "4g", false),
            ("ect", "3g", true),
            ("ect", "slow-2g", true),
        ] {
            assert_eq!(slow(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn viewports_and_phones_are_known() {
        let hints = of(&headers(&[
            ("viewport-width", "500"),
            ("user-agent", "x iPhone y"),
        ]));
        assert_eq!(hints.viewport_width, Some(500.0));
        assert!(hints.phone);
        let both = of(&headers(&[
            ("viewport-width", "500"),
            ("sec-ch-viewport-width", "280"),
            ("sec-ch-dpr", "2"),
        ]));
        assert_eq!((both.viewport_width, both.dpr), (Some(280.0), Some(2.0)));
        let broken = of(&headers(&[("sec-ch-viewport-width", "wide")]));
        assert_eq!(broken, ClientHints::default());
    }
}
