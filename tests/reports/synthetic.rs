//! A campaign that was never run, for reports of any size: made here, and written nowhere else.

use greenformers::catalog::{Catalog, Device};
use greenformers::meter::MeterTrace;
use greenformers::meter::{Coverage, EnergySource, GpuState, MeterInfo, Sample};
use greenformers::model::{Arch, StepShape, count_params, masked_per_seq, train_step_flop};
use greenformers::record::{
    Cell, Compute, Environment, Pass, Record, SCHEMA, Settings, Status, Step, Unmetered, Warning, Workload,
};
use greenformers::units::DType;

/// What a made-up campaign holds.
pub(crate) struct Campaign {
    pub(crate) archs: Vec<&'static str>,
    pub(crate) lengths: Vec<usize>,
    pub(crate) dtypes: Vec<DType>,
    pub(crate) passes: Vec<Pass>,
}

impl Campaign {
    /// Three architectures at two lengths.
    pub(crate) fn small() -> Self {
        Self {
            archs: vec!["dense", "lrt:rank=256", "linformer:k=128"],
            lengths: vec![128, 512],
            dtypes: vec![DType::Bf16],
            passes: vec![Pass::Train],
        }
    }

    /// Six architectures at five lengths in three formats, trained and asked.
    pub(crate) fn large() -> Self {
        Self {
            archs: vec![
                "dense",
                "lrt:rank=64",
                "lrt:rank=128",
                "lrt:rank=256",
                "linformer:k=64",
                "linformer:k=128,share=kv,order=projected",
            ],
            lengths: vec![64, 128, 256, 512, 2048],
            dtypes: vec![DType::F32, DType::Tf32, DType::Bf16],
            passes: vec![Pass::Train, Pass::Infer],
        }
    }

    /// The record of it, on an A100 of the catalog.
    pub(crate) fn record(&self) -> Record {
        let catalog = Catalog::default();
        let mut workload: Workload = catalog.load("bert-base").unwrap();
        workload.model.max_seq_len = workload.model.max_seq_len.max(*self.lengths.iter().max().unwrap_or(&0));
        let device: Device = catalog.load("a100-sxm4-80gb").unwrap();
        let mut record = Record {
            schema: SCHEMA,
            tool: "greenformers 0.1.0".to_owned(),
            created: "2026-11-20T08:15:00+01:00".to_owned(),
            settings: Settings {
                n_layers: workload.model.n_layers,
                workload,
                pass: Pass::Train,
                dropout: 0.1,
                dtypes: self.dtypes.clone(),
                steps: None,
                ops: greenformers::model::Ops::Fused,
                precision: 0.01,
                min_time_s: 5.0,
                max_time_s: 60.0,
                seed: 7,
            },
            environment: Environment {
                host: "made-up".to_owned(),
                os: "Linux (made up)".to_owned(),
                cpu: "A made-up CPU".to_owned(),
                logical_cpus: 32,
                threads: 32,
                memory_bytes: 256_000_000_000,
                compute: Compute {
                    device: "cuda:0".to_owned(),
                    name: "NVIDIA A100-SXM4-80GB".to_owned(),
                    hardware: Some(device),
                    hardware_share: 1.0,
                    old_peak: serde::de::IgnoredAny,
                    memory_bytes: Some(80_000_000_000),
                },
                meters: vec![gpu(), package()],
                unmetered: vec![Unmetered { what: "memory".to_owned(), reason: "made up".to_owned() }],
                baselines: Vec::new(),
                ceilings: None,
            },
            cells: Vec::new(),
            warnings: vec![Warning::new("this campaign is made up", "its numbers mean nothing", "measure one")],
        };
        let mut start_s = 1.0;
        for &pass in &self.passes {
            for &dtype in &self.dtypes {
                for &seq_len in &self.lengths {
                    for arch in &self.archs {
                        let cell = cell(&record.settings, arch.parse().unwrap(), seq_len, dtype, pass, start_s);
                        start_s = cell.steps.last().unwrap().end_s() + 1.0;
                        record.cells.push(cell);
                    }
                }
            }
        }
        record
    }
}

fn gpu() -> MeterInfo {
    MeterInfo {
        source: EnergySource::NvmlPower,
        domain: "GPU 0".to_owned(),
        coverage: Coverage::Gpu,
        gain_uncertainty: 0.05,
        note: "made up".to_owned(),
    }
}

fn package() -> MeterInfo {
    MeterInfo { source: EnergySource::Rapl, domain: "package-0".to_owned(), coverage: Coverage::CpuPackage, ..gpu() }
}

/// Seconds of a step of 8192 tokens: attention grows with the length, except in Linformer.
fn step_s(arch: Arch, seq_len: usize, dtype: DType, pass: Pass) -> f64 {
    let linear = arch.rank().map_or(1.0, |rank| 0.45 + rank as f64 / 1500.0);
    let attention = match arch.k() {
        Some(k) => 0.25 + k as f64 / 1500.0,
        None => seq_len as f64 / 1500.0,
    };
    let faster = match dtype {
        DType::F32 => 1.0,
        DType::Tf32 => 2.5,
        _ => 5.0,
    };
    let whole = if pass == Pass::Train { 1.2 } else { 0.4 };
    whole * (linear + attention) / faster
}

fn cell(settings: &Settings, arch: Arch, seq_len: usize, dtype: DType, pass: Pass, start_s: f64) -> Cell {
    let shape = StepShape { batch_size: 8192 / seq_len, seq_len, masked_per_seq: masked_per_seq(seq_len) };
    let total = step_s(arch, seq_len, dtype, pass);
    let mut steps = Vec::new();
    let mut now = start_s;
    for i in 0..24u32 {
        // A steady wobble of one per cent, and a pause after each visit of four steps.
        let time = total * (1.0 + 0.01 * f64::from(i % 5 * 2).sin());
        let (forward, backward) = if pass == Pass::Train { (0.32, 0.63) } else { (1.0, 0.0) };
        let optimizer = 1.0 - forward - backward;
        steps.push(Step {
            visit: i / 4 + 1,
            start_s: now,
            forward_s: time * forward,
            backward_s: time * backward,
            optimizer_s: time * optimizer,
        });
        now += time + if i % 4 == 3 { 0.5 } else { 0.0 };
    }
    let end = steps.last().unwrap().end_s();
    let times: Vec<f64> =
        (0..100_000).map(|i| start_s - 0.1 + 0.05 * f64::from(i)).take_while(|t| *t < end + 0.1).collect();
    let trace = |meter, watts: f64, idle_w| MeterTrace {
        meter,
        samples: times
            .iter()
            .map(|t| Sample { time_s: *t, energy_j: None, power_w: Some(watts + 8.0 * (3.0 * t).sin()), doubt: None })
            .collect(),
        failure: None,
        timing: None,
        idle_w: Some(idle_w),
    };
    let model = settings.workload.model.clone();
    let state = GpuState {
        power_limit_w: Some(400.0),
        sm_clock_mhz: Some(1410),
        memory_clock_mhz: Some(1593),
        temperature_c: Some(55),
        throttle_reasons: Some(Vec::new()),
        processes: Some(vec![1]),
        driver: Some("550.54.15".to_owned()),
        unanswered: Vec::new(),
    };
    Cell {
        arch,
        shape,
        n_layers: settings.n_layers,
        dtype,
        pass,
        device: "cuda:0".to_owned(),
        status: Status::Ok,
        error: None,
        n_params: count_params(&model, arch),
        flop_per_step: train_step_flop(&model, arch, shape),
        warmup_steps: 3,
        steps,
        meters: vec![trace(gpu(), 310.0, 55.0), trace(package(), 95.0, 40.0)],
        peak_memory_bytes: Some(9_000_000_000 + 4_000_000 * seq_len as u64),
        last_loss: Some(7.0),
        warnings: Vec::new(),
        warmup_s: None,
        gpu_before: Some(state.clone()),
        gpu_after: Some(state),
        contaminated: Some(false),
        launch: None,
        epoch_unix_s: None,
    }
}
