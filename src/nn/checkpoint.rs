//! A safetensors file: its header is checked against the size of the file before anything else of it is read.

use std::path::Path;

use candle_core::safetensors::BufferedSafetensors;
use safetensors::tensor::Metadata;

use super::NnError;
use crate::files::{read_bytes, read_head};

/// No larger checkpoint is read: BERT-large takes 1.3 GB.
const MAX_BYTES: u64 = 8 << 30;
/// Nor a longer header: 400 tensors take 50 kB.
const MAX_HEADER: u64 = 1 << 20;
/// The header's length stands before it.
const LENGTH: usize = 8;

/// Opens a checkpoint. It is held in memory: a mapped file could be cut short meanwhile by others.
///
/// # Errors
/// If it cannot be read, or is not what its header says.
pub(super) fn open(path: &Path) -> Result<BufferedSafetensors, NnError> {
    let (head, size) = read_head(path, LENGTH + usize::try_from(MAX_HEADER).unwrap_or(0))?;
    check_head(&head, size).map_err(|reason| NnError::Checkpoint { path: path.to_owned(), reason })?;
    Ok(BufferedSafetensors::new(read_bytes(path, size.min(MAX_BYTES))?)?)
}

/// Checks the first bytes of a file of `size` bytes: the length of the header, and that the tensors it names fill the
/// rest of the file and no more.
///
/// # Errors
/// What is wrong with it.
pub fn check_head(head: &[u8], size: u64) -> Result<(), String> {
    let length = head.first_chunk::<LENGTH>().ok_or("it is shorter than the length of its header")?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!("its header has {length} bytes: at most {MAX_HEADER} are read"));
    }
    let end = LENGTH + usize::try_from(length).unwrap_or(usize::MAX - LENGTH);
    let header = head.get(LENGTH..end).ok_or("it ends within its header")?;
    let metadata: Metadata = serde_json::from_slice(header).map_err(|e| format!("its header is not valid: {e}"))?;
    let said = (end as u64).checked_add(metadata.data_len() as u64);
    if said == Some(size) {
        return Ok(());
    }
    let said = said.map_or_else(|| "more than there can be".to_owned(), |bytes| bytes.to_string());
    Err(format!("it has {size} bytes, and its header says {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    }

    fn check(bytes: &[u8]) -> Result<(), String> {
        check_head(bytes, bytes.len() as u64)
    }

    #[test]
    fn a_header_is_held_to_the_file() {
        let header = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        assert_eq!(check(&file(header, 24)), Ok(()));
        for (bytes, part) in [
            (file(header, 23), "its header says"),
            (file(header, 25), "its header says"),
            (file("{", 0), "its header is not valid"),
            (file(&header.replace("24]", "23]"), 23), "its header is not valid"),
            (file(&header.replace("[2,3]", "[4294967295,4294967295,9]"), 24), "its header is not valid"),
            (file(&header.replace("[0,24]", "[0,18446744073709551615]"), 24), "its header is not valid"),
            (u64::MAX.to_le_bytes().to_vec(), "at most 1048576 are read"),
            (500_u64.to_le_bytes().to_vec(), "ends within its header"),
            (vec![0; 3], "shorter than the length of its header"),
        ] {
            let error = check(&bytes).expect_err(part);
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
