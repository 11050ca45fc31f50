//! What can go wrong with a comparison of trainings.

use std::path::PathBuf;

use crate::train::pretrain::PretrainError;

/// Why architectures are not compared.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    /// A training failed.
    #[error(transparent)]
    Pretrain(#[from] PretrainError),
    /// There is nothing to compare.
    #[error(
        "`--arch {arch}` alone is no comparison\nhint: `--arch dense --arch lrt:rank=64`; `greenformers train` trains one"
    )]
    OneArch {
        /// The one.
        arch: String,
    },
    /// Nothing to compare with.
    #[error("architectures are compared with dense, and it is not among them\nhint: add `--arch dense`")]
    NoDense,
    /// An architecture would be compared with itself.
    #[error("`--arch {arch}` is given twice\nhint: another seed of it is another run: `--seeds N`")]
    Twice {
        /// Which.
        arch: String,
    },
    /// An option for factors, and none to be trained.
    #[error(
        "`{option}` is for the factors of lrt, and no `--arch` has any\nhint: `--arch lrt:rank=64`, or leave it out"
    )]
    NoFactors {
        /// The option.
        option: &'static str,
    },
    /// There is no seed.
    #[error("no seed, no training\nhint: `--seeds 3`")]
    NoSeeds,
    /// There is nothing to resume.
    #[error("`{}` has no comparison to go on with\nhint: leave `--resume` out to begin one", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// The trainings do not fit together, which cannot be compared.
    #[error("the trainings in `{}` have no evaluations to compare\nhint: another `-o` begins anew", path.display())]
    Incomparable {
        /// The folder.
        path: PathBuf,
    },
}
