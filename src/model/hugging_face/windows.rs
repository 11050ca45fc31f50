//! Which layers of a type see a window of the sequence alone.

use serde_json::Value;

use super::super::shape::Window;
use super::error::HuggingFaceError;
use super::keys::Keys;

/// How a type says which layers have a window.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// None has one.
    None,
    /// All, if `sliding_window` is a number.
    All,
    /// All but each n-th, which is the last of its group; the key may say another n.
    Last(usize, &'static str),
    /// All but each n-th, which is the first of its group; the key may say another n.
    First(usize, &'static str),
    /// Those after the first `max_window_layers`.
    After,
    /// If `use_sliding_window` says so, those after the first `max_window_layers`.
    UseAfter,
    /// If `use_sliding_window` says so, all.
    UseAll,
    /// If `use_sliding_window` says so, every other one of the first `max_window_layers`.
    UseOdd,
}

/// The windows of a model of so many layers.
pub(super) fn window(keys: &Keys, rule: Rule, n_layers: usize) -> Result<Option<Window>, HuggingFaceError> {
    if matches!(rule, Rule::None) {
        return Ok(None);
    }
    let uses = !matches!(rule, Rule::UseAfter | Rule::UseAll | Rule::UseOdd) || keys.flag("use_sliding_window")?;
    let chunk = keys.number("attention_chunk_size")?;
    let length = match chunk {
        Some(length) => Some(length),
        None => keys.number("sliding_window")?,
    };
    let Some(length) = length.filter(|length| uses && *length > 0) else { return Ok(None) };
    if let Some(types) = keys.list("layer_types").filter(|_| !matches!(rule, Rule::All | Rule::UseAll)) {
        let has_window = |of: &&Value| matches!(of.as_str(), Some("sliding_attention" | "chunked_attention"));
        let layers = types.iter().take(n_layers).filter(has_window).count();
        return Ok(Some(Window { length, layers, global_every: None }).filter(|_| layers > 0));
    }
    let layers = match rule {
        Rule::None => 0,
        Rule::All | Rule::UseAll => n_layers,
        Rule::After | Rule::UseAfter => n_layers.saturating_sub(keys.number("max_window_layers")?.unwrap_or(n_layers)),
        Rule::UseOdd => n_layers.min(keys.number("max_window_layers")?.unwrap_or(n_layers)).div_ceil(2),
        Rule::Last(usual, key) => match keys.text(key) {
            // `LLLG`: local, local, local, global.
            Some(pattern) if !pattern.is_empty() => {
                pattern.chars().cycle().take(n_layers).filter(|c| *c == 'L').count()
            }
            _ => n_layers - n_layers / keys.number(key).unwrap_or(None).unwrap_or(usual).max(1),
        },
        Rule::First(usual, key) => {
            n_layers - n_layers.div_ceil(keys.number(key).unwrap_or(None).unwrap_or(usual).max(1))
        }
    };
    Ok(Some(Window { length, layers, global_every: None }).filter(|_| layers > 0))
}
