//! From the hours and the joules of a run to everything that it costs: the one place where that is worked out.
//!
//! [`footprint`] is generic over what a number is ([`Arithmetic`]): draws of a Monte Carlo simulation, a middle with its
//! spread, or a number that remembers how it came about. An estimate, a footprint of known hours, the account of a tracked
//! command, a sweep of scenarios and the explanation of an estimate differ in nothing else.

mod arithmetic;
mod chain;
mod quantity;
mod spread;
mod traced;

pub(super) use arithmetic::Arithmetic;
pub(super) use chain::{Energy, Run, footprint};
pub use quantity::{Footprint, Quantity};
pub(super) use spread::{Spread, Spreads};
pub use traced::Line;
pub(super) use traced::{Trace, Traced, show};
