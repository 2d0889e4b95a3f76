//! Answers as Docker's clients expect them.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

/// What is agreed on with clients, which take the lower of this and their own.
pub(super) const API_VERSION: &str = "1.47";

pub(super) type Answer = Response<Full<Bytes>>;

/// JSON with a status.
pub(super) fn with(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("Api-Version", HeaderValue::from_static(API_VERSION));
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    headers.insert("Docker-Experimental", HeaderValue::from_static("false"));
    answer
}

/// A refusal, with a text for people.
pub(super) fn refused(status: StatusCode, message: impl Into<String>) -> Answer {
    with(status, &json!({"message": message.into()}))
}

/// Done, and nothing to say.
pub(super) fn nothing(status: StatusCode) -> Answer {
    let mut answer = with(status, &Value::Null);
    *answer.body_mut() = Full::default();
    answer
}
