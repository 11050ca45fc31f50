//! What the command prints: passed on byte by byte, and shown to whoever watches.
//!
//! A program that sees a terminal draws bars and colours, so it is given one where this program has one: a pseudo-terminal that
//! changes no byte. Elsewhere it is given a pipe, as it would be by a shell. One more pipe takes what it tells of its steps.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::watcher::Watcher;
use super::{STEPS_FD, STEPS_PATH};

/// The size of a terminal that does not know its own.
const USUAL_SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
/// Bytes that are taken at a time.
const CHUNK: usize = 1 << 16;
/// How often it is looked whether the command has ended.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How often the steps that were told are read. Nobody waits for a line, so that the command that writes one wakes nobody up, which
/// would take it ten times as long as writing.
const BETWEEN_READINGS: Duration = Duration::from_millis(20);

/// Where a byte goes: to one of its own streams, or nowhere but to whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
    Steps,
}

/// An end of a pipe, or of a pseudo-terminal, that the command writes to.
pub(super) struct Source {
    from: OwnedFd,
    to: Stream,
}

/// What a command is given as its output: its own ends, where it is watched.
#[derive(Default)]
pub(super) struct Streams(Option<Ends>);

struct Ends {
    out: OwnedFd,
    err: OwnedFd,
    steps: OwnedFd,
    /// The pipe of steps by name, as long as this program reads it.
    path: Option<String>,
}

impl Streams {
    /// Gives them to a command; without them it has those of this program.
    pub(super) fn give(&self, command: &mut Command) -> io::Result<()> {
        if let Some(Ends { out, err, steps, path }) = &self.0 {
            command.stdout(Stdio::from(out.try_clone()?)).stderr(Stdio::from(err.try_clone()?));
            // The command has it under the same number.
            fcntl_setfd(steps, FdFlags::empty())?;
            command.env(STEPS_FD, steps.as_raw_fd().to_string());
            // What another forecast has set is not of this command.
            command.env_remove(STEPS_PATH);
            command.envs(path.iter().map(|path| (STEPS_PATH, path)));
        }
        Ok(())
    }

    /// Those of a command that is watched, and what is read from them. `as_terminal` gives it a terminal of the usual size where this
    /// program has none: some bars are drawn on terminals alone.
    pub(super) fn open(as_terminal: bool) -> io::Result<(Self, Vec<Source>)> {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let mut sources = Vec::new();
        let (from, steps) = io::pipe()?;
        let path = cfg!(target_os = "linux").then(|| format!("/proc/{}/fd/{}", std::process::id(), from.as_raw_fd()));
        sources.push(Source { from: from.into(), to: Stream::Steps });
        let steps = steps.into();
        let mut piped = |to| -> io::Result<OwnedFd> {
            let (from, into) = io::pipe()?;
            sources.push(Source { from: from.into(), to });
            Ok(into.into())
        };
        if !out && !as_terminal {
            let (out, err) = (piped(Stream::Out)?, piped(Stream::Err)?);
            return Ok((Self(Some(Ends { out, err, steps, path })), sources));
        }
        let (from, stdout) = pseudo_terminal(io::stdout().as_fd())?;
        // Both on one terminal keep their order.
        let stderr = if err { stdout.try_clone()? } else { piped(Stream::Err)? };
        sources.push(Source { from, to: Stream::Out });
        Ok((Self(Some(Ends { out: stdout, err: stderr, steps, path })), sources))
    }
}

/// Both ends of a pseudo-terminal of the size of `like`, which passes bytes on as they are.
fn pseudo_terminal(like: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let from = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&from)?;
    unlockpt(&from)?;
    let name = ptsname(&from, Vec::new())?;
    let into = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    let mut settings = tcgetattr(&into)?;
    // The terminal itself makes two characters of a line's end.
    settings.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&into, OptionalActions::Now, &settings)?;
    // Bars draw nothing on a terminal of no columns, as those of scripts are.
    let size = tcgetwinsize(like).ok().filter(|size| size.ws_col > 0);
    tcsetwinsize(&into, size.unwrap_or(USUAL_SIZE))?;
    Ok((from, into))
}

/// The one who writes to this program's own streams, so that a line of its own does not get into the middle of another.
pub(super) struct Screen {
    /// Whether a line of its own stands at the end, to be written over.
    shown: bool,
    /// Whether the command has ended its line.
    at_start: bool,
    /// When a line was last written where none can be written over.
    said_s: f64,
    is_terminal: bool,
}

/// Seconds between two lines where they cannot be written over.
const BETWEEN_LINES_S: f64 = 30.0;
/// Takes away what stands in the line (ECMA-48, EL).
const CLEAR: &[u8] = b"\r\x1b[K";

impl Screen {
    pub(super) fn new() -> Self {
        Self { shown: false, at_start: true, said_s: 0.0, is_terminal: io::stderr().is_terminal() }
    }

    fn pass(&mut self, bytes: &[u8], to: Stream) -> io::Result<()> {
        if self.shown {
            io::stderr().write_all(CLEAR)?;
            self.shown = false;
        }
        self.at_start = matches!(bytes.last(), Some(b'\n' | b'\r'));
        match to {
            Stream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Stream::Err => io::stderr().write_all(bytes),
            Stream::Steps => Ok(()),
        }
    }

    /// Shows `line`: over the last one on a terminal, and each half minute elsewhere.
    pub(super) fn say(&mut self, line: &str, at_s: f64) {
        let is_due = at_s - self.said_s >= BETWEEN_LINES_S;
        let written = match (self.is_terminal, self.at_start) {
            (true, true) => {
                self.shown = true;
                write!(io::stderr(), "\r\x1b[K{line}")
            }
            // In the middle of a line, as of a bar that is drawn over and over.
            (true, false) if is_due => write!(io::stderr(), "\r\n{line}\r\n"),
            (false, _) if is_due => writeln!(io::stderr(), "{line}"),
            _ => return,
        };
        // Nobody looks on: the command goes on.
        let _ = written;
        if is_due {
            self.said_s = at_s;
        }
    }

    /// Says `line` at once, wherever the command is in its own.
    pub(super) fn insist(&mut self, line: &str) {
        let before = if self.shown {
            "\r\x1b[K"
        } else if self.at_start {
            ""
        } else {
            "\r\n"
        };
        self.shown = false;
        let end = if self.is_terminal { "\r\n" } else { "\n" };
        let _ = write!(io::stderr(), "{before}{line}{end}");
        self.at_start = true;
    }

    /// Leaves a line of its own behind as a line.
    pub(super) fn end(&mut self) {
        if self.shown {
            let _ = writeln!(io::stderr());
            self.shown = false;
        }
    }
}

/// Passes on what comes from `source` until nothing more can come, or the command has ended and nothing is left.
pub(super) fn pass_on(
    source: Source,
    (screen, watcher): (&Mutex<Screen>, &Mutex<&mut dyn Watcher>),
    started: Instant,
    ended: &AtomicBool,
) {
    let Source { from, to } = source;
    if to == Stream::Steps {
        return listen(&from, watcher, started, ended);
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let has_ended = ended.load(Ordering::Acquire);
        let mut waiting = [PollFd::new(&from, PollFlags::IN)];
        match poll(&mut waiting, Some(&PATIENCE)) {
            Ok(0) if has_ended => return,
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        // A pseudo-terminal whose other end is closed gives an error, not an end.
        let read = match rustix::io::read(&from, &mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        };
        let bytes = &buffer[..read];
        if let Ok(mut watcher) = watcher.lock() {
            watcher.printed(bytes, started.elapsed().as_secs_f64());
        }
        let passed = screen.lock().map(|mut screen| screen.pass(bytes, to));
        if !matches!(passed, Ok(Ok(()))) {
            // Whoever read it has gone: the command finds its end closed, as it would without this program.
            return;
        }
    }
}

/// Takes what the command tells of its steps until it has ended, whoever else still holds the pipe. A pipe that nobody holds may be
/// opened again.
fn listen(from: &OwnedFd, watcher: &Mutex<&mut dyn Watcher>, started: Instant, ended: &AtomicBool) {
    // What Linux holds in a pipe: one reading takes all that was told before the end.
    let mut buffer = vec![0; CHUNK];
    loop {
        let has_ended = ended.load(Ordering::Acquire);
        let mut there = [PollFd::new(from, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut there, Some(&at_once)).is_ok() && there[0].revents().contains(PollFlags::IN) {
            let read = rustix::io::read(from, &mut buffer).unwrap_or(0);
            if let Ok(mut watcher) = watcher.lock() {
                watcher.told(&buffer[..read], started.elapsed().as_secs_f64());
            }
        }
        if has_ended {
            return;
        }
        std::thread::sleep(BETWEEN_READINGS);
    }
}
