//! Files of others, read within limits, and files of ours, written whole or not at all.

mod append;
mod atomic;
mod bounded;
mod claim;
mod lock;
mod objects;

pub use append::{append_row, has_header};
pub use atomic::{is_free, write_whole, write_whole_folder};
pub use bounded::{FileError, read_bytes, read_head, read_text};
pub use claim::{Claim, Claimed};
pub use lock::{FolderLock, LockError};
pub use objects::{Mirrored, ObjectAddress, ObjectError, Objects};

/// Version of the JSON that the commands print and write, `record.json` apart.
pub const JSON_SCHEMA: u32 = 1;
