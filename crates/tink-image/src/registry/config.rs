//! Settings for registries.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::proxy::{Cidr, Proxies, ProxyConfig};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::secret::Secret;

/// User name and password for one registry.
#[derive(Clone)]
pub struct Credential {
    /// The registry's host, with its port if references name one: `quay.io`, `registry.example:5000`.
    /// Credentials are sent to no other host.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or access token.
    pub password: Secret,
}

/// How often and how long is waited in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries of one request at one endpoint; for a blob, tries in a row that bring no byte.
    pub attempts: u32,
    /// The first pause; each further one is twice as long.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, pause_first: Duration::from_millis(100), pause_max: Duration::from_secs(5) }
    }
}

impl Retry {
    /// The pause after the `failed`-th failure, between half and all of its nominal length.
    pub(crate) fn pause(&self, failed: u32) -> Duration {
        let nominal = self.pause_first.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(self.pause_max);
        let mut byte = [0_u8; 1];
        // Without randomness the pause is only less spread.
        let _ = rustix::rand::getrandom(&mut byte[..], rustix::rand::GetRandomFlags::NONBLOCK);
        nominal / 2 + nominal.mul_f64(f64::from(byte[0]) / 512.0)
    }
}

/// Deadlines, so that nothing hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Until an answer begins.
    pub answer: Duration,
    /// Longest silence in the middle of an answer.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(15), answer: seconds(60), silence: seconds(60) }
    }
}

/// All settings for registries. The default asks Docker Hub and its like anonymously, without proxies.
#[derive(Clone, Default)]
pub struct RegistryConfig {
    /// Credentials, each for exactly one registry host.
    pub credentials: Vec<Credential>,
    /// Registries that may be asked without verified TLS, and without TLS where they speak none: `host`, `host:port`
    /// or an address range such as `10.0.0.0/8`. Loopback addresses and `localhost` always may.
    pub insecure: Vec<String>,
    /// Directories with a folder for each registry host that holds a `hosts.toml` (as containerd has it) or a `ca.crt`
    /// (as Docker has it); the first directory that knows a host decides.
    pub certs_d: Vec<PathBuf>,
    /// Proxies.
    pub proxy: ProxyConfig,
    /// Files of CA certificates in PEM, trusted beside the built-in ones and the system's.
    pub extra_ca_files: Vec<PathBuf>,
    /// Repetition.
    pub retry: Retry,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// For which machine images are pulled; `None` = this one.
    pub platform: Option<Platform>,
    /// Layers fetched at the same time; 0 = one for each core, but at least four and at most sixteen.
    pub layers_parallel: usize,
}

impl RegistryConfig {
    /// Leaves out insecure registries and a proxy for plain HTTP that cannot be used, and names them in the log: what few
    /// pulls need must not keep a worker from all others. Without them more is asked of a registry, never less.
    #[must_use]
    pub fn without_unusable(mut self) -> Self {
        self.insecure.retain(|one| match Insecure::parse(std::slice::from_ref(one)) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(error = error.chain(), "it is left out");
                false
            }
        });
        let plain = ProxyConfig { http: self.proxy.http.clone(), ..ProxyConfig::default() };
        if let Err(error) = Proxies::parse(&plain) {
            tracing::warn!(error = error.chain(), "it is left out");
            self.proxy.http = None;
        }
        self
    }

    /// Credentials for exactly this host.
    pub(crate) fn credential(&self, host: &str) -> Option<&Credential> {
        self.credentials.iter().find(|one| normal(&one.registry) == normal(host))
    }
}

/// Docker Hub goes by several names, and old configurations hold URLs.
fn normal(host: &str) -> &str {
    let host = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://")).unwrap_or(host);
    match host.split('/').next().unwrap_or(host) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

/// The list of insecure registries.
pub(super) struct Insecure {
    hosts: Vec<String>,
    ranges: Vec<Cidr>,
}

impl Insecure {
    pub(super) fn parse(list: &[String]) -> Result<Self, ImageError> {
        let mut insecure = Self { hosts: Vec::new(), ranges: Vec::new() };
        for one in list.iter().map(|one| one.trim().trim_end_matches('/')).filter(|one| !one.is_empty()) {
            if one.contains('/') && !one.contains("://") {
                let range = Cidr::parse(one).ok_or_else(|| ImageError::Settings {
                    setting: format!("the insecure registry {one:?}"),
                    detail: "it is neither a host nor an address range such as 10.0.0.0/8".to_owned(),
                })?;
                insecure.ranges.push(range);
            } else {
                insecure.hosts.push(normal(one).to_owned());
            }
        }
        Ok(insecure)
    }

    /// Whether `host`, with or without a port, may be asked without verified TLS.
    pub(super) fn allows(&self, authority: &str) -> bool {
        let host = host_of(authority);
        if is_loopback(authority) || self.hosts.iter().any(|known| known == authority || known == host) {
            return true;
        }
        host.parse::<IpAddr>().is_ok_and(|address| self.ranges.iter().any(|range| range.contains(address)))
    }
}

/// `localhost`, `127.0.0.0/8`, `::1`: what Docker asks without TLS unasked.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = host_of(authority);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Without port and brackets.
pub(super) fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match authority.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_belong_to_one_exact_host() {
        let credential = |registry: &str| Credential {
            registry: registry.to_owned(),
            username: "u".to_owned(),
            password: Secret::new("p"),
        };
        let config = RegistryConfig {
            credentials: vec![credential("quay.io"), credential("https://index.docker.io/v1/")],
            ..RegistryConfig::default()
        };
        assert!(config.credential("quay.io").is_some());
        assert!(config.credential("docker.io").is_some());
        for other in ["quay.io:443", "cdn.quay.io", "quay.io.evil.example", "ghcr.io"] {
            assert!(config.credential(other).is_none(), "{other}");
        }
    }

    #[test]
    fn loopback_and_listed_registries_are_insecure() {
        let list = ["registry.example:5000", "plain.example", "10.1.0.0/16", "10.3.0.1:5000/", "http://url.example/"];
        let list = list.map(str::to_owned);
        let insecure = Insecure::parse(&list).unwrap();
        for yes in [
            "localhost:5000",
            "127.3.2.1",
            "[::1]:5000",
            "registry.example:5000",
            "plain.example:80",
            "10.1.2.3:5000",
            "10.3.0.1:5000",
            "url.example",
        ] {
            assert!(insecure.allows(yes), "{yes}");
        }
        for no in ["registry.example", "registry.example:443", "10.2.0.1", "localhost.example", "docker.io"] {
            assert!(!insecure.allows(no), "{no}");
        }
        assert!(Insecure::parse(&["10.0.0.0/33".to_owned()]).is_err());
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_the_rest_stays() {
        let config = RegistryConfig {
            insecure: ["10.0.0.0/33", "a.example/path", "b.example:5000"].map(str::to_owned).to_vec(),
            proxy: ProxyConfig {
                http: Some(Secret::new("socks5://proxy:1080")),
                https: Some(Secret::new("http://proxy:3128")),
                no_proxy: None,
            },
            ..RegistryConfig::default()
        };
        let config = config.without_unusable();
        assert_eq!(config.insecure, ["b.example:5000"]);
        assert!(config.proxy.http.is_none() && config.proxy.https.is_some());
    }

    #[test]
    fn pauses_grow_up_to_their_limit() {
        let retry = Retry::default();
        for failed in 1..20 {
            assert!(retry.pause(failed) <= retry.pause_max);
        }
        assert!(retry.pause(1) <= retry.pause_first);
        assert!(retry.pause(4) >= retry.pause_first * 4);
    }
}
