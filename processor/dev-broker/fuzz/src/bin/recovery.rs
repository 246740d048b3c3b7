//! Bytes from a disk: segments, their sidecars and the journal, as a crash or a bad sector may leave them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("there is room for a folder");
    // Which file it is; the rest of the bytes may be two files.
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("there is room for a file");
    };
    match kind % 4 {
        0 => write("00000000000000000000.log", bytes),
        1 => {
            write("00000000000000000000.log", first);
            write("00000000000000000000.index", second);
            write("00000000000000000001.log", b"");
        }
        2 => {
            write("00000000000000000000.log", first);
            write("00000000000000000007.log", second);
        }
        _ => {
            millrace_dev_broker::fuzz::read_journal(bytes);
            let _ = millrace_dev_broker::fuzz::append_batches(folder.path(), bytes);
            let _ = millrace_dev_broker::fuzz::read_records(bytes);
            return;
        }
    }
    // Refusing what cannot be read is fine; panicking, or asking for all memory, is not.
    let _ = millrace_dev_broker::fuzz::recover_segments(folder.path());
});
