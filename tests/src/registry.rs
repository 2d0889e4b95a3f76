//! A real registry on loopback: open or with a password, plain or with TLS.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::certificate::LoopbackCertificate;
use crate::http::HttpClient;
use crate::image_push::{self, PushedImage};
use crate::{BuiltImage, Process, TestRun};

const START_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// The least that bcrypt allows; this protects nothing.
const BCRYPT_COST: u32 = 4;

/// How a registry is to be.
#[derive(Debug)]
pub struct RegistryLaunch<'a> {
    run: &'a TestRun,
    credentials: Option<(String, String)>,
    tls: bool,
}

impl RegistryLaunch<'_> {
    /// Lets in this user alone (basic authentication against an htpasswd file).
    #[must_use]
    pub fn auth(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Serves HTTPS with a certificate for loopback, issued by an authority of this registry's own.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Starts it on a free port and waits until it listens.
    ///
    /// # Errors
    /// When docker-registry is not installed or does not listen in time.
    pub fn start(self) -> Result<Registry> {
        let home = tempfile::Builder::new().prefix("registry-").tempdir_in(self.run.scratch())?.keep();
        let certificate = self.tls.then(LoopbackCertificate::issue).transpose()?;
        if let Some(certificate) = &certificate {
            fs::write(home.join("tls.crt"), &certificate.certificate).context("failed to write a certificate")?;
            fs::write(home.join("tls.key"), &certificate.key).context("failed to write a key")?;
        }
        if let Some((user, password)) = &self.credentials {
            let hash = bcrypt::hash_with_result(password, BCRYPT_COST).context("failed to hash the password")?;
            let line = format!("{user}:{}\n", hash.format_for_version(bcrypt::Version::TwoY));
            fs::write(home.join("htpasswd"), line).context("failed to write the password file")?;
        }
        let authority = certificate.map(|certificate| certificate.authority);
        let mut registry = Registry { home, credentials: self.credentials, authority, port: 0, process: None };
        registry.start_again(self.run)?;
        Ok(registry)
    }
}

/// A running registry. Dropped, it is stopped.
#[derive(Debug)]
pub struct Registry {
    home: PathBuf,
    credentials: Option<(String, String)>,
    authority: Option<String>,
    port: u16,
    process: Option<Process>,
}

/// One line of a registry's access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Such as `/v2/hello/manifests/v1`.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

impl Registry {
    /// Prepares one: plain HTTP, open to all.
    #[must_use]
    pub fn launch(run: &TestRun) -> RegistryLaunch<'_> {
        RegistryLaunch { run, credentials: None, tls: false }
    }

    /// Starts it after [`Registry::stop`], on the same port with the same content.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn start_again(&mut self, run: &TestRun) -> Result<()> {
        let config = self.home.join("config.yml");
        fs::write(&config, self.config()).with_context(|| format!("failed to write {}", config.display()))?;
        let process = Process::program("docker-registry")?.named("registry").arg("serve").arg(&config).start(run)?;
        let line = process.wait_for_line("listening on ", START_DEADLINE)?;
        let port = line.split("listening on 127.0.0.1:").nth(1);
        let port = port.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        self.port = port.and_then(|port| port.parse().ok()).with_context(|| format!("no port in `{line}`"))?;
        self.process = Some(process);
        Ok(())
    }

    fn config(&self) -> String {
        let home = self.home.display();
        let mut text = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: '{home}/data'}}, delete: {{enabled: true}}}}\n"
        );
        if self.credentials.is_some() {
            text += &format!("auth: {{htpasswd: {{realm: tests, path: '{home}/htpasswd'}}}}\n");
        }
        text += &format!("http:\n  addr: '127.0.0.1:{}'\n  secret: tests\n", self.port);
        if self.authority.is_some() {
            text += &format!("  tls: {{certificate: '{home}/tls.crt', key: '{home}/tls.key'}}\n");
        }
        text
    }

    /// Stops it, as an outage.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_DEADLINE)?;
        }
        Ok(())
    }

    /// Host and port, as in an image's name.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// User and password, if it asks for them.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// The authority that vouches for its certificate, in PEM, if it serves HTTPS.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Pushes an image as `repository:tag`.
    ///
    /// # Errors
    /// When the registry refuses a part.
    pub fn push(&self, repository: &str, tag: &str, image: &BuiltImage) -> Result<PushedImage> {
        image_push::push(&self.client(self.credentials())?, repository, tag, image)?;
        Ok(PushedImage { reference: format!("{}/{repository}:{tag}", self.address()), digest: image.digest() })
    }

    /// Stores any manifest, such as an index of several platforms, under a tag; what it names must have been pushed.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub fn push_manifest(&self, repository: &str, tag: &str, media_type: &str, manifest: &[u8]) -> Result<()> {
        image_push::push_manifest(&self.client(self.credentials())?, repository, tag, media_type, manifest)
    }

    /// The status with which the registry answers to this user.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status_for(&self, credentials: Option<(&str, &str)>) -> Result<u16> {
        Ok(self.client(credentials)?.send("GET", "/v2/", &[], &[])?.status().as_u16())
    }

    /// What was asked of it since it was started last, in the order of the answers. A line comes a little after its
    /// answer: look with [`eventually`](crate::eventually).
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let Some(process) = &self.process else { return Vec::new() };
        process.stdout().lines().iter().filter_map(|line| Request::parse(line)).collect()
    }

    fn client(&self, credentials: Option<(&str, &str)>) -> Result<HttpClient> {
        HttpClient::new(self.url(), credentials, self.authority())
    }
}

impl Request {
    /// From the combined log format: `127.0.0.1 - - [date] "GET /v2/ HTTP/1.1" 401 87 "" "agent"`.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split('"').skip(1);
        let mut request = parts.next()?.split(' ');
        let status = parts.next()?.trim().split(' ').next()?.parse().ok()?;
        Some(Self { method: request.next()?.to_owned(), path: request.next()?.to_owned(), status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_line_is_read() {
        let line = r#"127.0.0.1 - tink [23/Nov/2026:23:04:31 +0000] "GET /v2/a/tags/list HTTP/1.1" 404 87 "" "x/1""#;
        let request = Request { method: "GET".to_owned(), path: "/v2/a/tags/list".to_owned(), status: 404 };
        assert_eq!(Request::parse(line), Some(request));
        assert_eq!(Request::parse("time=\"now\" level=info msg=\"listening\""), None);
    }
}
