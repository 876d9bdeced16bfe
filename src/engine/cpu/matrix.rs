//! The model's matrices as the kernels take them.

use candle_core::quantized::GgmlDType;

use crate::kernels::Executor;
use crate::kernels::blocks::BlockType;
use crate::kernels::packed::Packed;
use crate::model::{self, Matrix};
use crate::{Error, Result, error::ErrorKind};

/// Packs all rows of a matrix.
pub fn pack(matrix: &Matrix, exec: &mut Executor) -> Result<Packed> {
    let kind = block_type(matrix.dtype())?;
    let dims = matrix.shape().dims();
    let bytes = matrix.data().map_err(|e| {
        Error::new(ErrorKind::Model, "cannot read a matrix").because(model::cause(e))
    })?;
    Ok(Packed::from_blocks(exec, kind, &bytes, dims[0], dims[1]))
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
