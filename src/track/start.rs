//! Starting a command as a shell does, and saying why it cannot be started.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::TrackError;
use super::live::LIVE_PATH;
use super::printed::Streams;

/// Who runs a script that does not say who runs it (POSIX, `execvp`).
const SHELL: &str = "/bin/sh";
/// Linux reads so much of a file to find out how to run it.
const HEAD: u64 = 256;
/// The system's number for a file that is no program (`ENOEXEC`), on every system that has it.
const NO_PROGRAM: i32 = 8;

/// Starts the command, with its output where `streams` has it, and told where `live` will be.
///
/// # Errors
/// If there is no such command, or it cannot be run.
pub(super) fn start(command: &[OsString], streams: &Streams, live: Option<&Path>) -> Result<Child, TrackError> {
    let name = command[0].to_string_lossy().into_owned();
    let spawn = |program: &OsStr| -> std::io::Result<Command> {
        let mut made = Command::new(program);
        streams.give(&mut made)?;
        // What another forecast has set is not of this command.
        made.env_remove(LIVE_PATH).envs(live.map(|path| (LIVE_PATH, path)));
        Ok(made)
    };
    let source = match spawn(&command[0]).and_then(|mut made| made.args(&command[1..]).spawn()) {
        Ok(child) => return Ok(child),
        Err(error) => error,
    };
    let file = find(&command[0], std::env::var_os("PATH").as_deref());
    let head = file.as_deref().map(head).unwrap_or_default();
    match file {
        Some(file) if cfg!(unix) && source.raw_os_error() == Some(NO_PROGRAM) => {
            if head.contains(&0) {
                return Err(TrackError::NoProgram(name));
            }
            let shell = spawn(OsStr::new(SHELL)).and_then(|mut made| made.arg(file).args(&command[1..]).spawn());
            shell.map_err(|source| TrackError::Spawn { command: name, source })
        }
        Some(_) if source.kind() == ErrorKind::NotFound => {
            Err(TrackError::NoInterpreter { hint: hint(&name, &head), needs: needs(&head), command: name })
        }
        _ if source.kind() == ErrorKind::NotFound => {
            let hint = if name.contains('/') {
                "is the path right? It begins in the folder that this is run in".to_owned()
            } else {
                format!("is it on the PATH? A script of this folder is `./{name}`")
            };
            Err(TrackError::NoCommand { command: name, hint })
        }
        _ => Err(TrackError::Spawn { command: name, source }),
    }
}

/// The file that a command names: itself if it has a slash, else the first of its name on the `PATH`.
fn find(command: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    let named = Path::new(command);
    if named.components().count() > 1 || command.to_string_lossy().contains('/') {
        return named.is_file().then(|| named.to_owned());
    }
    std::env::split_paths(path?).map(|folder| folder.join(named)).find(|file| file.is_file())
}

fn head(file: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    // What cannot be read says nothing of itself.
    let _ = std::fs::File::open(file).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    head
}

/// The program that the first line of a script names.
fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.trim_start_matches([' ', '\t']).split([' ', '\t']).next().map(str::to_owned)
}

/// What a file that is there needs and has not.
fn needs(head: &[u8]) -> String {
    match interpreter(head) {
        Some(program) => format!("its first line names `{}`", program.escape_debug()),
        None => "it needs the loader of another system".to_owned(),
    }
}

fn hint(command: &str, head: &[u8]) -> String {
    match interpreter(head) {
        Some(program) if program.ends_with('\r') => {
            format!("its lines end as on Windows: `sed -i 's/\\r$//' {command}`")
        }
        Some(program) => {
            let runs = Path::new(&program).file_name().map_or_else(|| "sh".into(), OsStr::to_string_lossy);
            format!(
                "an environment that was moved has to be made anew; `{runs} {command}` runs it by the one on the PATH"
            )
        }
        None => "is it built for this system?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_runs_a_script_is_the_first_word_of_its_first_line() {
        for (head, expected) in [
            ("#!/no/such/python\nprint()\n", Some("/no/such/python")),
            ("#! /usr/bin/env  bash -e\n", Some("/usr/bin/env")),
            ("#!/bin/sh\r\necho\r\n", Some("/bin/sh\r")),
            ("#!/opt/x", Some("/opt/x")),
            ("echo\n", None),
            ("", None),
        ] {
            assert_eq!(interpreter(head.as_bytes()).as_deref(), expected, "{head:?}");
        }
        assert!(hint("./a.sh", b"#!/bin/sh\r\n").contains("lines end as on Windows"));
        assert!(hint("./a.py", b"#!/no/python3 -u\n").contains("`python3 ./a.py`"));
        assert!(needs(b"\x7fELF").contains("another system"));
    }

    #[test]
    fn a_name_is_looked_for_on_the_path_and_a_path_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("script"), "echo").expect("writable");
        let path = std::env::join_paths([Path::new("/nowhere"), folder.path()]).expect("a list");
        assert_eq!(find(OsStr::new("script"), Some(&path)), Some(folder.path().join("script")));
        assert_eq!(find(OsStr::new("./script"), Some(&path)), None);
        assert_eq!(find(OsStr::new("other"), Some(&path)), None);
    }
}
