//! What is said when a campaign or a training is stopped.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use greenformers::machine::{Stop, exit_code, signal_name};
use greenformers::record::RECORD_FILE;
use greenformers::train::pretrain::PretrainError;

use super::say;

/// A campaign that has not come to the end of a step by then is ended where it stands: what was finished is on disk.
const OF_A_STEP: Duration = Duration::from_millis(600);
/// A training that has not come to the end of a step or an evaluation by then, and written its checkpoint, has the last one.
const OF_A_CHECKPOINT: Duration = Duration::from_mins(1);

/// What is said if the program has to end at once: of the campaign at hand.
static LAST_WORDS: Mutex<String> = Mutex::new(String::new());

/// A campaign in `folder` stops at the first signal: after the step at hand, or at once if that takes too long.
pub(super) fn on_signals(folder: &Path, goes_on_in: Option<&Path>) -> Result<Stop> {
    static STOP: OnceLock<Stop> = OnceLock::new();
    *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner) = message(folder, goes_on_in);
    if let Some(stop) = STOP.get() {
        return Ok(stop.clone());
    }
    #[cfg(unix)]
    let stop = Stop::on_signals(
        OF_A_STEP,
        |_| (),
        |signal| {
            let words = LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner);
            say(format_args!("\nstopped by {}: {words}", signal_name(signal)));
        },
    )
    .context("cannot catch signals")?;
    #[cfg(not(unix))]
    let stop = Stop::never();
    Ok(STOP.get_or_init(|| stop).clone())
}

/// A training stops at the first signal after the step at hand, and writes a checkpoint; at the second one it ends at once.
pub(super) fn of_training() -> Result<Stop> {
    #[cfg(unix)]
    return Stop::on_signals(
        OF_A_CHECKPOINT,
        |signal| say(format_args!("\n{}: the step at hand ends first; once more ends at once", signal_name(signal))),
        |signal| say(format_args!("stopped by {}: what was written last stays", signal_name(signal))),
    )
    .context("cannot catch signals");
    #[cfg(not(unix))]
    Ok(Stop::never())
}

/// What came of a training; ends the program as its signal does where it was stopped.
pub(super) fn trained<T>(result: Result<T, PretrainError>) -> Result<T, PretrainError> {
    if let Err(error @ PretrainError::Stopped { signal, .. }) = &result {
        say(error);
        std::process::exit(exit_code(*signal));
    }
    result
}

/// Says what has become of the campaign and ends the program.
pub(super) fn exit(signal: i32, folder: &Path, goes_on_in: Option<&Path>) -> ! {
    say(format_args!("\nstopped by {}: {}", signal_name(signal), message(folder, goes_on_in)));
    std::process::exit(exit_code(signal))
}

/// What has become of the record in `folder`, and the command that was typed, so that it goes on in the folder that it is given.
fn message(folder: &Path, goes_on_in: Option<&Path>) -> String {
    let record = folder.join(RECORD_FILE);
    let kept = format!("every finished cell is in `{}`", record.display());
    let Some(typed_folder) = goes_on_in else { return kept };
    let typed: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    format!("{kept}\nhint: go on with\n    {}", resuming(&typed, &typed_folder.display().to_string()))
}

/// The command that was typed, so that it goes on with what is in `folder`.
fn resuming(typed: &[String], folder: &str) -> String {
    let mut words: Vec<String> = typed.iter().map(|word| quoted(word)).collect();
    let is_output = |word: &String| word == "--output" || word.starts_with("--output=") || is_short_output(word);
    if !typed.iter().any(is_output) {
        words.extend(["-o".to_owned(), quoted(folder)]);
    }
    if !typed.iter().any(|word| word == "--resume") {
        words.push("--resume".to_owned());
    }
    words.join(" ")
}

/// `-o`, `-oDIR`, `-qo`.
fn is_short_output(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|flags| !flags.starts_with('-') && flags.trim_start_matches('q').starts_with('o'))
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumed(typed: &[&str]) -> String {
        resuming(&typed.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), "reports/box 1")
    }

    #[test]
    fn the_command_that_goes_on_is_the_one_that_was_typed_with_resume() {
        assert_eq!(
            resumed(&["gf", "profile", "--max-time", "9"]),
            "gf profile --max-time 9 -o 'reports/box 1' --resume"
        );
        for output in ["-o", "-qo", "--output"] {
            assert_eq!(resumed(&["gf", "run", output, "x"]), format!("gf run {output} x --resume"));
        }
        assert_eq!(resumed(&["gf", "run", "-ox", "--resume"]), "gf run -ox --resume");
        assert_eq!(resumed(&["gf", "run", "-o", "it's"]), "gf run -o 'it'\\''s' --resume");
    }
}
