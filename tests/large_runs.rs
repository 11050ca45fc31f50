//! Published runs of large models on many devices, none of which is in any fit, against what their layouts are predicted to take.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use greenformers::catalog::{Catalog, Phase};
use greenformers::estimate::{ConditionsBuilder, Hardware, LayoutSpec, Request, estimate_without_shares};
use greenformers::model::{Arch, Config, Details, Family};
use greenformers::record::Workload;
use greenformers::stats::{Interval, median};
use greenformers::units::DType;

/// A published run.
struct Run {
    name: &'static str,
    source: &'static str,
    /// A workload of the catalog, or one of [`model`].
    model: &'static str,
    device: &'static str,
    devices: u32,
    layout: &'static str,
    batch_size: usize,
    seq_len: usize,
    published: Published,
}

/// What was published of a step.
#[derive(Clone, Copy)]
enum Published {
    /// Its seconds.
    Seconds(f64),
    /// Tokens a second of a device.
    TokensPerSecond(f64),
    /// TFLOP/s of a device, of so many FLOPs a parameter and token: 6, or 8 where what is computed again is counted; and with the scores
    /// and values of attention, as model FLOPs are counted (Chowdhery et al. 2022, arXiv 2204.02311, appendix B).
    TflopPerSecond(f64, f64),
    /// TFLOP/s of a device as Narayanan et al. 2021 count them (equation 3), with everything computed again.
    Megatron(f64),
}

/// Layouts are those that the sources name; `auto` where they name none. What they do not say (micro-batches, pieces on a stage) is
/// the fastest that fits.
const RUNS: [Run; 11] = [
    Run {
        name: "GPT-NeoX 20B",
        source: "Black et al. 2022 (arXiv 2204.06745), section 3: 117 TFLOP/s",
        model: "gpt-neox-20b",
        device: "a100-sxm4-40gb",
        devices: 96,
        layout: "dp=12,tp=2,pp=4,zero=1,recompute=full,micro_batch=4",
        batch_size: 1536,
        seq_len: 2048,
        published: Published::Megatron(117.0),
    },
    Run {
        name: "BLOOM 176B",
        source: "Le Scao et al. 2022 (arXiv 2211.05100), section 3.2: 156 TFLOP/s at best",
        model: "bloom-176b",
        device: "a100-sxm4-80gb",
        devices: 384,
        layout: "dp=8,tp=4,pp=12,zero=1,recompute=full,micro_batch=2",
        batch_size: 2048,
        seq_len: 2048,
        published: Published::Megatron(156.0),
    },
    Run {
        name: "OPT 175B",
        source: "Zhang et al. 2022 (arXiv 2205.01068), section 2.5: up to 147 TFLOP/s",
        model: "opt-175b",
        device: "a100-sxm4-80gb",
        devices: 992,
        layout: "dp=124,tp=8,zero=3,recompute=full,micro_batch=8",
        batch_size: 992,
        seq_len: 2048,
        published: Published::TflopPerSecond(147.0, 8.0),
    },
    Run {
        name: "LLaMA 65B",
        source: "Touvron et al. 2023 (arXiv 2302.13971), section 2.4: 380 tokens a second",
        model: "llama-65b",
        device: "a100-sxm4-80gb",
        devices: 2048,
        layout: "auto",
        batch_size: 2048,
        seq_len: 2048,
        published: Published::TokensPerSecond(380.0),
    },
    Run {
        name: "Llama 2 70B",
        source: "Touvron et al. 2023 (arXiv 2307.09288), table 2: 1 720 320 device hours for 2T tokens; 1024 devices are assumed",
        model: "llama-2-70b",
        device: "a100-sxm4-80gb",
        devices: 1024,
        layout: "auto",
        batch_size: 1024,
        seq_len: 4096,
        published: Published::TokensPerSecond(322.9),
    },
    Run {
        name: "MT-NLG 530B",
        source: "Smith et al. 2022 (arXiv 2201.11990), section 2.4: 60.1 s",
        model: "mt-nlg-530b",
        device: "a100-sxm4-80gb",
        devices: 2240,
        layout: "dp=8,tp=8,pp=35,recompute=full,micro_batch=1",
        batch_size: 1920,
        seq_len: 2048,
        published: Published::Seconds(60.1),
    },
    Run {
        name: "MT-NLG 530B",
        source: "the same: 50.2 s",
        model: "mt-nlg-530b",
        device: "a100-sxm4-80gb",
        devices: 2800,
        layout: "dp=10,tp=8,pp=35,recompute=full,micro_batch=1",
        batch_size: 1920,
        seq_len: 2048,
        published: Published::Seconds(50.2),
    },
    Run {
        name: "MT-NLG 530B",
        source: "the same: 44.4 s",
        model: "mt-nlg-530b",
        device: "a100-sxm4-80gb",
        devices: 3360,
        layout: "dp=12,tp=8,pp=35,recompute=full,micro_batch=1",
        batch_size: 1920,
        seq_len: 2048,
        published: Published::Seconds(44.4),
    },
    Run {
        name: "Llama 3 405B",
        source: "Grattafiori et al. 2024 (arXiv 2407.21783), table 4: 430 TFLOP/s",
        model: "llama-3-405b",
        device: "h100-sxm5-80gb",
        devices: 8192,
        layout: "dp=64,tp=8,pp=16,zero=1,sequence_parallel=true,micro_batch=1",
        batch_size: 2048,
        seq_len: 8192,
        published: Published::TflopPerSecond(430.0, 6.0),
    },
    Run {
        name: "Llama 3 405B",
        source: "the same: 400 TFLOP/s",
        model: "llama-3-405b",
        device: "h100-sxm5-80gb",
        devices: 16384,
        layout: "dp=128,tp=8,pp=16,zero=1,sequence_parallel=true,micro_batch=1",
        batch_size: 2048,
        seq_len: 8192,
        published: Published::TflopPerSecond(400.0, 6.0),
    },
    Run {
        name: "Llama 3 405B",
        source: "the same: 380 TFLOP/s",
        model: "llama-3-405b",
        device: "h100-sxm5-80gb",
        devices: 16384,
        layout: "dp=8,tp=8,pp=16,cp=16,zero=1,sequence_parallel=true,micro_batch=1",
        batch_size: 128,
        seq_len: 131_072,
        published: Published::TflopPerSecond(380.0, 6.0),
    },
];

fn workload(run: &Run, catalog: &Catalog) -> Workload {
    let mut workload: Workload = match run.model {
        "mt-nlg-530b" | "llama-3-405b" => {
            Workload { model: model(run.model, catalog), ..catalog.load("gpt2").unwrap() }
        }
        name => catalog.load(name).unwrap(),
    };
    workload.phases =
        vec![Phase { steps: 1000, batch_size: run.batch_size, seq_len: run.seq_len, masked_per_seq: None }];
    workload
}

/// Models that the catalog has not: of MT-NLG (section 2.4) and Llama 3 (table 3).
fn model(name: &str, catalog: &Catalog) -> Config {
    if name == "mt-nlg-530b" {
        return Config {
            family: Family::Decoder,
            n_layers: 105,
            d_model: 20480,
            n_heads: 128,
            d_ff: 4 * 20480,
            vocab_size: 51200,
            max_seq_len: 2048,
            type_vocab_size: 0,
            gated_mlp: false,
            details: Details::default(),
        };
    }
    let small: Workload = catalog.load("llama-3.1-8b").unwrap();
    Config { n_layers: 126, d_model: 16384, n_heads: 128, d_ff: 53248, ..small.model }
}

/// Seconds of a step that was published.
fn seconds(run: &Run, model: &Config) -> f64 {
    let (batch, seq_len) = (run.batch_size as f64, run.seq_len as f64);
    let (tokens, devices) = (batch * seq_len, f64::from(run.devices));
    match run.published {
        Published::Seconds(seconds) => seconds,
        Published::TokensPerSecond(rate) => tokens / (devices * rate),
        Published::TflopPerSecond(rate, each) => {
            let n_params = greenformers::model::count_params(model, Arch::Dense) as f64;
            let scores = 2.0 * model.n_layers as f64 * seq_len * model.d_model as f64;
            tokens * each * (n_params + scores) / (devices * rate * 1e12)
        }
        Published::Megatron(rate) => {
            let (h, l, v) = (model.d_model as f64, model.n_layers as f64, model.vocab_size as f64);
            let flop = 96.0 * tokens * l * h * h * (1.0 + seq_len / (6.0 * h) + v / (16.0 * l * h));
            flop / (devices * rate * 1e12)
        }
    }
}

/// The layout, with what its source does not say: the pieces on a stage of the fastest that fits.
fn predicted(run: &Run, workload: &Workload, catalog: &Catalog) -> (Interval, String, Option<bool>) {
    let conditions = ConditionsBuilder::default().build().unwrap();
    let of = |layout: String| {
        let request = Request {
            devices: run.devices,
            software: "optimised".parse().unwrap(),
            layout: Some(layout.parse::<LayoutSpec>().unwrap()),
            seed: 1,
            ..Request::new(
                workload,
                &[Arch::Dense],
                Hardware::Catalog(catalog.load(run.device).unwrap()),
                if run.device.starts_with("a100") { DType::F16 } else { DType::Bf16 },
                &conditions,
            )
        };
        let estimate = estimate_without_shares(&request).ok()?.remove(0);
        Some((estimate.step_s[0], estimate.layout.unwrap().layout, estimate.fits))
    };
    let pieces =
        [1, 2, 4, 8].map(|v| if v == 1 { run.layout.to_owned() } else { format!("{},interleave={v}", run.layout) });
    let known = run.layout == "auto" || !run.layout.contains("sequence_parallel");
    let all = pieces.into_iter().take(if known { 1 } else { 4 }).filter_map(of);
    let order = |(step, _, fits): &(Interval, String, Option<bool>)| (*fits == Some(false), step.mid);
    all.min_by(|a, b| order(a).partial_cmp(&order(b)).unwrap())
        .unwrap_or_else(|| panic!("{}: `{}`", run.name, run.layout))
}

#[test]
fn large_runs_that_no_fit_has_seen_take_what_was_published() {
    let catalog = Catalog::default();
    let mut text = "# Large runs on many devices\n\nMade by `cargo test --test integration large_runs::`. Published runs of large models, \
                    none of which is in any fit: the constants of layouts were fitted to one node of 8 A100 and to eight runs of Megatron. \
                    Layouts are those that the sources name, `auto` where they name none; what they leave open is the fastest that fits. \
                    Inside: within the 95 % interval.\n\n\
                    | run | devices | layout | a step, published | predicted, s | off | inside |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    let (mut errors, mut inside) = (Vec::new(), 0);
    for run in &RUNS {
        let workload = workload(run, &catalog);
        let published = seconds(run, &workload.model);
        let (step, layout, fits) = predicted(run, &workload, &catalog);
        let error = step.mid / published - 1.0;
        let is_inside = step.contains(published);
        errors.push(error.abs());
        inside += usize::from(is_inside);
        let room = if fits == Some(false) { " (does not fit)" } else { "" };
        writeln!(
            text,
            "| {} | {} x {} | `{layout}`{room} | {published:.2} s | {:.2} [{:.2}, {:.2}] | {:+.0} % | {} |",
            run.name,
            run.devices,
            run.device,
            step.mid,
            step.low,
            step.high,
            100.0 * error,
            if is_inside { "yes" } else { "no" }
        )
        .unwrap();
    }
    let middle = median(&errors).unwrap();
    writeln!(text, "\n{inside} of {} inside; the median error is {:.0} %. Sources:\n", RUNS.len(), 100.0 * middle)
        .unwrap();
    for run in &RUNS {
        writeln!(text, "- {}, {} devices: {}", run.name, run.devices, run.source).unwrap();
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/validation/large_runs.md");
    fs::write(&page, &text).unwrap();
    assert!(middle < 0.2 && inside == RUNS.len(), "{text}");
}
