//! Settings by the names that tink-server of 2021 to 2023 gave them, for those that are not set by their own.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::{Config, Listen};

/// `host:port` as Go writes it: without a host it is every address of the machine. Empty is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority(pub Option<SocketAddr>);

/// Yes or no as tink-server of 2022 took it. Empty is not given.
pub fn truth(text: &str) -> Result<Truth, String> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(Truth(None)),
        "1" | "t" | "true" | "y" | "yes" => Ok(Truth(Some(true))),
        "0" | "f" | "false" | "n" | "no" => Ok(Truth(Some(false))),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A path, also an empty one, which clap's own parser refuses.
#[expect(clippy::unnecessary_wraps, reason = "as clap wants a parser")]
pub fn path(text: &str) -> Result<std::path::PathBuf, String> {
    Ok(text.into())
}

/// What [`truth`] read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth(pub Option<bool>);

impl FromStr for Authority {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let expected = || format!("{text:?} is no address; IP:PORT, localhost:PORT or :PORT is expected");
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port: u16 = port.parse().map_err(|_| expected())?;
        let ip = match host.trim_start_matches('[').trim_end_matches(']') {
            "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip.parse().map_err(|_| expected())?,
        };
        Ok(Self(Some(SocketAddr::new(ip, port))))
    }
}

/// A password; its value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A setting that came by an older name.
pub struct Older {
    /// The setting.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
    /// Where it came from.
    pub source: &'static str,
}

impl Config {
    /// Takes older names over where the own one is not given, and says which.
    pub(super) fn take_older(&mut self, matches: &ArgMatches, password: Option<OsString>) -> Vec<Older> {
        let mut taken = Vec::new();
        let mut note = |flag, value: String, source| taken.push(Older { flag, value, source });
        let is_default = |id: &str| matches.value_source(id).is_none_or(|from| from == ValueSource::DefaultValue);
        if let (true, Some(Authority(Some(addr)))) = (is_default("grpc_addr"), self.grpc_authority) {
            self.grpc_addr = addr;
            note("grpc-addr", addr.to_string(), "grpc-authority");
        }
        if let (true, Some(Authority(Some(addr)))) = (is_default("http_addr"), self.http_authority) {
            self.http_addr = Listen::At(addr);
            note("http-addr", addr.to_string(), "http-authority");
        }
        // Launchers set variables that they have no value for to nothing.
        self.http_username.take_if(|name| name.is_empty());
        self.cert_dir.take_if(|directory| directory.as_os_str().is_empty());
        self.cert_pem.take_if(|pem| pem.trim().is_empty());
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            self.http_password = Some(Password(password.to_string_lossy().into_owned()));
        }
        if self.tls_cert.is_some() || self.tls_key.is_some() || !is_default("insecure") {
            return taken;
        }
        let directory = self.cert_dir.clone().or_else(|| {
            let facility = self.facility.as_ref().filter(|facility| !facility.is_empty())?;
            // As upstream looks for it; a name with a slash would lead elsewhere.
            Some(Path::new("/certs").join(facility.replace('/', "_"))).filter(|directory| directory.is_dir())
        });
        if self.cert_pem.is_some() {
            self.insecure = true;
            note("insecure", "true".to_owned(), "TINKERBELL_TLS_CERT (TLS ends at a proxy)");
        } else if self.tls == Some(Truth(Some(false))) {
            self.insecure = true;
            note("insecure", "true".to_owned(), "tls");
        } else if let Some(directory) = directory {
            let (certificate, key) = (directory.join("bundle.pem"), directory.join("server-key.pem"));
            note("tls-cert", certificate.display().to_string(), "cert-dir");
            note("tls-key", key.display().to_string(), "cert-dir");
            (self.tls_cert, self.tls_key) = (Some(certificate), Some(key));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;

    fn config(args: &[&str]) -> Config {
        let matches = Config::command().get_matches_from([&["tink-server"], args].concat());
        let mut config = Config::from_arg_matches(&matches).unwrap();
        config.take_older(&matches, Some("secret".into()));
        config
    }

    #[test]
    fn older_names_count_where_the_own_is_not_given() {
        let older = config(&["--grpc-authority", ":1", "--http-authority", "127.0.0.1:2", "--cert-dir", "/c"]);
        assert_eq!(
            (older.grpc_addr.to_string(), older.http_addr.to_string()),
            ("0.0.0.0:1".into(), "127.0.0.1:2".into())
        );
        assert_eq!(older.tls_cert.as_deref(), Some(Path::new("/c/bundle.pem")));
        assert_eq!(older.tls_key.as_deref(), Some(Path::new("/c/server-key.pem")));
        older.check().unwrap();
        let own = config(&["--grpc-addr", "127.0.0.1:3", "--grpc-authority", ":1", "--insecure", "--cert-dir", "/c"]);
        assert_eq!((own.grpc_addr.port(), own.tls_cert.as_deref()), (3, None));
        assert!(config(&["--tls", "false"]).insecure && !config(&["--tls", "true"]).insecure);
        assert!(!format!("{own:?}").contains("secret"));
        let empty =
            ["--grpc-authority=", "--http-authority=", "--cert-dir=", "--tls=", "--cert-pem=", "--http-username="];
        let empty = config(&[&empty[..], &["--insecure"]].concat());
        assert_eq!((empty.grpc_addr.port(), empty.http_username, empty.cert_pem), (42113, None, None));
    }

    #[test]
    fn an_authority_is_an_address_as_go_writes_it() {
        for (text, addr) in [(":42113", "0.0.0.0:42113"), ("localhost:1", "127.0.0.1:1"), ("[::1]:2", "[::1]:2")] {
            assert_eq!(text.parse::<Authority>().unwrap().0.unwrap().to_string(), addr);
        }
        assert_eq!("".parse(), Ok(Authority(None)));
        for text in ["42113", "host:1", ":x", "[::1]"] {
            assert!(text.parse::<Authority>().is_err(), "{text}");
        }
    }
}
