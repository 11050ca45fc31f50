//! From the hours and the joules of a run to everything that it costs: the one place where that is worked out.
//!
//! [`chain::footprint`] is generic over what a number is ([`arithmetic::Arithmetic`]): draws of a Monte Carlo simulation, a
//! middle with its spread, or a number that remembers how it came about. An estimate, a footprint of known hours, the account
//! of a tracked command, a sweep of scenarios and the explanation of an estimate differ in nothing else.

pub(super) mod arithmetic;
pub(super) mod chain;
pub(super) mod lost_time;
pub(super) mod monte_carlo;
pub(super) mod quantity;
pub(super) mod spread;
pub(super) mod traced;
