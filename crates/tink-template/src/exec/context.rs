//! What all functions of one rendering share: the work that is left, the clock's reading, random numbers.

use std::cell::{Cell, RefCell};

use super::Fault;
use crate::value::{Map, Value};

/// Units of work of one rendering; a unit is about a tenth of a microsecond or eight bytes of text.
const WORK_MAX: u64 = 4_000_000;

/// Bytes of one string that a function may make.
const STRING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Shared by the functions of one rendering.
pub(crate) struct Context {
    work_left: Cell<u64>,
    now_unix_s: Option<i64>,
    random: Cell<u64>,
    changed: RefCell<Vec<Map>>,
}

impl Context {
    pub(crate) fn new(now_unix_s: Option<i64>) -> Self {
        // The randomness of the standard library's hash maps is enough for `shuffle` and `randInt`; keys come from ring.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        Self { work_left: Cell::new(WORK_MAX), now_unix_s, random: Cell::new(seed | 1), changed: RefCell::default() }
    }

    /// Takes units of work from the budget.
    pub(crate) fn work(&self, units: u64) -> Result<(), Fault> {
        match self.work_left.get().checked_sub(units) {
            Some(left) => {
                self.work_left.set(left);
                Ok(())
            }
            None => Err(Fault::limit(format!(
                "the template does more than the {WORK_MAX} units of work that one rendering may take; look for a loop that \
                 runs too often or for text that doubles"
            ))),
        }
    }

    /// Announces text of that many bytes, before it is made.
    pub(crate) fn produce(&self, bytes: usize) -> Result<(), Fault> {
        if bytes > STRING_BYTES_MAX {
            return Err(Fault::limit(format!("text of {bytes} bytes; a function may make at most {STRING_BYTES_MAX}")));
        }
        self.work(u64::try_from(bytes / 8).unwrap_or(u64::MAX))
    }

    /// Announces a list of that many items, before it is made.
    pub(crate) fn produce_items(&self, items: usize) -> Result<(), Fault> {
        self.work(u64::try_from(items).unwrap_or(u64::MAX).saturating_mul(2))
    }

    /// Takes the size of an argument or a result from the budget.
    pub(crate) fn weigh(&self, value: &Value) -> Result<(), Fault> {
        let size = match value {
            Value::Str(text) => text.len() / 16,
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            _ => 0,
        };
        self.work(1 + u64::try_from(size).unwrap_or(u64::MAX))
    }

    /// Seconds since 1970, when the caller said what time it is.
    pub(crate) fn now_unix_s(&self) -> Result<i64, Fault> {
        self.now_unix_s.ok_or_else(|| Fault::new("the time is not known here; the caller must pass it with `Data::at`"))
    }

    /// A random number; not for secrets.
    pub(crate) fn random(&self) -> u64 {
        // xorshift64*
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Notes a map that was changed, and may contain itself since.
    pub(crate) fn note_changed(&self, map: Map) {
        self.changed.borrow_mut().push(map);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Cuts the cycles that `set` can tie, which reference counts alone would leak.
        for map in std::mem::take(self.changed.get_mut()) {
            map.clear();
        }
    }
}
