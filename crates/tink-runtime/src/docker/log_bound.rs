//! Bounding the log that the daemon itself keeps of a container: in an installer it lies in memory.

use std::collections::HashMap;

use bollard::models::HostConfigLogConfig;

use super::DockerRuntime;
use super::call::{Failure, SHORT, call};

/// The drivers that keep logs in files and bound them if they are told to. `json-file`, the default, keeps all.
const BOUNDED_DRIVERS: [&str; 2] = ["json-file", "local"];
/// Two files of which the older is whole, so that the newest 16 MiB are there at any time: enough for a worker that was
/// away to find the line again which it delivered last.
const OPTIONS: [(&str, &str); 3] = [("max-size", "16m"), ("max-file", "2"), ("compress", "false")];

impl DockerRuntime {
    /// What containers are told of their logs: nothing where an operator chose another driver.
    ///
    /// The daemon is asked once: answering takes it longer than all else of a creation.
    pub(super) async fn log_bound(&self) -> Result<Option<HostConfigLogConfig>, Failure> {
        let bound = self.log_bound.get_or_try_init(|| async {
            let info = call(SHORT, self.client.info()).await?;
            Ok::<_, Failure>(bound(info.logging_driver.as_deref().unwrap_or_default()))
        });
        bound.await.cloned()
    }
}

fn bound(driver: &str) -> Option<HostConfigLogConfig> {
    let options = OPTIONS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    BOUNDED_DRIVERS
        .contains(&driver)
        .then(|| HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(HashMap::from(options)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded_and_other_drivers_left_alone() {
        for driver in ["json-file", "local"] {
            let bound = bound(driver).unwrap();
            assert_eq!(bound.typ.as_deref(), Some(driver));
            assert_eq!(bound.config.unwrap()["max-size"], "16m");
        }
        for driver in ["syslog", "journald", "none", ""] {
            assert_eq!(bound(driver), None);
        }
    }
}
