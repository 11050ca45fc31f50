//! By which angles a type's rotary positions turn: no count rests on it, and what is computed does.

use serde_json::Value;

use super::super::config::Config;
use super::super::rotary::{Rotary, Theta};
use super::super::rotary_scaling::{Scaling, usual_attention_factor};
use super::super::shape::Positions;
use super::error::{HuggingFaceError, shown};
use super::keys::Keys;

/// Types that turn the share `partial_rotary_factor` of each head; the others do not read that key.
const PARTIAL: [&str; 13] = [
    "glm",
    "glm4",
    "glm4_moe",
    "glm4v_moe_text",
    "gpt_neox",
    "gpt_neox_japanese",
    "minimax_m2",
    "nemotron",
    "persimmon",
    "phi",
    "phi3",
    "solar_open",
    "stablelm",
];
/// Types that say how many elements they turn.
const COUNTED: [&str; 2] = ["gptj", "codegen"];

/// Where newer and older releases of transformers write what they have of rotary positions.
const PLACES: [&str; 2] = ["rope_parameters", "rope_scaling"];
/// The same of layers without a window and with one, within these.
const WITHOUT_WINDOW: &str = "full_attention";
const WITH_WINDOW: &str = "sliding_attention";

/// What stands in the places for rotary positions, or in the part of them for some layers.
fn inner<'a>(keys: &Keys<'a>, part: Option<&str>, name: &str) -> Option<&'a Value> {
    let mut places = PLACES.iter().filter_map(|place| keys.object(place));
    places.find_map(|place| match part {
        Some(part) => place.get(part)?.get(name),
        None => place.get(name),
    })
}

/// A number of a key, if there is one.
fn number(key: &str, value: Option<&Value>) -> Result<Option<f64>, HuggingFaceError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let wrong =
        || HuggingFaceError::Value { key: key.to_owned(), got: shown(value), expected: "a number such as `10000.0`" };
    value.as_f64().map(Some).ok_or_else(wrong)
}

fn theta(value: Option<&Value>) -> Result<Option<Theta>, HuggingFaceError> {
    let wrong = |got: f64| HuggingFaceError::Value {
        key: "rope_theta".to_owned(),
        got: got.to_string(),
        expected: "a number of at least 1",
    };
    number("rope_theta", value)?.map(|got| Theta::try_from(got).map_err(|_| wrong(got))).transpose()
}

/// Adds what the keys say of rotary positions to a model that has them.
pub(super) fn complete(keys: &Keys, config: &mut Config) -> Result<(), HuggingFaceError> {
    if config.positions() != Positions::Rotary {
        return Ok(());
    }
    let global = inner(keys, Some(WITHOUT_WINDOW), "rope_theta").or_else(|| inner(keys, None, "rope_theta"));
    let global = global.or_else(|| keys.aside_value(&["rope_theta", "global_rope_theta", "rotary_emb_base"]));
    let local = inner(keys, Some(WITH_WINDOW), "rope_theta");
    let local = local.or_else(|| keys.aside_value(&["local_rope_theta", "rope_local_base_freq"]));
    let has_windows = config.windowed().is_some();
    let rotary = Rotary {
        theta: theta(global)?,
        local_theta: theta(local)?.filter(|_| has_windows),
        width: width(keys, config)?,
        scaling: scaling(keys, config),
        unturned_every: unturned_every(keys, config),
    };
    config.details.rotary = rotary.beyond_usual(config.d_head());
    Ok(())
}

/// Which layers turn nothing, by the type that says so: each so many-th, or none where its list follows no such rule.
fn unturned_every(keys: &Keys, config: &Config) -> Option<usize> {
    if keys.model_type != "smollm3" {
        return None;
    }
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let Some(list) = keys.aside_value(&["no_rope_layers"]).and_then(Value::as_array) else {
        return Some(keys.aside_value(&["no_rope_layer_interval"]).and_then(number).unwrap_or(4)).filter(|n| *n > 0);
    };
    let is_turned = |layer: usize| list.get(layer).is_none_or(|turned| number(turned) != Some(0));
    let every = (0..config.n_layers).find(|layer| !is_turned(*layer))? + 1;
    (0..config.n_layers).all(|layer| is_turned(layer) != (layer + 1).is_multiple_of(every)).then_some(every)
}

/// How angles are slowed, where all layers have it alike and it is one of the known ways; of another, nothing that is counted
/// depends on it. `dynamic` begins beyond the length of the model.
fn scaling(keys: &Keys, config: &Config) -> Option<Scaling> {
    let is_by_layer = [WITHOUT_WINDOW, WITH_WINDOW].into_iter().any(|part| inner(keys, None, part).is_some());
    if is_by_layer {
        let of_layers = |part| scaling_of(keys, Some(part), config);
        return of_layers(WITHOUT_WINDOW).filter(|all| Some(*all) == of_layers(WITH_WINDOW));
    }
    scaling_of(keys, None, config)
}

fn scaling_of(keys: &Keys, part: Option<&str>, config: &Config) -> Option<Scaling> {
    let said = |name: &str| inner(keys, part, name).filter(|value| !value.is_null());
    let number = |name: &str| said(name).and_then(Value::as_f64);
    let factor = number("factor");
    // Phi-3's stands beside the object, and counts first there.
    let aside = keys.aside_value(&["original_max_position_embeddings"]).and_then(Value::as_f64);
    let original = || aside.or_else(|| number("original_max_position_embeddings")).unwrap_or(config.max_seq_len as f64);
    let found = match said("rope_type").or_else(|| said("type"))?.as_str()? {
        "linear" => Scaling::Linear { factor: factor? },
        "llama3" => Scaling::Llama3 {
            factor: factor?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_max_seq_len: original(),
        },
        "yarn" => {
            let original_max_seq_len = original();
            let factor = factor.unwrap_or_else(|| config.max_seq_len as f64 / original_max_seq_len);
            let of = |m: f64| usual_attention_factor(factor, m);
            let scales = number("mscale").zip(number("mscale_all_dim")).filter(|(m, all)| *m != 0.0 && *all != 0.0);
            let attention_factor = number("attention_factor").or_else(|| scales.map(|(m, all)| of(m) / of(all)));
            Scaling::Yarn {
                factor,
                original_max_seq_len,
                beta_fast: number("beta_fast").unwrap_or(32.0),
                beta_slow: number("beta_slow").unwrap_or(1.0),
                attention_factor,
                truncate: said("truncate").and_then(Value::as_bool).unwrap_or(true),
            }
        }
        _ => return None,
    };
    Some(found).filter(|found| found.check().is_ok())
}

/// How many elements of each head are turned, if not all.
fn width(keys: &Keys, config: &Config) -> Result<Option<usize>, HuggingFaceError> {
    let d_head = config.d_head();
    if config.details.latent.is_some() {
        return Ok(None);
    }
    if COUNTED.contains(&keys.model_type) {
        let width = keys.aside_value(&["rotary_dim"]).and_then(Value::as_u64);
        return Ok(width.and_then(|width| usize::try_from(width).ok()).map(|width| width.min(d_head)));
    }
    if !PARTIAL.contains(&keys.model_type) {
        return Ok(None);
    }
    let name = "partial_rotary_factor";
    let share = inner(keys, Some(WITHOUT_WINDOW), name).or_else(|| inner(keys, None, name));
    let share = share.or_else(|| keys.aside_value(&[name, "rotary_pct"]));
    let Some(share) = number(name, share)? else { return Ok(None) };
    if !(0.0..=1.0).contains(&share) {
        let (key, got) = (name.to_owned(), share.to_string());
        return Err(HuggingFaceError::Value { key, got, expected: "a share from 0 to 1" });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off as in transformers")]
    Ok(Some((d_head as f64 * share) as usize))
}
