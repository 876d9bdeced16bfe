//! The one integration-test binary; a file an area.

mod fetch;
