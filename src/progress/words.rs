//! What the words of a frame say about its numbers.

/// What a counter counts, as far as the words in front of it tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Training,
    Evaluation,
    Preparation,
}

const TRAINING: [&str; 8] =
    ["train", "training", "train_inner", "trainer", "pretrain", "pretraining", "fit", "finetuning"];

const EVALUATION: [&str; 35] = [
    "val",
    "valid",
    "validation",
    "validating",
    "validate",
    "eval",
    "evaluating",
    "evaluation",
    "evaluate",
    "test",
    "testing",
    "dev",
    "sanity",
    "inference",
    "infer",
    "predict",
    "predicting",
    "prediction",
    "generate",
    "generation",
    "generating",
    "sampling",
    "denoising",
    "benchmark",
    "scoring",
    "loglikelihood",
    "decode",
    "decoding",
    "rollout",
    "rollouts",
    "translating",
    "retrying",
    "retry",
    "attempt",
    "earlystopping",
];

/// What a bar of an evaluation counts. In a line they are the names of figures: `samples/sec: 9.9 | iteration 10/ 3200`.
const EVALUATED: [&str; 7] = ["predictions", "samples", "requests", "map", "map50", "completions", "prompts"];

const PREPARATION: [&str; 56] = [
    "loading",
    "loaded",
    "downloading",
    "download",
    "map",
    "filter",
    "filtering",
    "tokenizing",
    "tokenising",
    "tokenizer",
    "tokenization",
    "grouping",
    "packing",
    "resolving",
    "scanning",
    "capturing",
    "fetching",
    "extracting",
    "converting",
    "preprocessing",
    "caching",
    "building",
    "reading",
    "creating",
    "copying",
    "uploading",
    "upload",
    "saving",
    "writing",
    "processing",
    "quantizing",
    "merging",
    "encoding",
    "indexing",
    "computing",
    "collecting",
    "compiling",
    "shards",
    "files",
    "split",
    "importing",
    "unpacking",
    "verifying",
    "preparing",
    "embedding",
    "sharding",
    "flattening",
    "casting",
    "truncating",
    "formatting",
    "applying",
    "adding",
    "sorting",
    "shuffling",
    "parsing",
    "materializing",
];

/// Units of a bar's rate that no training step has.
const FOREIGN_RATES: [&str; 14] =
    ["examples", "example", "b", "kb", "mb", "gb", "files", "file", "ex", "task", "rows", "docs", "shards", "tokens"];

/// What the words in front of a counter say. The last word that says anything decides.
pub(super) fn class(head: &str, bar: bool) -> Class {
    let mut class = Class::Training;
    let lower = head.to_ascii_lowercase();
    let word_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = lower.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !word_byte(bytes[at]) {
            at += 1;
            continue;
        }
        let len = bytes[at..].iter().take_while(|&&byte| word_byte(byte)).count();
        let word = &lower[at..at + len];
        at += len;
        // The name of a source file says nothing: `train.py:570`, `eval.py`.
        if lower[at..].starts_with(".py") {
            continue;
        }
        if TRAINING.contains(&word) {
            class = Class::Training;
        } else if EVALUATION.contains(&word) || bar && EVALUATED.contains(&word) {
            class = Class::Evaluation;
        } else if bar && PREPARATION.contains(&word) {
            // `train: Scanning labels`: what is done stands behind what it is done for, and `train dataset` before it.
            return Class::Preparation;
        }
    }
    class
}

/// Whether a bar's rate is in a unit that training is not counted in.
pub(super) fn foreign_rate(unit: &str) -> bool {
    unit.strip_suffix("/s")
        .or_else(|| unit.strip_suffix("/sec"))
        .is_some_and(|what| FOREIGN_RATES.iter().any(|foreign| what.eq_ignore_ascii_case(foreign)))
}

/// How surely a word names training steps: 0 for not at all.
pub(super) fn step_name(word: &str) -> u8 {
    if word.is_empty() {
        return 0;
    }
    // Only the last part of `training/global_step` or `num_updates` counts, unless the first makes another thing of it.
    let lower = word.to_ascii_lowercase();
    let barred = [
        "max",
        "total",
        "warmup",
        "per",
        "save",
        "eval",
        "val",
        "log",
        "logging",
        "time",
        "skipped",
        "micro",
        "valid",
        "test",
        "accumulation",
        "every",
        "decay",
        "sampling",
        "inference",
    ];
    if lower.split(['_', '/', '-']).any(|part| barred.contains(&part)) {
        return 0;
    }
    match lower.rsplit(['_', '/', '-']).next().unwrap_or("") {
        "step" | "update" | "updates" | "up" | "gstep" => 6,
        "steps" | "globalstep" | "upd" => 5,
        "iter" | "iteration" | "it" | "iters" | "iterations" | "batch" | "ba" | "itr" => 4,
        "batches" | "minibatch" | "b" => 3,
        _ => 0,
    }
}

/// Whether a word names epochs.
pub(super) fn epoch_name(word: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    let lower = word.to_ascii_lowercase();
    matches!(lower.rsplit(['_', '/', '-']).next().unwrap_or(""), "epoch" | "ep" | "epochs" | "epoch_idx" | "epo")
}

/// Whether a phrase or a unit names a time or a rate.
pub(super) fn timely(phrase: &str, unit: &str) -> bool {
    if matches!(unit, "ms" | "s" | "sec" | "secs" | "second" | "seconds" | "us") || unit.contains('/') {
        return true;
    }
    let lower = phrase.to_ascii_lowercase();
    [
        "time",
        "sec",
        "dt",
        "duration",
        "speed",
        "ups",
        "it/s",
        "rate",
        "timing",
        "ms",
        "elapsed",
        "throughput",
        "batch",
        "took",
        "step_s",
        "wall",
    ]
    .iter()
    .any(|part| lower.contains(part))
        && !lower.contains("learning")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_that_says_anything_decides() {
        assert_eq!(class("INFO - train.py:33 - Validation: iteration ", false), Class::Evaluation);
        assert_eq!(class("eval done | Train: [", false), Class::Training);
        assert_eq!(class("Tokenizing train dataset:  50%|  | ", true), Class::Preparation);
        assert_eq!(class("val_loss 0.3 step ", false), Class::Training);
        assert_eq!(class(" samples/sec: 9.963 | iteration ", false), Class::Training);
        assert_eq!(class("samples:  50%|  | ", true), Class::Evaluation);
    }

    #[test]
    fn names_of_settings_are_no_names_of_steps() {
        assert_eq!(step_name("training/global_step"), 6);
        assert_eq!(step_name("max_steps"), 0);
        assert_eq!(step_name("time/batch"), 0);
        assert_eq!(step_name("batch_size"), 0);
        assert!(epoch_name("Ep") && !epoch_name("step"));
    }
}
