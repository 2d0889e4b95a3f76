//! How an ELF file is linked, read from its own headers.

use std::ops::Range;

use anyhow::{Context as _, Result, bail};

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;

/// What a program needs from the machine it is copied to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Linkage {
    /// It names a loader (INTERP).
    pub(crate) has_interpreter: bool,
    /// The number of libraries it names (NEEDED).
    pub(crate) libraries: usize,
}

impl Linkage {
    /// Reads a 64-bit little-endian ELF file.
    pub(crate) fn read(file: &[u8]) -> Result<Self> {
        if file.get(..6) != Some(&[0x7f, b'E', b'L', b'F', 2, 1]) {
            bail!("this is no 64-bit little-endian ELF file");
        }
        let mut linkage = Self::default();
        let table = number(file, 32..40)?;
        let entry_bytes = number(file, 54..56)?;
        let entries = number(file, 56..58)?;
        let mut loads = 0;
        for index in 0..entries {
            let at = usize::try_from(table + index * entry_bytes)?;
            let header = file.get(at..at + 56).context("a program header lies outside of the file")?;
            match u32::try_from(number(header, 0..4)?)? {
                PT_LOAD => loads += 1,
                PT_INTERP => linkage.has_interpreter = true,
                PT_DYNAMIC => {
                    let start = usize::try_from(number(header, 8..16)?)?;
                    let bytes = usize::try_from(number(header, 32..40)?)?;
                    let section =
                        file.get(start..start + bytes).context("the dynamic section lies outside of the file")?;
                    let tags = section.chunks_exact(16).map(|entry| number(entry, 0..8));
                    linkage.libraries += tags.filter(|tag| matches!(tag, Ok(DT_NEEDED))).count();
                }
                _ => {}
            }
        }
        if loads == 0 {
            bail!("this ELF file is no program");
        }
        Ok(linkage)
    }

    /// Whether it runs anywhere, without a loader or a library.
    pub(crate) fn is_static(&self) -> bool {
        !self.has_interpreter && self.libraries == 0
    }
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8], range: Range<usize>) -> Result<u64> {
    let bytes = bytes.get(range).context("the file ends within a header")?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn this_program_is_static() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(Linkage::read(&own).unwrap().is_static());
    }

    #[test]
    fn the_shell_is_not() {
        let linkage = Linkage::read(&fs::read("/bin/sh").unwrap()).unwrap();
        assert!(linkage.has_interpreter);
        assert!(linkage.libraries > 0);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(Linkage::read(b"#!/bin/sh\n").is_err());
        assert!(Linkage::read(&[0x7f, b'E', b'L', b'F', 2, 1, 1]).is_err());
    }
}
