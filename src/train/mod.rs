//! Models that are trained here, and what is made of models that were trained elsewhere.

mod computed;
mod energy;
pub mod factorize;
pub mod pretrain;
pub mod quality;
mod share;

pub use share::rank_of_share;
