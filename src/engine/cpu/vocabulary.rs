//! The matrices of the vocabulary: a row for each token, of which few are used.
//!
//! Gemma's embedding has 262,144 rows, two thirds of the file, and a day of papers needs some
//! thousands of them. They stay in the file, where the operating system keeps those in memory that
//! are asked for again; only what the head scores is packed.

use std::borrow::Cow;
use std::fs::File;
use std::path::PathBuf;

use super::decoder::block_type;
use crate::generate::TokenId;
use crate::kernels::Pool;
use crate::kernels::blocks::{self, BlockType};
use crate::kernels::packed::Packed;
use crate::model::{Matrix, Model};
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
        let place = match model.place_in_file(matrix).filter(|_| cfg!(unix)) {
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

    /// Dequantizes one row.
    pub fn read(&self, row: TokenId, out: &mut [f32]) -> Result<()> {
        blocks::decode(self.kind, &self.bytes(row as usize, 1)?, out);
        Ok(())
    }

    /// Packs the rows that are named, or all.
    pub fn pack(&self, pool: &mut Pool, chosen: Option<&[TokenId]>) -> Result<Packed> {
        let (bytes, rows) = match chosen {
            None => (self.bytes(0, self.rows)?, self.rows),
            Some(chosen) => {
                let mut bytes = Vec::with_capacity(chosen.len() * self.kind.bytes_of(self.width));
                for row in chosen {
                    bytes.extend_from_slice(&self.bytes(*row as usize, 1)?);
                }
                (bytes.into(), chosen.len())
            }
        };
        Ok(Packed::from_blocks(pool, self.kind, &bytes, rows, self.width))
    }

    /// The blocks of rows that follow one another.
    fn bytes(&self, first_row: usize, rows: usize) -> Result<Cow<'_, [u8]>> {
        let row_bytes = self.kind.bytes_of(self.width);
        match &self.place {
            Place::File { file, path, first } => {
                let mut bytes = vec![0; rows * row_bytes];
                read_at(file, &mut bytes, first + (first_row * row_bytes) as u64)
                    .map_err(|cause| Error::io("read", path, cause))?;
                Ok(bytes.into())
            }
            Place::Memory(matrix) => {
                let data = matrix.data().map_err(|cause| {
                    Error::new(ErrorKind::Model, "cannot read the vocabulary").because(cause)
                })?;
                let range = first_row * row_bytes..(first_row + rows) * row_bytes;
                Ok(match data {
                    Cow::Borrowed(data) => Cow::Borrowed(&data[range]),
                    Cow::Owned(data) => Cow::Owned(data[range].to_vec()),
                })
            }
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
