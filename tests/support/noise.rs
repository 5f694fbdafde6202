//! Pictures which compress badly.

/// A gray PNG of 64 levels, without compression.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let mut rows = Vec::new();
    for _ in 0..height {
        // The first byte of a row names its filter: none.
        rows.extend((0..=width).map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at == 0 { 0 } else { 96 + (state >> 26) as u8 }
        }));
    }
    let mut deflated = vec![0x78, 0x01];
    let mut blocks = rows.chunks(65_535).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        deflated.push(u8::from(blocks.peek().is_none()));
        deflated.extend(length.to_le_bytes());
        deflated.extend((!length).to_le_bytes());
        deflated.extend(block);
    }
    let (low, high) = rows.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    deflated.extend((high << 16 | low).to_be_bytes());

    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[8, 0, 0, 0, 0],
    ]
    .concat();
    for (kind, body) in [
        (b"IHDR", header),
        (b"IDAT", deflated),
        (b"IEND", Vec::new()),
    ] {
        let tagged = [&kind[..], &body].concat();
        let crc = tagged.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        });
        png.extend((body.len() as u32).to_be_bytes());
        png.extend(tagged);
        png.extend((!crc).to_be_bytes());
    }
    png
}
