//! What can go wrong with a training.

use std::path::PathBuf;

use super::init::Init;
use crate::files::{FileError, LockError};
use crate::machine::signal_name;
use crate::model::{ArchError, HuggingFaceError};
use crate::nn::NnError;

/// Why a model is not trained, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// The model cannot be built or run.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// The architecture does not fit the model.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// Its description cannot be understood.
    #[error(transparent)]
    Config(#[from] HuggingFaceError),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process writes into the folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The model is computed otherwise.
    #[error(
        "the model is not trained as transformers would: {reason}\nhint: the workloads of `greenformers catalog list` have no such thing"
    )]
    ComputedOtherwise {
        /// What differs.
        reason: String,
    },
    /// It was asked to stop, and has written a checkpoint.
    #[error(
        "stopped by {} after step {step}, of which `{}` has a checkpoint\nhint: the same command with `--resume` goes on",
        signal_name(*signal), path.display()
    )]
    Stopped {
        /// The signal that asked.
        signal: i32,
        /// Steps that were made.
        step: u64,
        /// The folder.
        path: PathBuf,
    },
    /// Nothing says when it is over.
    #[error("nothing says when the training ends\nhint: `--steps 1000`, `--max-time 10m` or `--until-loss 3.5`")]
    NoEnd,
    /// Joules are to end it, and are not known.
    #[error("`--max-joules` needs a meter or a model of every part, and there is none of {}\nhint: `--max-time` ends it by the clock", parts.join("; "))]
    NoJoules {
        /// The parts without one, and why.
        parts: Vec<String>,
    },
    /// LoRA trains beside weights that are there.
    #[error(
        "`{arch}` trains beside the weights of a model that is trained already, and here all weights are drawn: expected dense, lrt or \
         linformer\nhint: `--from DIR` begins with the weights of a checkpoint"
    )]
    Lora {
        /// What was typed.
        arch: String,
    },
    /// Weights in four bits are estimated, and not computed.
    #[error(
        "`{arch}` keeps the weights in 4 bits, which are not computed here: expected lora\nhint: `greenformers estimate --arch {arch}` says what it would take"
    )]
    Quantised {
        /// What was typed.
        arch: String,
    },
    /// A checkpoint has no such weights.
    #[error(
        "`{arch}` has other weights than the checkpoint of `--from`: expected dense or lora\nhint: `greenformers factorize` puts low-rank \
         factors in the place of its linears, and `--from` what that wrote goes on with these"
    )]
    OtherArch {
        /// What was typed.
        arch: String,
    },
    /// A beginning of factors, and no factors.
    #[error(
        "`{arch}` has no factors that `--init {init}` could begin: expected lrt\nhint: `--arch lrt:rank=64`, or leave `--init` out"
    )]
    NoFactors {
        /// What was typed.
        arch: String,
        /// How it was to begin.
        init: Init,
    },
    /// A guide of factors, and no factors.
    #[error(
        "`{arch}` has no factors that `--guided` could guide: expected lrt\nhint: `--arch lrt:rank=64`, or leave `--guided` out"
    )]
    NothingToGuide {
        /// What was typed.
        arch: String,
    },
    /// A guide for half of the steps, of which nobody knows how many there are.
    #[error(
        "`--guided` guides the first half of the steps: expected to know of 2 steps at least\n\
         hint: `--steps 1000`; `--decay-steps 1000` where something else ends the training"
    )]
    NoStepsToGuide,
    /// A decomposition did not converge.
    #[error("no singular values are found of `{name}`\nhint: `--init normal`, or another `--seed`")]
    NoSingularValues {
        /// Which linear.
        name: String,
    },
    /// No text is there.
    #[error("`{}` has no text: expected a file, or a folder with .txt or .md files", path.display())]
    NoTexts {
        /// The folder.
        path: PathBuf,
    },
    /// A file is no text.
    #[error(
        "`{}` is no text in UTF-8: byte {at} is none of it\nhint: `iconv -t utf-8` converts from another encoding",
        path.display()
    )]
    NoText {
        /// The file.
        path: PathBuf,
        /// The first byte that is none.
        at: usize,
    },
    /// There is too little of it.
    #[error(
        "the text has {tokens} tokens: sequences of {seq_len} need about {least}, for two of them to be held out\n\
         hint: give more text, or a smaller `--seq-len`"
    )]
    TooShort {
        /// What there is.
        tokens: usize,
        /// Tokens of a sequence.
        seq_len: usize,
        /// What is needed.
        least: usize,
    },
    /// A text from which nothing is learned is too short.
    #[error("the text has {tokens} tokens: two sequences of {seq_len} need {least}\nhint: give more text")]
    TooShortToRead {
        /// What there is.
        tokens: usize,
        /// Tokens of a sequence.
        seq_len: usize,
        /// What is needed.
        least: usize,
    },
    /// A tokenizer is none.
    #[error("`{}` is no tokenizer: {reason}\nhint: `save_pretrained` of transformers writes a `tokenizer.json`", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A tokenizer could not be trained on the text.
    #[error("no vocabulary was found in the text: {0}")]
    NoVocabulary(String),
    /// Its ids are beyond the table of the model.
    #[error(
        "the tokenizer has ids up to {most}, and the model has a `vocab_size` of {vocab_size}\nhint: give the tokenizer of this model, \
         or a `config.json` with `\"vocab_size\": {}`", most + 1
    )]
    Vocabulary {
        /// The largest id.
        most: usize,
        /// Rows of the table.
        vocab_size: usize,
    },
    /// The vocabulary has no room for all bytes.
    #[error(
        "a vocabulary of {vocab}: each byte has a token, and with special ones that is {least} at least\nhint: `--vocab {least}`"
    )]
    SmallVocabulary {
        /// What was asked for.
        vocab: usize,
        /// What is needed.
        least: usize,
    },
    /// An encoder learns to fill in what is masked.
    #[error(
        "the tokenizer has no `[MASK]` and no `<mask>`, which an encoder learns to fill in\nhint: leave `--tokenizer` out, and one is trained"
    )]
    NoMask,
    /// Sequences have no room.
    #[error("`--seq-len {seq_len}`: expected {least} at least, so that there is something to learn")]
    SeqLen {
        /// What was given.
        seq_len: usize,
        /// What is needed.
        least: usize,
    },
    /// A workload has no description that others read.
    #[error(
        "`{name}` has no description that transformers would read\nhint: give the `config.json` of the model with `--workload`"
    )]
    NoDescription {
        /// The workload.
        name: String,
    },
    /// The output is there.
    #[error("`{}` is there already\nhint: `--resume` goes on with it; another `-o` begins anew", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing to resume.
    #[error("`{}` has no training to go on with: {reason}\nhint: leave `--resume` out to begin one", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A training goes on as it began.
    #[error("the training in `{}` began with {what} of `{was}`, and now it is `{is}`\nhint: it goes on as it began, but for its end", path.display())]
    Changed {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As it began.
        was: String,
        /// What the command line says.
        is: String,
    },
    /// The loss is no number.
    #[error(
        "the loss of step {step} is not a number\nhint: a smaller `--lr` or more `--warmup-steps`; the checkpoint before is still there"
    )]
    Diverged {
        /// Which.
        step: u64,
    },
    /// A checkpoint cannot be written.
    #[error("cannot write to `{}`\nhint: what was written there before is whole, and `--resume` goes on from it", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Tensors cannot be laid out.
    #[error(transparent)]
    Safetensors(#[from] safetensors::SafeTensorError),
}
