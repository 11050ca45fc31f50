//! Which keys a query of attention sees: always a range of them.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

/// Which keys a query sees by its place in the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sight {
    /// All of them.
    #[default]
    All,
    /// Those up to its own, or of these the last `window`.
    Causal {
        /// The most keys that a query sees, its own among them.
        window: Option<usize>,
    },
    /// Its own, and as many before and after it.
    Near {
        /// How many on each side.
        reach: usize,
    },
}

impl Sight {
    /// The keys that query `row` sees of `keys`.
    pub(super) fn keys(self, row: usize, keys: usize) -> Range<usize> {
        match self {
            Self::All => 0..keys,
            Self::Causal { window } => {
                let end = (row + 1).min(keys);
                window.map_or(0, |window| end.saturating_sub(window))..end
            }
            Self::Near { reach } => row.saturating_sub(reach)..row.saturating_add(reach).saturating_add(1).min(keys),
        }
    }
}

/// What the queries of a batch see: by their place, and no key before the first of their document.
#[derive(Debug, Clone)]
pub(super) struct Visible {
    sight: Sight,
    keys: usize,
    /// The first key of each query's document, `(b, t)`.
    starts: Option<Vec<u32>>,
    t: usize,
}

impl Visible {
    /// Checks that there are `(b, t)` starts, and where they can be read without waiting for a GPU that each is no later than its
    /// query: elsewhere they are not known here.
    pub(super) fn new(sight: Sight, starts: Option<&Tensor>, [b, t, keys]: [usize; 3]) -> Result<Self> {
        if let Some(starts) = starts
            && (starts.elem_count() != b * t || t != keys)
        {
            bail!("{} starts of documents for {b} x {t} queries and {keys} keys", starts.elem_count());
        }
        let starts = starts.filter(|starts| starts.device().is_cpu());
        let starts = starts.map(|starts| starts.flatten_all()?.to_vec1::<u32>()).transpose()?;
        let is_late = |(i, start): (usize, &u32)| *start as usize > i % t.max(1);
        if starts.iter().flatten().enumerate().any(is_late) {
            bail!("a document that starts after one of its tokens");
        }
        Ok(Self { sight, keys, starts, t })
    }

    /// The keys that query `row` of sequence `b` sees.
    pub(super) fn of_row(&self, b: usize, row: usize) -> Range<usize> {
        let Range { start, end } = self.sight.keys(row, self.keys);
        let first = self.starts.as_ref().map_or(0, |starts| starts[b * self.t + row] as usize);
        start.max(first)..end
    }

    /// The keys that any of `rows` sees.
    pub(super) fn of_rows(&self, b: usize, rows: Range<usize>) -> Range<usize> {
        let ranges = rows.map(|row| self.of_row(b, row));
        ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_causal_query_sees_its_own_key_and_those_before_it_within_its_window() {
        assert_eq!(Sight::All.keys(2, 5), 0..5);
        assert_eq!(Sight::Causal { window: None }.keys(2, 5), 0..3);
        let window = Sight::Causal { window: Some(2) };
        assert_eq!([0, 1, 4].map(|row| window.keys(row, 5)), [0..1, 0..2, 3..5]);
    }

    #[test]
    fn a_query_that_sees_what_is_near_sees_as_far_to_both_sides() {
        let near = Sight::Near { reach: 2 };
        assert_eq!([0, 2, 4].map(|row| near.keys(row, 5)), [0..3, 0..5, 2..5]);
        assert_eq!(Sight::Near { reach: 0 }.keys(3, 5), 3..4);
        assert_eq!(Sight::Near { reach: usize::MAX }.keys(3, 5), 0..5);
    }

    #[test]
    fn a_query_sees_nothing_before_its_document() {
        let starts = Tensor::new(&[[0u32, 0, 2, 2], [0, 1, 1, 1]], &candle_core::Device::Cpu).expect("a tensor");
        let causal = Sight::Causal { window: Some(3) };
        let visible = Visible::new(causal, Some(&starts), [2, 4, 4]).expect("fits");
        assert_eq!([0, 1, 2, 3].map(|row| visible.of_row(0, row)), [0..1, 0..2, 2..3, 2..4]);
        assert_eq!(visible.of_row(1, 3), 1..4);
        assert_eq!((visible.of_rows(0, 2..4), visible.of_rows(0, 1..4)), (2..4, 0..4));
        assert!(Visible::new(causal, Some(&starts), [2, 4, 5]).is_err());
        let late = Tensor::new(&[[1u32, 0]], &candle_core::Device::Cpu).expect("a tensor");
        assert!(Visible::new(causal, Some(&late), [1, 2, 2]).is_err());
    }
}
