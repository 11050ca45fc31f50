//! The largest batch that fits a GPU, found by running steps of it.

/// Part of the free memory that a batch may take: the pool of the driver cannot use every gap.
const USABLE: f64 = 0.95;

/// The largest power of two up to `most` of which a step fits into `free` bytes. `peak_of` runs a step of so many
/// sequences and gives the most bytes that it took, or `None` if they were not there. What it finds has been run; if
/// not even one sequence fits, that is 1.
///
/// # Errors
/// If a step fails in another way.
pub(super) fn largest_that_fits<E>(
    most: usize,
    free: u64,
    mut peak_of: impl FnMut(usize) -> Result<Option<u64>, E>,
) -> Result<usize, E> {
    let free = USABLE * free as f64;
    let Some(first) = peak_of(1)? else { return Ok(1) };
    // Without a second batch, nothing is known of what does not grow with it.
    let (mut smaller, mut fits, mut peak) = ((0, 0.0), 1, first as f64);
    let mut too_many = most.max(1).saturating_add(1);
    loop {
        let each = ((peak - smaller.1) / (fits - smaller.0) as f64).max(1.0);
        let room = (fits as f64 + (free - peak) / each).clamp(1.0, most.max(1) as f64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to the largest batch")]
        let wanted = 1_usize << (room as usize).ilog2();
        let next = if wanted < too_many { wanted } else { too_many / 2 };
        if next <= fits {
            return Ok(fits);
        }
        match peak_of(next)? {
            Some(bytes) if bytes as f64 <= free => (smaller, fits, peak) = ((fits, peak), next, bytes as f64),
            _ => too_many = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step that takes `fixed + each * batch` bytes on a device of `memory`; the batches that were tried.
    fn search(most: usize, memory: u64, (fixed, each): (u64, u64)) -> (usize, Vec<usize>) {
        let mut tried = Vec::new();
        let found = largest_that_fits(most, memory, |batch| {
            tried.push(batch);
            let bytes = fixed + each * batch as u64;
            Ok::<_, ()>((bytes <= memory).then_some(bytes))
        });
        (found.expect("no step fails"), tried)
    }

    #[test]
    fn the_largest_power_of_two_that_fits_is_found_in_few_tries() {
        assert_eq!(search(256, 1000, (0, 3)), (256, vec![1, 256]), "all that were asked for");
        assert_eq!(search(256, 1000, (0, 10)), (64, vec![1, 64]));
        // 950 usable: 256 take 756, and 512 would take 1268. Until two have been run, one looks like 246 each.
        assert_eq!(search(4096, 1000, (244, 2)), (256, vec![1, 2, 256]));
        assert_eq!(search(100, 1000, (0, 1)), (64, vec![1, 64]), "no power of two is 100");
    }

    #[test]
    fn where_one_sequence_does_not_fit_one_is_left_to_fail_as_a_row() {
        assert_eq!(search(64, 10, (0, 11)), (1, vec![1]));
    }

    #[test]
    fn a_batch_that_takes_more_than_it_should_is_halved() {
        // Beyond 8 sequences a workspace appears.
        let memory = |batch: usize| 10 * batch as u64 + if batch > 8 { 900 } else { 0 };
        let found = largest_that_fits(64, 1000, |batch| Ok::<_, ()>((memory(batch) <= 1000).then(|| memory(batch))));
        assert_eq!(found, Ok(8));
    }

    #[test]
    fn a_step_that_fails_ends_the_search() {
        assert_eq!(largest_that_fits(8, 1000, |_| Err("broken")), Err("broken"));
    }
}
