//! The one integration-test binary: a module an area.

mod tokens;
