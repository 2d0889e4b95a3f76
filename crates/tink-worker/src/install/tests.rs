//! What is printed, and what is written below a root.

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn run(text: &str) -> Result<String, String> {
    run_if_asked(&words(text)).unwrap().map_err(|error| error.to_string())
}

#[test]
fn other_first_words_are_for_the_worker() {
    assert!(run_if_asked(&words("-id install")).is_none());
    assert!(run_if_asked(&[]).is_none());
}

#[test]
fn every_kind_can_be_printed_and_starts_the_worker_with_its_flags() {
    for kind in ["systemd", "openrc", "inittab", "rcs", "linuxkit"] {
        let text = run(&format!("init {kind}")).unwrap();
        assert!(text.contains("/usr/bin/tink-worker") && text.contains("-from-cmdline"), "{text}");
        let text = run(&format!("init {kind} -- -id x -runtime embedded")).unwrap();
        assert!(text.contains("-runtime") && !text.contains("-from-cmdline"), "{text}");
    }
    assert!(run("init").unwrap_err().contains("no kind is given"));
    assert!(run("init upstart").unwrap_err().contains("upstart"));
    assert!(run("install --root").unwrap_err().contains("needs a value"));
    assert!(run("install --bogus x").unwrap_err().contains("--bogus"));
    assert!(run("install --help").unwrap().contains("--root DIR"));
}

#[test]
fn the_unit_leaves_actions_alone_when_the_worker_is_restarted() {
    let text = run("init systemd -- -id a%b -state-dir=/x$y").unwrap();
    for line in ["KillMode=process", "Restart=always", "StartLimitIntervalSec=0"] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert!(text.contains("ExecStart=/usr/bin/tink-worker \"-id\" \"a%%b\" \"-state-dir=/x$$y\"\n"), "{text}");
}

#[test]
fn the_linuxkit_text_is_yaml() {
    let text = run("init linuxkit").unwrap();
    let documents = tink_yaml::parse_documents(&text, &tink_yaml::Bounds::default()).unwrap();
    let services = documents[0].get("services").unwrap().items();
    assert_eq!(services[0].get("pid").unwrap().text(), Some("host"));
    assert_eq!(command(&services[0]), ["/usr/bin/tink-worker", "-from-cmdline", "-reboot-file", "/worker/reboot"]);
    let binds: Vec<_> = services[0].get("binds").unwrap().items().iter().filter_map(|bind| bind.text()).collect();
    for of_hook in ["/var/run/worker:/worker", "/:/host_root", "/dev:/dev"] {
        assert!(binds.contains(&of_hook), "{binds:?}");
    }
}

#[test]
fn a_reboot_file_of_ones_own_stands_alone() {
    let text = run("init linuxkit -- -from-cmdline --reboot-file=/run/reboot").unwrap();
    let documents = tink_yaml::parse_documents(&text, &tink_yaml::Bounds::default()).unwrap();
    let services = documents[0].get("services").unwrap().items();
    assert_eq!(command(&services[0]), ["/usr/bin/tink-worker", "-from-cmdline", "--reboot-file=/run/reboot"]);
}

fn command(service: &tink_yaml::Node) -> Vec<&str> {
    service.get("command").unwrap().items().iter().filter_map(|word| word.text()).collect()
}

#[test]
fn the_init_system_of_a_root_is_found_and_served() {
    for (sign, kind, link) in [
        (
            "usr/lib/systemd/systemd",
            Kind::Systemd,
            Some("etc/systemd/system/multi-user.target.wants/tink-worker.service"),
        ),
        ("sbin/openrc", Kind::OpenRc, Some("etc/runlevels/default/tink-worker")),
        ("etc/inittab", Kind::Inittab, None),
        ("etc/init.d/rcS", Kind::Rcs, None),
    ] {
        let root = tempfile::tempdir().unwrap();
        let sign = root.path().join(sign);
        fs::create_dir_all(sign.parent().unwrap()).unwrap();
        fs::write(&sign, "first line").unwrap();
        for _ in 0..2 {
            run(&format!("install --root {}", root.path().display())).unwrap();
        }
        let program = root.path().join("usr/bin/tink-worker");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read(&program).unwrap(), fs::read(std::env::current_exe().unwrap()).unwrap());
        let text = fs::read_to_string(root.path().join(kind.file().unwrap())).unwrap();
        assert_eq!(text.matches("/usr/bin/tink-worker").count(), 1, "{kind:?}: {text}");
        if kind.is_part_of_a_file() {
            assert!(text.starts_with("first line\n"), "{text}");
        }
        if let Some(link) = link {
            let to = fs::read_link(root.path().join(link)).unwrap();
            assert!(root.path().join(to.strip_prefix("/").unwrap()).exists(), "{}", to.display());
        }
    }
}

#[test]
fn a_root_without_an_init_system_is_named() {
    let root = tempfile::tempdir().unwrap();
    let error = run(&format!("install --root {}", root.path().display())).unwrap_err();
    assert!(error.contains("say --init"), "{error}");
    assert!(fs::read_dir(root.path()).unwrap().next().is_none(), "nothing was written");
}

#[test]
fn the_shell_lines_run_the_worker_again_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (program, runs) = (dir.path().join("tink-worker"), dir.path().join("runs"));
    fs::write(&program, format!("#!/bin/sh\nread line && exit 1\necho \"$*\" >> {}\n", runs.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let args: Vec<String> = ["init", "rcs", "--", "-id", "it's me", "-grpc-tls=true"].map(str::to_owned).into();
    let line = run_if_asked(&args).unwrap().unwrap().replace("/usr/bin/tink-worker", program.to_str().unwrap());
    // The pauses go, and after three runs so does the program.
    let line = line.replace("sleep 1", &format!("[ $(wc -l < {}) -lt 3 ] || exit 0", runs.display()));
    let status = std::process::Command::new("sh").args(["-c", &format!("{line}wait")]).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(&runs).unwrap(), "-id it's me -grpc-tls=true\n".repeat(3));
}
