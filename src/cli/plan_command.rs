//! The command that says what a plan comes to: `estimate` of it, with the options that were typed.

use greenformers::estimate::PlannedRun;
use greenformers::model::Arch;
use greenformers::report::{counted, significant};

use super::common::quoted;

/// Options of `plan` that `estimate` has too, each with a value: what is trained and how.
const OF_THE_RUN: [&str; 10] = [
    "--workload",
    "--model",
    "--layers",
    "--width",
    "--heads",
    "--ff",
    "--vocab",
    "--batch-size",
    "--batch-tokens",
    "--seq-len",
];
/// And where it is trained.
const OF_THE_PLACE: [&str; 19] = [
    "--network",
    "--devices-per-node",
    "--dtype",
    "--software",
    "--attention",
    "--grid",
    "--cloud",
    "--provider",
    "--region",
    "--basis",
    "--grid-intensity",
    "--site",
    "--pue",
    "--usd-per-hour",
    "--price",
    "--price-year",
    "--usd-per-kwh",
    "--eur-usd",
    "--seed",
];

/// What was filled in of a recipe, because nothing was said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recipes {
    /// Tokens of a sequence.
    pub(super) seq_len: Option<usize>,
    /// Tokens of a step.
    pub(super) batch_tokens: Option<usize>,
    /// Tokens a parameter, of a model that is looked for.
    pub(super) tokens_per_param: Option<f64>,
    /// Whether the batch of such a model follows from its size.
    pub(super) usual_batch: bool,
}

impl Recipes {
    /// In words, each with the option that changes it.
    pub(super) fn said(&self) -> Vec<String> {
        const FAMILY: &str = "GPT-3's family (Brown et al. 2020, table 2.1)";
        let mut said = Vec::new();
        if let Some(tokens) = self.tokens_per_param {
            let least = significant(tokens);
            let least = least.trim_end_matches('0').trim_end_matches('.');
            let least = if tokens.fract() == 0.0 { format!("{tokens:.0}") } else { least.to_owned() };
            let whose = if tokens == 20.0 { " (Hoffmann et al. 2022)" } else { "" };
            said.push(format!("at least {least} tokens a parameter{whose} (`--tokens-per-param N`)"));
            said.push(format!("widths and depths as {FAMILY} has, interpolated, feed-forward 4 x width"));
        }
        if self.usual_batch {
            said.push(format!("batches as {FAMILY} has (`--batch-tokens N`)"));
        }
        if let Some(tokens) = self.batch_tokens {
            said.push(format!("batches of {} tokens, as {FAMILY} has (`--batch-tokens N`)", counted(tokens as f64)));
        }
        if let Some(seq_len) = self.seq_len {
            said.push(format!("sequences of {seq_len} tokens (`--seq-len N`)"));
        }
        said
    }
}

/// `estimate` of what was planned on `hardware`, as it was typed.
pub(super) fn estimate_command(
    run: &PlannedRun,
    (hardware, arch): (&str, Arch),
    what: Option<&str>,
    filled: &Recipes,
) -> String {
    let typed: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut words: Vec<String> = Vec::new();
    let mut say = |option: &str, value: &str| words.extend([option.to_owned(), quoted(value)]);
    if let Some(shape) = &run.shape {
        let sizes = [shape.layers, shape.width, shape.heads, shape.ff, shape.vocab];
        for (option, size) in ["--layers", "--width", "--heads", "--ff", "--vocab"].into_iter().zip(sizes) {
            say(option, &size.to_string());
        }
        say("--tokens", &format!("{:.0}", run.tokens));
        say("--batch-tokens", &format!("{:.0}", run.batch_tokens));
        say("--seq-len", &run.seq_len.to_string());
    } else {
        for (option, value) in what.map(|name| ("--workload", name)).into_iter().chain(kept(&typed, &OF_THE_RUN)) {
            say(option, value);
        }
        say("--steps", &run.steps.to_string());
        if let Some(tokens) = filled.batch_tokens {
            say("--batch-tokens", &tokens.to_string());
        }
        if let Some(seq_len) = filled.seq_len {
            say("--seq-len", &seq_len.to_string());
        }
    }
    say("--arch", &arch.to_string());
    say("--hardware", hardware);
    say("--devices", &run.devices.to_string());
    match &run.layout {
        // It names its micro-batch.
        Some(layout) => say("--layout", layout),
        None => kept(&typed, &["--micro-batch"]).for_each(|(option, value)| say(option, value)),
    }
    kept(&typed, &OF_THE_PLACE).for_each(|(option, value)| say(option, value));
    kept(&typed, &["--catalog"]).for_each(|(option, value)| say(option, value));
    let is_decoder = run.shape.is_some() || typed.iter().any(|word| word == "--decoder");
    let decoder = if is_decoder { " --decoder" } else { "" };
    format!("greenformers estimate {}{decoder}", words.join(" "))
}

/// Those of the options that were typed, each with its value: `--name value` or `--name=value`.
fn kept<'a>(typed: &'a [String], options: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    typed.iter().enumerate().filter_map(move |(i, word)| {
        let (name, inline) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let option = options.iter().find(|option| **option == name)?;
        Some((*option, inline.or_else(|| typed.get(i + 1).map(String::as_str))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_kept_with_their_values_however_they_were_typed() {
        let typed = ["plan", "--grid", "fra", "--budget", "5USD", "--pue=1.2", "--decoder"].map(str::to_owned);
        let found: Vec<_> = kept(&typed, &["--pue", "--grid"]).collect();
        assert_eq!(found, [("--grid", "fra"), ("--pue", "1.2")]);
        assert_eq!(kept(&typed, &["--site"]).count(), 0);
    }
}
