//! Whether a sequence fits into the context that an engine was made for.

use crate::error::{Error, ErrorKind, Result};
use crate::generate::TokenId;

/// Refuses `tokens`, which are read as one sequence, where they are more than `max_context`.
///
/// # Errors
/// [`ErrorKind::Usage`] with both numbers.
pub(super) fn check(tokens: &[TokenId], max_context: usize) -> Result<()> {
    if tokens.len() > max_context {
        let message = format!("{} tokens in a context of {max_context}", tokens.len());
        return Err(Error::new(ErrorKind::Usage, message).hint("take a shorter prompt"));
    }
    Ok(())
}
