//! Every published run that the program knows, predicted and compared: writes `reports/validation/`.
//!
//! No run is treated by its name: all go through the one model, each predicted from a fit to the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use greenformers::catalog::{Catalog, Device, Level, published_runs};
use greenformers::estimate::model::{
    Calibration, DeviceFigures, Efficiency, EfficiencyTable, HeldOut, Observation, Work, observations, power_checks,
};
use greenformers::estimate::{
    Cluster, ConditionsBuilder, Hardware, Quantity, Request, against_published, estimate_without_shares, transfer_check,
};
use greenformers::model::Arch;
use greenformers::record::Record;
use greenformers::units::DType;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fitted() -> (Vec<Observation>, Calibration, Vec<HeldOut>) {
    let observations = observations();
    let mut calibration = Calibration::new(&observations);
    let held_out = calibration.hold_out(&observations, |o| o.run.id.clone());
    calibration.stretch_to(&observations, &held_out);
    let held_out = calibration.widened_by_collection(&observations, &held_out);
    (observations, calibration, held_out)
}

/// Median absolute error, and the part inside the 95 % interval.
fn summary<'a>(held_out: impl Iterator<Item = &'a HeldOut>) -> (usize, f64, f64, f64) {
    let mut errors = Vec::new();
    let mut inside = 0;
    for h in held_out {
        errors.push((h.ln_error.exp() - 1.0).abs());
        inside += usize::from(h.is_inside());
    }
    errors.sort_by(f64::total_cmp);
    let n = errors.len();
    (n, errors[n / 2], errors[(n * 95 / 100).min(n - 1)], inside as f64 / n as f64)
}

#[test]
fn published_runs_are_predicted_from_the_others_to_a_tenth_and_nine_in_ten_lie_inside() {
    let (observations, calibration, by_run) = fitted();
    let core = |o: &Observation| o.run.core;
    let of_core = observations.iter().zip(&by_run).filter(|(o, _)| core(o)).map(|(_, h)| h);
    let (n, median, _, inside) = summary(of_core);
    assert_eq!(n, 48);
    assert!(median <= 0.10, "median error {median}");
    assert!((0.90..=0.99).contains(&inside), "{inside} inside");

    let mut text = String::from(
        "# Published runs against the model\n\nWritten by `cargo test --test integration published_runs`. Each run is \
         predicted from a fit to all runs but those of its group.\n\n| held out together | runs | median error | 95 % of \
         errors below | inside the 95 % interval |\n|---|---|---|---|---|\n",
    );
    let widths = |held_out: Vec<HeldOut>| calibration.widened(held_out);
    let by_device = widths(calibration.hold_out(&observations, |o| o.run.device.clone()));
    let by_model =
        widths(calibration.hold_out(&observations, |o| (o.run.family.clone(), o.run.d_model, o.run.n_layers)));
    let by_software = widths(calibration.hold_out(&observations, |o| (o.run.collection.clone(), o.run.device.clone())));
    let mut row = |name: &str, held_out: Vec<&HeldOut>| {
        let (n, median, high, inside) = summary(held_out.into_iter());
        let _ = writeln!(
            text,
            "| {name} | {n} | {:.1} % | {:.1} % | {:.0} % |",
            100.0 * median,
            100.0 * high,
            100.0 * inside
        );
    };
    row("a run (calibration set)", observations.iter().zip(&by_run).filter(|(o, _)| core(o)).map(|x| x.1).collect());
    row("a run (all)", by_run.iter().collect());
    row("all runs of a model", by_model.iter().collect());
    row("all runs of a device", by_device.iter().collect());
    row("all runs of a device by one software", by_software.iter().collect());
    let halves = widths(calibration.hold_out(&observations, core));
    let others: Vec<&HeldOut> = observations.iter().zip(&halves).filter(|(o, _)| !core(o)).map(|x| x.1).collect();
    let (_, median, _, inside) = summary(others.iter().copied());
    assert!(median <= 0.12 && inside >= 0.85, "from the calibration set alone: {median}, {inside}");
    row("all but the calibration set, from it alone", others);
    for (name, held_out) in [("device", &by_device), ("model", &by_model)] {
        let (_, median, _, inside) = summary(held_out.iter());
        assert!(median <= 0.15 && inside >= 0.80, "unseen {name}: {median}, {inside}");
    }

    text.push_str("\n## Each device held out\n\n| device | runs | median error | inside |\n|---|---|---|---|\n");
    let mut devices: BTreeMap<&str, Vec<&HeldOut>> = BTreeMap::new();
    for (o, h) in observations.iter().zip(&by_device) {
        devices.entry(&o.run.device).or_default().push(h);
    }
    for (device, held_out) in &devices {
        let (n, median, _, inside) = summary(held_out.iter().copied());
        let _ = writeln!(text, "| {device} | {n} | {:.1} % | {:.0} % |", 100.0 * median, 100.0 * inside);
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
        assert!(error.abs() < 0.10, "{}: {error}", check.id);
    }
    assert_eq!(power.len(), 15);
    text.push_str("\nThe runs one by one are in `published_runs.csv`, the constants in `hardware/efficiency.json`.\n");

    let mut csv =
        String::from("id,collection,core,predicted_tokens_per_s,low,high,published_tokens_per_s,error,inside\n");
    for (o, h) in observations.iter().zip(&by_run) {
        let published = o.run.tokens_per_s.unwrap();
        // Time that is longer by a factor is throughput that is smaller by it.
        let predicted = published * (-h.ln_error).exp();
        let factor = (1.96 * h.sd).exp();
        let _ = writeln!(
            csv,
            "{},{},{},{:.0},{:.0},{:.0},{:.0},{:.3},{}",
            o.run.id,
            o.run.collection,
            o.run.core,
            predicted,
            predicted / factor,
            predicted * factor,
            published,
            predicted / published - 1.0,
            h.is_inside()
        );
    }
    let folder = root().join("reports/validation");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("README.md"), text).unwrap();
    fs::write(folder.join("published_runs.csv"), csv).unwrap();
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
        [("epyc-2vcpu-bert-base", 6, 0.15, 0.25), ("h200-bert-base", 9, 0.15, 0.25)]
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
    fs::create_dir_all(root().join("reports/validation")).unwrap();
    fs::write(root().join("reports/validation/record.md"), text).unwrap();
}

fn committed() -> EfficiencyTable {
    serde_json::from_str(&fs::read_to_string(root().join("hardware/efficiency.json")).unwrap()).unwrap()
}

#[test]
fn the_committed_efficiencies_are_what_the_fit_gives() {
    let (_, calibration, _) = fitted();
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
    let (_, calibration, _) = fitted();
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
        let work = Work::new(&config, cell.arch, cell.shape, dtype, Level::Typical, false);
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
    let hours = |hardware: Hardware<'_>, dtype: DType, level: Level| {
        let request = Request {
            workload: &workload,
            archs: &[Arch::Dense],
            hardware,
            devices: 1,
            cluster: Cluster::default(),
            dtype,
            level,
            micro_batch: None,
            conditions: &conditions,
            seed: 1,
        };
        let estimate = estimate_without_shares(&request).unwrap().remove(0);
        (estimate.footprint.of(Quantity::Wall).unwrap().mid, estimate.memory_per_device_bytes)
    };
    let modelled = |dtype| {
        let device: Device = Catalog::default().load("a100-sxm4-80gb").unwrap();
        hours(Hardware::Catalog(device), dtype, Level::Typical).0
    };
    let of_record = |dtype, level| hours(Hardware::Measured(&record), dtype, level);
    for dtype in [DType::F32, DType::Bf16] {
        let ratio = of_record(dtype, Level::Typical).0 / modelled(dtype);
        assert!((0.6..1.7).contains(&ratio), "{dtype}: {ratio} times what the model says of a card that it fits");
    }
    // How good software may be is not asked where it was measured.
    assert_eq!(of_record(DType::Bf16, Level::Tuned), of_record(DType::Bf16, Level::Typical));
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
    assert!(error.abs() < 0.05 && inside > 0.9, "of a card that the model fits: {error}, {inside}");
    // Software that is half as fast here is taken to be half as fast there.
    let (error, _) = median_error(2.0);
    assert!((0.8..1.2).contains(&error), "of a card that is twice as slow: {error}");
    let cpu = Record::load(&root().join("reports/epyc-2vcpu-bert-base")).unwrap();
    let refused = against_published(&cpu, &catalog, 1).unwrap_err().to_string();
    assert!(refused.contains("no GPU of the catalog"), "{refused}");
}
