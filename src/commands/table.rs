//! Tables for people to read.

/// Lines whose columns are as wide as their widest value.
pub(super) fn lines<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Vec<String> {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_column_is_as_wide_as_its_widest_value_and_nothing_stands_behind_the_last() {
        let rows = [["one", "2"], ["three", "four"]].map(|row| row.map(str::to_owned));
        assert_eq!(super::lines(["a", "b"], rows), ["a      b", "one    2", "three  four"]);
    }
}
