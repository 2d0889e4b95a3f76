//! Pulls through a proxy, which knows a registry that nobody else finds.

use anyhow::{Result, ensure};
use tink_e2e::site::{PASSWORD, USER};
use tink_e2e::stack::DEADLINE;
use tink_e2e::{Launch, Proxy, scenario};

use crate::site::{Site, stop, task, without_engine};

/// No name server knows it.
const HOST: &str = "registry.invalid";

#[test]
fn a_pull_goes_by_the_proxy_however_it_is_named_and_not_where_there_is_an_exception() -> Result<()> {
    scenario("a_pull_goes_by_the_proxy_however_it_is_named_and_not_where_there_is_an_exception", |run| {
        let site = Site::start(run)?;
        let address = site.registry.address();
        let registry = address.replace("127.0.0.1", HOST);
        // A registry takes a request that is meant for a proxy, so that what lets all bytes through is one.
        let proxy = Proxy::start(address.parse()?)?;
        let url = format!("http://{}", proxy.address());
        let worker = |id: &str, more: &dyn Fn(Launch) -> Launch| -> Result<_> {
            let launch = site.stack.worker(id)?.args(["--runtime", "auto", "--insecure-registries", &registry]);
            let launch = launch.args(["--registry-name", &registry, "--registry-user", USER]);
            more(without_engine(run, launch.env("AGENT_REGISTRY_PASS", PASSWORD))).start(run)
        };
        let workers = [
            worker("environment", &|launch| launch.env("HTTP_PROXY", &url))?,
            // As a kernel command line gives it; pulls know the environment alone.
            worker("flag", &|launch| launch.args(["--http-proxy", &url]))?,
            worker("exception", &|launch| launch.env("HTTP_PROXY", &url).env("NO_PROXY", ".example,registry.invalid"))?,
        ];
        for id in ["environment", "flag", "exception"] {
            let action = site.action(id, "true", "")?.replace(&address, &registry);
            site.stack.create(id, &task("only", id, &[action]))?;
        }
        site.stack.wait_for_state("environment", "SUCCESS")?;
        site.stack.wait_for_state("flag", "SUCCESS")?;
        workers[2].stdout().wait_for("a pull from a host that is not found", DEADLINE, |line| {
            line.contains("failed to pull") && line.contains(HOST)
        })?;
        for worker in workers {
            let logged = worker.stdout().text();
            ensure!(!logged.contains(PASSWORD), "a password was logged: {logged}");
            stop(worker)?;
        }
        Ok(())
    })
}
