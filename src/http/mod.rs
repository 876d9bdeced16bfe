//! HTTP as this program speaks it: a request, its answer piece by piece, and bounds for both.
//!
//! A request runs in a thread of its own and hands over what arrives. Whoever waits for it can
//! therefore tell the user after some seconds that a server is silent, whatever it is silent at
//! (its name, the connection, the head of the answer, its body), and give it up after some more.
//! Every connection serves one request: one that is kept may have been closed by the server when
//! the next request comes, and here requests are few and answers long. Trying again is in
//! [`Tries`], why an exchange failed in [`Failure`], and what may be repeated of foreign texts in
//! [`shown_text`], [`shown_address`] and [`without_secrets`].

mod exchange;
mod failure;
mod limits;
mod shown;
mod tries;

pub use exchange::{Answer, Client, Request};
pub use failure::{Failure, FailureKind};
pub use limits::Limits;
pub use shown::{escaped, shown_address, shown_text, without_secrets};
pub use tries::Tries;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All characters but those that an address may have anywhere (RFC 3986, 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as a part of an address: what means something there is written as `%20`.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, &RESERVED).to_string()
}
