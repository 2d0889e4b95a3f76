//! `tink rm`: takes containers away.

use anyhow::{Context as _, anyhow};

use crate::args::Rm;
use crate::commands::machine::{containers, no_container};
use crate::exit::{DONE, FAILED, Failure};
use crate::output;

/// Removes each; what fails is said and the rest goes on.
pub async fn run(args: &Rm) -> Result<u8, Failure> {
    let all = containers(&args.machine)?;
    let mut code = DONE;
    for wanted in &args.containers {
        let removed = match all.iter().find(|container| container.id == *wanted) {
            None => Err(no_container(&args.machine.state_dir, wanted)),
            Some(container) if container.is_running() && !args.force => {
                Err(anyhow!("container {wanted} runs; --force kills everything in it").into())
            }
            Some(container) => {
                let removed = tink_oci::remove(&container.dir).await;
                removed.with_context(|| format!("failed to remove container {wanted}")).map_err(Failure::from)
            }
        };
        match removed {
            Ok(()) => output::write(format!("{wanted}\n").as_bytes())?,
            Err(failure) => {
                eprintln!("tink: {failure}");
                code = FAILED;
            }
        }
    }
    Ok(code)
}
