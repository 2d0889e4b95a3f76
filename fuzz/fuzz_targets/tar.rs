//! Any bytes are unpacked or refused; nothing appears outside of the layer, and never more than the budget allows.

#![no_main]

use std::fs;
use std::io::ErrorKind;

use libfuzzer_sys::fuzz_target;
use tink_image::{LayerError, Limits, Meter, OverBudget, Whiteouts, unpack_layer};

const BUDGET_BYTES: u64 = 1 << 20;

struct Budget(u64);

impl Meter for Budget {
    fn charge(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let total = self.0.saturating_add(bytes);
        if total > BUDGET_BYTES {
            return Err(OverBudget { bytes_max: BUDGET_BYTES, bytes_in_use: total });
        }
        self.0 = total;
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, archive)) = data.split_first() else { return };
    let whiteouts = if choice % 2 == 0 { Whiteouts::Overlay } else { Whiteouts::Portable };
    let scratch = tempfile::tempdir().expect("a scratch directory can be made");
    let [outer, inner] = ["outer", "outer/inner"].map(|name| scratch.path().join(name));
    let layer = inner.join("layer");
    fs::create_dir_all(&layer).expect("a layer directory can be made");

    let mut budget = Budget(0);
    let limits = Limits { entries_max: 500, trailing_bytes_max: 1 << 20 };
    match unpack_layer(archive, &layer, whiteouts, limits, &mut budget) {
        Ok(unpacked) => {
            assert!(unpacked.entries <= limits.entries_max);
            assert!(unpacked.bytes <= BUDGET_BYTES);
        }
        // `cargo xtask fuzz` makes everything but the scratch directory read-only.
        Err(LayerError::Io { source, path, .. }) => {
            assert_ne!(source.kind(), ErrorKind::ReadOnlyFilesystem, "{path} was to be written outside of the layer");
        }
        Err(_) => {}
    }
    for (directory, only) in [(scratch.path(), "outer"), (&outer, "inner"), (&inner, "layer")] {
        let names: Vec<_> =
            fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, [only], "something was written outside of the layer");
    }
    scratch.close().expect("a scratch directory can be removed");
});
