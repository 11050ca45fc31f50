//! Signals for this program that are meant for the command it runs.

#[cfg(unix)]
pub(super) use unix::Caught;

use sysinfo::Signal;

/// What a command can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// As Ctrl-C does.
    Interrupt,
    /// To end.
    Terminate,
}

/// Asks a process, if it is there.
pub(super) fn wish(pid: u32, wish: Wish) {
    send(pid, if wish == Wish::Interrupt { Signal::Interrupt } else { Signal::Term });
}

fn send(pid: u32, signal: Signal) {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = sysinfo::System::new();
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), true);
    if let Some(process) = system.process(pid) {
        let _ = process.kill_with(signal);
    }
}

#[cfg(unix)]
mod unix {
    use std::io::IsTerminal;
    use std::thread::JoinHandle;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    use signal_hook::iterator::{Handle, Signals};
    use sysinfo::Signal;

    use super::send;
    use crate::machine::caught;

    /// Takes the signals that are meant for the command, from before it starts.
    pub(in super::super) struct Caught(Signals);

    impl Caught {
        /// Takes signals from now on. Those that were ignored from the start (`nohup`) stay ignored, as in the command
        /// itself.
        pub(in super::super) fn from_now() -> std::io::Result<Self> {
            Ok(Self(caught(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])?))
        }

        /// Passes them on to a process, those that came meanwhile first.
        pub(in super::super) fn forward_to(mut self, pid: u32) -> Forwarding {
            let handle = self.0.handle();
            // A terminal sends what is typed at it to the command as well.
            let typed = std::io::stdin().is_terminal();
            let forwarding = move || {
                for number in self.0.forever() {
                    let twice = typed && matches!(number, SIGINT | SIGQUIT);
                    if let Some(signal) = named(number).filter(|_| !twice) {
                        send(pid, signal);
                    }
                }
            };
            let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(forwarding).ok();
            Forwarding { handle, thread }
        }
    }

    /// Passes signals on until it is dropped.
    pub(in super::super) struct Forwarding {
        handle: Handle,
        thread: Option<JoinHandle<()>>,
    }

    impl Drop for Forwarding {
        fn drop(&mut self) {
            self.handle.close();
            if let Some(thread) = self.thread.take() {
                // A thread that panicked has already shown its message.
                let _ = thread.join();
            }
        }
    }

    fn named(number: i32) -> Option<Signal> {
        match number {
            SIGHUP => Some(Signal::Hangup),
            SIGINT => Some(Signal::Interrupt),
            SIGQUIT => Some(Signal::Quit),
            SIGTERM => Some(Signal::Term),
            SIGUSR1 => Some(Signal::User1),
            SIGUSR2 => Some(Signal::User2),
            _ => None,
        }
    }
}
