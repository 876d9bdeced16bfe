//! The integration tests, one binary: each module goes in through the library's public doors.

mod feed;
