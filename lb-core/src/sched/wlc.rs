//! wlc, weighted least connection (`ip_vs_wlc.c`), the default: the smallest load figure relative
//! to the weight. Loads are compared by cross multiplication in 64 bits, as the kernel does it, and
//! strictly, so ties stay with the first, that is the newest.

use super::Candidates;

/// The place of the destination with the least load for its weight.
pub(super) fn pick(candidates: Candidates<'_>) -> Option<usize> {
    let mut usable = (0..candidates.ids.len()).filter(|&place| candidates.is_usable(place));
    let load = |place: usize| {
        let slot = candidates.slot(place);
        (slot.overhead(), i64::from(slot.weight()))
    };
    let first = usable.next()?;
    let mut best = (first, load(first));
    for place in usable {
        let (overhead, weight) = load(place);
        let (best_overhead, best_weight) = best.1;
        if best_overhead.wrapping_mul(weight) > overhead.wrapping_mul(best_weight) {
            best = (place, (overhead, weight));
        }
    }
    Some(best.0)
}
