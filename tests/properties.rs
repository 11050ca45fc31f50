//! Laws that hold whatever the inputs, from files as the loaders accept them to the last figure.

use std::path::Path;

use greenformers::catalog::{Device, Grid, Hourly, Site, parse};
use greenformers::estimate::{
    Conditions, ConditionsBuilder, Estimate, FootprintRequest, Hardware, Quantity, Request, compare, estimate,
    footprint,
};
use greenformers::meter::MeterTrace;
use greenformers::meter::{Coverage, Sample};
use greenformers::model::{Arch, StepShape, count_params, train_step_flop};
use greenformers::record::{Cell, Record, Workload};
use greenformers::stats::Interval;
use greenformers::units::DType;
use proptest::prelude::*;

/// As many cases as `PROPTEST_CASES` says, or these.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(usual), failure_persistence: None, ..ProptestConfig::default() }
}

/// A number of any size that the loaders accept, small and large ones alike.
fn any_size() -> impl Strategy<Value = f64> {
    prop_oneof![8 => -3.0..4.0f64, 1 => -11.9..20.9f64].prop_map(|exponent| 10f64.powf(exponent))
}

/// A number as a file writes it, with a range about it.
fn number(value: f64, unit: &str) -> String {
    let (low, high) = ((value / 1.5).max(1e-12), (value * 1.5).min(1e21));
    format!("{{value: {value:e}, low: {low:e}, high: {high:e}, unit: \"{unit}\", year: 2024, source: made up}}")
}

fn device() -> impl Strategy<Value = Device> {
    (prop::collection::vec(any_size(), 8), any::<bool>(), 1u32..5_000).prop_map(|(x, gpu, joined)| {
        let yaml = format!(
            "id: any\nname: any\nkind: {}\nvendor: nobody\nthreads: 64\ntdp: {}\nidle_power: {}\nmemory: {}\n\
             memory_bandwidth: {}\ninterconnect: {{kind: any, devices: {joined}, bandwidth: {}, network: {}}}\npeak: {{f32: {}}}\n\
             prices: [{}]\nembodied: {}\n",
            if gpu { "gpu" } else { "cpu" },
            number(x[0], "W"),
            number((x[0] / 3.0).max(1e-12), "W"),
            number(x[1], "GB"),
            number(x[2], "GB/s"),
            number(x[3], "GB/s"),
            number(x[4], "GB/s"),
            number(x[5], "TFLOP/s"),
            number(x[6], "USD/h"),
            number(x[7], "kgCO2e"),
        );
        parse("any.yaml", &yaml)
    })
    .prop_filter_map("of a size that is accepted", Result::ok)
}

fn grid() -> impl Strategy<Value = Grid> {
    (any_size(), any_size(), any_size()).prop_map(|(g, water, price)| {
        let mut grid = greenformers::catalog::Catalog::default().grid("world").unwrap();
        let yaml = format!(
            "id: any\nname: any\nintensity: {}\nwater: {}\nelectricity_price: {}\n",
            number(g, "gCO2e/kWh"),
            number(water, "L/kWh"),
            number(price, "USD/kWh")
        );
        let entry: greenformers::catalog::GridEntry = parse("any.yaml", &yaml).unwrap();
        grid.intensity = entry.intensity.unwrap();
        (grid.water, grid.electricity_price) = (entry.water, entry.electricity_price);
        grid
    })
}

fn site() -> impl Strategy<Value = Site> {
    (1.0..2.0f64).prop_map(|pue| {
        let high = pue * 1.5;
        let yaml = format!(
            "id: any\nname: any\npue: {{value: {pue}, low: 1, high: {high}, unit: \"1\", year: 2024, source: made up}}\n"
        );
        parse("any.yaml", &yaml).unwrap()
    })
}

/// A workload from a toy to what no machine trains.
fn workload() -> impl Strategy<Value = Workload> {
    let exponent = |most: f64| (0.0..most).prop_map(|e: f64| 10f64.powf(e).round());
    (exponent(4.0), exponent(2.0), exponent(3.9), exponent(5.9), exponent(6.9), exponent(5.0), exponent(8.9), exponent(11.9), any::<bool>())
        .prop_map(|(layers, heads, d_head, d_ff, vocab, seq_len, batch, steps, decoder)| {
            let family = if decoder { "decoder" } else { "encoder" };
            let yaml = format!(
                "name: any\nsource: made up\noptimizer: adamw\nmodel: {{family: {family}, n_layers: {layers}, d_model: {}, \
                 n_heads: {heads}, d_ff: {d_ff}, vocab_size: {vocab}, max_seq_len: {seq_len}}}\nphases:\n  - {{steps: {steps}, \
                 batch_size: {batch}, seq_len: {seq_len}}}\n",
                heads * d_head
            );
            parse::<Workload>("any.yaml", &yaml).unwrap()
        })
}

/// Every interval in something printed for debugging, and no number that is none.
fn sound(estimate: &Estimate) -> Result<(), TestCaseError> {
    let printed = format!("{estimate:?}");
    let word = |w: &str| printed.split(|c: char| !c.is_ascii_alphanumeric()).any(|found| found == w);
    prop_assert!(!word("NaN") && !word("inf"), "{printed:.3000}");
    let all = [("tokens_per_s", estimate.tokens_per_s), ("mfu", estimate.mfu)];
    let footprint = Quantity::ALL.map(|q| (q.key(), estimate.footprint.of(q)));
    let ratios = Quantity::COMPARED.map(|q| (q.words(), estimate.ratio(q)));
    for (name, interval) in
        all.into_iter().chain(footprint).chain(ratios).chain(estimate.step_s.iter().map(|s| ("step_s", Some(*s))))
    {
        if let Some(interval) = interval {
            ordered(name, interval)?;
        }
    }
    for share in &estimate.variance {
        let parts = Quantity::COMPARED.map(|q| share.shares.of(q));
        prop_assert!(parts.into_iter().flatten().all(|p| (0.0..=1.0).contains(&p)), "{share:?}");
    }
    if let Some(schedule) = &estimate.schedule {
        prop_assert!((0.0..=1.0).contains(&schedule.saves), "{schedule:?}");
    }
    Ok(())
}

fn ordered(name: &str, i: Interval) -> Result<(), TestCaseError> {
    prop_assert!(i.low >= 0.0 && i.low <= i.mid && i.mid <= i.high && i.high.is_finite(), "{name}: {i:?}");
    Ok(())
}

fn conditions(device: &Device, grid: Option<Grid>, site: Option<Site>, pue: Option<f64>, g: Option<f64>) -> Conditions {
    let builder = ConditionsBuilder {
        device: Some(device.clone()),
        coverage: Some(Coverage::Gpu),
        share: 1.0,
        grid,
        site,
        pue,
        intensity: g,
        ..ConditionsBuilder::default()
    };
    builder.build().unwrap()
}

fn request<'a>(
    workload: &'a Workload,
    hardware: Hardware<'a>,
    conditions: &'a Conditions,
    archs: &'a [Arch],
) -> Request<'a> {
    Request { seed: 5, ..Request::new(workload, archs, hardware, DType::F32, conditions) }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn whatever_the_loaders_accept_no_estimate_has_a_number_that_cannot_be(
        workload in workload(), device in device(), grid in grid(), site in site(),
        (devices, micro, k) in (1u32..4000, prop::option::of(1usize..200), 1usize..100),
    ) {
        let conditions = conditions(&device, Some(grid), Some(site), None, None);
        let archs = [Arch::Dense, Arch::Lrt { rank: 1 }, format!("linformer:k={k},share=none").parse().unwrap()];
        for arch in archs {
            let archs = [Arch::Dense, arch];
            let request = request(&workload, Hardware::Catalog(device.clone()), &conditions, &archs);
            for estimate in estimate(&Request { devices, micro_batch: micro, ..request }).unwrap_or_default() {
                sound(&estimate)?;
            }
        }
    }

    #[test]
    fn a_step_of_the_users_own_and_any_hours_give_sound_numbers(
        workload in workload(), device in device(), grid in grid(),
        step_s in -11.0..8.9f64, power in -11.0..8.9f64, hours in -9.0..14.9f64,
    ) {
        let (step_s, power, hours) = (10f64.powf(step_s), 10f64.powf(power), 10f64.powf(hours));
        let conditions = conditions(&device, Some(grid), None, None, None);
        let given = Hardware::Given {
            step_s: Interval::point(step_s),
            power_w: Some(Interval::point(power)),
            device: Some(device.clone()),
            model_is_known: true,
            is_forecast: false,
        };
        let archs = [Arch::Dense];
        for estimate in estimate(&request(&workload, given, &conditions, &archs)).unwrap_or_default() {
            sound(&estimate)?;
        }
        let known = FootprintRequest { hours: Some(hours), devices: 7, power_total_w: Some(power), energy_kwh: None, device_power: None, seed: 1 };
        sound(&footprint(&known, &conditions).unwrap())?;
    }

    #[test]
    fn more_steps_take_more_energy_a_higher_pue_and_a_dirtier_grid_emit_more(
        steps in 1u64..1_000_000, more in 1u64..1_000_000, pue in 1.0..2.0f64, higher in 0.01..1.0f64, g in 1.0..900.0f64,
    ) {
        let catalog = greenformers::catalog::Catalog::default();
        let device: Device = catalog.load("a100-sxm4-80gb").unwrap();
        let mut workload: Workload = catalog.load("bert-base").unwrap();
        let of = |workload: &Workload, pue: f64, g: f64| {
            let conditions = conditions(&device, None, None, Some(pue), Some(g));
            let archs = [Arch::Dense];
            let mut estimates = estimate(&request(workload, Hardware::Catalog(device.clone()), &conditions, &archs)).unwrap();
            estimates.remove(0)
        };
        workload.phases[0].steps = steps;
        let base = of(&workload, pue, g);
        let above = |a: Option<Interval>, b: Option<Interval>| {
            let (a, b) = (a.unwrap(), b.unwrap());
            a.low > b.low && a.mid > b.mid && a.high > b.high
        };
        let less_efficient = of(&workload, pue + higher, g);
        prop_assert!(above(less_efficient.footprint.of(Quantity::Operational), base.footprint.of(Quantity::Operational)));
        prop_assert!(above(less_efficient.footprint.of(Quantity::FacilityEnergy), base.footprint.of(Quantity::FacilityEnergy)));
        prop_assert_eq!(less_efficient.footprint.of(Quantity::ItEnergy), base.footprint.of(Quantity::ItEnergy));
        prop_assert!(above(of(&workload, pue, g + higher).footprint.of(Quantity::Operational), base.footprint.of(Quantity::Operational)));
        workload.phases[0].steps = steps + more;
        let longer = of(&workload, pue, g);
        prop_assert!(above(longer.footprint.of(Quantity::ItEnergy), base.footprint.of(Quantity::ItEnergy)) && above(longer.footprint.of(Quantity::Wall), base.footprint.of(Quantity::Wall)));
        prop_assert!(above(longer.footprint.of(Quantity::Cost), base.footprint.of(Quantity::Cost)));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_smaller_rank_has_fewer_flops_and_parameters_and_a_smaller_k_fewer_flops(
        workload in workload(), rank in 1usize..1_000, more in 1usize..1_000, batch in 1usize..10_000,
    ) {
        let config = &workload.model;
        let shape = StepShape { batch_size: batch, seq_len: config.max_seq_len, masked_per_seq: 1 };
        let (small, large) = (Arch::Lrt { rank }, Arch::Lrt { rank: rank + more });
        prop_assert!(count_params(config, small) < count_params(config, large));
        prop_assert!(train_step_flop(config, small, shape) < train_step_flop(config, large, shape));
        let linformer = |k: usize| format!("linformer:k={k}").parse::<Arch>().unwrap();
        prop_assert!(train_step_flop(config, linformer(rank), shape) < train_step_flop(config, linformer(rank + more), shape));
        let longer = StepShape { batch_size: batch + 1, ..shape };
        prop_assert!(train_step_flop(config, small, shape) < train_step_flop(config, small, longer));
    }

    #[test]
    fn energy_is_additive_over_any_cut_of_a_trace(
        readings in prop::collection::vec((1e-3..10.0f64, 0.0..1e4f64), 3..60), cuts in (0.0..1.0f64, 0.0..1.0f64),
        counts in any::<bool>(),
    ) {
        let (mut time, mut total) = (0.0, 0.0);
        let samples: Vec<Sample> = readings.iter().map(|(gap, power)| {
            time += gap;
            total += gap * power;
            Sample { time_s: time, energy_j: counts.then_some(total), power_w: (!counts).then_some(*power), doubt: None }
        }).collect();
        let (first, last) = (samples[0].time_s, time);
        let trace = MeterTrace { meter: meter(), samples, failure: None, timing: None, idle_w: None };
        let between = |a: f64, b: f64| trace.energy_between(a, b).unwrap_or(0.0);
        let at = |share: f64| first + share * (last - first);
        let (a, b) = (at(cuts.0.min(cuts.1)), at(cuts.0.max(cuts.1)));
        let (whole, parts) = (between(first, last), between(first, a) + between(a, b) + between(b, last));
        prop_assert!((whole - parts).abs() <= 1e-9 * whole.max(1.0), "{whole} and {parts}");
        prop_assert!(between(a, b) >= 0.0 && between(a, b) <= whole * (1.0 + 1e-12));
    }

    #[test]
    fn a_record_of_any_times_and_readings_is_refused_or_gives_sound_figures(
        steps in prop::collection::vec((0u32..3, prop::collection::vec(-9.0..9.5f64, 4)), 0..12),
        readings in prop::collection::vec((-6.0..9.5f64, -9.0..12.5f64), 0..20),
        idle in prop::option::of(-3.0..12.5f64), timing in any::<bool>(),
    ) {
        let mut record = seed();
        let size = |exponent: f64| 10f64.powf(exponent);
        let (mut visit, mut start) = (0, 0.0);
        let cell: &mut Cell = &mut record.cells[0];
        let one = cell.steps[0];
        cell.steps = steps.iter().map(|(next, x)| {
            visit += next;
            start += size(x[0]);
            let mut step = one;
            (step.visit, step.start_s) = (visit, start);
            (step.forward_s, step.backward_s, step.optimizer_s) = (size(x[1]), size(x[2]), size(x[3]));
            step
        }).collect();
        let mut time = 0.0;
        cell.meters[0].samples = readings.iter().map(|(gap, power)| {
            time += size(*gap);
            Sample { time_s: time, energy_j: Some(time), power_w: Some(size(*power)), doubt: None }
        }).collect();
        cell.meters[0].idle_w = idle.map(size);
        cell.meters[0].timing = timing.then_some(greenformers::meter::Timing { update_s: 0.1, window_s: 0.025 });
        let text = serde_json::to_string(&record).unwrap();
        let Ok(record) = Record::parse(Path::new("any.json"), &text) else { return Ok(()) };
        let summary = record.cells[0].summary(&record.environment);
        for (name, interval) in [
            ("step_s", summary.step_s), ("forward_s", summary.forward_s), ("tokens_per_s", summary.tokens_per_s),
            ("energy_j_per_step", summary.energy_j_per_step), ("power_w", summary.power_w), ("mfu", summary.mfu),
            ("above idle", summary.energy_above_idle_j_per_step),
        ] {
            if let Some(interval) = interval {
                ordered(name, interval)?;
            }
        }
        let compared = format!("{:?}", compare(&record, 1));
        prop_assert!(!compared.contains("NaN") && !compared.contains("inf,") && !compared.contains("inf }"), "{compared}");
    }

    #[test]
    fn hours_of_any_intensity_have_means_between_their_lowest_and_highest(
        g in prop::collection::vec(0.0..1e5f64, 1..200), start in 0usize..200, length in 0.01..200.0f64,
    ) {
        let row = |(i, g): (usize, &f64)| format!("2026-03-{:02}T{:02}:00Z,{g}\n", 1 + i / 24, i % 24);
        let rows = g.iter().enumerate().map(row).collect::<Vec<_>>().concat();
        let hours = Hourly::parse("any.csv", &format!("time,intensity\n{rows}")).unwrap();
        let [low, high] = hours.range();
        let within = |mean: f64| mean >= low - 1e-6 && mean <= high + 1e-6;
        prop_assert!(within(hours.mean()));
        let mean = hours.mean_over(start, length);
        prop_assert_eq!(mean.is_some(), start as f64 + length <= g.len() as f64);
        prop_assert!(mean.is_none_or(within));
    }

    #[test]
    fn a_record_that_is_written_is_read_back_the_same_and_any_other_byte_is_no_panic(
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let text = include_str!("../fuzz/seeds/record/cpu.json");
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(changed) = String::from_utf8(bytes)
            && let Ok(record) = Record::parse(Path::new("any.json"), &changed)
        {
            let again = Record::parse(Path::new("again.json"), &serde_json::to_string(&record).unwrap()).unwrap();
            prop_assert_eq!(&again, &record);
        }
    }

    #[test]
    fn any_text_is_an_entry_or_an_error(text in "[a-z0-9:{}\\[\\]&*!|>'\"%#,. \n-]{0,200}") {
        let _ = parse::<Device>("any.yaml", &text);
        let _ = parse::<Workload>("any.yaml", &text);
        let _ = Hourly::parse("any.csv", &text);
        let _ = Record::parse(Path::new("any.json"), &text);
        let _ = text.parse::<Arch>();
        let _ = greenformers::nn::check_head(text.as_bytes(), text.len() as u64);
    }
}

fn seed() -> Record {
    Record::parse(Path::new("cpu.json"), include_str!("../fuzz/seeds/record/cpu.json")).unwrap()
}

fn meter() -> greenformers::meter::MeterInfo {
    seed().cells[0].meters[0].meter.clone()
}
