//! The time of day as text, which is made once a second and not once for each answer.

use std::cell::RefCell;

use model::Timestamp;

/// The texts of one second.
#[derive(Clone)]
struct Second {
    number: i64,
    date: String,
    /// RFC 3339, up to the seconds.
    moment: String,
}

thread_local! {
    static LATEST: RefCell<Second> = const {
        RefCell::new(Second { number: i64::MIN, date: String::new(), moment: String::new() })
    };
}

/// Appends the date of an answer (RFC 9110, section 6.6.1).
pub(super) fn write_date(text: &mut Vec<u8>) {
    with(Timestamp::now(), |second| {
        text.extend_from_slice(second.date.as_bytes());
    });
}

/// Appends a moment as RFC 3339 has it, with microseconds.
pub(super) fn write_moment(text: &mut Vec<u8>, moment: Timestamp) {
    with(moment, |second| {
        text.extend_from_slice(second.moment.as_bytes());
    });
    let mut micros = moment.micros().rem_euclid(1_000_000);
    let mut fraction = *b".000000Z";
    for digit in fraction[1..7].iter_mut().rev() {
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    text.extend_from_slice(&fraction);
}

fn with(moment: Timestamp, write: impl FnOnce(&Second)) {
    LATEST.with_borrow_mut(|latest| {
        let number = moment.seconds();
        if latest.number != number {
            let nanos = Timestamp::from_seconds(number).to_nanos_text();
            *latest = Second {
                number,
                date: moment.to_http_date(),
                moment: nanos.split('.').next().unwrap_or_default().to_owned(),
            };
        }
        write(latest);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_to_the_microsecond() {
        for micros in [0, 1, 999_999, 1_000_000, 1_795_818_123_045_600, -1] {
            let moment = Timestamp::from_micros(micros);
            let mut text = Vec::new();
            write_moment(&mut text, moment);
            let nanos = moment.to_nanos_text();
            let expected = nanos.strip_suffix("000Z").unwrap().to_owned() + "Z";
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}
