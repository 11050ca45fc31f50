//! Self-guided training: dense matrices beside the factors of an LRT, with a share that falls to nothing (Wei et al. 2024,
//! arXiv 2406.16450).

use crate::nn::{AdamW, AdamWConfig, Gradients, Guides, NnError, Ops, Params, Tape};

/// Guides, their moments, and how long they are there.
pub(super) struct Guided {
    guides: Guides,
    optimizer: AdamW,
    steps: u64,
}

impl Guided {
    /// Guides for so many steps, from the first, of weights that are trained with these constants.
    pub(super) fn new(guides: Guides, steps: u64, constants: AdamWConfig) -> Result<Self, NnError> {
        let optimizer = AdamW::new(guides.params(), constants, Ops::Fused)?;
        Ok(Self { guides, optimizer, steps })
    }

    /// The share that the guides have in the step after `made` of them.
    pub(super) fn share(&self, made: u64) -> f64 {
        share(made, self.steps)
    }

    /// Whether they have no share any more.
    pub(super) fn is_over(&self, made: u64) -> bool {
        made >= self.steps
    }

    /// The pass of the step after `made` of them, guided.
    pub(super) fn tape(&self, tape: Tape, made: u64) -> Tape {
        tape.guided(&self.guides, self.share(made))
    }

    pub(super) fn params(&self) -> &Params {
        self.guides.params()
    }

    pub(super) fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    pub(super) fn optimizer_mut(&mut self) -> (&mut AdamW, &Params) {
        (&mut self.optimizer, self.guides.params())
    }

    /// Changes the guides by their gradients.
    pub(super) fn step(&mut self, rate: f64, gradients: &Gradients) -> Result<(), NnError> {
        self.optimizer.set_lr(rate);
        self.optimizer.step(self.guides.params(), gradients)
    }
}

/// From 1 by half a cosine to 0 after so many steps: `(1 + cos 2x) / 2` as `cos² x`, which is above 0 before.
fn share(made: u64, steps: u64) -> f64 {
    if made >= steps {
        return 0.0;
    }
    (std::f64::consts::FRAC_PI_2 * (made as f64 / steps as f64)).cos().powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_falls_by_half_a_cosine_from_one_to_nothing() {
        // (1 + cos(pi / 3)) / 2 = 0.75.
        for (made, expected) in [(0, 1.0), (2, 0.75), (3, 0.5), (4, 0.25), (6, 0.0), (7, 0.0), (u64::MAX, 0.0)] {
            assert!((share(made, 6) - expected).abs() < 1e-12, "{made}: {}", share(made, 6));
        }
        // It is above 0 as long as the guides are there.
        for steps in [1_000_000, 10_000_000_000, u64::MAX] {
            assert!(share(steps - 1, steps) > 0.0, "{steps}");
        }
        assert_eq!((share(0, 1), share(1, 1), share(0, 0)), (1.0, 0.0, 0.0));
    }
}
