//! Resource limits, and the kernel's order of whom to kill for want of memory.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As Docker gives its containers.
const OPEN_FILES: u64 = 1_048_576;

/// Raises the limits as far as we may. Where `CAP_SYS_RESOURCE` is missing, that is up to the hard limits we were given.
pub(crate) fn set_limits() {
    raise(Resource::Nofile, Some(OPEN_FILES));
    raise(Resource::Nproc, None);
    raise(Resource::Core, None);
    // A worker that the kernel shall spare must not pass that on. Raising the value needs no capability; lowering it does.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
}

fn raise(resource: Resource, wanted: Option<u64>) {
    let wanted = Rlimit { current: wanted, maximum: wanted };
    if setrlimit(resource, wanted).is_err() {
        let maximum = getrlimit(resource).maximum;
        // Refused only if the value is out of range, which the hard limit is not.
        let _ = setrlimit(resource, Rlimit { current: maximum, maximum });
    }
}
