//! A YAML file of the catalog: the first byte says of which kind, the rest is its text.
#![no_main]

use greenformers::catalog::{Device, GridEntry, Site, parse};
use greenformers::model::{Arch, count_params, train_step_flop};
use greenformers::record::{Workload, phase_shape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    match kind % 4 {
        0 => drop(parse::<Device>("fuzz.yaml", text).map(|d| d.usual_price().map(|p| p.base()))),
        1 => drop(parse::<GridEntry>("fuzz.yaml", text)),
        2 => drop(parse::<Site>("fuzz.yaml", text)),
        _ => {
            let Ok(workload) = parse::<Workload>("fuzz.yaml", text) else { return };
            assert!(workload.tokens().is_finite());
            assert!(count_params(&workload.model, Arch::Dense) > 0);
            for phase in &workload.phases {
                let shape = phase_shape(&workload, phase, phase.batch_size);
                assert!(train_step_flop(&workload.model, Arch::Dense, shape) > 0.0);
            }
        }
    }
});
