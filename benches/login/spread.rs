//! A median and its range.

/// The results of several measurements of the same value.
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `values` must not be empty.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        Self {
            median: f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]),
            min: sorted[0],
            max: sorted[last],
        }
    }
}
