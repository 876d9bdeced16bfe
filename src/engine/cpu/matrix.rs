//! The model's matrices as the kernels take them.

use candle_core::quantized::GgmlDType;

use crate::kernels::Executor;
use crate::kernels::blocks::{self, BlockType};
use crate::kernels::packed::{self, Packed};
use crate::model::{self, Matrix};
use crate::{Error, Result, error::ErrorKind};

/// Packs all rows of matrices that are multiplied with the same inputs, in groups that suit them all.
pub fn pack<const N: usize>(matrices: [&Matrix; N], exec: &mut Executor) -> Result<[Packed; N]> {
    let mut read = Vec::with_capacity(N);
    for matrix in matrices {
        let bytes = matrix.data().map_err(|e| {
            Error::new(ErrorKind::Model, "cannot read a matrix").because(model::cause(e))
        })?;
        let (outputs, inputs) = shape(matrix)?;
        read.push((block_type(matrix.dtype())?, bytes, outputs, inputs));
    }
    let groups = read.iter().map(|(kind, bytes, _, inputs)| blocks::group(*kind, bytes, *inputs));
    let group = groups.min().unwrap_or(1);
    Ok(std::array::from_fn(|i| {
        let (kind, bytes, outputs, inputs) = &read[i];
        Packed::from_groups(exec, *kind, group, bytes, *outputs, *inputs)
    }))
}

/// Bytes that `outputs` rows of `matrix` take at most once they are packed.
pub fn packed_bytes(matrix: &Matrix, outputs: usize) -> Result<u64> {
    let (_, inputs) = shape(matrix)?;
    Ok(packed::most_bytes(block_type(matrix.dtype())?, outputs, inputs))
}

/// Outputs and inputs.
pub fn shape(matrix: &Matrix) -> Result<(usize, usize)> {
    match matrix.shape().dims() {
        &[outputs, inputs] => Ok((outputs, inputs)),
        _ => Err(unfit(format!("a matrix of {:?}", matrix.shape()))),
    }
}

pub fn block_type(dtype: GgmlDType) -> Result<BlockType> {
    Ok(match dtype {
        GgmlDType::F32 => BlockType::F32,
        GgmlDType::F16 => BlockType::F16,
        GgmlDType::BF16 => BlockType::BF16,
        GgmlDType::Q4_0 => BlockType::Q4_0,
        GgmlDType::Q4_1 => BlockType::Q4_1,
        GgmlDType::Q5_0 => BlockType::Q5_0,
        GgmlDType::Q5_1 => BlockType::Q5_1,
        GgmlDType::Q8_0 => BlockType::Q8_0,
        GgmlDType::Q2K => BlockType::Q2K,
        GgmlDType::Q3K => BlockType::Q3K,
        GgmlDType::Q4K => BlockType::Q4K,
        GgmlDType::Q5K => BlockType::Q5K,
        GgmlDType::Q6K => BlockType::Q6K,
        other => return Err(unfit(format!("block type {other:?} is not supported"))),
    })
}

/// The model has a shape or type that the kernels do not take.
pub fn unfit(message: String) -> Error {
    Error::new(ErrorKind::Model, message).hint("use `--engine candle` for this model")
}
