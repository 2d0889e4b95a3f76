//! Plain downloads from web servers: through proxies, over redirects, from servers that fall silent.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::time::Duration;

use http::HeaderMap;
use support::server::{Answer, Server};
use tink_image::{ProxyConfig, Secret, Timeouts, WebAnswer, WebClient, WebError};

fn client(proxy: Option<&Server>, no_proxy: &str) -> WebClient {
    let address = proxy.map(|proxy| Secret::new(format!("http://u:p@{}", proxy.host())));
    let no_proxy = Some(no_proxy.to_owned());
    let config = ProxyConfig { http: address.clone(), https: address, no_proxy };
    let timeouts = Timeouts { silence: Duration::from_millis(100), ..Timeouts::default() };
    WebClient::new(&config, timeouts).unwrap()
}

async fn whole(mut answer: WebAnswer) -> Result<Vec<u8>, WebError> {
    let mut all = Vec::new();
    while let Some(data) = answer.next().await? {
        all.extend_from_slice(&data);
    }
    Ok(all)
}

#[tokio::test]
async fn a_plain_address_is_asked_for_by_its_whole_name_at_the_proxy() {
    let proxy = Server::plain(|asked| match asked.target.as_str() {
        "http://a.test/image" => Answer::new(302, "").header("location", "http://b.test:8080/image"),
        _ => Answer::new(200, "content"),
    })
    .await;
    let answer = client(Some(&proxy), "").get("http://me:pw@a.test/image", &HeaderMap::new()).await.unwrap();
    assert_eq!(whole(answer).await.unwrap(), b"content");
    let asked = proxy.asked();
    let targets: Vec<_> = asked.iter().map(|asked| (asked.method.as_str(), asked.target.as_str())).collect();
    assert_eq!(targets, [("GET", "http://a.test/image"), ("GET", "http://b.test:8080/image")]);
    assert!(asked.iter().all(|asked| asked.headers["proxy-authorization"] == "Basic dTpw"));
    assert_eq!(asked[0].headers["authorization"], "Basic bWU6cHc=");
    assert!(!asked[1].headers.contains_key("authorization"), "the password went to another host");
}

#[tokio::test]
async fn tls_asks_the_proxy_for_a_tunnel_and_loopback_asks_nobody() {
    let proxy = Server::plain(|_| Answer::new(502, "")).await;
    let error = client(Some(&proxy), "").get("https://a.test/image", &HeaderMap::new()).await.unwrap_err();
    assert!(matches!(error, WebError::Broken { .. }), "{error}");
    assert_eq!((proxy.asked()[0].method.as_str(), proxy.asked()[0].target.as_str()), ("CONNECT", "a.test:443"));

    let server = Server::plain(|_| Answer::new(404, "")).await;
    let url = format!("http://{}/image", server.host());
    let answer = client(Some(&proxy), "").get(&url, &HeaderMap::new()).await.unwrap();
    assert_eq!(answer.status, 404);
    client(Some(&proxy), "b.test").get("http://sub.b.test.example/", &HeaderMap::new()).await.unwrap();
    assert_eq!(proxy.asked().len(), 2, "loopback was asked for at the proxy");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_an_error() {
    let server = Server::plain(|_| Answer { silent: true, ..Answer::new(200, "content").cut(3) }).await;
    let url = format!("http://{}/image", server.host());
    let answer = client(None, "").get(&url, &HeaderMap::new()).await.unwrap();
    let error = whole(answer).await.unwrap_err();
    assert!(matches!(error, WebError::Silent { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_ends_early_is_an_error() {
    let server = Server::plain(|_| Answer::new(200, "content").cut(3)).await;
    let url = format!("http://{}/image", server.host());
    let answer = client(None, "").get(&url, &HeaderMap::new()).await.unwrap();
    assert!(matches!(whole(answer).await.unwrap_err(), WebError::Broken { .. }));
}

#[tokio::test]
async fn redirects_without_end_are_an_error() {
    let server = Server::plain(|_| Answer::new(302, "").header("location", "/again")).await;
    let url = format!("http://{}/image", server.host());
    let error = client(None, "").get(&url, &HeaderMap::new()).await.unwrap_err();
    assert!(matches!(error, WebError::Redirects { .. }), "{error}");
}
