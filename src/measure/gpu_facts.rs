//! What CUDA says of a GPU.

use crate::sensor::CudaIdentity;

/// A GPU as CUDA sees it.
#[derive(Debug, Default)]
pub(super) struct GpuFacts {
    pub(super) name: Option<String>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) identity: CudaIdentity,
}
