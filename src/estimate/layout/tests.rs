//! What layouts hold, send and take, against numbers that are worked out by hand or published.

use super::*;
use crate::catalog::{AttentionUse, Catalog, Device, SoftwareClass};
use crate::estimate::request::layout::{Layout, Recompute};
use crate::estimate::steps::model::{DeviceFigures, Factors};
use crate::model::{Arch, Bias, Config, Details, Family, Norm, Positions, StepShape, count_params};
use crate::units::{DType, Optimizer, States, Weights};

/// Bytes of 80 GB on the card (81 920 MiB), and the part of them that training can use.
const USABLE: f64 = 0.92 * 85.9e9;

fn gpt(d_model: usize, n_heads: usize, n_layers: usize) -> Config {
    Config {
        family: Family::Decoder,
        n_layers,
        d_model,
        n_heads,
        d_ff: 4 * d_model,
        vocab_size: 51200,
        max_seq_len: 2048,
        type_vocab_size: 0,
        gated_mlp: false,
        details: Details::default(),
    }
}

/// Llama 7B (Touvron et al. 2023, table 2): 6.7 billion parameters.
fn llama_7b() -> Config {
    let details = Details {
        norm: Some(Norm::Rms),
        positions: Some(Positions::Rotary),
        biases: Some(Vec::<Bias>::new()),
        tied_head: Some(false),
        ..Details::default()
    };
    Config { d_ff: 11008, vocab_size: 32000, max_seq_len: 4096, gated_mlp: true, details, ..gpt(4096, 32, 32) }
}

fn held(model: &Config, attention: AttentionUse) -> Held<'_> {
    Held { model, arch: Arch::Dense, dtype: DType::Bf16, attention, states: States::default() }
}

fn layout(text: &str) -> Layout {
    text.parse().expect(text)
}

fn shape(batch_size: usize, seq_len: usize) -> StepShape {
    StepShape { batch_size, seq_len, masked_per_seq: seq_len }
}

fn near(x: f64, expected: f64, relative: f64) {
    assert!((x / expected - 1.0).abs() <= relative, "{x}, expected {expected}");
}

fn fullest(held: &Held<'_>, layout: &Layout, shape: StepShape, micro_batches: usize) -> f64 {
    stages(held, layout, shape, micro_batches).iter().map(StageMemory::total).fold(0.0, f64::max)
}

#[test]
fn a_layer_of_gpt_3_keeps_what_the_table_of_korthikanti_says() {
    // arXiv 2205.05198, table 2, with t = 8 and s b h = 2048 x 12288: 10 + 24/8 + 80/8 = 23, 114/8, 34/8 and 2 bytes of each.
    let (model, one) = (gpt(12288, 96, 96), shape(1, 2048));
    let of = |text: &str| {
        let layout = layout(text);
        layer_activations(&held(&model, AttentionUse::Composed), &layout, one, layout.recompute)
    };
    for (text, bytes) in [
        ("tp=8", 578_813_952.0),
        ("tp=8,sequence_parallel=true", 358_612_992.0),
        ("tp=8,sequence_parallel=true,recompute=selective", 106_954_752.0),
        ("tp=8,recompute=full", 50_331_648.0),
        ("tp=1", 114.0 * 25_165_824.0),
    ] {
        near(of(text), bytes, 1e-6);
    }
}

#[test]
fn the_four_models_of_korthikanti_keep_what_their_sizes_come_to() {
    // Table 3's models with sequence parallelism over 8: s b h / 8 (34 + 5 a s / h), where 5 a s / h is 106.7, 80, 64 and 64.
    for (model, micro_batch, bytes) in [
        (gpt(6144, 64, 48), 4, 884_998_144.0),
        (gpt(12288, 96, 96), 1, 358_612_992.0),
        (gpt(20480, 128, 105), 1, 513_802_240.0),
        (gpt(25600, 160, 128), 1, 642_252_800.0),
    ] {
        let held = held(&model, AttentionUse::Composed);
        let of = |recompute| {
            layer_activations(&held, &layout("tp=8,sequence_parallel=true"), shape(micro_batch, 2048), recompute)
        };
        near(of(Recompute::None), bytes, 1e-6);
        // Section 5: recomputing attention saves 70 % of GPT-3's activations and 65 % of those of the 530B model.
        let saved = 1.0 - of(Recompute::Selective) / of(Recompute::None);
        match model.d_model {
            12288 => near(saved, 0.70, 0.05),
            20480 => near(saved, 0.65, 0.05),
            _ => {}
        }
    }
}

#[test]
fn earlier_stages_keep_more_micro_batches_and_interleaved_ones_more_still() {
    let plain = layout("tp=8,pp=8");
    assert_eq!([0, 3, 7].map(|i| layers_in_flight(12.0, &plain, i, 64)), [96.0, 60.0, 12.0]);
    assert_eq!(layers_in_flight(12.0, &plain, 0, 4), 48.0, "no more than there are");
    // L (1 + (p - 1) / (p v)) = 96 (1 + 7 / 24) = 124 (arXiv 2205.05198, section 4.2.3).
    near(layers_in_flight(12.0, &layout("tp=8,pp=8,interleave=3"), 0, 64), 124.0, 1e-12);
}

#[test]
fn gpt_3_fits_1024_devices_of_80_gb_as_it_was_trained() {
    // Narayanan et al. 2021, section 5: 175 B on 1024 A100 with tp 8, pp 8; activations computed again.
    let (model, layout) = (gpt(12288, 96, 96), layout("dp=16,tp=8,pp=8,recompute=full"));
    let stages = stages(&held(&model, AttentionUse::Composed), &layout, shape(1, 2048), 96);
    // 12 layers of 12 x 12288^2 / 8, a table of 51200 x 12288 / 8 and positions of 2048 x 12288: 2.82e9 of 16 bytes.
    near(stages[0].weights + stages[0].gradients + stages[0].optimizer, 16.0 * 2.82e9, 0.01);
    // 8 micro-batches of 12 inputs of 50.3 MB, one layer of 23 less 2 bytes, and 8 masks: 4.83 + 0.53 + 0.20 GB.
    near(stages[0].activations, 5.56e9, 0.01);
    assert!(stages.iter().all(|stage| stage.total() < USABLE), "{stages:?}");
    let kept = Layout { recompute: Recompute::None, ..layout };
    assert!(
        fullest(&held(&model, AttentionUse::Composed), &kept, shape(1, 2048), 96) > USABLE,
        "55.6 GB of activations"
    );
}

#[test]
fn seven_billion_parameters_need_shards_and_long_batches_need_recomputation() {
    let model = llama_7b();
    let held = held(&model, AttentionUse::Fused);
    let long = shape(4, 4096);
    near(count_params(&model, Arch::Dense) as f64, 6.738e9, 1e-3);
    // 16 bytes of each are 107.8 GB, of 85.9 (Rajbhandari et al. 2020, section 1: 16 bytes a parameter).
    let plain = stages(&held, &layout("dp=8"), shape(1, 128), 1)[0];
    near(plain.weights + plain.gradients + plain.optimizer, 107.8e9, 1e-3);
    assert!(plain.total() > 85.9e9);
    // 13.5 GB of states; inputs of 32 layers 4.3; one layer of 16384 x 131 584 bytes 2.2; logits 4.2; two layers' weights 0.8.
    near(fullest(&held, &layout("dp=8,zero=3,recompute=full"), long, 1), 25.0e9, 0.02);
    // 32 layers of 2.16 GB instead.
    let none = fullest(&held, &layout("dp=8,zero=3"), long, 1);
    near(none, 87.5e9, 0.02);
    assert!(none > USABLE);
}

#[test]
fn zero_shares_states_then_gradients_then_weights() {
    let model = llama_7b();
    let held = held(&model, AttentionUse::Fused);
    // Rajbhandari et al. 2020, figure 1, of a parameter with 64 replicas: 16, 4 + 12/64, 2 + 14/64 and 16/64 bytes.
    for (zero, bytes) in [(0, 16.0), (1, 4.1875), (2, 2.21875), (3, 0.25)] {
        let stage = stages(&held, &layout(&format!("dp=64,zero={zero}")), shape(1, 128), 1)[0];
        near((stage.weights + stage.gradients + stage.optimizer) / 6.738_415_616e9, bytes, 1e-9);
    }
    // The stages of a pipeline hold their gradients whole until the last micro-batch.
    let pipeline = |zero| stages(&held, &layout(&format!("dp=32,pp=2,zero={zero}")), shape(1, 128), 4);
    assert_eq!(pipeline(2), pipeline(1));
}

#[test]
fn states_of_other_formats_take_their_own_bytes() {
    let model = llama_7b();
    for (weights, optimizer, bytes) in [
        (Weights::Half, Optimizer::AdamW, 8.0),
        // 4 of weights and gradients, and moments of 65 / 64 bytes.
        (Weights::Half, Optimizer::AdamW8Bit, 4.0 + 2.03125),
        // A weight of f32 beside that of 16 bits.
        (Weights::Wide, Optimizer::AdamW8Bit, 8.0 + 2.03125),
    ] {
        let held = Held { states: States { weights, optimizer }, ..held(&model, AttentionUse::Fused) };
        let stage = stages(&held, &layout("dp=1"), shape(1, 128), 1)[0];
        near((stage.weights + stage.gradients + stage.optimizer) / 6.738_415_616e9, bytes, 1e-9);
    }
}

#[test]
fn the_shards_of_a_model_hold_all_of_it() {
    let model = gpt(12288, 96, 96);
    let whole = count_params(&model, Arch::Dense) as f64;
    for (tp, pp) in [(1, 1), (8, 1), (8, 8), (1, 7)] {
        let parts = parameters_of(&shard(&model, tp), Arch::Dense, pp);
        let sum = f64::from(tp) * (parts.before + 96.0 * parts.layer + parts.after);
        // Norms, biases and positions are held by every device, the table of tokens by two stages.
        near(sum, whole + if pp > 1 { 51200.0 * 12288.0 } else { 0.0 }, 2e-3);
    }
    assert_eq!(layers_of(105, 35), vec![3; 35]);
    assert_eq!(layers_of(10, 4), [2, 3, 3, 2]);
    assert_eq!((layers_of(11, 4), layers_of(3, 2), layers_of(5, 1)), (vec![3, 3, 3, 2], vec![2, 1], vec![5]));
    // Llama 3 405B, section 3.3.2.
    assert_eq!(layers_of(126, 16), [&[7][..], &[8; 14], &[7]].concat());
}

#[test]
fn each_exchange_goes_over_the_links_that_it_crosses() {
    let device: Device = Catalog::default().load("a100-sxm4-80gb").expect("in the catalog");
    let link = device.interconnect.expect("given");
    let links = Links::new(Some(&link));
    let wide = layout("dp=16,tp=8,pp=8");
    // A tensor group of 8 stays inside: 2 x 7/8 x 231 MB / 231 GB/s; its replicas are one to a machine: 2 x 15/16 x 25 MB / 25 GB/s.
    near(links.tensor(&wide, 231e6).local_s, 1.75e-3, 1e-9);
    assert_eq!(links.tensor(&wide, 231e6).network_s, 0.0);
    let data = links.data(&wide, 25e6);
    near(data.network_s, 1.875e-3, 1e-9);
    assert_eq!(data.local_s, 0.0);
    // Between machines each of a tensor group sends its eighth, once.
    near(links.pipeline(&wide, 200e6).network_s, 1e-3, 1e-9);
    // Two stages in a machine: all of it, inside.
    let near_by = layout("tp=4,pp=2");
    assert!(!links.stages_are_apart(&near_by) && links.stages_are_apart(&wide));
    near(links.pipeline(&near_by, 231e6).local_s, 1e-3, 1e-9);
    assert!(links.pipeline(&layout("tp=8"), 1e6).is_none() && links.data(&layout("tp=8"), 1e6).is_none());
}

/// A100 in machines of so many.
fn on_a100(model: &Config, attention: AttentionUse, in_a_machine: u32, look: impl FnOnce(Setting<'_>)) {
    let device: Device = Catalog::default().load("a100-sxm4-80gb").expect("in the catalog");
    let figures = DeviceFigures::of(&device, DType::Bf16).expect("known");
    let link = device.interconnect.map(|link| crate::catalog::Interconnect { devices: in_a_machine, ..link });
    look(Setting {
        held: held(model, attention),
        figures: &figures,
        links: Links::new(link.as_ref()),
        class: SoftwareClass::Optimised,
        constants: Constants::embedded(),
    });
}

fn batch(sequences: usize, seq_len: usize) -> Batch {
    Batch { sequences, seq_len, losses: seq_len }
}

fn searched(model: &Config, sequences: usize, look: impl FnOnce(&mut Search<'_>)) {
    on_a100(model, AttentionUse::Composed, 8, |setting| {
        look(&mut Search::new(setting, batch(sequences, 2048), Some(USABLE)));
    });
}

#[test]
fn a_pipeline_wastes_what_its_stages_wait_for_and_less_of_it_interleaved() {
    searched(&gpt(12288, 96, 96), 64, |search| {
        let of = |search: &mut Search<'_>, text: &str| search.best_of(layout(text)).expect(text).step;
        let plain = of(search, "tp=8,pp=8,micro_batch=1");
        // (p - 1) / m = 7 / 64 of what the slowest stage takes, less as the others are faster (Narayanan et al. 2021, section 2.2).
        let share = plain.bubble_s / (plain.passes_s - plain.bubble_s - plain.pipeline_s);
        assert!(share > 0.09 && share <= 7.0 / 64.0, "{share}");
        let interleaved = of(search, "tp=8,pp=8,micro_batch=1,interleave=4");
        near(interleaved.bubble_s, plain.bubble_s / 4.0, 1e-9);
        assert!(interleaved.pipeline_s > 3.0 * plain.pipeline_s, "four times the sends");
        let again = of(search, "tp=8,pp=8,micro_batch=1,recompute=full");
        let ratio = again.computing_s / plain.computing_s;
        assert!((1.30..1.34).contains(&ratio), "a third more: {ratio}");
    });
}

#[test]
fn the_fastest_layout_that_fits_is_found_and_those_that_do_not_say_why() {
    searched(&gpt(12288, 96, 96), 1536, |search| {
        let found = search.all(1024, None);
        assert_eq!((found.fit.len(), found.too_large.len()), (4, 3));
        assert!(found.fit.windows(2).all(|pair| pair[0].step_s <= pair[1].step_s));
        let best = &found.fit[0];
        assert!(best.memory.total() <= USABLE && best.layout.devices() == 1024);
        // As good as what was used: tp 8, pp 8, everything computed again.
        let used = search.best_of(layout("dp=16,tp=8,pp=8,zero=1,recompute=full")).expect("shared evenly");
        assert!(best.step_s < used.step_s);
        let why = found.too_large[0].why_not(USABLE);
        assert!(why.starts_with("does not fit: ") && why.contains(" of 79 GB"), "{why}");
    });
    searched(&gpt(12288, 96, 96), 1536, |search| {
        let found = search.all(8, None);
        assert!(found.fit.is_empty() && found.too_large.len() == 3, "2.8 TB of states on 8 devices");
    });
}

#[test]
fn a_step_of_more_devices_is_no_slower_and_its_parts_are_its_whole() {
    searched(&gpt(4096, 32, 36), 512, |search| {
        let mut last = f64::INFINITY;
        for text in ["tp=4,dp=1", "tp=4,dp=4", "tp=4,dp=16", "tp=4,dp=64"] {
            let candidate = search.best_of(layout(&format!("{text},micro_batch=2"))).expect(text);
            assert!(candidate.step_s < last, "{text}");
            last = candidate.step_s;
            let step = &candidate.step;
            near(
                step.step_s(&Factors::MIDDLE),
                step.passes_s * step.stragglers.factor(&Factors::MIDDLE)
                    + step.update_s
                    + step.exchange.exposed_s(&Factors::MIDDLE),
                1e-12,
            );
            assert!(step.computing_s + step.tensor_s <= step.passes_s && step.least_s < step.computing_s);
        }
    });
}

/// Mixtral 8x7B (Jiang et al. 2024, arXiv 2401.04088, table 1): 46.7 billion parameters, of which 12.9 are active.
fn mixtral() -> Config {
    let experts = crate::model::Experts {
        count: 8,
        active: 2,
        d_ff: 14336,
        layers: None,
        shared_d_ff: 0,
        shared_gate: false,
        bias: false,
    };
    let llama = llama_7b();
    let details = Details { n_kv_heads: Some(8), experts: Some(experts), ..llama.details.clone() };
    Config { d_ff: 14336, max_seq_len: 32768, details, ..llama }
}

#[test]
fn experts_are_shared_out_and_everything_else_is_not() {
    let model = mixtral();
    let held = held(&model, AttentionUse::Fused);
    let states = |text: &str| {
        let stage = stages(&held, &layout(text), shape(1, 128), 1)[0];
        stage.weights + stage.gradients + stage.optimizer
    };
    // 32 layers of 8 experts of 3 x 4096 x 14336 are 45.10e9 of 46.70e9 parameters.
    let (experts, all) = (45_097_156_608.0, 46_702_792_704.0);
    near(count_params(&model, Arch::Dense) as f64, all, 1e-12);
    near(states("dp=8"), 16.0 * all, 1e-9);
    near(states("dp=8,ep=8"), 16.0 * (all - experts + experts / 8.0), 1e-9);
    near(states("dp=4,cp=2,ep=8"), 16.0 * (all - experts + experts / 8.0), 1e-9);
    // Optimizer states are shared by all eight; an eighth of the experts has no other replica to share its states with.
    near(states("dp=8,ep=8,zero=1"), 4.0 * (all - experts + experts / 8.0) + 12.0 / 8.0 * all, 1e-9);
    near(states("dp=8,ep=8,zero=3"), 2.0 * all, 1e-9);
    // Of 2 x 8 devices two have the same experts, and every gradient of them is added up twice.
    near(states("dp=16,ep=8,zero=1"), 4.0 * (all - experts + experts / 8.0) + 12.0 / 16.0 * all, 1e-9);
}

#[test]
fn tokens_go_to_their_experts_and_back_by_the_bytes_that_leave_a_device() {
    let model = mixtral();
    let of = |text: &str, in_a_machine: u32| {
        let mut found = None;
        on_a100(&model, AttentionUse::Fused, in_a_machine, |setting| {
            let candidate = Search::new(setting, batch(24, 4096), None).candidate(layout(text), 1).expect("possible");
            found = Some(candidate.step);
        });
        let step = found.expect("worked out");
        (step.traffic.iter().find(|t| t.name == "tokens to experts and back").cloned(), step.experts_s)
    };
    // 4096 tokens go to two experts each, in 4096 numbers of 2 bytes; four times in each of 32 layers and 3 micro-batches.
    let (inside, seconds) = of("dp=8,ep=8", 8);
    let inside = inside.expect("there");
    assert_eq!((inside.bytes, inside.times), (4096.0 * 2.0 * 4096.0 * 2.0, 4.0 * 32.0 * 3.0));
    assert!(!inside.between_machines);
    near(seconds, inside.seconds, 1e-12);
    // At least as long as 7/8 of the bytes take at 300 GB/s each way, and no longer than at half of that.
    let least = 384.0 * 0.875 * inside.bytes / 300e9;
    assert!((1.0..2.0).contains(&(seconds / least)), "{seconds} of {least}");
    // In machines of four, half of the bytes go over the network, which is slower.
    let apart = of("dp=8,ep=8", 4).0.expect("there");
    assert!(apart.between_machines && apart.seconds > 2.0 * inside.seconds, "{apart:?} {inside:?}");
    assert_eq!(of("dp=8", 8), (None, 0.0));
}

#[test]
fn devices_that_share_a_sequence_keep_their_part_and_pass_on_keys_and_values() {
    on_a100(&llama_7b(), AttentionUse::Fused, 8, |setting| {
        let mut search = Search::new(setting, batch(1, 65536), Some(USABLE));
        let mut of = |text: &str| search.candidate(layout(text), 1).expect("possible");
        let (one, eight) = (of("dp=1"), of("dp=1,cp=8"));
        near(one.memory.activations, 8.0 * eight.memory.activations, 1e-9);
        near(one.memory.logits, 8.0 * eight.memory.logits, 1e-9);
        near(one.memory.weights, eight.memory.weights, 1e-12);
        // An eighth of the products and of attention's scores.
        let ratio = one.step.computing_s / eight.step.computing_s;
        assert!((7.0..8.1).contains(&ratio), "{ratio}");
        let traffic = eight.step.traffic.iter().find(|t| t.name == "keys and values").cloned().expect("there");
        // 8192 tokens, 2 x 4096 numbers of 2 bytes; to seven others forward and twice as many backward, in 32 layers.
        assert_eq!((traffic.bytes, traffic.times), (8192.0 * 8192.0 * 2.0, 3.0 * 7.0 * 32.0));
        // 90 GB at 300 GB/s take less than attention: 3.5 x 2 x 65536^2 x 4096 x 32 / 8 FLOP at 312 TFLOP/s at best.
        assert!(traffic.seconds > 0.3 && eight.step.context_s == 0.0, "{traffic:?} {}", eight.step.context_s);
        // Parts of 512 tokens do not hide it.
        let step = Search::new(setting, batch(1, 4096), None).candidate(layout("dp=1,cp=8"), 1).expect("possible").step;
        assert!(step.context_s > 0.0 && step.context_s < step.passes_s, "{}", step.context_s);
        let odd = Search::new(setting, batch(1, 4095), None).candidate(layout("dp=1,cp=2"), 1).expect_err("odd");
        assert!(odd.to_string().contains("`cp=2` does not divide a sequence of 4095 tokens"), "{odd}");
    });
    on_a100(&llama_7b(), AttentionUse::Composed, 8, |setting| {
        let refused =
            Search::new(setting, batch(1, 4096), None).candidate(layout("dp=1,cp=2"), 1).expect_err("written");
        assert!(refused.to_string().contains("expected fused attention"), "{refused}");
    });
}

#[test]
fn the_search_shares_experts_and_sequences_where_it_pays() {
    on_a100(&mixtral(), AttentionUse::Fused, 8, |setting| {
        let found = Search::new(setting, batch(512, 4096), Some(USABLE)).all(64, None);
        let best = &found.fit[0];
        assert!(best.layout.devices() == 64 && best.memory.total() <= USABLE, "{}", best.layout);
        assert!(found.too_large.iter().all(|candidate| candidate.step_s < best.step_s), "{:?}", found.too_large);
    });
    // A sequence of a million tokens does not fit one device, whatever is computed again: 32 inputs of 8.6 GB.
    on_a100(&llama_7b(), AttentionUse::Fused, 8, |setting| {
        let found = Search::new(setting, batch(8, 1 << 20), Some(USABLE)).all(64, None);
        let best = &found.fit[0];
        assert!(best.layout.cp > 1 && best.memory.total() <= USABLE, "{}", best.layout);
    });
}
