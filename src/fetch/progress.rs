//! Who hears how a fetch goes on.

/// Hears how a fetch goes on. Nothing here can stop it.
pub trait Progress {
    /// A source begins to deliver `what`; `total_bytes` where known.
    fn begin(&mut self, what: &str, total_bytes: Option<u64>);
    /// So many more bytes are here; those of an earlier run count too.
    fn advance(&mut self, bytes: u64);
    /// What was begun has ended, well or not.
    fn finish(&mut self);
    /// Something worth a line: a source that failed, a wait.
    fn note(&mut self, text: &str);
}

/// Keeps silent.
impl Progress for () {
    fn begin(&mut self, _: &str, _: Option<u64>) {}
    fn advance(&mut self, _: u64) {}
    fn finish(&mut self) {}
    fn note(&mut self, _: &str) {}
}
