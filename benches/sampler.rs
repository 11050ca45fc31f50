//! What watching costs: the CPU time of the sampler and of `track`, and what the sampler does to the time of a train
//! step, which runs sampled and unsampled in turns (A B, B A).
//!
//! `cargo bench --bench sampler`; a longer run: `cargo bench --bench sampler -- 300` (seconds).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it prints; one that unwraps says where it failed")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use greenformers::catalog::{Catalog, DeviceKind};
use greenformers::machine::{host_parts, machine_facts};
use greenformers::measure::CountingAllocator;
use greenformers::model::{Arch, Config, Details, Family, StepShape};
use greenformers::nn::{AdamW, AdamWConfig, Batch, BertForPreTraining, Ops, Params, PassConfig, Tape};
use greenformers::sensor::{DEFAULT_POWERCAP_ROOT, Meter, Sampler};
use greenformers::stats::{batch_means, median};

/// The program's.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Least time of a block of steps.
const BLOCK: Duration = Duration::from_millis(300);

fn main() {
    let seconds = std::env::args().find_map(|a| a.parse::<f64>().ok()).unwrap_or(60.0);
    let alone = (seconds / 4.0).min(20.0);
    sampler_alone(alone);
    for interval in ["0.5", "0.1"] {
        track_alone(interval, alone);
    }
    effect_on_steps(seconds);
}

/// The meters of this machine, as a campaign on its CPU and `track` open them.
fn meters() -> Vec<Box<dyn Meter>> {
    let facts = machine_facts();
    let cpu = Catalog::default().identify(DeviceKind::Cpu, &facts.cpu).unwrap();
    let parts = host_parts(Path::new(DEFAULT_POWERCAP_ROOT), &facts, cpu.as_ref());
    parts.into_iter().filter_map(|p| p.meter).collect()
}

/// Nanoseconds on a CPU of all threads of this program (`/proc/self/task/TID/schedstat`).
fn on_cpu_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of = |task: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    tasks.filter_map(|t| of(t.ok()?)).sum()
}

fn sampler_alone(seconds: f64) {
    let meters = meters();
    let names: Vec<String> = meters.iter().map(|m| format!("{} each {}", m.info().source.name(), m.period())).collect();
    let sampler = Sampler::start(Instant::now(), meters);
    let (began, before) = (Instant::now(), on_cpu_ns());
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let share = (on_cpu_ns() - before) as f64 / 1e9 / began.elapsed().as_secs_f64();
    let readings: usize = sampler.take().iter().map(|log| log.samples.len()).sum();
    println!(
        "sampler ({}): {:.4} % of one CPU, {readings} readings in {seconds:.0} s",
        names.join(", "),
        100.0 * share
    );
}

/// CPU-seconds of children that have been waited for, and of theirs.
fn children_cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 1..].split_whitespace().collect();
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) / 100.0
}

fn track_alone(interval: &str, seconds: f64) {
    let cpu_of = |seconds: f64| {
        let before = children_cpu_s();
        let program = env!("CARGO_BIN_EXE_greenformers");
        let args = ["track", "--quiet", "--interval", interval, "--", "sleep", &seconds.to_string()];
        assert!(Command::new(program).args(args).status().unwrap().success());
        children_cpu_s() - before
    };
    // What starting and ending take is not a share of the time.
    let once = cpu_of(0.1);
    let share = (cpu_of(seconds) - once) / seconds;
    println!(
        "track --interval {interval}: {:.3} % of one CPU (resolution {:.3} %), and {once:.2} CPU-seconds once",
        100.0 * share,
        1.0 / seconds
    );
}

fn effect_on_steps(seconds: f64) {
    let config = Config {
        family: Family::Encoder,
        n_layers: 2,
        d_model: 256,
        n_heads: 4,
        d_ff: 1024,
        vocab_size: 8192,
        max_seq_len: 128,
        type_vocab_size: 2,
        gated_mlp: false,
        details: Details::default(),
    };
    let device = Device::Cpu;
    let params = Params::random(0, DType::F32, &device);
    let model = BertForPreTraining::new(&config, Arch::Dense, params).unwrap();
    let mut optimizer = AdamW::new(model.params(), AdamWConfig::default(), Ops::Fused).unwrap();
    let shape = StepShape { batch_size: 4, seq_len: 128, masked_per_seq: 20 };
    let batch = Batch::random(&config, shape, 1, &device).unwrap();
    let pass = PassConfig { ops: Ops::Fused, ..PassConfig::deterministic(DType::F32) };
    let mut step = || {
        let tape = Tape::new(pass, &device);
        let loss = model.losses(&batch, &tape).unwrap().total;
        let gradients = tape.backward(&loss, None).unwrap();
        optimizer.step(model.params(), &gradients).unwrap();
    };
    // The mean of the steps, and their median, which a neighbour's burst on a shared machine does not move.
    let mut block = || {
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < BLOCK {
            let start = Instant::now();
            step();
            times.push(start.elapsed().as_secs_f64());
        }
        [times.iter().sum::<f64>() / times.len() as f64, median(&times).unwrap()]
    };
    for _ in 0..4 {
        block();
    }
    let began = Instant::now();
    let mut ratios = [Vec::new(), Vec::new()];
    while began.elapsed().as_secs_f64() < seconds {
        let sampled_first = ratios[0].len() % 2 == 0;
        let mut times = [[0.0; 2]; 2];
        for sampled in [sampled_first, !sampled_first] {
            let sampler = sampled.then(|| Sampler::start(Instant::now(), meters()));
            times[usize::from(sampled)] = block();
            drop(sampler);
        }
        for (i, ratios) in ratios.iter_mut().enumerate() {
            ratios.push(times[1][i] / times[0][i] - 1.0);
        }
    }
    for (what, ratios) in ["mean", "median"].into_iter().zip(&ratios) {
        let change = batch_means(ratios).unwrap().interval().scaled(100.0);
        println!(
            "{what} step time sampled against unsampled: {:+.2} % [{:+.2} to {:+.2}], {} pairs of blocks",
            change.mid,
            change.low,
            change.high,
            ratios.len()
        );
    }
}
