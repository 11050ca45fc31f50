//! Every published run that the program knows, predicted and compared: writes `reports/validation/`.
//!
//! No run is treated by its name: all go through the one model, each predicted from a fit to the others.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use greenformers::catalog::{
    AttentionUse, Catalog, Device, Phase, PublishedRun, Software, SoftwareClass, SoftwareSpec, published_runs,
};
use greenformers::estimate::model::{
    Calibration, DeviceFigures, Efficiency, EfficiencyTable, HeldOut, Observation, Work, observations, power_checks,
};
use greenformers::estimate::{
    Cluster, ConditionsBuilder, Hardware, OwnSoftware, Quantity, Request, Watched, against_published,
    estimate_without_shares, transfer_check,
};
use greenformers::model::{Arch, Config, StepShape};
use greenformers::record::{Record, Workload};
use greenformers::stats::{Interval, median, weighted_quantile};
use greenformers::units::DType;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fitted() -> (Vec<Observation>, Calibration) {
    let observations = observations();
    let mut calibration = Calibration::new(&observations);
    let held_out = calibration.hold_out(&observations, source, SoftwareSpec::from);
    calibration.stretch_to(&observations, &held_out);
    (observations, calibration)
}

fn source(observation: &Observation) -> String {
    observation.run.collection.clone()
}

/// What a fold comes to, each source counted once.
struct Summary {
    runs: usize,
    sources: usize,
    median: f64,
    inside: f64,
    /// Half of the 95 % interval of the logarithm.
    half_width: f64,
}

fn summary(observations: &[Observation], held_out: &[HeldOut], keep: impl Fn(&Observation) -> bool) -> Option<Summary> {
    let kept: Vec<(&Observation, &HeldOut)> = observations.iter().zip(held_out).filter(|(o, _)| keep(o)).collect();
    let mut sources: Vec<String> = kept.iter().map(|(o, _)| source(o)).collect();
    sources.sort();
    let of = |o: &Observation| sources.iter().filter(|name| **name == source(o)).count() as f64;
    let weighed: Vec<(&HeldOut, f64)> = kept.iter().map(|(o, h)| (*h, 1.0 / of(o))).collect();
    let total: f64 = weighed.iter().map(|(_, w)| w).sum();
    let errors: Vec<(f64, f64)> = weighed.iter().map(|(h, w)| ((h.ln_error.exp() - 1.0).abs(), *w)).collect();
    let mean = |of: &dyn Fn(&HeldOut) -> f64| weighed.iter().map(|(h, w)| of(h) * w).sum::<f64>() / total;
    (!kept.is_empty()).then(|| Summary {
        runs: kept.len(),
        sources: sources.iter().collect::<std::collections::BTreeSet<_>>().len(),
        median: weighted_quantile(&errors, 0.5),
        inside: mean(&|h| f64::from(u8::from(h.is_inside()))),
        half_width: mean(&|h| (h.high - h.low) / 2.0),
    })
}

#[test]
fn a_source_that_the_fit_has_not_seen_lies_inside_its_interval_nine_times_in_ten() {
    let (observations, calibration) = fitted();
    let mut text = String::from(
        "# Published runs against the model\n\nWritten by `cargo test --test integration a_source_that`. What a user asks about is \
         always a new source: other people, with other software, on other machines. So a source is held out whole, and each \
         source counts once, however many runs it published.\n\n## A source held out\n\n| said of the software | runs | sources | \
         median error | inside the 95 % interval | the interval is x/÷ |\n|---|---|---|---|---|---|\n",
    );
    let row = |text: &mut String, name: &str, s: &Summary| {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {:.1} % | {:.0} % | {:.2} |",
            s.runs,
            s.sources,
            100.0 * s.median,
            100.0 * s.inside,
            s.half_width.exp()
        );
    };
    let everything = calibration.hold_out(&observations, source, SoftwareSpec::from);
    let class = |s: Software| SoftwareSpec { class: Some(s.class), attention: None };
    let of_class = calibration.hold_out(&observations, source, class);
    let nothing = calibration.hold_out(&observations, source, |_| SoftwareSpec::default());
    let folds = [("class and attention", &everything, 0.20), ("class", &of_class, 0.22), ("nothing", &nothing, 0.28)];
    for (name, held_out, most) in folds {
        let all = summary(&observations, held_out, |_| true).unwrap();
        row(&mut text, name, &all);
        assert!(all.median <= most, "{name}: median error {}", all.median);
        assert!((0.90..=1.0).contains(&all.inside), "{name}: {} inside", all.inside);
    }
    text.push_str(
        "\n## The same by software and by device\n\nClass and attention are said.\n\n| runs of | runs | sources | median error | \
         inside | x/÷ |\n|---|---|---|---|---|---|\n",
    );
    for class in SoftwareClass::ALL {
        for attention in [AttentionUse::Fused, AttentionUse::Composed] {
            let keep = |o: &Observation| (o.run.software, o.run.attention) == (class, attention);
            if let Some(s) = summary(&observations, &everything, keep) {
                row(&mut text, &format!("{}, {} attention", class.name(), attention.name()), &s);
            }
        }
    }
    let mut devices: Vec<&str> = observations.iter().map(|o| o.run.device.as_str()).collect();
    devices.sort_unstable();
    devices.dedup();
    for device in devices {
        row(&mut text, device, &summary(&observations, &everything, |o| o.run.device == device).unwrap());
    }
    text.push_str(
        "\n## Easier questions\n\nWhat is held out here has siblings in the fit: runs of the same program on other devices, or of \
         other models on the same.\n\n| held out together | runs | sources | median error | inside | x/÷ |\n|---|---|---|---|---|---|\n",
    );
    let by_model = calibration.hold_out(&observations, |o| (o.run.d_model, o.run.n_layers), SoftwareSpec::from);
    let by_device = calibration.hold_out(&observations, |o| o.run.device.clone(), SoftwareSpec::from);
    for (name, held_out) in [("all runs of a model", by_model), ("all runs of a device", by_device)] {
        let all = summary(&observations, &held_out, |_| true).unwrap();
        row(&mut text, name, &all);
        assert!(all.median <= 0.20 && all.inside >= 0.80, "unseen {name}: {}, {}", all.median, all.inside);
    }

    text.push_str(
        "\n## What programs of a class differ by\n\nStandard deviation of the logarithm, fitted with the constants.\n\n| class | \
         spread |\n|---|---|\n",
    );
    for (class, spread) in SoftwareClass::ALL.into_iter().zip(calibration.spread()) {
        let _ = writeln!(text, "| {} | {spread:.2} |", class.name());
    }
    text.push_str(
        "\n## Power\n\nPublished power of BERT-base, each device predicted from the other.\n\n| run | published W | predicted \
         W | error |\n|---|---|---|---|\n",
    );
    let power = power_checks(&Catalog::default(), &published_runs());
    for check in &power {
        let error = check.predicted_w / check.published_w - 1.0;
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.1} % |",
            check.id,
            check.published_w,
            check.predicted_w,
            100.0 * error
        );
        assert!(error.abs() < 0.15, "{}: {error}", check.id);
    }
    assert_eq!(power.len(), 15);
    text.push_str(
        "\nThe runs one by one, each with its source held out, are in `published_runs.csv`, the constants in \
         `hardware/efficiency.json`. Not in the fit: runs on more than one machine (their network decides), with parts computed \
         again or sharded, and those whose source leaves length, micro-batch or attention open.\n",
    );

    let mut csv = String::from(
        "id,collection,software,attention,predicted_tokens_per_s,low,high,published_tokens_per_s,error,inside\n",
    );
    for (o, h) in observations.iter().zip(&everything) {
        let published = o.run.tokens_per_s.unwrap();
        // Time that is longer by a factor is throughput that is smaller by it.
        let tokens_per_s = |ln: f64| published * (-ln).exp();
        let _ = writeln!(
            csv,
            "{},{},{},{},{:.0},{:.0},{:.0},{:.0},{:.3},{}",
            o.run.id,
            o.run.collection,
            o.run.software.name(),
            o.run.attention.name(),
            tokens_per_s(h.ln_error),
            tokens_per_s(h.high),
            tokens_per_s(h.low),
            published,
            tokens_per_s(h.ln_error) / published - 1.0,
            h.is_inside()
        );
    }
    let folder = root().join("reports/validation");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("README.md"), text).unwrap();
    fs::write(folder.join("published_runs.csv"), csv).unwrap();
    fs::write(folder.join("pytorch.md"), pytorch(&observations, &everything, &nothing)).unwrap();
}

/// Steps of PyTorch that `benches/compare_with_pytorch.py` timed, from a fit to all the other sources.
fn pytorch(observations: &[Observation], known: &[HeldOut], unknown: &[HeldOut]) -> String {
    let measured = fs::read_to_string(root().join("benches/README.md")).unwrap();
    let mut text = String::from(
        "# PyTorch on two GPUs\n\nWritten by `cargo test --test integration a_source_that`. Steps of PyTorch 2.11 that \
         `benches/compare_with_pytorch.py` timed, predicted from a fit to the other sources: once with the class of software and its \
         attention named, once with nothing said. Times in ms; bold is outside the 95 % interval.\n\n| PyTorch | GPU | dtype | \
         model | batch x tokens | measured | predicted | off | nothing said | off |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let (mut errors, mut inside) = ([Vec::new(), Vec::new()], [0, 0]);
    let own = observations.iter().enumerate().filter(|(_, o)| o.run.collection == "greenformers");
    for (i, o) in own.clone() {
        let ms = 1e3 * o.observed_s;
        assert!(
            measured.contains(&format!("{ms:.2} ms")) || measured.contains(&format!("{ms:.1} ms")),
            "{}: {ms}",
            o.run.id
        );
        let run = &o.run;
        let model = match (run.family.as_str(), run.gated_mlp) {
            ("encoder", _) => "BERT-base",
            (_, false) => "GPT-2",
            (_, true) => "a Llama of 12 x 768",
        };
        let size = format!("{} x {}", run.micro_batch, run.seq_len.unwrap());
        write!(text, "| {} | {} | {} | {model} | {size} | {ms:.1} |", run.software.name(), run.device, run.dtype)
            .unwrap();
        for (j, held_out) in [known, unknown].into_iter().enumerate() {
            let h = held_out[i];
            let [mid, low, high] = [h.ln_error, h.low, h.high].map(|ln| ms * ln.exp());
            let bold = if h.is_inside() { "" } else { "**" };
            let off = 100.0 * (mid / ms - 1.0);
            write!(text, " {bold}{mid:.1} [{low:.1}, {high:.1}]{bold} | {off:+.0} % |").unwrap();
            errors[j].push((mid / ms - 1.0).abs());
            inside[j] += usize::from(h.is_inside());
        }
        text.push('\n');
    }
    let [first, second] = errors.map(|errors| median(&errors).unwrap());
    let (first, second) = (100.0 * first, 100.0 * second);
    let all = own.count();
    writeln!(
        text,
        "\n{} and {} of {all} inside; the median errors are {first:.0} % and {second:.0} %. Two of these are the same step on two \
         machines of one kind, of which one waits longer for its CPU.",
        inside[0], inside[1]
    )
    .unwrap();
    assert!(first < 20.0 && inside == [all, all], "{text}");
    text
}

#[test]
fn no_step_of_the_model_is_faster_than_the_peak_of_its_device() {
    let catalog = Catalog::default();
    let workload = catalog.load("bert-large").unwrap();
    let conditions = ConditionsBuilder::default().build().unwrap();
    for device in catalog.all::<Device>().unwrap() {
        for dtype in device.peak.keys().copied() {
            let request = Request {
                software: "optimised/fused".parse().unwrap(),
                seed: 1,
                ..Request::new(&workload, &[Arch::Dense], Hardware::Catalog(device.clone()), dtype, &conditions)
            };
            let Ok(mut estimates) = estimate_without_shares(&request) else { continue };
            let mfu = estimates.remove(0).mfu.unwrap();
            assert!(mfu.high <= 1.0, "{} in {dtype}: MFU {mfu:?}", device.id);
        }
    }
}

/// The committed records of a CPU and of a GPU: each of their cells predicted from the others, and the ratios to dense that
/// the model alone gives.
#[test]
fn cells_of_a_record_are_predicted_from_the_others() {
    let mut text = String::from(
        "# Records against the model\n\nWritten by `cargo test --test integration cells_of_a_record`. Left out: the cell's pass \
         predicted from the other cells, over its measured one. Ratio to dense: by the model alone, which no record corrects, \
         over the measured ratio.\n",
    );
    for (name, n, left_out_limit, ratio_limit) in
        [("epyc-2vcpu-bert-base", 6, 0.10, 0.05), ("h200-bert-base", 9, 0.10, 0.07), ("h100-bert-base", 8, 0.10, 0.07)]
    {
        let record = Record::load(&root().join("reports").join(name)).unwrap();
        let check = transfer_check(&record).unwrap();
        let _ = writeln!(text, "\n## `reports/{name}`\n\n| cell | left out | ratio to dense |\n|---|---|---|");
        for cell in &check.cells {
            let ratio = cell.ratio_to_dense.map_or_else(|| "-".to_owned(), |r| format!("{r:.3}"));
            let _ = writeln!(text, "| {} | {:.3} | {ratio} |", cell.label, cell.left_out);
        }
        let _ = writeln!(
            text,
            "\nRoot mean square of the logarithms: {:.1} % left out, {:.1} % of ratios to dense.",
            100.0 * check.left_out_rms,
            100.0 * check.ratio_rms
        );
        assert_eq!(check.cells.len(), n, "{name}");
        assert!(check.left_out_rms < left_out_limit, "{name}: {}", check.left_out_rms);
        assert!(check.ratio_rms < ratio_limit, "{name}: {}", check.ratio_rms);
    }
    let (in_pytorch, rms) = ratios_in_pytorch();
    text.push_str(&in_pytorch);
    // What an estimate allows for.
    assert!(rms < 0.10, "{rms}");
    fs::create_dir_all(root().join("reports/validation")).unwrap();
    fs::write(root().join("reports/validation/record.md"), text).unwrap();
}

/// Steps of BERT-base over those of the dense one in PyTorch 2.11 eager on an H200 in bf16, with fused attention: architecture,
/// batch, tokens, ratio (`benches/README.md`). With 64 x 128 tokens it waits for Python.
const IN_PYTORCH: [(&str, usize, usize, f64); 3] = [
    ("lrt:rank=256", 32, 512, 40.50 / 43.07),
    ("linformer:k=128", 32, 512, 38.53 / 43.07),
    ("lrt:rank=256", 4, 4096, 68.19 / 70.90),
];

/// A table of those ratios as the model has them, and the root mean square of its errors (ln).
fn ratios_in_pytorch() -> (String, f64) {
    let catalog = Catalog::default();
    let figures = DeviceFigures::of(&catalog.load("h200-sxm5-141gb").unwrap(), DType::Bf16).unwrap();
    let software = Software { class: SoftwareClass::Eager, attention: AttentionUse::Fused };
    let config = catalog.load::<Workload>("bert-base").unwrap().model;
    let mut text = String::from(
        "\n## PyTorch eager on an H200\n\nRatios to dense that the model has for that software, over those that were measured \
         (`benches/README.md`).\n\n| cell | ratio to dense |\n|---|---|\n",
    );
    let mut squares = 0.0;
    for (arch, batch_size, seq_len, measured) in IN_PYTORCH {
        let arch: Arch = arch.parse().unwrap();
        let shape = StepShape { batch_size, seq_len, masked_per_seq: seq_len * 15 / 100 };
        let step_s = |arch: Arch| {
            let config = config.clone().with_room_for(seq_len);
            let work = Work::new(&config, arch, shape, DType::Bf16, software);
            let time = Efficiency::embedded().step(&figures, &work);
            time.pass() + time.optimizer
        };
        let off = step_s(arch) / step_s(Arch::Dense) / measured;
        let _ = writeln!(text, "| {}, {batch_size} x {seq_len}, bf16 | {off:.3} |", arch.label());
        squares += off.ln().powi(2);
    }
    let rms = (squares / IN_PYTORCH.len() as f64).sqrt();
    let _ = writeln!(text, "\nRoot mean square of the logarithms: {:.1} %.", 100.0 * rms);
    (text, rms)
}

/// Whole machines held out: the record of one GPU says what BERT-base takes on another, where it was measured.
#[test]
fn the_record_of_one_gpu_holds_what_another_measured() {
    let catalog = Catalog::default();
    let workload = catalog.load("bert-base").unwrap();
    let archs = [Arch::Dense, "lrt:rank=256".parse().unwrap(), "linformer:k=128".parse().unwrap()];
    let conditions = ConditionsBuilder::default().build().unwrap();
    let of = |record: &Record, elsewhere: Option<&str>| {
        let hardware = match elsewhere {
            Some(id) => Hardware::Transferred(record, catalog.load(id).unwrap()),
            None => Hardware::Measured(record),
        };
        let request = Request { seed: 1, ..Request::new(&workload, &archs, hardware, DType::Bf16, &conditions) };
        let estimates = estimate_without_shares(&request).unwrap();
        estimates.into_iter().map(|e| [Quantity::Wall, Quantity::ItEnergy].map(|q| e.footprint.of(q).unwrap()))
    };
    let load = |name: &str| Record::load(&root().join("reports").join(name)).unwrap();
    let (h200, h100) = (load("h200-bert-base"), load("h100-bert-base"));
    for (from, to, id) in [(&h200, &h100, "h100-sxm5-80gb"), (&h100, &h200, "h200-sxm5-141gb")] {
        let mut n = 0;
        for (predicted, measured) in of(from, Some(id)).zip(of(to, None)) {
            for (predicted, measured) in predicted.into_iter().zip(measured) {
                assert!(predicted.contains(measured.mid), "{id}: {predicted:?} holds no {measured:?}");
                // A factor of two would hold much.
                assert!(predicted.high / predicted.low < 2.0, "{id}: {predicted:?}");
                n += 1;
            }
        }
        assert_eq!(n, 6);
    }
}

/// A published run as a workload of its own: a thousand steps of 64 micro-batches.
fn workload_of(run: &PublishedRun) -> Workload {
    let seq_len = run.seq_len.unwrap();
    let catalog = Catalog::default();
    let like: Workload = catalog.load(if run.family == "decoder" { "gpt2" } else { "bert-base" }).unwrap();
    let model = Config {
        n_layers: run.n_layers,
        d_model: run.d_model,
        n_heads: run.n_heads,
        d_ff: run.d_ff,
        gated_mlp: run.gated_mlp,
        vocab_size: run.vocab_size,
        ..like.model.with_room_for(seq_len)
    };
    Workload {
        model,
        phases: vec![Phase {
            steps: 1000,
            batch_size: 64 * run.micro_batch * run.devices as usize,
            seq_len,
            masked_per_seq: Some(run.losses_per_seq),
        }],
        grad_checkpointing: run.grad_checkpointing,
        ..like
    }
}

/// What the step of `to` is predicted to take from a watch of `from`, over what was published: middle and ends.
fn carried(from: &PublishedRun, to: &PublishedRun, software: SoftwareSpec, catalog: &Catalog) -> Interval {
    let step_s = |run: &PublishedRun| {
        let phase = workload_of(run).phases[0];
        (phase.batch_size * phase.seq_len) as f64 / run.tokens_per_s.unwrap()
    };
    let own = OwnSoftware::watched(&Watched {
        workload: &workload_of(from),
        arch: Arch::Dense,
        dtype: from.dtype,
        device: &catalog.load(&from.device).unwrap(),
        devices: from.devices,
        cluster: Cluster::default(),
        software,
        step_s: Interval { mid: 1.0, low: 0.97, high: 1.03 }.scaled(step_s(from)),
    });
    let estimates = estimate_without_shares(&Request {
        devices: to.devices,
        own: Some(&own.unwrap()),
        seed: 1,
        ..Request::new(
            &workload_of(to),
            &[Arch::Dense],
            Hardware::Catalog(catalog.load(&to.device).unwrap()),
            to.dtype,
            &ConditionsBuilder::default().build().unwrap(),
        )
    });
    estimates.unwrap()[0].step_s[0].scaled(1.0 / step_s(to))
}

/// What a user's own program was seen to take on one kind of GPU, held against what it took on another. The constants were fitted to
/// these programs among others, so that it is the easier question; two kinds of GPU that ran one program are new together.
#[test]
fn a_program_that_was_watched_on_one_gpu_is_predicted_on_another() {
    let catalog = Catalog::default();
    let runs: Vec<PublishedRun> =
        published_runs().into_iter().filter(|run| run.tokens_per_s.is_some() && run.seq_len.is_some()).collect();
    // Models with fewer heads of keys are described otherwise in the table.
    let same = |a: &PublishedRun, b: &PublishedRun| {
        let of = |r: &PublishedRun| (r.n_layers, r.d_model, r.seq_len, r.dtype, r.devices, r.losses_per_seq);
        (&a.collection, &a.framework, of(a)) == (&b.collection, &b.framework, of(b)) && a.device != b.device
    };
    let mut text = String::from(
        "# A program that was watched on one kind of GPU, on another\n\nWritten by `cargo test --test integration watched_on`. Each \
         published run of a program is taken as watched, and predicts the step of the same model, by the same program, on each other \
         kind of GPU that it ran on. The constants of the model were fitted to these runs among others, so that this is the easier \
         question.\n\n| said of the software | pairs | median error | inside the 95 % interval | the interval is x/÷ \
         |\n|---|---|---|---|---|\n",
    );
    for (name, said) in [("class and attention", true), ("nothing", false)] {
        let mut errors = Vec::new();
        let mut inside = 0;
        let mut widths = 0.0;
        for from in runs.iter().filter(|run| run.n_kv_heads.is_none_or(|n| n == run.n_heads)) {
            for to in runs.iter().filter(|to| same(from, to)) {
                let software = if said { from.software().into() } else { SoftwareSpec::default() };
                let ratio = carried(from, to, software, &catalog);
                errors.push((ratio.mid - 1.0).abs());
                inside += usize::from(ratio.contains(1.0));
                widths += (ratio.high / ratio.low).ln() / 2.0;
            }
        }
        errors.sort_by(f64::total_cmp);
        let n = errors.len();
        let _ = writeln!(
            text,
            "| {name} | {n} | {:.1} % | {:.0} % | {:.2} |",
            100.0 * errors[n / 2],
            100.0 * inside as f64 / n as f64,
            (widths / n as f64).exp()
        );
        assert!(n >= 300, "{n} pairs");
        assert!(errors[n / 2] < 0.10, "{name}: half are off by more than {}", errors[n / 2]);
        assert!(inside as f64 >= 0.9 * n as f64, "{name}: {inside} of {n} inside");
    }
    fs::write(root().join("reports/validation/programs.md"), text).unwrap();
}

/// This program is none of those that the constants were fitted to: what it was seen to take on an H200 is held against an H100, and
/// the other way round.
#[test]
fn a_program_that_the_fit_has_not_seen_is_predicted_on_another_gpu() {
    let catalog = Catalog::default();
    let workload: Workload = catalog.load("bert-base").unwrap();
    let conditions = ConditionsBuilder::default().build().unwrap();
    let mean = |hardware: Hardware, own: Option<&OwnSoftware>| {
        let request =
            Request { own, seed: 1, ..Request::new(&workload, &[Arch::Dense], hardware, DType::Bf16, &conditions) };
        let steps = estimate_without_shares(&request).unwrap()[0].step_s.clone();
        let weighed = |of: fn(&Interval) -> f64| {
            let sum: f64 = steps.iter().zip(&workload.phases).map(|(s, p)| of(s) * p.steps as f64).sum();
            sum / workload.phases.iter().map(|p| p.steps as f64).sum::<f64>()
        };
        Interval { mid: weighed(|s| s.mid), low: weighed(|s| s.low), high: weighed(|s| s.high) }
    };
    let names = [("h200-bert-base", "h200-sxm5-141gb"), ("h100-bert-base", "h100-sxm5-80gb")];
    for [from, to] in [[names[0], names[1]], [names[1], names[0]]] {
        let record = |name: &str| Record::load(&root().join("reports").join(name)).unwrap();
        let (seen, truth) = (record(from.0), record(to.0));
        let own = OwnSoftware::watched(&Watched {
            workload: &workload,
            arch: Arch::Dense,
            dtype: DType::Bf16,
            device: &catalog.load(from.1).unwrap(),
            devices: 1,
            cluster: Cluster::default(),
            software: SoftwareSpec::default(),
            step_s: mean(Hardware::Measured(&seen), None),
        });
        let own = own.unwrap();
        let predicted = mean(Hardware::Catalog(catalog.load(to.1).unwrap()), Some(&own));
        let took = mean(Hardware::Measured(&truth), None).mid;
        assert!(predicted.contains(took) && predicted.high / predicted.low < 2.0, "{}: {predicted:?}, {took}", to.1);
    }
}

/// How many times faster a Linformer computes a pass than a transformer, by length and k: Wang et al. 2020 (arXiv 2006.04768),
/// table 3, on a V100 of 16 GB with the largest batch that fits.
const LINFORMER: [(usize, usize, f64); 14] = [
    (512, 128, 1.5),
    (512, 256, 1.3),
    (1024, 128, 1.7),
    (1024, 256, 1.6),
    (1024, 512, 1.3),
    (2048, 128, 2.6),
    (2048, 256, 2.4),
    (2048, 512, 2.1),
    (2048, 1024, 1.3),
    (4096, 128, 3.4),
    (4096, 256, 3.2),
    (4096, 512, 2.8),
    (4096, 1024, 2.2),
    (4096, 2048, 1.3),
];

#[test]
fn linformers_own_table_is_predicted_and_so_is_the_order_in_it() {
    let device: Device = Catalog::default().load("v100-sxm2-16gb").unwrap();
    let figures = DeviceFigures::of(&device, DType::F16).unwrap();
    let workload: Workload = Catalog::default().load("bert-base").unwrap();
    let software = Software { class: SoftwareClass::Eager, attention: AttentionUse::Composed };
    let mut text = String::from(
        "# Linformer's own table\n\nWritten by `cargo test --test integration linformers_own_table`. Times that a pass is faster than \
         dense: published for a forward pass (Wang et al. 2020, table 3, a V100 of 16 GB), predicted for forward and backward by \
         the model of eager software with attention of separate kernels. No such run is in the fit.\n\n| tokens | k | published | \
         predicted | predicted/published |\n|---|---|---|---|---|\n",
    );
    let mut errors = Vec::new();
    let mut predictions = Vec::new();
    for (seq_len, k, published) in LINFORMER {
        let config = workload.model.clone().with_room_for(seq_len);
        let shape = StepShape { batch_size: 8192 / seq_len, seq_len, masked_per_seq: 1 };
        let pass_s = |arch: Arch| {
            let work = Work::new(&config, arch, shape, DType::F16, software);
            Efficiency::embedded().step(&figures, &work).pass()
        };
        let predicted = pass_s(Arch::Dense) / pass_s(format!("linformer:k={k}").parse().unwrap());
        let _ = writeln!(text, "| {seq_len} | {k} | {published:.1} | {predicted:.2} | {:.2} |", predicted / published);
        errors.push((predicted / published).ln().abs());
        predictions.push((seq_len, k, predicted));
    }
    fs::write(root().join("reports/validation/linformer.md"), text).unwrap();
    errors.sort_by(f64::total_cmp);
    assert!(errors[errors.len() / 2] < 0.25, "{errors:?}");
    for (n, k, speed) in &predictions {
        let longer = predictions.iter().find(|(m, same, _)| (m, same) == (&(2 * n), k));
        assert!(longer.is_none_or(|(.., faster)| faster > speed), "k={k} from {n} tokens: {predictions:?}");
    }
}

fn committed() -> EfficiencyTable {
    serde_json::from_str(&fs::read_to_string(root().join("hardware/efficiency.json")).unwrap()).unwrap()
}

#[test]
fn the_committed_efficiencies_are_what_the_fit_gives() {
    let (_, calibration) = fitted();
    let (fresh, kept) = (calibration.table(), committed());
    assert_eq!(fresh.constants.len(), kept.constants.len());
    for (a, b) in fresh.constants.iter().zip(&kept.constants) {
        assert_eq!(a.name, b.name);
        assert!((a.value - b.value).abs() < 2e-3 + 0.02 * b.standard_error, "{}: {} and {}", a.name, a.value, b.value);
    }
    assert!((fresh.stretch / kept.stretch - 1.0).abs() < 0.01, "{} and {}", fresh.stretch, kept.stretch);
    assert!((fresh.busy_power.0 - kept.busy_power.0).abs() < 2e-3);
    assert_eq!(Efficiency::embedded().n_runs(), kept.n_runs, "build again: the program carries another table");
}

#[test]
#[ignore = "writes hardware/efficiency.json"]
fn the_efficiencies_are_written_again() {
    let (_, calibration) = fitted();
    let text = serde_json::to_string_pretty(&calibration.table()).unwrap() + "\n";
    fs::write(root().join("hardware/efficiency.json"), text).unwrap();
}

/// A record of a card as it would be if the card were `factor` times slower than the model has it.
fn made_up_record(device: &str, dtype: DType, factor: f64) -> Record {
    let device: Device = Catalog::default().load(device).unwrap();
    let mut record = Record::load(&root().join("reports/epyc-2vcpu-bert-base")).unwrap();
    let figures = DeviceFigures::of(&device, dtype).unwrap();
    let compute = &mut record.environment.compute;
    (compute.device, compute.hardware, compute.hardware_share) = ("cuda:0".to_owned(), Some(device), 1.0);
    record.settings.dtypes = vec![dtype];
    for cell in &mut record.cells {
        (cell.dtype, cell.shape.batch_size) = (dtype, 16_384 / cell.shape.seq_len);
        let config = record.settings.workload.model.clone();
        let attention = if dtype == DType::F32 { AttentionUse::Composed } else { AttentionUse::Fused };
        let software = Software { class: SoftwareClass::Optimised, attention };
        let work = Work::new(&config, cell.arch, cell.shape, dtype, software);
        let time = Efficiency::embedded().step(&figures, &work);
        for step in &mut cell.steps {
            step.forward_s = factor * time.pass() / 3.0;
            step.backward_s = factor * time.pass() * 2.0 / 3.0;
            step.optimizer_s = factor * time.optimizer;
        }
    }
    record
}

#[test]
fn a_record_in_one_dtype_knows_how_much_faster_the_card_is_in_another() {
    let record = made_up_record("a100-sxm4-80gb", DType::F32, 1.0);
    let workload = record.settings.workload.clone();
    let conditions = ConditionsBuilder::default().build().unwrap();
    let hours = |hardware: Hardware<'_>, dtype: DType, software: &str| {
        let request = Request {
            software: software.parse().unwrap(),
            seed: 1,
            ..Request::new(&workload, &[Arch::Dense], hardware, dtype, &conditions)
        };
        let estimate = estimate_without_shares(&request).unwrap().remove(0);
        (estimate.footprint.of(Quantity::Wall).unwrap().mid, estimate.memory_per_device_bytes)
    };
    let modelled = |dtype| {
        let device: Device = Catalog::default().load("a100-sxm4-80gb").unwrap();
        hours(Hardware::Catalog(device), dtype, "optimised/composed").0
    };
    let of_record = |dtype, software| hours(Hardware::Measured(&record), dtype, software);
    for dtype in [DType::F32, DType::Bf16] {
        let ratio = of_record(dtype, "optimised/composed").0 / modelled(dtype);
        assert!((0.55..1.7).contains(&ratio), "{dtype}: {ratio} times what the model says of a card that it fits");
    }
    // How good software may be is not asked where it was measured.
    assert_eq!(of_record(DType::Bf16, "eager"), of_record(DType::Bf16, "optimised/composed"));
}

#[test]
fn a_record_of_one_card_predicts_what_was_published_of_others_as_well_as_it_fits_the_model() {
    let catalog = Catalog::default();
    let median_error = |factor: f64| {
        let record = made_up_record("h200-sxm5-141gb", DType::Bf16, factor);
        let checks = against_published(&record, &catalog, 1).unwrap();
        assert!(checks.len() >= 60, "{} runs on one device", checks.len());
        let mut errors: Vec<f64> = checks.iter().map(|c| c.error).collect();
        errors.sort_by(f64::total_cmp);
        let inside = checks.iter().filter(|c| c.inside).count() as f64 / checks.len() as f64;
        (errors[errors.len() / 2], inside)
    };
    let (error, inside) = median_error(1.0);
    assert!(error.abs() < 0.15 && inside > 0.9, "of a card that the model fits: {error}, {inside}");
    // Software that is half as fast here is taken to be half as fast there.
    let (error, _) = median_error(2.0);
    assert!((0.8..1.4).contains(&error), "of a card that is twice as slow: {error}");
    let cpu = Record::load(&root().join("reports/epyc-2vcpu-bert-base")).unwrap();
    let refused = against_published(&cpu, &catalog, 1).unwrap_err().to_string();
    assert!(refused.contains("no GPU of the catalog"), "{refused}");
}
