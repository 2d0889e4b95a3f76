//! `waitdaemon`: reports success at once, and runs an image later.
//!
//! For what ends the machine (kexec, reboot) and could not report any more. Variables and behaviour are those of the
//! action image `ghcr.io/jacobweinstock/waitdaemon`:
//!
//! | variable | meaning |
//! |---|---|
//! | `IMAGE` | the image to run; required |
//! | `WAIT_SECONDS` | how long to wait before (10) |
//!
//! The action's command, environment, volumes and PID namespace are those of the image's container, too. The engine's
//! socket, `/var/run/docker.sock`, must be a volume of the action; Docker's engine and the embedded runtime serve it.
//!
//! ```text
//! action ──pulls IMAGE, starts──▶ second container ──waits, starts──▶ IMAGE
//!    └ ends: SUCCESS
//! ```

mod docker;

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::environment::{number, optional, required};
use crate::{ActionError, Environment};

use docker::Docker;

/// Tells the second container from the action's. The name is that of the original, whose containers may be mixed with ours.
const PHASE: &str = "PHASE";
const SECOND: &str = "SECOND_FORK";
/// This program's name in a command.
const PROGRAM: &str = "waitdaemon";

/// Runs one of the two phases.
pub fn run(env: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    let image = required(env, "IMAGE", "which image to run after the action has succeeded")?;
    let wait = Duration::from_secs(u64::try_from(number(env, "WAIT_SECONDS", 10)).unwrap_or_default());
    let docker = Docker::connect()?;
    if optional(env, PHASE).as_deref() == Some(SECOND) {
        say(out, &format!("running {image} in {} s", wait.as_secs()))?;
        pause(wait);
        let own = docker.own_container()?;
        return docker.run(&last(&own, &image));
    }
    if !docker.has_image(&image)? {
        say(out, &format!("pulling {image}"))?;
        docker.pull(&image)?;
    }
    let own = docker.own_container()?;
    docker.run(&second(&own))?;
    say(out, &format!("{image} runs in {} s, in a container of its own", wait.as_secs()))
}

/// A container like our own, that knows that it is the second.
fn second(own: &Value) -> Value {
    let mut environment = strings(&own["Config"]["Env"]);
    environment.push(format!("{PHASE}={SECOND}"));
    container(own, &own["Config"]["Image"], environment, strings(&own["Config"]["Cmd"]))
}

/// The container of the image: its own `PATH`, and the command without this program's name.
fn last(own: &Value, image: &str) -> Value {
    let mut environment = strings(&own["Config"]["Env"]);
    environment.retain(|pair| !pair.starts_with("PATH=") && !pair.starts_with("PHASE="));
    let mut command = strings(&own["Config"]["Cmd"]);
    if command.first().is_some_and(|word| word == PROGRAM) {
        command.remove(0);
    }
    container(own, &json!(image), environment, command)
}

fn container(own: &Value, image: &Value, environment: Vec<String>, command: Vec<String>) -> Value {
    let host = &own["HostConfig"];
    json!({
        "Image": image,
        "Env": environment,
        "Cmd": command,
        "Tty": own["Config"]["Tty"].as_bool().unwrap_or(false),
        "HostConfig": {"Privileged": host["Privileged"], "Binds": host["Binds"], "PidMode": host["PidMode"]},
    })
}

fn strings(list: &Value) -> Vec<String> {
    let words = list.as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

fn say(out: &mut dyn Write, line: &str) -> Result<(), ActionError> {
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(ActionError::Output)
}

/// The wait is what the program is asked for, not a way to wait for something else.
#[expect(clippy::disallowed_methods, reason = "the wait before the image is run is the program's purpose")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Value {
        json!({
            "Config": {"Image": "x/waitdaemon", "Cmd": ["waitdaemon", "reboot"], "Tty": false,
                       "Env": ["PATH=/bin", "IMAGE=alpine", "PHASE=SECOND_FORK"]},
            "HostConfig": {"Privileged": true, "Binds": ["/dev:/dev"], "PidMode": "host"},
        })
    }

    #[test]
    fn the_second_container_is_like_the_first_and_knows_its_phase() {
        let second = second(&own());
        assert_eq!((&second["Image"], &second["Cmd"]), (&json!("x/waitdaemon"), &json!(["waitdaemon", "reboot"])));
        assert_eq!(second["Env"].as_array().unwrap().last(), Some(&json!("PHASE=SECOND_FORK")));
        assert_eq!(second["HostConfig"], own()["HostConfig"]);
    }

    #[test]
    fn the_image_gets_the_command_and_the_environment_but_for_path() {
        let last = last(&own(), "alpine");
        assert_eq!(
            (&last["Image"], &last["Cmd"], &last["Env"]),
            (&json!("alpine"), &json!(["reboot"]), &json!(["IMAGE=alpine"]))
        );
    }

    #[test]
    fn without_an_image_nothing_is_asked_of_an_engine() {
        let error = run(&|_: &str| None, &mut Vec::new()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("IMAGE"), "{error}");
    }
}
