//! The indices and constants by which kernels and host both read buffers. `shaders/shared/constants.wgsl` gets the same
//! names and numbers from here.

/// Defines the constants, and [`ALL`] of them with their names.
macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])*
        // Some are used by kernels alone.
        #[allow(dead_code)]
        pub(crate) const $name: u32 = $value;)*

        /// Names and values.
        pub(crate) const ALL: &[(&str, u32)] = &[$((stringify!($name), $value)),*];
    };
}

constants! {
    /// No class: for a row without a distribution, or for a class that the piece does not have.
    NO_CLASS = u32::MAX;
    /// No row.
    NO_ROW = u32::MAX;

    // Flags: the NaNs and infinities of a row or of a sum of rows.
    HAS_NAN = 1;
    HAS_POS_INF = 2;
    HAS_NEG_INF = 4;
    /// In totals alone: they are in units of 2^`RAISED_BY`.
    RAISED = 8;
    RAISED_BY = 64;

    /// Words of the workspace before the partials. The first one is the divisor.
    HEADER_WORDS = 4;
    /// Words of a partial, and of the result.
    TOTALS_WORDS = 16;
    // Indices of these words.
    LOSS_AT = 0;
    WEIGHT_AT = 1;
    LIVE_AT = 2;
    FLAGS_AT = 3;
    BAD_AT = 4;
    FIRST_BAD_AT = 5;
    /// The first bad label from its low word up; or the bad value, and the operand that has it.
    BAD_VALUE_AT = 6;
    BAD_OPERAND_AT = 7;
    NONFINITE_AT = 8;
    FIRST_NONFINITE_AT = 9;
    Z_LOSS_AT = 10;
    CORRECT_AT = 11;
    TOP_K_AT = 12;
    // In the result alone: loss, weight and z-loss in units of 2^`RAISED_BY`.
    RAISED_LOSS_AT = 13;
    RAISED_WEIGHT_AT = 14;
    RAISED_Z_LOSS_AT = 15;

    // Operands with a value that a loss is not defined for.
    REFUSED_INPUT = 1;
    REFUSED_TARGET = 2;
    REFUSED_VARIANCE = 3;

    /// Words of the sums of a class: the sum of its losses from the low word up.
    CLASS_WORDS = 7;
    CLASS_ROWS_AT = 4;
    CLASS_CORRECT_AT = 5;
    CLASS_FLAGS_AT = 6;
    /// The sum of a class is in units of 2^-`CLASS_UNIT`.
    CLASS_UNIT = 56;
}
