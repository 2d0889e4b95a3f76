use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

fn env(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let all: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    move |name| all.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// Data with a long run of zeros in it, which is written another way.
fn image() -> Vec<u8> {
    let mut data: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    data[500_000..2_700_000].fill(0);
    data
}

fn compressed(suffix: &str, data: &[u8]) -> Vec<u8> {
    match suffix {
        "gz" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "bz2" => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "xz" => {
            let mut out = liblzma::write::XzEncoder::new(Vec::new(), 1);
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "zst" => zstd::stream::encode_all(data, 1).unwrap(),
        _ => data.to_vec(),
    }
}

/// Serves `body`; the nth connection sends at most `cuts[nth]` bytes of it, the ones after that everything.
fn serve(body: Vec<u8>, cuts: Vec<usize>, ranges: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
            let from =
                request.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
            let from: usize = if ranges { from.unwrap_or(0) } else { 0 };
            let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
            let rest = &body[from..];
            let sent = cuts.get(nth).map_or(rest.len(), |cut| rest.len().min(*cut));
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&rest[..sent]));
        }
    });
    format!("http://{address}")
}

fn sha256(data: &[u8]) -> String {
    use sha2::Digest as _;
    format!("sha256:{}", sha2::Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect::<String>())
}

#[test]
fn every_compression_arrives_byte_for_byte_over_old_data() {
    let folder = tempfile::tempdir().unwrap();
    for suffix in ["img", "gz", "bz2", "xz", "zst"] {
        let body = compressed(suffix, &image());
        let digest = sha256(&body);
        let url = format!("{}/disk.img.{suffix}?token=1", serve(body, vec![], true));
        let disk = folder.path().join(suffix);
        std::fs::write(&disk, vec![0xff; 4_000_000]).unwrap();
        let compressed = if suffix == "img" { "false" } else { "true" };
        let env = env(&[
            ("IMG_URL", &url),
            ("DEST_DISK", disk.to_str().unwrap()),
            ("COMPRESSED", compressed),
            ("IMG_CHECKSUM", &digest),
        ]);
        let mut out = Vec::new();
        run(&env, &mut out).unwrap_or_else(|error| panic!("{suffix}: {error}"));
        let written = std::fs::read(&disk).unwrap();
        assert!(written[..3_000_000] == image()[..], "{suffix}: other bytes");
        assert!(written[3_000_000..].iter().all(|byte| *byte == 0xff), "{suffix}: written past the image");
        assert!(String::from_utf8(out).unwrap().contains(&digest));
    }
}

#[test]
fn a_download_that_ends_early_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let url = format!("{}/disk.img", serve(image(), vec![1_000_000], true));
    let error = run(&env(&[("IMG_URL", &url), ("DEST_DISK", disk.to_str().unwrap())]), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ActionError::Download { .. }), "{error}");
    assert_eq!(exit_code_of(error), std::process::ExitCode::FAILURE);
}

fn exit_code_of(error: ActionError) -> std::process::ExitCode {
    crate::exit_code(&Err(error))
}

#[test]
fn a_download_that_breaks_is_taken_up_where_it_broke() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let body = compressed("gz", &image());
    let digest = sha256(&body);
    let url = format!("{}/disk.img.gz", serve(body, vec![10_000, 50_000], true));
    let env = env(&[
        ("IMG_URL", &url),
        ("DEST_DISK", disk.to_str().unwrap()),
        ("COMPRESSED", "true"),
        ("RETRY_ENABLED", "true"),
        ("IMG_CHECKSUM", &digest),
        ("TEXT_LOGGING", "true"),
    ]);
    run(&env, &mut Vec::new()).unwrap();
    assert!(std::fs::read(&disk).unwrap() == image());
}

#[test]
fn a_server_that_cannot_go_on_is_told_apart_from_one_that_can() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let url = format!("{}/disk.img", serve(image(), vec![1_000_000], false));
    let pairs = [("IMG_URL", url.as_str()), ("DEST_DISK", disk.to_str().unwrap()), ("RETRY_ENABLED", "true")];
    let error = run(&env(&pairs), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("cannot go on"), "{error}");
}

#[test]
fn a_wrong_checksum_fails() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let url = format!("{}/disk.img", serve(image(), vec![], true));
    let wrong = format!("sha256:{}", "0".repeat(64));
    let pairs = [("IMG_URL", url.as_str()), ("DEST_DISK", disk.to_str().unwrap()), ("IMG_CHECKSUM", &wrong)];
    assert!(matches!(run(&env(&pairs), &mut Vec::new()), Err(ActionError::Checksum { .. })));
}

#[test]
fn wrong_variables_are_named_and_no_password_is_shown() {
    for (pairs, word) in [
        (vec![("DEST_DISK", "/d")], "IMG_URL"),
        (vec![("IMG_URL", "http://x/y")], "DEST_DISK"),
        (vec![("IMG_URL", "ftp://me:secret@x/y"), ("DEST_DISK", "/d")], "IMG_URL"),
        (vec![("IMG_URL", "http://x/y"), ("DEST_DISK", "/d"), ("COMPRESSED", "maybe")], "COMPRESSED"),
        (vec![("IMG_URL", "http://x/y"), ("DEST_DISK", "/d"), ("IMG_CHECKSUM", "sha256:12")], "IMG_CHECKSUM"),
    ] {
        let error = run(&env(&pairs), &mut Vec::new()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(word), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
