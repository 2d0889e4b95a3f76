//! The files that say who and where the container is: `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf`.
//!
//! Written into the container's own layer, so that images made from nothing have them, too; links that the image has in
//! their place are followed inside the container.

use std::path::Path;

use rustix::fs::symlinkat;

use super::root::{Missing, Root};
use crate::failure::{Doing, StartFailure};
use crate::spec::{Dns, Network, Spec};

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Writes the files.
pub(super) fn write(spec: &Spec, hostname: &str, root: &Root) -> Result<(), StartFailure> {
    let host_hosts = match spec.network {
        Network::Host => std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
        Network::Isolated => String::new(),
    };
    let files = [
        ("/etc/hostname", format!("{hostname}\n")),
        ("/etc/hosts", hosts(&host_hosts, hostname, &spec.extra_hosts)),
        ("/etc/resolv.conf", resolv_conf(&spec.dns)),
    ];
    for (path, text) in files {
        root.write(Path::new(path), &text).doing(|| format!("write {path} in the container"))?;
    }
    let etc = Path::new("/etc");
    let what = || "link /etc/mtab in the container".to_owned();
    if !root.has(etc, "mtab").doing(what)? {
        let etc = root.locate(etc, Missing::Directory).doing(what)?;
        symlinkat("/proc/mounts", &etc, "mtab").doing(what)?;
    }
    Ok(())
}

/// The host's file if there is one, else the usual one; the container's own name, and what was asked for.
fn hosts(of_host: &str, hostname: &str, extra: &[(String, String)]) -> String {
    let mut text = if of_host.trim().is_empty() { LOCALHOST.to_owned() } else { of_host.to_owned() };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let is_named = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .any(|line| line.split_ascii_whitespace().skip(1).any(|name| name == hostname));
    if !is_named {
        text.push_str(&format!("127.0.1.1\t{hostname}\n"));
    }
    for (address, name) in extra {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text
}

fn resolv_conf(dns: &Dns) -> String {
    match dns {
        Dns::Text(text) => text.clone(),
        // The kernel's own DHCP client (`ip=dhcp`) leaves its name servers in resolv.conf's format, with comments.
        Dns::Host => std::fs::read_to_string("/etc/resolv.conf")
            .or_else(|_| std::fs::read_to_string("/proc/net/pnp"))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_name_is_added_once() {
        let text = hosts("127.0.0.1 localhost # box\n", "box", &[("10.0.0.1".to_owned(), "db".to_owned())]);
        assert_eq!(text, "127.0.0.1 localhost # box\n127.0.1.1\tbox\n10.0.0.1\tdb\n");
        assert_eq!(hosts("127.0.0.1 localhost box", "box", &[]), "127.0.0.1 localhost box\n");
    }

    #[test]
    fn a_host_without_the_file_gets_the_usual_one() {
        assert!(hosts("", "box", &[]).starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost"));
    }
}
