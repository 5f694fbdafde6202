//! Small pictures, made here so that none has to be kept.

/// A GIF of one pixel which carries these bytes as a comment, so that no two need be equal.
pub(crate) fn gif(comment: &[u8]) -> Vec<u8> {
    let mut out = b"GIF89a\x01\0\x01\0\x80\0\0\xc8\x1e\x1e\0\0\0".to_vec();
    out.extend(b"\x21\xfe");
    for piece in comment.chunks(255) {
        out.push(u8::try_from(piece.len()).expect("at most 255"));
        out.extend(piece);
    }
    out.push(0);
    out.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b");
    out
}
