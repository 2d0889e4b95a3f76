//! Which actions end the machine, and what is run in the place of an image that only waits for its report.

use std::sync::Arc;

use tink_workflow::{ActionState, ImageRef};

use crate::Assignment;

/// The last component of the repositories of images that end the machine, whoever built them.
const ENDING_IMAGES: [&str; 4] = ["kexec", "reboot", "poweroff", WAITING_IMAGE];

/// Reports SUCCESS by ending, and starts another image behind the worker's back a while later.
const WAITING_IMAGE: &str = "waitdaemon";

/// What the waiting image reads from its environment and does not hand on.
const WAITING_VARIABLES: [&str; 7] =
    ["IMAGE", "WAIT_SECONDS", "CONTAINER_RUNTIME", "NERDCTL_NAMESPACE", "NERDCTL_HOST", "PHASE", "PATH"];

impl Assignment {
    /// Whether the action ends the machine: the template says so, or its image is one that is known to.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.ends_machine || ENDING_IMAGES.contains(&image_name(&self.image).as_str())
    }

    /// Whether this result says of an action that was to end the machine that it did not. The server holds it for a success
    /// already, and would for good if it were asked for work before it has heard.
    pub(crate) fn has_stayed(&self, state: ActionState) -> bool {
        self.leaves() && state.is_terminal() && state != ActionState::Success
    }

    /// What is really to be run: in the place of an image that waits until its action is reported and starts another one
    /// then, that other one. The worker reports such an action before it starts it, so nothing is left to wait for.
    pub(crate) fn unwrapped(self: Arc<Self>) -> Arc<Self> {
        if image_name(&self.image) != WAITING_IMAGE {
            return self;
        }
        let value = |name: &str| {
            let mut found = self.environment.iter().filter_map(|pair| pair.split_once('='));
            found.rfind(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let Some(image) = value("IMAGE").filter(|image| !image.is_empty()) else { return self };
        let handed_on = |pair: &&String| {
            let key = pair.split_once('=').map_or(pair.as_str(), |(key, _)| key);
            !WAITING_VARIABLES.contains(&key)
        };
        let environment = self.environment.iter().filter(handed_on).cloned().collect();
        Arc::new(Self { image, environment, ends_machine: true, ..(*self).clone() })
    }
}

/// The last component of an image's repository; empty for what is no image.
fn image_name(image: &str) -> String {
    let Ok(image) = ImageRef::parse(image) else { return String::new() };
    image.repository().rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::assignment;

    fn of(image: &str, environment: &[&str]) -> Assignment {
        let environment = environment.iter().map(|pair| (*pair).to_owned()).collect();
        Assignment { image: image.to_owned(), environment, ..assignment("default/w", "a1") }
    }

    #[test]
    fn images_that_end_the_machine_are_known_wherever_they_are_kept() {
        for image in [
            "quay.io/tinkerbell/actions/kexec",
            "quay.io/tinkerbell-actions/kexec:v1.0.0",
            "ghcr.io/jacobweinstock/waitdaemon:latest",
            "127.0.0.1:5000/mirror/reboot@sha256:0123456789012345678901234567890123456789012345678901234567890123",
            "kexec",
        ] {
            assert!(of(image, &[]).leaves(), "{image}");
        }
        for image in ["busybox", "kexec/busybox", "quay.io/tinkerbell/actions/kexec-tools", "no image"] {
            assert!(!of(image, &[]).leaves(), "{image}");
        }
        assert!(Assignment { ends_machine: true, ..of("busybox", &[]) }.leaves());
    }

    #[test]
    fn what_waits_for_its_report_is_replaced_by_what_it_starts() {
        let wrapped = of("x/waitdaemon", &["BLOCK_DEVICE=/dev/sda1", "IMAGE=quay.io/x/kexec:v1", "WAIT_SECONDS=10"]);
        let wrapped = Assignment { command: vec!["reboot".to_owned()], ..wrapped };
        let unwrapped = Arc::new(wrapped.clone()).unwrapped();
        assert_eq!(unwrapped.image, "quay.io/x/kexec:v1");
        assert_eq!(unwrapped.environment, ["BLOCK_DEVICE=/dev/sda1"]);
        assert_eq!((&unwrapped.command, unwrapped.leaves()), (&wrapped.command, true));
    }

    #[test]
    fn others_are_run_as_they_are() {
        for plain in [of("busybox", &["IMAGE=x"]), of("waitdaemon", &["WAIT_SECONDS=1"])] {
            assert_eq!(*Arc::new(plain.clone()).unwrapped(), plain);
        }
    }
}
