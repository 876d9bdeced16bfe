//! SHA-256 in hexadecimal: of texts, of files, and of what is put together piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

const BUFFER_BYTES: usize = 1 << 20;

/// A hash in the making.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes in all that is left of `reader`, telling `progress` of every piece; answers with the
    /// number of bytes.
    pub fn update_from(
        &mut self,
        reader: &mut impl Read,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<u64> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut total = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    total += count as u64;
                    progress(count as u64);
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    }

    /// The hash of everything taken in.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The bytes of the hash of `bytes`.
pub fn digest(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The first 64 bits of the hash of `bytes`.
pub fn first_u64(bytes: impl AsRef<[u8]>) -> u64 {
    u64::from_be_bytes(*digest(bytes).first_chunk().expect("a hash has 32 bytes"))
}

/// The hash of `bytes`.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let mut hasher = Hasher::default();
    hasher.update(bytes.as_ref());
    hasher.finish()
}

/// The hash of a file's content; `progress` hears how many bytes were read.
pub fn sha256_of_file(path: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<String> {
    let mut hasher = Hasher::default();
    hasher.update_from(&mut File::open(path)?, progress)?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_examples_of_the_standard() {
        // FIPS 180-4, examples of the algorithm's publication.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc"), abc);
        let mut pieces = Hasher::default();
        pieces.update(b"a");
        let mut told = 0;
        assert_eq!(pieces.update_from(&mut &b"bc"[..], &mut |bytes| told += bytes).unwrap(), 2);
        assert_eq!((pieces.finish().as_str(), told), (abc, 2));
    }
}
