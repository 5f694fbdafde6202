//! Records of IPTC-IIM, which JPEG keeps in a resource of Photoshop's.

const RESOURCES: &[u8] = b"Photoshop 3.0\0";
const RESOURCE: &[u8] = b"8BIM";
/// The number of the resource.
const IPTC: [u8; 2] = [0x04, 0x04];

/// The data set of the notice of copyright, in record 2.
const NOTICE: u8 = 116;

/// The records among the resources of a segment, whose name was taken off.
pub(super) fn in_resources(mut resources: &[u8]) -> Option<&[u8]> {
    loop {
        let rest = resources.strip_prefix(RESOURCE)?;
        let (number, rest) = rest.split_first_chunk::<2>()?;
        // A name with its length before it, and an even number of bytes in all.
        let name = usize::from(*rest.first()?);
        let rest = rest.get((name + 1).next_multiple_of(2)..)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let body = rest.get(..length)?;
        if *number == IPTC {
            return Some(body);
        }
        resources = rest.get(length.checked_next_multiple_of(2)?..)?;
    }
}

/// The body of a segment with nothing but these records.
pub(super) fn segment(records: &[u8]) -> Vec<u8> {
    let length = (records.len() as u32).to_be_bytes();
    let mut segment = [RESOURCES, RESOURCE, &IPTC, &[0, 0], &length, records].concat();
    if records.len() % 2 == 1 {
        segment.push(0);
    }
    segment
}

/// The notices of copyright, and the character set in which they are; `None` if there are none.
pub(super) fn copyright(mut records: &[u8]) -> Option<Vec<u8>> {
    let (mut kept, mut noticed) = (Vec::new(), false);
    while let [0x1c, record, set, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        // Longer ones have the length of their length instead, and are no notices.
        let Some(value) = rest.get(..length) else {
            break;
        };
        let is_notice = (*record, *set) == (2, NOTICE);
        if is_notice || (*record, *set) == (1, 90) {
            kept.extend([0x1c, *record, *set, *high, *low]);
            kept.extend_from_slice(value);
        }
        noticed |= is_notice;
        records = &rest[length..];
    }
    noticed.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_taken_out_of_records() {
        let city = [0x1c, 2, 90, 0, 4, b'R', b'o', b'm', b'e'];
        let utf8 = [0x1c, 1, 90, 0, 3, 0x1b, b'%', b'G'];
        let notice = [0x1c, 2, 116, 0, 2, b'M', b'e'];
        let records = [&utf8[..], &city, &notice].concat();
        assert_eq!(copyright(&records), Some([&utf8[..], &notice].concat()));
        assert_eq!(copyright(&[&utf8[..], &city].concat()), None);
        assert_eq!(copyright(&records[..records.len() - 1]), None);
    }

    #[test]
    fn records_are_found_among_resources_and_written_again() {
        let records = [0x1c, 2, 116, 0, 2, b'M', b'e'];
        let written = segment(&records);
        let resources = written.strip_prefix(RESOURCES).unwrap();
        assert_eq!(in_resources(resources), Some(&records[..]));
        // Another one before it, with a name of its own.
        let other = [b"8BIM\x04\x05\x04name\0\0\0\0\x03abc\0", resources].concat();
        assert_eq!(in_resources(&other), Some(&records[..]));
        for length in 0..resources.len() - 1 {
            assert_eq!(in_resources(&resources[..length]), None);
        }
        assert_eq!(in_resources(b"8BIM\x04\x04\0\0\xff\xff\xff\xff"), None);
    }
}
