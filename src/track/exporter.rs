//! What is sampled, for Prometheus to fetch: a server of one page.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sensor::{MeterFacts, Reader};

/// Clients at a time; one more is turned away.
const CLIENTS: usize = 8;
/// A client that takes longer, to ask or to listen, is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the server looks for clients, and whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Stack of a thread that answers.
const STACK: usize = 1 << 18;
/// No longer question is read.
const LONGEST_REQUEST: usize = 8192;
/// The media type of the text format, version 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until it is dropped.
pub(super) struct Exporter {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Serves the latest readings at `address`.
    pub(super) fn start(address: SocketAddr, reader: Reader) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        // Waiting for a client would outlast the command.
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serving = move || serve(&listener, &reader, &stopped);
        let thread = std::thread::Builder::new().name("exporter".to_owned()).spawn(serving)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it serves: the port that was free, if 0 was asked for.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has already shown its message.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, reader: &Reader, stop: &AtomicBool) {
    let clients = Arc::new(AtomicUsize::new(0));
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((client, _)) => admit(client, reader, &clients),
            // Nobody is there, or no more descriptors are: neither is helped by asking again at once.
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Answers a client on a thread of its own, or turns it away.
fn admit(mut client: TcpStream, reader: &Reader, clients: &Arc<AtomicUsize>) {
    let patience = client
        .set_nonblocking(false)
        .and_then(|()| client.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| client.set_write_timeout(Some(PATIENCE)));
    if patience.is_err() {
        return;
    }
    if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS {
        clients.fetch_sub(1, Ordering::Relaxed);
        // The answer is shorter than what the system takes without waiting for the client.
        let _ = reply(&mut client, "503 Service Unavailable", "text/plain", Body::Sent("too many clients\n"));
        return;
    }
    let (reader, counted) = (reader.clone(), Arc::clone(clients));
    let answering = move || {
        // A client that has gone away is no concern of the command's.
        let _ = answer(&mut client, &reader);
        counted.fetch_sub(1, Ordering::Relaxed);
    };
    if std::thread::Builder::new().stack_size(STACK).spawn(answering).is_err() {
        clients.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer(client: &mut TcpStream, reader: &Reader) -> Result<()> {
    let Some(request) = request(client)? else {
        return reply(client, "400 Bad Request", "text/plain", Body::Sent("not a request\n"));
    };
    let mut words = request.split(' ');
    let method = words.next();
    // HEAD asks for what GET would be told about the page, and for nothing of it (RFC 9110, 9.3.2).
    let body = if method == Some("HEAD") { Body::Described } else { Body::Sent };
    match (method, words.next()) {
        (Some("GET" | "HEAD"), Some(path)) if path.split('?').next() == Some("/metrics") => {
            reply(client, "200 OK", TEXT, body(&metrics(&reader.meters())))
        }
        (Some("GET" | "HEAD"), Some("/")) => reply(client, "200 OK", "text/plain", body("see /metrics\n")),
        (Some("GET" | "HEAD"), Some(_)) => reply(client, "404 Not Found", "text/plain", body("see /metrics\n")),
        _ => reply(client, "405 Method Not Allowed", "text/plain", body("GET /metrics\n")),
    }
}

/// The first line of a request whose head came whole, in time, and no longer than it may be.
fn request(client: &mut TcpStream) -> Result<Option<String>> {
    let began = Instant::now();
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if head.len() > LONGEST_REQUEST || began.elapsed() > PATIENCE {
            return Ok(None);
        }
        match client.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(n) => head.extend_from_slice(&buffer[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&head);
    Ok(text.lines().next().filter(|line| line.contains(" HTTP/")).map(str::to_owned))
}

/// What follows the head of an answer.
#[derive(Clone, Copy)]
enum Body<'a> {
    Sent(&'a str),
    /// Its length is told, and nothing more.
    Described(&'a str),
}

fn reply(client: &mut TcpStream, status: &str, media_type: &str, body: Body) -> Result<()> {
    let (body, sent) = match body {
        Body::Sent(text) => (text, text),
        Body::Described(text) => (text, ""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(sent.as_bytes())
}

/// The readings in the text format: joules since the command was about to start, and watts over the last two readings.
fn metrics(latest: &[MeterFacts]) -> String {
    let mut text = String::new();
    let labels = |meter: &MeterFacts| {
        let info = &meter.info;
        let (source, covers) = (info.source.name(), escaped(info.coverage.words()));
        format!("{{device=\"{}\",source=\"{source}\",covers=\"{covers}\"}}", escaped(&info.domain))
    };
    let mut metric = |name: &str, kind: &str, help: &str, of: fn(&MeterFacts) -> Option<f64>| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for meter in latest {
            // What is not known is left out, and never 0.
            if let Some(value) = of(meter) {
                let _ = writeln!(text, "{name}{} {value}", labels(meter));
            }
        }
    };
    metric("greenformers_energy_joules_total", "counter", "Energy since tracking began.", |m| m.energy_j);
    metric("greenformers_power_watts", "gauge", "Power over the last two readings.", |m| m.power_w);
    text
}

/// A label's value: backslash, quote and line feed are written with a backslash.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::sensor::{FakeMeter, Sampler};
    use crate::units::{Seconds, Watts};

    fn server() -> (Sampler, Exporter) {
        let meter = FakeMeter::new(|_| Watts(5.0)).counting();
        let sampler = Sampler::start_every(Seconds(0.01), Instant::now(), vec![Box::new(meter)]);
        // On a busy machine the first readings take a while.
        let read = |latest: &MeterFacts| latest.power_w.is_some() && latest.energy_j.is_some_and(|j| j > 0.1);
        while !sampler.reader().meters().iter().all(read) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let exporter = Exporter::start(local, sampler.reader()).expect("a free port");
        (sampler, exporter)
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut client = TcpStream::connect(address).expect("it listens");
        client.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers and closes");
        answer
    }

    #[test]
    fn metrics_are_counters_of_joules_and_gauges_of_watts() {
        let (_sampler, exporter) = server();
        let answer = ask(exporter.address(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let value = |name: &str| -> f64 {
            let line = answer.lines().find(|l| l.starts_with(name)).expect("the metric");
            assert!(line.contains("{device=\"fake\",source=\"fake\",covers=\"CPU package\"}"), "{line}");
            line.rsplit(' ').next().expect("a value").parse().expect("a number")
        };
        assert!((value("greenformers_power_watts{") - 5.0).abs() < 0.5);
        assert!(value("greenformers_energy_joules_total{") > 0.1);
        assert!(answer.contains("# TYPE greenformers_energy_joules_total counter"));
    }

    #[test]
    fn other_pages_methods_and_noise_are_refused() {
        let (_sampler, exporter) = server();
        let ask = |text: &str| ask(exporter.address(), text);
        assert!(ask("GET /etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask("\r\n\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn head_is_answered_with_the_head_alone() {
        let (_sampler, exporter) = server();
        for (path, status) in [("/metrics", "200"), ("/", "200"), ("/nowhere", "404")] {
            let answer = ask(exporter.address(), &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with("\r\n\r\n"), "{answer}");
            let length = answer.lines().find_map(|l| l.strip_prefix("Content-Length: ")).expect("as for GET");
            assert!(length.parse::<usize>().expect("a number") > 0, "{answer}");
        }
    }

    #[test]
    fn a_client_that_says_nothing_keeps_nobody_waiting() {
        let (_sampler, exporter) = server();
        let silent: Vec<TcpStream> =
            (0..3).map(|_| TcpStream::connect(exporter.address()).expect("it listens")).collect();
        assert!(ask(exporter.address(), "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
        drop(silent);
    }

    #[test]
    fn more_clients_than_there_is_room_for_are_turned_away() {
        let (_sampler, exporter) = server();
        let silent: Vec<TcpStream> =
            (0..CLIENTS).map(|_| TcpStream::connect(exporter.address()).expect("it listens")).collect();
        let mut client = TcpStream::connect(exporter.address()).expect("it listens");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers unasked");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        drop(silent);
    }

    #[test]
    fn a_name_with_quotes_does_not_end_its_label() {
        assert_eq!(escaped("a \"b\"\\\n"), "a \\\"b\\\"\\\\\\n");
    }
}
