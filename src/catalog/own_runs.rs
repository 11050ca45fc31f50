//! A user's own measured runs, in the columns of `hardware/published_runs.csv` that a user knows.

use std::path::Path;

use serde::Deserialize;

use super::published::PublishedRun;
use super::software::{AttentionUse, SoftwareClass};
use crate::files::{FileError, read_text};
use crate::units::DType;

/// No table of runs is longer.
const MAX_BYTES: u64 = 4 << 20;

/// Why a table of runs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnRunsError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no such table.
    #[error(
        "`{file}` is not a table of runs: {message}\nhint: `greenformers catalog calibrate --help` names the columns"
    )]
    Csv {
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// A row that cannot have been measured.
    #[error("`{file}`, run `{run}`: {what}")]
    Row {
        /// The file.
        file: String,
        /// The run.
        run: String,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing is in it.
    #[error("`{0}` has no run\nhint: a row a run, below a header")]
    Empty(String),
    /// The runs are of several programs.
    #[error(
        "`{0}` has runs of several classes of software or of attention: expected one program\nhint: calibrate each by itself"
    )]
    SeveralPrograms(String),
}

/// A row as a user writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    id: Option<String>,
    device: String,
    #[serde(default = "one")]
    devices: u32,
    family: String,
    n_layers: usize,
    d_model: usize,
    n_heads: usize,
    #[serde(default)]
    n_kv_heads: Option<usize>,
    #[serde(default)]
    d_ff: Option<usize>,
    #[serde(default)]
    gated_mlp: Option<bool>,
    vocab_size: usize,
    seq_len: usize,
    micro_batch: usize,
    #[serde(default)]
    losses_per_seq: Option<usize>,
    #[serde(default)]
    grad_checkpointing: Option<bool>,
    #[serde(default)]
    grad_accumulation: Option<usize>,
    dtype: DType,
    tokens_per_s: f64,
    software: SoftwareClass,
    attention: AttentionUse,
}

fn one() -> u32 {
    1
}

/// Reads the runs of one program. What is left out of a row is as usual: one device, a feed-forward block of four widths, a loss
/// on every position of a decoder and on 15 % of an encoder's, no accumulation.
///
/// # Errors
/// If the file cannot be read, is no such table, or is of several programs.
pub fn own_runs(path: &Path) -> Result<Vec<PublishedRun>, OwnRunsError> {
    let file = path.display().to_string();
    let text = read_text(path, MAX_BYTES)?;
    let mut runs = Vec::new();
    for (i, row) in
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes()).deserialize().enumerate()
    {
        let row: Row = row.map_err(|e| OwnRunsError::Csv { file: file.clone(), message: e.to_string() })?;
        let run = row.id.clone().unwrap_or_else(|| format!("run {}", i + 1));
        let wrong = |what: String| OwnRunsError::Row { file: file.clone(), run: run.clone(), what };
        if !["encoder", "decoder"].contains(&row.family.as_str()) {
            return Err(wrong(format!("`family` is `{}`: expected `encoder` or `decoder`", row.family)));
        }
        if !(row.tokens_per_s.is_finite() && row.tokens_per_s > 0.0) {
            return Err(wrong(format!("`tokens_per_s` is {}: expected a number above 0", row.tokens_per_s)));
        }
        let counts = [row.n_layers, row.d_model, row.n_heads, row.vocab_size, row.seq_len, row.micro_batch];
        if counts.iter().any(|n| !(1..=10_000_000).contains(n)) || row.devices == 0 {
            return Err(wrong("a size is 0 or beyond 10 million".to_owned()));
        }
        if row.n_kv_heads.is_some_and(|kv| !(1..=row.n_heads).contains(&kv)) {
            return Err(wrong(format!("`n_kv_heads` is no number from 1 to `n_heads`, {}", row.n_heads)));
        }
        let usual = if row.family == "decoder" { row.seq_len } else { row.seq_len.saturating_mul(3).div_ceil(20) };
        runs.push(PublishedRun {
            id: run,
            collection: file.clone(),
            core: false,
            device: row.device,
            devices: row.devices,
            family: row.family,
            n_layers: row.n_layers,
            d_model: row.d_model,
            n_heads: row.n_heads,
            n_kv_heads: row.n_kv_heads,
            d_ff: row.d_ff.unwrap_or(4 * row.d_model),
            gated_mlp: row.gated_mlp.unwrap_or(false),
            dropout: None,
            biases: None,
            vocab_size: row.vocab_size,
            seq_len: Some(row.seq_len),
            micro_batch: row.micro_batch,
            losses_per_seq: row.losses_per_seq.unwrap_or(usual),
            grad_checkpointing: row.grad_checkpointing.unwrap_or(false),
            grad_accumulation: Some(row.grad_accumulation.unwrap_or(1).max(1)),
            dtype: row.dtype,
            tokens_per_s: Some(row.tokens_per_s),
            power_w: None,
            power_limit_w: None,
            software: row.software,
            attention: row.attention,
            framework: "own".to_owned(),
            source: file.clone(),
        });
    }
    let Some(first) = runs.first() else { return Err(OwnRunsError::Empty(file)) };
    if runs.iter().any(|run| run.software() != first.software()) {
        return Err(OwnRunsError::SeveralPrograms(file));
    }
    Ok(runs)
}
