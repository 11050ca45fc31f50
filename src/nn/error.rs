//! What can go wrong with a model.

use std::path::PathBuf;

use super::ops::TOO_LARGE;
use crate::files::FileError;
use crate::model::{ArchError, NotComputed};

/// Why a model cannot be built or run.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// The architecture does not fit the model.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// The model is no BERT.
    #[error("the model is not built as BERT is")]
    NotBert,
    /// The model is no `ModernBERT`.
    #[error("the model is not built as ModernBERT is")]
    NotModernBert,
    /// The model is built as none that is computed.
    #[error("the model is estimated, not computed: {0}")]
    NotComputed(#[from] NotComputed),
    /// The input is of another kind of model.
    #[error("the input is of another kind of model")]
    OtherInput,
    /// The sequences are longer than the model takes.
    #[error("sequences of {seq_len} tokens: the model takes at most {max}")]
    SeqLen {
        /// What was given.
        seq_len: usize,
        /// The number of position embeddings.
        max: usize,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint is not what it says.
    #[error("the checkpoint `{}` is not valid: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A folder has no weights that are read.
    #[error(
        "`{}` has no `model.safetensors` and no `model.safetensors.index.json`\nhint: `save_pretrained` of transformers writes them",
        path.display()
    )]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint lacks a weight.
    #[error("the checkpoint `{}` has no tensor `{name}`", path.display())]
    MissingWeight {
        /// The file.
        path: PathBuf,
        /// The weight.
        name: String,
    },
    /// A weight of a checkpoint has another shape.
    #[error("`{name}` of the checkpoint `{}` has shape {found:?}: expected {expected:?}", path.display())]
    WeightShape {
        /// The file.
        path: PathBuf,
        /// The weight.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape of the model.
        expected: Vec<usize>,
    },
    /// A parameter that the loss does not depend on: a cut in the graph.
    #[error("`{0}` got no gradient: the graph is cut somewhere above it")]
    NoGradient(String),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl NnError {
    /// Whether smaller tensors would have fitted: the device ran out of memory, or an operation has no room for so many
    /// elements. The libraries below tell it by words alone: the driver by its error's name, and cuBLAS by one of its own,
    /// when there is no memory for a workspace.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        const SAID: [&str; 4] = ["out of memory", "out_of_memory", "cublas_status_alloc_failed", TOO_LARGE];
        let text = self.to_string().to_lowercase();
        matches!(self, Self::Tensor(_)) && SAID.iter().any(|said| text.contains(said))
    }
}
