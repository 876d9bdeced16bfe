//! Memory for keys and values: large, zeroed, and on huge pages where the system has them.
//!
//! Decoding reads hundreds of megabytes a step. With pages of 4 KiB every one of them is looked
//! up anew and the processor's own prefetching ends at its end; with 2 MiB it is one in five
//! hundred. The operating system hands memory out when it is first written, so a bound that is
//! never reached costs nothing.

use memmap2::MmapMut;

/// Zeros at first, at an address that is a multiple of the system's page size.
#[derive(Debug)]
pub(super) struct Memory {
    map: MmapMut,
    length: usize,
}

impl Memory {
    /// Room for `length` values.
    ///
    /// # Panics
    /// When the system refuses, as an allocator would.
    pub fn zeroed(length: usize) -> Memory {
        let bytes = length.checked_mul(size_of::<u16>()).expect("values fit the address space");
        let map = MmapMut::map_anon(bytes.max(1));
        let map = map.unwrap_or_else(|cause| panic!("no memory for {bytes} bytes: {cause}"));
        // Without huge pages everything works, only slower.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Memory { map, length }
    }

    /// Whether the system has room for `length` values: it is asked, and given them back.
    pub fn check_room(length: usize) -> std::io::Result<()> {
        let bytes =
            length.checked_mul(size_of::<u16>()).filter(|bytes| *bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or(std::io::ErrorKind::OutOfMemory)?;
        MmapMut::map_anon(bytes.max(1)).map(drop)
    }

    /// All values.
    pub fn values(&self) -> &[u16] {
        // SAFETY: the map has at least this many bytes, which are initialised, begin at a page,
        // and are borrowed as long as the slice.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.length) }
    }

    /// All values, to be written.
    pub fn values_mut(&mut self) -> &mut [u16] {
        // SAFETY: as in `values`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_no_system_has_is_told() {
        assert!(Memory::check_room(3 << 20).is_ok());
        assert!(Memory::check_room(usize::MAX).is_err());
        assert!(Memory::check_room(isize::MAX as usize / 2).is_err());
    }

    #[test]
    fn memory_is_zeroed_aligned_and_keeps_what_is_written() {
        for length in [0, 1, 4096, 3 << 20] {
            let mut memory = Memory::zeroed(length);
            assert!(memory.values().iter().all(|value| *value == 0));
            assert_eq!(memory.values().as_ptr().align_offset(64), 0);
            memory.values_mut().fill(7);
            assert_eq!(memory.values(), vec![7; length]);
        }
    }
}
