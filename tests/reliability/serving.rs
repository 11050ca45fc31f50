//! `track --prometheus` under a flood. All of it is on the loopback address, bounded in number and time.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use super::{folder, program, tried};

/// Kilobytes of memory that a process has in use.
#[cfg(target_os = "linux")]
fn resident_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn ask(address: &str, request: &[u8]) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = client.write_all(request);
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_slow_huge_and_malformed_requests_neither_stop_the_command_nor_grow_memory() {
    let place = folder();
    let mut program = program();
    program.current_dir(place.path()).args(["track", "--hardware", "my-cpu.yaml", "--powercap-root", "none"]);
    program.args(["--interval", "0.1", "--prometheus", "0", "--", "cat"]);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    let address = first.trim().strip_prefix("serving http://").unwrap().strip_suffix("/metrics").unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let get: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(ask(&address, get).starts_with("HTTP/1.1 200"));
    let before = resident_kb(child.id());
    let huge = vec![b'x'; 1 << 20];
    let mut held = Vec::new();
    let mut most = before;
    for n in 0..1000 {
        // The server may have closed it, or not come to it yet.
        let Ok(mut client) = TcpStream::connect(&address) else { continue };
        client.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let request: &[u8] = match n % 5 {
            0 => b"",
            1 => b"GET /metr",
            2 => &huge,
            3 => b"\xff\xfe\0\0\r\n\r\n",
            _ => b"GET /metrics HTTP/1.1\r\nX: ",
        };
        let _ = client.write_all(request);
        held.push(client);
        if n % 50 == 0 {
            most = most.max(resident_kb(child.id()));
        }
    }
    assert!(held.len() > 900, "{} connections", held.len());
    // The command goes on meanwhile.
    child.stdin.as_mut().unwrap().write_all(b"hello").unwrap();
    let mut echoed = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
    most = most.max(resident_kb(child.id()));
    let count = held.len();
    drop(held);
    // Those that were let in are given up after two seconds each; then others are served again.
    let served = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        ask(&address, get).starts_with("HTTP/1.1 200")
    });
    assert!(served, "it serves again");
    let grown = most.saturating_sub(before);
    assert!(grown < 16_384, "{before} kB before, {most} kB at most");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    tried(
        "slow, huge and malformed requests to `--prometheus`",
        format!("{count} connections at a time"),
        format!(
            "the command ran on and ended by itself; memory grew by {:.1} MB at most; served again after",
            grown as f64 / 1e3
        ),
    );
}
