//! The one integration-test binary: an area a module.

mod digest;
mod store;
mod summary;
