//! Writing a GGUF file: a header, and tensors one after another.

use std::io::Write;

use candle_core::quantized::GgmlDType;

use super::types;
use crate::{Error, Result, error::ErrorKind};

/// The metadata of a file to be written, as bytes of the format.
#[derive(Debug)]
pub struct Entries {
    /// How many there are.
    pub count: u64,
    /// Keys and values.
    pub bytes: Vec<u8>,
}

/// A tensor to be written.
#[derive(Debug)]
pub struct Outline {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: GgmlDType,
    /// Its dimensions, the one that lies together in memory last.
    pub shape: Vec<usize>,
}

impl Entries {
    /// Adds a key that is true.
    pub fn add_true(&mut self, key: &str) {
        const BOOL: u32 = 7;
        put_text(&mut self.bytes, key);
        self.bytes.extend(BOOL.to_le_bytes());
        self.bytes.push(1);
        self.count += 1;
    }
}

impl Outline {
    fn size(&self) -> u64 {
        let values: usize = self.shape.iter().product();
        (values / self.kind.block_size() * self.kind.type_size()) as u64
    }
}

/// Writes a file. Tensors begin at multiples of `alignment`; `data` gives the bytes of each when its
/// turn comes, so that no two have to be in memory at a time.
///
/// # Errors
/// Those of `data`; [`ErrorKind::Model`] where it gives another number of bytes than the outline
/// takes, or a type cannot be written; `failed` makes one of what `out` cannot take.
pub fn write(
    out: &mut impl Write,
    version: u32,
    entries: &Entries,
    alignment: u64,
    tensors: &[Outline],
    mut data: impl FnMut(&str) -> Result<Vec<u8>>,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<()> {
    let mut header = b"GGUF".to_vec();
    header.extend(version.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend(entries.count.to_le_bytes());
    header.extend(&entries.bytes);
    let mut offset: u64 = 0;
    for tensor in tensors {
        let Outline { name, kind, shape } = tensor;
        let number = types::number_of(*kind)
            .ok_or_else(|| wrong(name, "has a type that cannot be written"))?;
        put_text(&mut header, name);
        header.extend((shape.len() as u32).to_le_bytes());
        for dimension in shape.iter().rev() {
            header.extend((*dimension as u64).to_le_bytes());
        }
        header.extend(number.to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset = (offset + tensor.size()).next_multiple_of(alignment);
    }
    let padding = |size: u64| vec![0; (size.next_multiple_of(alignment) - size) as usize];
    header.extend(padding(header.len() as u64));
    out.write_all(&header).map_err(&failed)?;
    for tensor in tensors {
        let bytes = data(&tensor.name)?;
        if bytes.len() as u64 != tensor.size() {
            return Err(wrong(&tensor.name, "has another size than its shape"));
        }
        out.write_all(&bytes).map_err(&failed)?;
        out.write_all(&padding(bytes.len() as u64)).map_err(&failed)?;
    }
    Ok(())
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Model, format!("tensor {name} {what}"))
}
