//! Number types of weights, as bytes.

use half::{bf16, f16};
use safetensors::Dtype;

/// A number type of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    /// The one of a file, if weights are read of it.
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }

    /// The values of little-endian bytes.
    pub(super) fn read(self, data: &[u8]) -> Vec<f64> {
        fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            data.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
        }
        match self {
            Self::F16 => each(data, |b| f16::from_le_bytes(b).to_f64()),
            Self::Bf16 => each(data, |b| bf16::from_le_bytes(b).to_f64()),
            Self::F32 => each(data, |b| f64::from(f32::from_le_bytes(b))),
            Self::F64 => each(data, f64::from_le_bytes),
        }
    }

    /// The bytes of values, rounded to the nearest.
    pub(super) fn written(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F64 => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
        }
    }

    /// The value as it is read back.
    pub(super) fn rounded(self, value: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
            Self::F32 | Self::F64 => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_were_written_and_rounded() {
        // 1 + 2^-9 lies between two bf16, and is one of f16.
        let values = [1.0 + 2f32.powi(-9), -0.5, 3.0e-5];
        for (kind, width) in [(Kind::F16, 2), (Kind::Bf16, 2), (Kind::F32, 4), (Kind::F64, 8)] {
            let bytes = kind.written(&values);
            assert_eq!(bytes.len(), 3 * width);
            let read = kind.read(&bytes);
            assert!(read.iter().zip(values).all(|(read, value)| *read == f64::from(kind.rounded(value))), "{kind:?}");
        }
        assert_eq!([Kind::F16, Kind::Bf16].map(|kind| kind.rounded(values[0])), [1.001_953_1, 1.0]);
    }
}
