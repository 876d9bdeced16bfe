//! The types of tensors that GGUF numbers: what they are called, and how many bytes they take.
//!
//! Numbers and names are those of ggml's `ggml.h` (`enum ggml_type`), blocks those of its
//! `ggml-common.h`. Types that ggml took back have a name and no size: files with them are from
//! before, and no program reads them.

/// Number and name of a type, values in a block of it, and bytes of that.
type Known = (u32, &'static str, u64, u64);

const KNOWN: [Known; 40] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (4, "Q4_2", 0, 0),
    (5, "Q4_3", 0, 0),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (31, "Q4_0_4_4", 0, 0),
    (32, "Q4_0_4_8", 0, 0),
    (33, "Q4_0_8_8", 0, 0),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (36, "IQ4_NL_4_4", 0, 0),
    (37, "IQ4_NL_4_8", 0, 0),
    (38, "IQ4_NL_8_8", 0, 0),
    (39, "MXFP4", 32, 17),
];

fn find(number: u32) -> Option<&'static Known> {
    KNOWN.iter().find(|(known, ..)| *known == number)
}

/// What the type of this number is called, if ggml had it when this program was made.
pub fn type_name(number: u32) -> Option<&'static str> {
    find(number).map(|(_, name, ..)| *name)
}

/// Values in a block of the type of this number, and bytes of a block, where that is known.
pub fn block(number: u32) -> Option<(u64, u64)> {
    find(number).map(|(.., values, bytes)| (*values, *bytes)).filter(|(values, _)| *values > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_place_and_every_name_is_another() {
        let numbers: Vec<u32> = KNOWN.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>());
        let mut names: Vec<&str> = KNOWN.iter().map(|(_, name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len());
    }

    #[test]
    fn types_have_the_names_and_sizes_that_ggml_gives_them() {
        assert_eq!((type_name(20), block(20)), (Some("IQ4_NL"), Some((32, 18))));
        assert_eq!((type_name(12), block(12)), (Some("Q4_K"), Some((256, 144))));
        assert_eq!((type_name(31), block(31)), (Some("Q4_0_4_4"), None));
        assert_eq!((type_name(99), block(99)), (None, None));
    }
}
