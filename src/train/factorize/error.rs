//! What can go wrong with a factorisation.

use std::path::PathBuf;

use crate::model::HuggingFaceError;
use crate::nn::NnError;
use crate::train::pretrain::PretrainError;

/// Why a checkpoint is not factorised.
#[derive(Debug, thiserror::Error)]
pub enum FactorizeError {
    /// The checkpoint cannot be read, or is of no model that is built here.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// Its description cannot be understood.
    #[error(transparent)]
    Config(#[from] HuggingFaceError),
    /// The text that it is tried on cannot be read.
    #[error(transparent)]
    Text(#[from] PretrainError),
    /// Its hidden states are no numbers.
    #[error("the model reads the text to values that are not finite")]
    NotRead,
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
    /// Whitening goes by what linears are given.
    #[error("`--solver whitened` needs a text\nhint: `--calibrate FILE` gives one such as the model is to read")]
    Uncalibrated,
    /// The program's model is as costly as the checkpoint's, but not the same.
    #[error("`--calibrate` cannot read texts with this model: {reason}\nhint: `--solver svd` does without a text")]
    ComputedOtherwise {
        /// What differs.
        reason: String,
    },
    /// What is drawn does not depend on a text.
    #[error("`--calibrate` says nothing of factors that are drawn\nhint: give it with `--solver whitened` or `svd`")]
    CalibrationOfDraws,
    /// The text is none.
    #[error("`{}` is no text: byte {at} is not UTF-8\nhint: `--calibrate` reads plain text, saved as UTF-8", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        at: usize,
    },
    /// The checkpoint has no tokenizer.
    #[error("there is no `{}`\nhint: `--calibrate` makes tokens by it, and `save_pretrained` of the tokenizer writes it", path.display())]
    NoTokenizer {
        /// Where it is looked for.
        path: PathBuf,
    },
    /// The tokenizer cannot be used.
    #[error("`{}` is no tokenizer for `--calibrate`: {reason}\nhint: `save_pretrained` of a fast tokenizer writes one", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Fewer tokens than inputs leave directions of which nothing is known.
    #[error(
        "{tokens} tokens were read of `{}`: at least {least} are needed, as many as `{widest}` has inputs\n\
         hint: give a longer text, or a larger `--calibrate-tokens`",
        text.display()
    )]
    FewTokens {
        /// The file.
        text: PathBuf,
        /// How many it gave.
        tokens: usize,
        /// How many are needed.
        least: usize,
        /// The linear with most inputs.
        widest: String,
    },
    /// The tokenizer is of another model.
    #[error(
        "`{}` makes the token {id}, and the embedding has {rows} rows, 0 to {}\nhint: take the tokenizer of this checkpoint",
        path.display(),
        rows.saturating_sub(1)
    )]
    Vocabulary {
        /// The tokenizer.
        path: PathBuf,
        /// The largest token of the text.
        id: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// The model computes no numbers on the text.
    #[error(
        "the inputs of `{name}` have values that are not finite\nhint: weights of the model are no numbers, or too large for it"
    )]
    InputsNotFinite {
        /// The linear.
        name: String,
    },
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
