//! Bounds on what is read, so that no input takes memory or time without end.

/// Most bytes of one item: an abstract has two thousand, a list of 3,000 authors 60,000, and as elements of
/// OAI-PMH, with an affiliation each, some 3 million.
pub const MAX_ITEM_BYTES: usize = 4 << 20;

/// Most bytes of one piece of markup, or of the text between two; it has to be held in memory
/// before an item that is over [`MAX_ITEM_BYTES`] can be skipped.
pub const MAX_PIECE_BYTES: usize = 8 << 20;

/// Most bytes of a JSON document that is not one record a line and has to be read as a whole.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Most bytes of one web page; a page of the catch-up has 2,000 entries, some 8 MiB.
pub const MAX_HTML_BYTES: usize = 32 << 20;

/// Most bytes of one input, unpacked; the snapshot of all papers has 5 GiB.
pub const MAX_INPUT_BYTES: u64 = 64 << 30;

/// Most bytes of one input, unpacked, in which there is no paper: gzip packs 10 GiB of line breaks
/// into 10 MiB. The heads of feeds have a few hundred.
pub const MAX_BARREN_BYTES: u64 = 64 << 20;

/// Most elements inside one another; the deepest form, API Atom, has five.
pub const MAX_XML_LEVELS: usize = 32;
