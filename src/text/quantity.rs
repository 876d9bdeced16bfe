//! Numbers and sizes as messages write them.

/// `1,140`.
pub(crate) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// Digits with a comma between each three.
pub(crate) fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `241 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0..MIB => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", count((bytes + MIB / 2) / MIB)),
    }
}
