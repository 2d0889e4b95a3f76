//! Help, and what a mistyped name may have meant.

use super::settings::{Kind, SETTINGS};

/// The text of `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "tink-worker takes actions from a Tinkerbell server and runs each as a container.\n\n\
         Usage: tink-worker -id ID -grpc-server HOST:PORT [flags]\n\n\
         Flags (-flag value, -flag=value and --flag are the same; environment and kernel command line in brackets):\n",
    );
    for setting in SETTINGS.iter().filter(|setting| !setting.inert) {
        let default = if setting.default.is_empty() || setting.kind == Kind::Secret {
            String::new()
        } else {
            format!(" (default {})", setting.default)
        };
        let mut names = setting.env_names().to_vec();
        names.extend(setting.old_env.iter().rev().chain(setting.common_env).map(|name| (*name).to_owned()));
        names.extend(setting.kernel.iter().rev().map(|key| format!("{key}=")));
        text.push_str(&format!("  -{}\n        {}{default} [{}]\n", setting.name, setting.help, names.join(", ")));
    }
    text.push_str(
        "  -print-config\n        show every value and where it came from, and end\n  \
           -version\n        show the version, and end\n  -help\n        show this, and end\n\n\
         Accepted without effect: ",
    );
    let inert: Vec<_> = SETTINGS.iter().filter(|setting| setting.inert).map(|s| format!("-{}", s.name)).collect();
    text.push_str(&inert.join(", "));
    text.push_str(
        "\n\nOrder of sources: legacy environment (WORKER_ID, TINKERBELL_GRPC_AUTHORITY, …), flag, environment, kernel command\n\
         line (with -from-cmdline; tink.NAME= sets any flag), config file, default.\n\
         `tink-worker install` and `tink-worker init` help to put the worker into an OS image.\n\
         Exit codes: 0 after a signal, 64 for a configuration that cannot be used.\n",
    );
    text
}

/// The known name that is nearest to a mistyped one, if any is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(2);
    let distances = known.into_iter().map(|candidate| (distance(name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
