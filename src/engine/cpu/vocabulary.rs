//! The matrices of the vocabulary: a row for each token, of which few are used.
//!
//! Gemma's embedding has 262,144 rows, two thirds of the file, and a day of papers needs some
//! thousands of them. They stay in the file, where the operating system keeps those in memory that
//! are asked for again; only what the head scores is packed.

use std::fs::File;
use std::path::PathBuf;

use super::matrix::block_type;
use crate::generate::TokenId;
use crate::kernels::Executor;
use crate::kernels::blocks::{self, BlockType};
use crate::kernels::packed::Packed;
use crate::model::{self, Matrix, Model};
use crate::{Error, Result, error::ErrorKind};

/// A matrix whose rows are read one at a time.
pub struct Rowwise {
    place: Place,
    rows: usize,
    width: usize,
    kind: BlockType,
}

enum Place {
    /// In a file, from a byte on.
    File { file: File, path: PathBuf, first: u64 },
    /// In memory, where files cannot be read at a place.
    Memory(Matrix),
}

impl Rowwise {
    /// Reads rows of `matrix`, from the file of `model` if it is there as it is.
    pub fn new(model: &Model, matrix: &Matrix) -> Result<Rowwise> {
        let place = match model.place_in_file(matrix).filter(|_| cfg!(any(unix, windows))) {
            Some((path, first)) => {
                let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
                Place::File { file, path: path.to_owned(), first }
            }
            None => Place::Memory(matrix.clone()),
        };
        let dims = matrix.shape().dims();
        Ok(Rowwise { place, rows: dims[0], width: dims[1], kind: block_type(matrix.dtype())? })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Dequantizes one row; `bytes` is room for its blocks.
    pub fn read(&self, row: TokenId, bytes: &mut Vec<u8>, out: &mut [f32]) -> Result<()> {
        bytes.clear();
        self.append(row as usize, 1, bytes)?;
        blocks::decode(self.kind, bytes, out);
        Ok(())
    }

    /// Packs all rows.
    pub fn pack_all(&self, exec: &mut Executor) -> Result<Packed> {
        let mut bytes = Vec::new();
        self.append(0, self.rows, &mut bytes)?;
        Ok(Packed::from_blocks(exec, self.kind, &bytes, self.rows, self.width))
    }

    /// Packs the rows that are named in place of what `packed` holds; `bytes` is room for their
    /// blocks.
    pub fn pack(
        &self,
        exec: &mut Executor,
        chosen: &[TokenId],
        bytes: &mut Vec<u8>,
        packed: &mut Packed,
    ) -> Result<()> {
        bytes.clear();
        for row in chosen {
            self.append(*row as usize, 1, bytes)?;
        }
        packed.fill(exec, self.kind, 1, bytes, chosen.len(), self.width);
        Ok(())
    }

    /// Puts the blocks of rows that follow one another behind `bytes`.
    fn append(&self, first_row: usize, rows: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let row_bytes = self.kind.bytes_of(self.width);
        let (offset, length) = (first_row * row_bytes, rows * row_bytes);
        match &self.place {
            Place::File { file, path, first } => {
                let begin = bytes.len();
                bytes.resize(begin + length, 0);
                read_at(file, &mut bytes[begin..], first + offset as u64)
                    .map_err(|cause| Error::io("read", path, cause))
            }
            Place::Memory(matrix) => {
                let data = matrix.data().map_err(|cause| {
                    Error::new(ErrorKind::Model, "cannot read the vocabulary")
                        .because(model::cause(cause))
                })?;
                bytes.extend_from_slice(&data[offset..offset + length]);
                Ok(())
            }
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
