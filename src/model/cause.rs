//! Causes of errors in words for people.

use candle_core::Error;

/// `error` without the stack traces that candle puts into messages where `RUST_BACKTRACE` is set.
pub fn cause(error: Error) -> Error {
    match error {
        Error::WithBacktrace { inner, .. } => cause(*inner),
        Error::Context { inner, context } => {
            Error::Context { inner: Box::new(cause(*inner)), context }
        }
        Error::WithPath { inner, path } => Error::WithPath { inner: Box::new(cause(*inner)), path },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_trace_is_left_out_wherever_it_is() {
        let traced = || Error::WithBacktrace {
            inner: Box::new(Error::Msg("odd".into())),
            backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
        };
        assert!(traced().to_string().contains("cause::tests"), "there is one to be left out");
        assert_eq!(cause(traced()).to_string(), "odd");
        assert_eq!(cause(traced().context("here")).to_string(), "here\nodd");
        assert_eq!(cause(traced().with_path("a")).to_string(), "path: \"a\" odd");
    }
}
