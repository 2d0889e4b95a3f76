//! Waiting for the log's next line.

use super::LOG_DIR;
use super::format::LogItem;
use super::reader::{LogError, LogReader};
use crate::status::is_over;
use crate::watch::Watch;

impl LogReader {
    /// The next item, waited for; nothing once the container has ended (or is gone) and everything was handed out.
    ///
    /// Cancel-safe: an item is handed out or stays where it is.
    ///
    /// # Errors
    /// The log cannot be read or watched.
    pub async fn follow(&mut self) -> Result<Option<LogItem>, LogError> {
        loop {
            if let Some(item) = self.next_item()? {
                return Ok(Some(item));
            }
            if self.watch.is_none() {
                let dirs = [self.container_dir.clone(), self.container_dir.join(LOG_DIR)];
                self.watch = Some(Watch::new(&self.container_dir, &dirs).map_err(|source| self.error(source))?);
            }
            // The log is complete before the container is over, and the watch was there before we look at either.
            let over = is_over(&self.container_dir);
            if let Some(item) = self.next_item()? {
                return Ok(Some(item));
            }
            if over {
                return Ok(None);
            }
            if let Some(watch) = &mut self.watch {
                let changed = watch.changed().await;
                // Made while the container was starting, the watch would not see its shim end.
                let is_final = watch.sees_shim();
                changed.map_err(|source| self.error(source))?;
                if !is_final {
                    self.watch = None;
                }
            }
        }
    }
}
