//! Which word was meant.

/// The candidate nearest to a mistyped word, if one is near enough to be meant.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // A word far longer than any candidate cannot be near one; the distance costs its length.
    const WORD_CHARACTERS_MAX: usize = 40;
    let length = word.chars().count();
    if length > WORD_CHARACTERS_MAX {
        return None;
    }
    let limit = (length / 3).max(1);
    candidates
        // The distance is at least the difference of the lengths, and costs far more.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: the least number of insertions, deletions, replacements
/// and swaps of neighbours that make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("ports", "ports", 0),
            ("port", "ports", 1),
            ("prots", "ports", 1),
            ("neighbors", "neighbours", 1),
            ("mtu", "mac", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["ports", "vips", "neighbours"];
        let nearest = |word| nearest(word, words.iter().copied());
        assert_eq!(nearest("Ports"), Some("ports"));
        assert_eq!(nearest("vip"), Some("vips"));
        assert_eq!(nearest("neighbors"), Some("neighbours"));
        assert_eq!(nearest("backends"), None);
        assert_eq!(nearest(&"ports".repeat(1000)), None);
    }
}
