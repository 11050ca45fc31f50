//! What estimates, cells and architectures are called.

use crate::estimate::Estimate;

/// The name and the version of the program.
pub const TOOL: &str = concat!("greenformers ", env!("CARGO_PKG_VERSION"));

/// What an estimate goes by among others: its architecture, with the number format where they have several.
pub(super) fn name_of(estimate: &Estimate, all: &[Estimate]) -> String {
    let label = estimate.label();
    match estimate.dtype {
        Some(dtype) if all.iter().any(|e| e.dtype != estimate.dtype) => format!("{label}, {dtype}"),
        _ => label,
    }
}
