//! Steps of PyTorch that `benches/compare_with_pytorch.py` timed on two GPUs, none of which is in any fit, against their estimates.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use greenformers::catalog::{Catalog, Phase};
use greenformers::estimate::{ConditionsBuilder, Hardware, Request, estimate_without_shares};
use greenformers::model::Arch;
use greenformers::record::Workload;
use greenformers::stats::{Interval, median};
use greenformers::units::DType;

/// PyTorch 2.11 in bf16 with `scaled_dot_product_attention`, as `benches/README.md` has it: on the GPU, of a workload, sequences and
/// tokens, milliseconds of a step.
const EAGER: [(&str, &str, usize, usize, f64); 5] = [
    ("h200-sxm5-141gb", "bert-base", 64, 128, 35.27),
    ("h200-sxm5-141gb", "bert-base", 32, 512, 43.07),
    ("h200-sxm5-141gb", "bert-base", 4, 4096, 70.90),
    ("h100-sxm5-80gb", "gpt2", 16, 1024, 81.37),
    ("h100-sxm5-80gb", "llama_12x768", 16, 1024, 64.19),
];
const COMPILED: [(&str, &str, usize, usize, f64); 4] = [
    ("h200-sxm5-141gb", "bert-base", 64, 128, 22.25),
    ("h200-sxm5-141gb", "bert-base", 32, 512, 34.01),
    ("h200-sxm5-141gb", "gpt2", 16, 1024, 37.53),
    ("h200-sxm5-141gb", "llama_12x768", 16, 1024, 33.16),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn workload(name: &str, (batch_size, seq_len): (usize, usize), catalog: &Catalog) -> Workload {
    let file: PathBuf = root().join(format!("benches/{name}.yaml"));
    let of: Workload = if file.exists() { catalog.load(file.to_str().unwrap()) } else { catalog.load(name) }.unwrap();
    let phases = vec![Phase { steps: 1000, batch_size, seq_len, masked_per_seq: None }];
    Workload { model: of.model.clone().with_room_for(seq_len), phases, ..of }
}

/// Seconds of a step by the software that is named.
fn predicted(device: &str, workload: &Workload, software: &str, catalog: &Catalog) -> Interval {
    let conditions = ConditionsBuilder::default().build().unwrap();
    let request = Request {
        software: software.parse().unwrap(),
        seed: 1,
        ..Request::new(
            workload,
            &[Arch::Dense],
            Hardware::Catalog(catalog.load(device).unwrap()),
            DType::Bf16,
            &conditions,
        )
    };
    estimate_without_shares(&request).unwrap()[0].step_s[0]
}

#[test]
fn steps_of_pytorch_that_no_fit_has_seen_take_what_was_measured() {
    let catalog = Catalog::default();
    let measured = fs::read_to_string(root().join("benches/README.md")).unwrap();
    let mut text = "# PyTorch on two GPUs\n\nMade by `cargo test --test integration pytorch::`. Steps of PyTorch 2.11 in bf16 that \
                    `benches/compare_with_pytorch.py` timed, none of which is in any fit, against estimates from the catalog: once with the class \
                    of software and its attention named, once with nothing said. Times in ms; bold is outside the 95 % interval.\n\n\
                    | PyTorch | GPU | workload | batch x tokens | measured | predicted | off | nothing said | off |\n|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let (mut errors, mut inside) = ([Vec::new(), Vec::new()], [0, 0]);
    for (class, runs) in [("eager", &EAGER[..]), ("compiled", &COMPILED[..])] {
        for &(device, name, batch, seq_len, ms) in runs {
            assert!(measured.contains(&format!("| {ms:.2} ms |")), "`benches/README.md` has no step of {ms} ms");
            let workload = workload(name, (batch, seq_len), &catalog);
            let software = [format!("{class}/fused"), "unknown".to_owned()];
            let mut cells = String::new();
            for (i, software) in software.iter().enumerate() {
                let step = predicted(device, &workload, software, &catalog);
                let off = 1e3 * step.mid / ms - 1.0;
                let is_inside = step.contains(ms / 1e3);
                errors[i].push(off.abs());
                inside[i] += usize::from(is_inside);
                let shown = format!("{:.1} [{:.1}, {:.1}]", 1e3 * step.mid, 1e3 * step.low, 1e3 * step.high);
                let shown = if is_inside { shown } else { format!("**{shown}**") };
                write!(cells, " {shown} | {:+.0} % |", 100.0 * off).unwrap();
            }
            writeln!(text, "| {class} | {device} | {name} | {batch} x {seq_len} | {ms:.2} |{cells}").unwrap();
        }
    }
    let [known, unknown] = errors.map(|errors| median(&errors).unwrap());
    let all = EAGER.len() + COMPILED.len();
    writeln!(
        text,
        "\n{} and {} of {all} inside; the median errors are {:.0} % and {:.0} %.",
        inside[0],
        inside[1],
        100.0 * known,
        100.0 * unknown
    )
    .unwrap();
    fs::write(root().join("reports/validation/pytorch.md"), &text).unwrap();
    assert!(known < 0.12 && unknown < 0.3 && inside == [all, all], "{text}");
}
