//! How inputs are cut into chunks.

/// The bytes of the first line are the lengths of the chunks that the rest is cut into; what remains is the last.
pub(crate) fn chunks(data: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let line = data.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let (lengths, rest) = data.split_at(line);
    let stream = rest.get(1..).unwrap_or_default();
    let (mut left, mut chunks) = (stream, Vec::new());
    for &length in lengths {
        let (chunk, after) = left.split_at(left.len().min(length.into()));
        chunks.push(chunk);
        left = after;
    }
    chunks.push(left);
    (stream, chunks)
}
