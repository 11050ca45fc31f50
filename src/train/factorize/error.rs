//! What can go wrong with a factorisation.

use std::path::PathBuf;

use crate::model::HuggingFaceError;
use crate::nn::NnError;

/// Why a checkpoint is not factorised.
#[derive(Debug, thiserror::Error)]
pub enum FactorizeError {
    /// The checkpoint cannot be read, or is of no model that is built here.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// Its description cannot be understood.
    #[error(transparent)]
    Config(#[from] HuggingFaceError),
    /// It has no description.
    #[error("there is no `config.json` beside the weights of `{}`\nhint: it says which model they are of", path.display())]
    NoConfig {
        /// The checkpoint.
        path: PathBuf,
    },
    /// It was factorised before.
    #[error("`{}` is factorised already\nhint: give the dense checkpoint", path.display())]
    Already {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A linear has a number type that is not read.
    #[error("`{name}` is of {dtype}: expected F32, BF16, F16 or F64")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its number type.
        dtype: String,
    },
    /// A weight is no number.
    #[error("`{name}` has a value that is not finite")]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// The iteration did not converge.
    #[error("the singular values of `{name}` were not found\nhint: leave it as it is with `--skip`")]
    NoDecomposition {
        /// The linear.
        name: String,
    },
    /// A pattern is none.
    #[error("`{pattern}` is no regular expression: {reason}")]
    Pattern {
        /// What was typed.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// No linear has a name that is asked for.
    #[error("no linear is left to factorise\nhint: `--only` and `--skip` look for a part of names such as `{example}`")]
    NothingChosen {
        /// A name.
        example: String,
    },
    /// Rank 1 everywhere would keep more.
    #[error("`--keep {share}` is less than rank 1 in every linear, which keeps {least:.4} of the weights")]
    TooLittle {
        /// What was asked for.
        share: f64,
        /// The least that can be kept.
        least: f64,
    },
    /// What is drawn has no error to hold to.
    #[error("`--error` says nothing of factors that are drawn\nhint: give `--rank` or `--keep` with `--solver random`")]
    ErrorOfDraws,
    /// The result cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The result makes no safetensors file.
    #[error("the factors make no safetensors file: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
}
