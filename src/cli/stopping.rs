//! What is said when a campaign is stopped.

use std::path::Path;

use anyhow::{Context as _, Result};
use greenformers::measure::{Stop, exit_code, signal_name};
use greenformers::record::RECORD_FILE;

/// A campaign in `folder` stops at the first signal: after the step at hand, or at once if that takes too long.
#[cfg(unix)]
pub(super) fn on_signals(folder: &Path) -> Result<Stop> {
    let message = message(folder, &command_line(folder));
    Stop::on_signals(move |signal| eprintln!("\n{}", message(signal))).context("cannot catch signals")
}

#[cfg(not(unix))]
pub(super) fn on_signals(_: &Path) -> Result<Stop> {
    Ok(Stop::never())
}

/// Says how to go on and ends the program.
pub(super) fn exit(signal: i32, folder: &Path) -> ! {
    eprintln!("\n{}", message(folder, &command_line(folder))(signal));
    std::process::exit(exit_code(signal))
}

fn message(folder: &Path, command: &str) -> impl Fn(i32) -> String + Send + 'static {
    let record = folder.join(RECORD_FILE).display().to_string();
    let command = command.to_owned();
    move |signal| {
        format!(
            "stopped by {}: every finished cell is in `{record}`\nhint: go on with\n    {command}",
            signal_name(signal)
        )
    }
}

fn command_line(folder: &Path) -> String {
    let typed: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    resuming(&typed, &folder.display().to_string())
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
fn quoted(word: &str) -> String {
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
