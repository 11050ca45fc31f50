//! Power, energy and water that others published, against what the program says of such runs.

use assert_cmd::Command;
use serde_json::Value;

/// The first estimate of `greenformers ARGS`.
fn first(args: &[&str]) -> Value {
    let args = [args, &["--format", "json"]].concat();
    let output = Command::cargo_bin("greenformers").unwrap().args(&args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut result: Value = serde_json::from_slice(&output.stdout).unwrap();
    if result["estimates"].is_array() { result["estimates"][0].take() } else { result }
}

/// The estimate of a dense model.
fn estimate(args: &[&str]) -> Value {
    first(&[&["estimate", "--arch", "dense"], args].concat())
}

fn of(estimate: &Value, name: &str) -> [f64; 3] {
    ["low", "mid", "high"].map(|end| estimate[name][end].as_f64().unwrap_or_else(|| panic!("{name}: {estimate}")))
}

/// Watts at the wall for each device, in the middle.
fn watts(args: &[&str]) -> f64 {
    let found = estimate(args);
    1000.0 * of(&found, "it_energy_kwh")[1] / of(&found, "device_h")[1]
}

const BERT_ON_8: [&str; 8] =
    ["--workload", "bert-large", "--devices", "8", "--dtype", "bf16", "--software", "optimised/fused"];

/// Patterson et al. 2021 (arXiv 2104.10350): mean power of a chip with memory, network, fans and its share of the host, in four
/// trainings on v3 from 245 to 310 W, 283 W on average; on v2 221 W.
#[test]
fn a_tpu_draws_what_patterson_measured() {
    for (device, published) in [("tpu-v2", 221.0), ("tpu-v3", 245.0), ("tpu-v3", 283.0), ("tpu-v3", 310.0)] {
        let ratio = watts(&[&BERT_ON_8[..], &["--hardware", device]].concat()) / published;
        assert!((0.75..1.25).contains(&ratio), "{device}, {published} W: {ratio}");
    }
}

/// AC power of a node: BERT on 8 x H100 and on 8 x B200 (MLPerf Training 4.0 power submissions: 6859 and 9766 W), and the highest
/// that training Llama 2 13B sustained on 8 x H100 (Newkirk et al. 2025, arXiv 2506.14551: 76 % of 10.2 kW).
#[test]
fn a_node_draws_what_mlperf_and_newkirk_measured() {
    let llama: &[&str] = &["--workload", "llama-2-7b", "--devices", "8", "--layout", "auto", "--software", "optimised"];
    for (device, run, published) in [
        ("h100-sxm5-80gb", &BERT_ON_8[..], 6859.0),
        ("b200-sxm6-180gb", &BERT_ON_8[..], 9766.0),
        ("h100-sxm5-80gb", llama, 0.76 * 10_200.0),
    ] {
        let ratio = 8.0 * watts(&[run, &["--hardware", device]].concat()) / published;
        assert!((0.85..1.15).contains(&ratio), "{device}, {published} W: {ratio}");
    }
}

/// MWh of the GPUs alone: OLMo 7B, 2.46 T tokens on 216 A100 of 40 GB (Groeneveld et al. 2024, arXiv 2402.00838: 104), OLMo 2 7B, 4.05 T
/// tokens on H100 (Morrison et al. 2025, arXiv 2503.05804: 131). Both were trained with compiled blocks, sharded data and parameters;
/// their shape is that of Llama 2 7B but for the vocabulary.
#[test]
fn the_energy_of_olmo_lies_inside_its_interval() {
    for (device, devices, tokens, published_mwh) in
        [("a100-sxm4-40gb", "216", "2.46e12", 104.0), ("h100-sxm5-80gb", "512", "4.05e12", 131.0)]
    {
        let of_olmo = ["--workload", "llama-2-7b", "--layout", "auto", "--dtype", "bf16"];
        for software in ["compiled", "optimised", "unknown"] {
            let run = ["--hardware", device, "--devices", devices, "--tokens", tokens, "--software", software];
            let found = estimate(&[&of_olmo[..], &run].concat());
            let [low, _, high] = of(&found, "it_energy_kwh");
            // Around the GPUs, hosts and power supplies add a third to a half.
            let (low, high) = (low / 1.5 / 1000.0, high / 1.3 / 1000.0);
            assert!((low..high).contains(&published_mwh), "{device}, {software}: {low} to {high} MWh");
        }
    }
}

/// Litres for a kilowatt-hour. Of generation in the USA: 1.29 and 3.10 at two sites (Morrison et al. 2025, arXiv 2503.05804, after Reig
/// et al. 2020), 1.8 without and 7.6 with reservoirs (Torcellini et al. 2003, NREL/TP-550-33905). Of computing: 2.1 by the authors of
/// OLMo, where this catalog alone would say 4.8 for the USA, 5.7 for France and 10.3 for Norway.
#[test]
fn the_interval_of_water_holds_what_sources_disagree_about() {
    let of_computing: &[f64] = &[2.1];
    for (grid, pue, others, middle) in [
        ("usa", "1", &[1.29, 1.8, 3.10, 7.6][..], 3.1),
        ("usa", "1.54", of_computing, 4.8),
        ("fra", "1.54", of_computing, 5.7),
        ("nor", "1.54", of_computing, 10.3),
    ] {
        let mut args = vec!["footprint", "--energy-kwh", "1000", "--grid", grid];
        args.extend(["--pue", pue]);
        let [low, mid, high] = of(&first(&args), "water_l").map(|litres| litres / 1000.0);
        for litres in others {
            assert!((low..high).contains(litres), "{grid}: {low} to {high} L/kWh do not hold {litres}");
        }
        assert!((0.95..1.05).contains(&(mid / middle)), "{grid}: {mid}, the middle stays that of the catalog's source");
    }
}
