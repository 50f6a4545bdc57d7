//! The 128-bit content hash of checkpoints: XXH3-128.
//!
//! It guards against damage and names contents; it is no protection against forgery.

use twox_hash::XxHash3_128;

/// A content hash.
pub(crate) type Digest = [u8; 16];

/// The content hash of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    XxHash3_128::oneshot(bytes).to_be_bytes()
}

/// A digest as 32 lower-case hexadecimal digits: the name of a file with that content.
pub(crate) fn hex(digest: &Digest) -> String {
    format!("{:032x}", u128::from_be_bytes(*digest))
}

/// The digest behind [`hex`], if it is written just so.
pub(crate) fn parse(text: &str) -> Option<Digest> {
    let digest = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
    (hex(&digest) == text).then_some(digest)
}

/// The content hash of what comes in pieces.
#[derive(Default)]
pub(crate) struct Stream(XxHash3_128);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.digest()))
    }
}

impl Stream {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub fn digest(&self) -> Digest {
        self.0.finish_128().to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_xxh3_with_its_highest_digits_first() {
        // The published hash of nothing.
        assert_eq!(hex(&digest(b"")), "99aa06d3014798d86001c324468d497f");
        let bytes: Vec<u8> = (0..1000).map(|i| (i % 251) as u8).collect();
        let mut stream = Stream::default();
        bytes.chunks(7).for_each(|piece| stream.add(piece));
        assert_eq!(stream.digest(), digest(&bytes));
        assert_eq!(parse(&hex(&digest(&bytes))), Some(digest(&bytes)));
        assert_eq!((parse("AB"), parse("")), (None, None));
    }
}
