//! What is sampled, for Prometheus to fetch: a server of one page.

use std::convert::Infallible;
use std::io::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use crate::meter::Coverage;
use crate::sensor::{MeterFacts, Reader};

/// Clients at a time; one more is turned away.
const CLIENTS: usize = 8;
/// A client that takes longer to ask is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nobody is served for longer on one connection, so that none holds a place for ever.
const LONGEST: Duration = Duration::from_mins(1);
/// How long the server waits where no more descriptors are to be had.
const PAUSE: Duration = Duration::from_millis(20);
/// The media type of the text format of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until it is dropped.
pub(super) struct Exporter {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Serves the latest readings at `address`.
    pub(super) fn start(address: SocketAddr, reader: Reader) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = move || {
            let served = runtime.spawn(serve(listener, reader));
            // Until somebody stops it, or drops it; clients are let go then.
            let _ = runtime.block_on(stopped);
            served.abort();
        };
        let thread = std::thread::Builder::new().name("exporter".to_owned()).spawn(serving)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it serves: the port that was free, if 0 was asked for.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has already shown its message.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, reader: Reader) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // No more descriptors are to be had, which is not helped by asking again at once.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            turn_away(&client).await;
            continue;
        };
        let reader = reader.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &reader);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(client), service);
            // A client that has gone away, or asks for nothing, is no concern of the command's.
            let _ = tokio::time::timeout(LONGEST, connection).await;
            drop(place);
        });
    }
}

/// Says that there is no room, which is shorter than what the system takes without waiting for the client.
async fn turn_away(client: &TcpStream) {
    const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    if tokio::time::timeout(PAUSE, client.writable()).await.is_ok() {
        let _ = client.try_write(NO_ROOM);
    }
}

fn answer<B>(request: &Request<B>, reader: &Reader) -> Response<Full<Bytes>> {
    let reply = |status: StatusCode, media_type: &'static str, text: String| {
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, media_type.parse().expect("a media type is a header's value"));
        response
    };
    let plain = |status, text: &str| reply(status, "text/plain", text.to_owned());
    // What HEAD is not to be sent, hyper does not send.
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n");
    }
    match request.uri().path() {
        "/metrics" => match metrics(&reader.meters()) {
            Ok(text) => reply(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        "/" => plain(StatusCode::OK, "see /metrics\n"),
        _ => plain(StatusCode::NOT_FOUND, "see /metrics\n"),
    }
}

/// What tells one meter from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeterLabels {
    device: String,
    source: &'static str,
    covers: &'static str,
}

/// What tells one component from another in OpenTelemetry's conventions for hardware (`hw.id`, `hw.type`), as its rules for
/// Prometheus write them, and how the reading is known, for which they have no word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ComponentLabels {
    hw_id: String,
    hw_type: &'static str,
    source: &'static str,
}

/// `hw.type` of what a meter covers. The list of the conventions has no word for the last two, and lets others have their own.
fn hw_type(coverage: Coverage) -> &'static str {
    match coverage {
        Coverage::Gpu => "gpu",
        Coverage::CpuPackage => "cpu",
        Coverage::Dram => "memory",
        Coverage::NodeShare => "host_share",
        Coverage::Module => "module",
    }
}

/// The readings in the text format: joules since the command was about to start, and watts over the last two readings, each
/// under our name and under OpenTelemetry's (`hw.energy`, `hw.power`). What is not known is left out, and never 0.
fn metrics(latest: &[MeterFacts]) -> std::result::Result<String, std::fmt::Error> {
    let energy = Family::<MeterLabels, Counter<f64, AtomicU64>>::default();
    let power = Family::<MeterLabels, Gauge<f64, AtomicU64>>::default();
    let hw_energy = Family::<ComponentLabels, Counter<f64, AtomicU64>>::default();
    let hw_power = Family::<ComponentLabels, Gauge<f64, AtomicU64>>::default();
    for meter in latest {
        let info = &meter.info;
        let labels =
            MeterLabels { device: info.domain.clone(), source: info.source.name(), covers: info.coverage.words() };
        let component =
            ComponentLabels { hw_id: info.domain.clone(), hw_type: hw_type(info.coverage), source: info.source.name() };
        if let Some(joules) = meter.energy_j {
            energy.get_or_create(&labels).inc_by(joules);
            hw_energy.get_or_create(&component).inc_by(joules);
        }
        if let Some(watts) = meter.power_w {
            power.get_or_create(&labels).set(watts);
            hw_power.get_or_create(&component).set(watts);
        }
    }
    let mut registry = Registry::default();
    registry.register("greenformers_energy_joules", "Energy since tracking began", energy);
    registry.register("greenformers_power_watts", "Power over the last two readings", power);
    registry.register("hw_energy_joules", "Energy consumed by the component since tracking began", hw_energy);
    registry.register("hw_power_watts", "Power of the component over the last two readings", hw_power);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Instant;

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
        let answer = ask(exporter.address(), "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let value = |name: &str| -> f64 {
            let line = answer.lines().find(|l| l.starts_with(name)).expect("the metric");
            assert!(line.contains("{device=\"fake\",source=\"fake\",covers=\"CPU package\"}"), "{line}");
            line.rsplit(' ').next().expect("a value").parse().expect("a number")
        };
        assert!((value("greenformers_power_watts{") - 5.0).abs() < 0.5);
        assert!(value("greenformers_energy_joules_total{") > 0.1);
        assert!(answer.contains("# TYPE greenformers_energy_joules counter"));
    }

    #[test]
    fn the_readings_stand_under_the_names_of_open_telemetry_too() {
        let (_sampler, exporter) = server();
        let answer = ask(exporter.address(), "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let value = |name: &str| -> f64 {
            let start = format!("{name}{{hw_id=\"fake\",hw_type=\"cpu\",source=\"fake\"}} ");
            let value = answer.lines().find_map(|l| l.strip_prefix(&start)).expect("the metric with its labels");
            value.parse().expect("a number")
        };
        assert!((value("hw_power_watts") - 5.0).abs() < 0.5);
        assert!(value("hw_energy_joules_total") > 0.1);
        for kind in ["# TYPE hw_energy_joules counter", "# TYPE hw_power_watts gauge"] {
            assert!(answer.contains(kind), "{answer}");
        }
    }

    #[test]
    fn components_have_the_types_of_open_telemetry_where_it_has_one() {
        let types = [Coverage::Gpu, Coverage::CpuPackage, Coverage::Dram, Coverage::NodeShare, Coverage::Module];
        assert_eq!(types.map(hw_type), ["gpu", "cpu", "memory", "host_share", "module"]);
    }

    #[test]
    fn other_pages_methods_and_noise_are_refused() {
        let (_sampler, exporter) = server();
        let ask = |text: &str| ask(exporter.address(), text);
        assert!(ask("GET /etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask("what?\r\n\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn head_is_answered_with_the_head_alone() {
        let (_sampler, exporter) = server();
        for (path, status) in [("/metrics", "200"), ("/", "200"), ("/nowhere", "404")] {
            let answer =
                ask(exporter.address(), &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with("\r\n\r\n"), "{answer}");
            let length = answer.lines().find_map(|l| l.strip_prefix("content-length: ")).expect("as for GET");
            assert!(length.parse::<usize>().expect("a number") > 0, "{answer}");
        }
    }

    #[test]
    fn a_client_that_says_nothing_keeps_nobody_waiting() {
        let (_sampler, exporter) = server();
        let silent: Vec<TcpStream> =
            (0..3).map(|_| TcpStream::connect(exporter.address()).expect("it listens")).collect();
        assert!(
            ask(exporter.address(), "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .starts_with("HTTP/1.1 200")
        );
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
}
