//! How much of the weights of a model's linears factors keep.

use crate::model::{Arch, Config};
use crate::nn::{NnError, linears};

/// The largest rank of an LRT that has no more than this share of the weights of the linears of this model's layers; at least 1.
///
/// # Errors
/// If no model of this shape is built here.
pub fn rank_of_share(model: &Config, share: f64) -> Result<usize, NnError> {
    let linears = linears(model)?;
    let dense: usize = linears.iter().map(|linear| linear.size.0 * linear.size.1).sum();
    let of_rank = |rank: usize| -> usize {
        let arch = Arch::Lrt { rank };
        let own = |size: (usize, usize)| arch.rank_of(model, size).unwrap_or(rank) * (size.0 + size.1);
        linears.iter().map(|linear| own(linear.size)).sum()
    };
    let most = share * dense as f64;
    Ok((1..=model.d_model).take_while(|rank| of_rank(*rank) as f64 <= most).last().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Details, Family};

    #[test]
    fn half_of_the_weights_of_four_layers_of_256_is_rank_85() {
        let model = Config {
            family: Family::Decoder,
            n_layers: 4,
            d_model: 256,
            n_heads: 4,
            d_ff: 1024,
            vocab_size: 1,
            max_seq_len: 128,
            type_vocab_size: 0,
            gated_mlp: false,
            details: Details::default(),
        };
        // Of a layer: 4 of 256 x 256 and 2 of 256 x 1024 are 786 432 weights; a rank has 4 x 512 + 2 x 1280 = 4608. Half is 85.33 ranks.
        assert_eq!(rank_of_share(&model, 0.5).expect("it is built here"), 85);
    }
}
