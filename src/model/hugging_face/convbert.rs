//! ConvBERT, half of whose heads are convolutions (Jiang et al. 2020, arXiv 2008.02496).

use super::super::config::Config;
use super::super::extra::{Extra, ExtraKind, Place};
use super::error::HuggingFaceError;
use super::keys::Keys;

/// Turns heads into convolutions: those that are left are half as wide as the layer together.
pub(super) fn convolutions(keys: &Keys, config: &mut Config) -> Result<(), HuggingFaceError> {
    let refused = |reason: &str| HuggingFaceError::Refused {
        model_type: keys.model_type.to_owned(),
        reason: format!("not supported: {reason}"),
    };
    if keys.number("num_groups")?.unwrap_or(1) != 1 {
        return Err(refused("feed-forward blocks of groups (`num_groups`)"));
    }
    config.check()?;
    let (layers, d) = (config.n_layers, config.d_model);
    let heads = (config.n_heads / keys.number("head_ratio")?.unwrap_or(2).max(1)).max(1);
    let width = d / heads / 2;
    let (all, kernel) = (heads.saturating_mul(width), keys.number("conv_kernel_size")?.unwrap_or(9));
    if width == 0 || all.saturating_mul(2) != d {
        return Err(refused("heads that are not half as wide as the layer together"));
    }
    (config.n_heads, config.details.head_dim, config.details.n_kv_heads) = (heads, Some(width), None);
    let of = |name, kind, size| Extra::new(name, Place::Layer, kind, size, layers);
    config.details.extra.extend([
        of("convolution by channel", ExtraKind::Values, [d, kernel]),
        of("convolution of keys", ExtraKind::LinearWithBias, [d, all]),
        of("kernels of convolutions", ExtraKind::LinearWithBias, [all, heads.saturating_mul(kernel)]),
        of("values of convolutions", ExtraKind::LinearWithBias, [d, all]),
        of("output of convolutions", ExtraKind::Linear, [all, d]),
    ]);
    Ok(())
}
