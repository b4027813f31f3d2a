//! Lists of numbers as the kernel writes them: `0-3,8`.

/// Reads one. What is no number is left out.
pub(super) fn read(text: &str) -> Vec<usize> {
    /// More CPUs than any kernel has.
    const MAX: usize = 1 << 16;
    let ranges = text.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<usize>().ok()?);
        Some(first..=last.min(MAX))
    });
    ranges.flatten().collect()
}

/// Writes ascending numbers.
pub fn show(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|low, high| low + 1 == *high).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(usize::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        assert_eq!(read("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(read("\n"), [0; 0]);
        assert_eq!(read("a-b,7,9-8,4"), [7, 4]);
        assert_eq!(show(&[0, 1, 2, 3, 8]), "0-3,8");
        assert_eq!(show(&[]), "");
    }
}
