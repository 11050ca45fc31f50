//! Every file of the catalog loads, has sources, and lies in a sane range.

use greenformers::catalog::{Catalog, Device, DeviceKind, EntryKind, GridEntry, Per, Site};
use greenformers::model::{Arch, count_params};
use greenformers::record::Workload;
use greenformers::units::DType;

#[test]
fn every_device_loads_and_its_figures_are_of_its_size() {
    let devices: Vec<Device> = Catalog::default().all().unwrap();
    for d in &devices {
        if let Some(tdp) = &d.tdp {
            let range = if d.per == Per::Vcpu { 0.5..20.0 } else { 35.0..1500.0 };
            assert!(range.contains(&tdp.base()), "{}: TDP {}", d.id, tdp.value);
        }
        for (dtype, peak) in &d.peak {
            assert!((1e11..1e16).contains(&peak.base()), "{}: {dtype} {}", d.id, peak.value);
        }
        if let (Some(f32), Some(bf16)) = (d.peak.get(&DType::F32), d.peak.get(&DType::Bf16)) {
            assert!(bf16.base() >= f32.base(), "{}: bf16 below f32", d.id);
        }
        for price in &d.prices {
            assert!((0.05..20.0).contains(&price.price.base()), "{}: {}", d.id, price.price.value);
            // Bahrain is rented, and no intensity of it is known.
            for region in price.regions.keys().filter(|region| *region != "me-south-1") {
                let provider = price.provider.as_deref();
                assert!(Catalog::default().cloud_region(provider, region).is_ok(), "{}: no region {region}", d.id);
            }
        }
        assert!(d.kind == DeviceKind::Cpu || d.memory.is_some(), "{} has no memory", d.id);
        if d.kind == DeviceKind::Gpu {
            let link = d.interconnect.as_ref().unwrap_or_else(|| panic!("{} has no interconnect", d.id));
            assert!((10e9..1e12).contains(&link.bandwidth.base()), "{}: {}", d.id, link.bandwidth.value);
            let network = link.network.as_ref().unwrap().base();
            assert!((1e9..=50e9).contains(&network) && network <= link.bandwidth.base(), "{}: {network}", d.id);
            let process = d.process.as_ref().unwrap().base();
            assert!((3.0..=28.0).contains(&process), "{}: {process} nm", d.id);
        }
    }
    let gpus = devices.iter().filter(|d| d.kind == DeviceKind::Gpu).count();
    let cpus = devices.iter().filter(|d| d.kind == DeviceKind::Cpu).count();
    assert!(gpus >= 12 && cpus >= 10, "{gpus} GPUs, {cpus} CPUs");
}

#[test]
fn the_devices_that_people_ask_for_are_there_under_their_names() {
    for id in [
        "v100-sxm2-16gb",
        "v100-sxm2-32gb",
        "a100-sxm4-40gb",
        "a100-sxm4-80gb",
        "a100-pcie-80gb",
        "h100-sxm5-80gb",
        "h100-pcie-80gb",
        "h200-sxm5-141gb",
        "t4-16gb",
        "l4-24gb",
        "a10g-24gb",
        "l40s-48gb",
        "rtx-3090-24gb",
        "rtx-4090-24gb",
        "b200-sxm6-180gb",
    ] {
        let device: Device = Catalog::default().load(id).unwrap();
        assert!(!device.names.is_empty(), "{id} cannot be recognised");
    }
}

#[test]
fn every_grid_resolves_to_an_intensity_of_the_right_size() {
    let catalog = Catalog::default();
    let ids = catalog.ids(EntryKind::Grid).unwrap();
    for id in &ids {
        let grid = catalog.grid(id).unwrap();
        let g = grid.intensity.base();
        assert!((1.0..1300.0).contains(&g), "{id}: {g} g/kWh");
        if let Some(pue) = grid.pue {
            assert!((1.0..2.0).contains(&pue.base()), "{id}: PUE {}", pue.base());
        }
    }
    let countries = ids.iter().filter(|id| id.len() == 3).count();
    let subregions = ids.iter().filter(|id| id.starts_with("us-egrid-")).count();
    let clouds = catalog.all::<GridEntry>().unwrap().iter().filter(|g| g.provider.is_some()).count();
    assert!(countries >= 60 && subregions >= 26 && clouds >= 40, "{countries}, {subregions}, {clouds}");
    for id in ["usa", "fra", "us-egrid-camx", "aws-eu-north-1", "world"] {
        assert!(catalog.grid(id).is_ok(), "{id}");
    }
}

#[test]
fn share_alike_data_is_not_shipped() {
    for entry in Catalog::default().all::<GridEntry>().unwrap() {
        for source in
            [entry.intensity.as_ref().map(|i| i.source.clone()), entry.water.as_ref().map(|w| w.source.clone())]
        {
            let source = source.unwrap_or_default();
            assert!(!source.contains("Electricity Maps") && !source.contains("WattTime"), "{}: {source}", entry.id);
        }
    }
}

#[test]
fn sites_and_workloads_load() {
    let catalog = Catalog::default();
    assert!(catalog.all::<Site>().unwrap().len() >= 5);
    let bert: Workload = catalog.load("bert-base").unwrap();
    assert!((bert.tokens() - 42.6e9).abs() < 0.01e9, "{:e}", bert.tokens());
}

#[test]
fn published_models_have_the_parameters_and_tokens_that_are_published() {
    let catalog = Catalog::default();
    for (name, params, tokens) in [
        ("bert-base", 110_106_428, 42.6e9),
        ("gpt2", 124_439_808, 295e9),
        ("tinyllama-1.1b", 1_100_048_384, 3e12),
        ("pythia-1.4b", 1_414_647_808, 300e9),
        ("pythia-6.9b", 6_857_302_016, 300e9),
        ("gpt-j-6b", 6_050_882_784, 402e9),
        ("llama-7b", 6_738_415_616, 1e12),
        ("llama-2-7b", 6_738_415_616, 2e12),
        ("falcon-7b", 6_921_720_704, 1.5e12),
        ("gpt-neox-20b", 20_554_567_680, 472e9),
        ("llama-65b", 65_285_660_672, 1.4e12),
        ("llama-2-70b", 68_976_648_192, 2e12),
        ("gpt3-175b", 174_604_259_328, 300e9),
        ("opt-175b", 174_604_468_224, 300e9),
        ("bloom-176b", 176_247_271_424, 366e9),
    ] {
        let workload: Workload = catalog.load(name).unwrap();
        assert_eq!(count_params(&workload.model, Arch::Dense), params, "{name}");
        assert!((workload.tokens() / tokens - 1.0).abs() < 0.005, "{name}: {:e} tokens", workload.tokens());
    }
    // Of these the recipe is not published.
    for (name, params) in [("llama-3.1-8b", 8_030_261_248), ("qwen3-8b", 8_190_735_360), ("mistral-7b", 7_241_732_096)]
    {
        let workload: Workload = catalog.load(name).unwrap();
        assert_eq!((count_params(&workload.model, Arch::Dense), workload.phases.len()), (params, 0), "{name}");
    }
}

#[test]
fn the_beginning_of_a_name_is_enough_if_it_is_unique() {
    let catalog = Catalog::default();
    assert_eq!(catalog.load::<Device>("rtx-4090").unwrap().id, "rtx-4090-24gb");
    let error = catalog.load::<Device>("a100").unwrap_err().to_string();
    assert!(error.contains("could be several entries") && error.contains("`a100-sxm4-80gb`"), "{error}");
    let error = catalog.load::<Device>("rtx-4900-24gb").unwrap_err().to_string();
    assert!(error.contains("unknown hardware `rtx-4900-24gb`: did you mean `rtx-4090-24gb`"), "{error}");
}

#[test]
fn machines_are_recognised_by_what_systems_call_them() {
    let identify = |kind, name: &str| Catalog::default().identify(kind, name).unwrap().map(|d| d.id);
    assert_eq!(identify(DeviceKind::Gpu, "NVIDIA H200").as_deref(), Some("h200-sxm5-141gb"));
    assert_eq!(identify(DeviceKind::Cpu, "AMD EPYC 7763 64-Core Processor").as_deref(), Some("amd-epyc-7763"));
    assert_eq!(identify(DeviceKind::Cpu, "Intel(R) Xeon(R) Processor @ 2.60GHz").as_deref(), Some("cloud-vcpu-x86"));
    assert_eq!(identify(DeviceKind::Cpu, "Unheard-of 9000"), None);
}

#[test]
fn cpus_that_only_clouds_have_are_recognised_by_what_their_guests_see() {
    let catalog = Catalog::default();
    for (name, id) in [
        ("AMD EPYC 7R13 Processor", "amd-epyc-7r13"),
        ("AMD EPYC 7R13 48-Core Processor", "amd-epyc-7r13"),
        ("AMD EPYC 9R14", "amd-epyc-9r14"),
        ("AMD EPYC 7B13", "amd-epyc-7b13"),
        ("Intel(R) Xeon(R) Platinum 8488C", "intel-xeon-platinum-8488c"),
        ("Intel(R) Xeon(R) Platinum 8480C", "intel-xeon-platinum-8480c"),
        ("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "intel-xeon-platinum-8259cl"),
        ("Intel(R) Xeon(R) Platinum 8175M CPU @ 2.50GHz", "intel-xeon-platinum-8175m"),
        ("Neoverse-N1", "aws-graviton2"),
        ("Neoverse-V1", "aws-graviton3"),
        ("Neoverse-V2", "aws-graviton4"),
        ("Neoverse-N2", "azure-cobalt-100"),
        ("Google Axion", "google-axion"),
        ("Ampere(R) Altra(R) Processor", "ampere-altra"),
    ] {
        let device = catalog.identify(DeviceKind::Cpu, name).unwrap().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(device.id, id, "{name}");
        // Nobody publishes figures of them: none may look exact.
        if device.per == Per::Vcpu {
            let (low, mid, high) = device.tdp.as_ref().unwrap().low_mid_high();
            assert!(low <= mid && mid <= high && high / low > 1.1, "{id}: {low} {mid} {high}");
        }
    }
}
