//! What is typed: architectures, dtypes, devices, meters. An architecture that is understood is read as it is written.
#![no_main]

use greenformers::measure::{DeviceChoice, MeterChoice};
use greenformers::model::{Arch, Ops};
use greenformers::units::DType;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(arch) = text.parse::<Arch>() {
        assert_eq!(arch.to_string().parse::<Arch>().expect("as it is written"), arch);
        assert!(!arch.label().is_empty());
    }
    if let Ok(device) = text.parse::<DeviceChoice>() {
        assert_eq!(device.to_string().parse::<DeviceChoice>().expect("as it is written"), device);
    }
    let _ = text.parse::<MeterChoice>();
    let _ = text.parse::<DType>();
    let _ = text.parse::<Ops>();
});
